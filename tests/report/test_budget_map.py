"""A map of verdicts over budgets: order, headline, flips, what is left out, and its files."""

import csv
import re
from xml.etree import ElementTree

import pytest

from ablate.cli.budget_map import map_command
from ablate.config import catalog
from ablate.errors import UserError
from ablate.report.budget_map import budget_map
from ablate.report.budget_pages import HEAD, csv_rows, write_map
from ablate.report.budget_plots import draw_picture, text_lines, title_lines
from ablate.study.collection import Collection, write_collection
from ablate.study.verdict_file import VERDICTS_NAME
from builders.budgets import at
from builders.judged import CLAIM

RELU_WINS, TANH_WINS, LEVEL = {"relu": 160, "tanh": 120}, {"relu": 120, "tanh": 160}, {"relu": 140, "tanh": 140}
GUESSES = {"relu": 21, "tanh": 20}  # of 200 images in ten classes
CONTROL = {
    "relu_learns": {
        "text": "ReLU learns.",
        "form": "greater",
        "treatment": {"activation": "relu"},
        "value": 0.1,
        "smallest_effect": 0.1,
        "at_least": True,
    }
}


@pytest.fixture
def three(tmp_path):
    """Tanh wins at the smallest budget and ReLU at the larger ones; the folders' names are in another order."""
    return [
        at(tmp_path, "s-b", RELU_WINS, images=400, epochs=10, profile="standard"),
        at(tmp_path, "s-c", TANH_WINS, images=100, epochs=1, profile="quick"),
        at(tmp_path, "s-a", RELU_WINS, images=400, epochs=10, widths=(64, 128), profile="full"),
    ]


def test_budgets_are_ordered_by_work_and_the_flip_is_named(three):
    found = budget_map("s", three)
    (track,) = found.tracks
    assert [point.profile for point in track.points] == ["quick", "standard", "full"] == found.profiles
    assert [point.outcome for point in track.points] == ["contradicted", "supported", "supported"]
    (flip,) = track.flips
    assert [point.profile for point in flip] == ["quick", "standard"]
    assert track.sentence == (
        "contradicted at width 12, 100 images, 1 epoch; then supported at width 12, 400 images, 10 epochs"
    )
    assert track.headline is track.points[-1] and track.why_open == ""


def test_a_headline_needs_its_controls(tmp_path):
    folders = [
        at(tmp_path, "s-a", RELU_WINS, images=100, controls=CONTROL, profile="quick"),
        at(tmp_path, "s-b", GUESSES, images=400, controls=CONTROL, profile="standard"),
    ]
    (track,) = budget_map("s", folders).tracks
    assert [point.controls_hold for point in track.points] == [True, False]
    assert track.headline is track.points[0]
    assert track.flips == []
    assert track.sentence == ("supported at width 12, 100 images, 1 epoch; open at width 12, 400 images, 1 epoch")
    (alone,) = budget_map("s", folders[1:]).tracks
    assert alone.headline is None and alone.sentence == "open at every budget"
    assert "ReLU learns" in alone.why_open and "a larger budget or more seeds" in alone.why_open


def test_of_one_budget_the_study_with_more_seeds_counts(tmp_path):
    folders = [at(tmp_path, "s-a", TANH_WINS, seeds=3), at(tmp_path, "s-b", RELU_WINS, seeds=4)]
    for order in (folders, folders[::-1]):
        (track,) = budget_map("s", order).tracks
        assert [(point.outcome, point.judgement.num_seeds) for point in track.points] == [("supported", 4)]
        (line,) = budget_map("s", order).left_out
        assert line == "s-a: s-b has the same budget and at least as many seeds (relu_wins)"


def test_made_images_are_counted_so_that_the_larger_budget_is_the_headline(tmp_path):
    sizes = {"train_size": None, "val_size": 100}
    folders = [
        at(tmp_path, "s-a", TANH_WINS, data={**sizes, "num_train": 300}, profile="small"),
        at(tmp_path, "s-b", RELU_WINS, data={**sizes, "num_train": 3000, "train_size": 2000}, profile="sized"),
        at(tmp_path, "s-c", LEVEL, data={**sizes, "num_train": 1100}, profile="large"),
    ]
    found = budget_map("s", folders)
    (track,) = found.tracks
    assert [(p.profile, p.images) for p in track.points] == [("small", 200), ("large", 1000), ("sized", 2000)]
    assert track.headline.profile == "sized" and track.headline.budget == "width 12, 2,000 images, 1 epoch"
    assert found.left_out == []


def test_data_sets_and_nets_are_budgets_of_their_own_and_named_where_they_differ(tmp_path):
    folders = [
        at(tmp_path, "s-a", TANH_WINS),
        at(tmp_path, "s-b", RELU_WINS, levels={"data": "shapes_magnitude"}),
        at(tmp_path, "s-c", LEVEL, levels={"net": "small"}),
    ]
    found = budget_map("s", folders)
    (track,) = found.tracks
    assert found.left_out == []
    assert [point.budget for point in track.points] == [
        "micro, width 12, 100 images of shapes, 1 epoch",
        "micro, width 12, 100 images of shapes_magnitude, 1 epoch",
        "small, width 12, 100 images of shapes, 1 epoch",
    ]
    assert track.points[1].label == "micro\nshapes_magnitude\n100 × 1"
    assert [row[4:6] for row in csv_rows(found)[1:]] == [
        ["micro", "shapes"], ["micro", "shapes_magnitude"], ["small", "shapes"]
    ]  # fmt: skip
    (track,) = budget_map("s", folders[:2]).tracks
    assert track.points[0].budget == "width 12, 100 images of shapes, 1 epoch"


def test_all_images_of_an_unknown_number_are_more_than_a_part_of_them(tmp_path):
    folders = [
        at(tmp_path, "s-a", RELU_WINS, data={"root": "x", "val_size": 100, "train_size": None}),
        at(tmp_path, "s-b", TANH_WINS, data={"root": "x", "val_size": 100, "train_size": 60_000}),
    ]
    (track,) = budget_map("s", folders).tracks
    assert [point.images for point in track.points] == [60_000, None] and "all images" in track.headline.budget


def test_the_title_of_an_axis_is_not_broken_inside_a_word():
    title = "effect on pre_activation/within_channel_of_the_last_layer, some unit"
    lines = title_lines(title)
    assert len(lines) > 1
    assert "".join(lines).replace(" ", "") == title.replace(" ", "")
    assert set(re.findall(r"\w+", " ".join(lines))) == set(re.findall(r"\w+", title))


def test_what_is_not_judged_or_means_something_else_is_left_out_and_named(tmp_path, three):
    (three[1] / VERDICTS_NAME).unlink()
    other = at(tmp_path, "s-d", RELU_WINS, images=200, claims={"relu_wins": {**CLAIM, "smallest_effect": 0.05}})
    found = budget_map("s", [*three, other])
    (track,) = found.tracks
    assert [point.profile for point in track.points] == ["standard", "full"]
    assert [line.partition(":")[0] for line in found.left_out] == ["s-c", "s-d, relu_wins"]
    assert "not judged yet" in found.left_out[0] and "its smallest_effect differs" in found.left_out[1]


def test_an_incomplete_claim_is_left_out_with_its_reason(tmp_path, three):
    missing = next(tmp_path.rglob("*s-c/seed-0/record.json"))
    missing.unlink()
    (line,) = budget_map("s", three).left_out
    assert line.startswith("s-c, relu_wins: incomplete (") and "1 of 4 runs" in line


def test_nothing_judged_is_refused(three):
    for folder in three:
        (folder / VERDICTS_NAME).unlink()
    with pytest.raises(UserError, match=r"found no judged claim of s in 3 studies \(s-b: not judged yet"):
        budget_map("s", three)


def test_the_files_hold_every_verdict(three, tmp_path):
    page = write_map(budget_map("s", three), tmp_path / "map")
    with (tmp_path / "map" / "map.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(HEAD)
    assert [(row["profile"], row["images"], row["epochs"], row["outcome"], row["headline"]) for row in rows] == [
        ("quick", "100", "1", "contradicted", ""),
        ("standard", "400", "10", "supported", ""),
        ("full", "400", "10", "supported", "yes"),
    ]
    low, estimate, high = (float(rows[0][key]) for key in ("low", "estimate", "high"))
    assert low < estimate < high and estimate == pytest.approx(-0.2)
    html = page.read_text()
    assert html.count("<svg") == 2  # the picture and a curve
    assert html.count("−20.00 points") >= 1 and "<b>headline</b>" in html
    markdown = (tmp_path / "map" / "map.md").read_text()
    assert "✗ contradicted −20.00 points" in markdown and "✓ supported at width 96" in markdown
    ElementTree.parse(tmp_path / "map" / "map.svg")
    assert (tmp_path / "map" / "map.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_the_picture_explains_its_symbols_and_has_claims_of_two_lines(three):
    found = budget_map("s", three)
    (legend,) = draw_picture(found).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "supported: it holds here",
        "contradicted: the runs show the opposite",
    ]
    long = "a word " * 30
    first, second = text_lines(long)
    assert long.startswith(first) and len(first) <= 76 and second.endswith(" …")


def test_the_command_finds_a_study_by_its_name_and_by_folders(three, tmp_path, capsys):
    where = catalog.folders()
    map_command(["study=s", f"output_dir={tmp_path}"], where)
    shown = capsys.readouterr().out
    assert shown.startswith("✓ ReLU wins.  contradicted at width 12, 100 images, 1 epoch; then supported at")
    assert (tmp_path / "maps" / "s" / "map.html").exists()
    map_command([str(three[1]), str(three[0]), f"out={tmp_path / 'mine'}"], where)
    assert re.search(r"then supported at width 12", capsys.readouterr().out)
    assert (tmp_path / "mine" / "map.md").exists()


def test_a_folder_of_a_page_stands_for_its_studies(three, tmp_path, capsys):
    fields = {"name": "both", "title": "", "source": "", "profile": "", "command": ""}
    collection = Collection(**fields, folders=[folder.name for folder in three[:2]])
    home = collection.folder_in(tmp_path)
    write_collection(collection, home)
    map_command([str(home)], catalog.folders())
    assert (tmp_path / "maps" / "both" / "map.csv").exists()
    assert "full" not in (tmp_path / "maps" / "both" / "map.csv").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs the name of a study or folders"),
        (["study=s", "{studies}"], "one of both"),
        (["study=s", "profile=quick"], "got profile="),
        (["study=nothing", "output_dir={home}"], "found no study nothing in .*; there is no study file nothing"),
        (["study=activation", "output_dir={home}"], "found no study activation in"),
        (["{home}/no"], "is no folder"),
        (["{studies}", "output_dir={home}"], "drop it where folders are given"),
    ],
)
def test_what_the_command_refuses(words, message, three, tmp_path):
    given = [word.format(home=tmp_path, studies=tmp_path / "studies") for word in words]
    with pytest.raises(UserError, match=message):
        map_command(given, catalog.folders())
