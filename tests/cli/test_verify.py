"""`ablate verify`: on folders, collections and archives, its lines and its status."""

import shutil
import subprocess
import sys
import tarfile
import textwrap
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ablate.cli.verify import declared_study, studies_in, verify_command
from ablate.config import catalog
from ablate.errors import UserError
from ablate.report import report_collection
from ablate.storage.archive import pack, unpack
from ablate.study.collection import Collection, read_collection, write_collection
from ablate.sweep.begin import begin
from ablate.training.record import RECORD_NAME
from builders.judged import CLAIM, planned, settled

REPOSITORY = Path(__file__).resolve().parents[2]
WHERE = catalog.folders()


@pytest.fixture
def output_dir(tmp_path):
    """An output folder with two studies over the same runs, the second post hoc, and their collection."""
    settled(tmp_path / "outputs", "s-1")
    settled(tmp_path / "outputs", "s-2", claims={"relu_wins": {**CLAIM, "smallest_effect": 0.05}})
    fields = {"name": "both", "title": "", "source": "", "profile": "", "command": ""}
    collection = Collection(**fields, folders=["s-1", "s-2"])
    write_collection(collection, collection.folder_in(tmp_path / "outputs"))
    return tmp_path / "outputs"


def tamper(output_dir):
    path = output_dir / "runs" / "relu" / "seed-0" / RECORD_NAME
    path.write_text(path.read_text().replace("0.8,", "0.9,"))


def test_each_claim_has_a_line_and_the_status_says_whether_all_agree(output_dir):
    def command(*words):
        return subprocess.run([sys.executable, "-m", "ablate", "verify", *words], capture_output=True, text=True)

    done = command(str(output_dir))
    assert done.returncode == 0, done.stderr
    title, claim, _, marked, last = done.stdout.splitlines()
    assert title.startswith("s-1: registered 20")
    assert claim == "  ok       relu_wins: supported"
    assert marked == "  ok       relu_wins: supported, post hoc"
    assert last == "2 studies, 2 claims: 2 ok, 0 different; 16 records and 16 files of predictions checked"
    tamper(output_dir)
    done = command(str(output_dir / "studies" / "s-1"))
    assert done.returncode == 1
    assert "DIFFERS  runs/relu/seed-0: " in done.stdout
    assert "DIFFERS  relu_wins: incomplete; outcome is 'supported' in verdicts.json" in done.stdout


def test_it_loads_neither_torch_nor_hydra(output_dir):
    code = (
        "import sys; from ablate.cli import main; "
        f"main.verify([{str(output_dir)!r}], []); print('torch' in sys.modules, 'hydra' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "False False"


def test_studies_are_found_in_a_collection_and_in_any_folder(output_dir, tmp_path):
    both = [output_dir / "studies" / name for name in ("s-1", "s-2")]
    (collection,) = (output_dir / "studies").glob("both-*")
    assert studies_in(collection) == both
    assert studies_in(output_dir) == studies_in(tmp_path) == studies_in(output_dir / "studies") == both
    assert studies_in(both[0]) == both[:1]
    shutil.rmtree(both[1])
    with pytest.raises(UserError, match=r"names studies of which .*s-2 does not exist any more"):
        studies_in(collection)


def test_the_q_values_of_a_collections_page_are_computed_again(output_dir, capsys):
    (folder,) = (output_dir / "studies").glob("both-*")
    page = f"{folder.name}: verdicts and q values of its page\n"
    assert verify_command([str(folder)], WHERE)
    assert page not in capsys.readouterr().out  # it is not written yet
    collection = read_collection(folder)
    report_collection(collection, collection.studies(folder))
    for where in (folder, output_dir):
        assert verify_command([str(where)], WHERE)
        assert f"{page}  ok       files: unchanged\n2 studies, 2 claims: 2 ok" in capsys.readouterr().out
    path = folder / "verdicts.csv"
    whole = path.read_text()
    q = whole.splitlines()[1].split(",")[-1]
    assert 0 < float(q) < 0.05
    path.write_text(whole.replace(f",{q}\n", ",0.5\n", 1))
    assert not verify_command([str(folder)], WHERE)
    shown = capsys.readouterr().out
    assert f"DIFFERS  verdicts.csv: claim relu_wins of study s: q is 0.5 in the file, {q} recomputed" in shown
    path.write_text("".join(whole.splitlines(keepends=True)[:1]))
    assert not verify_command([str(output_dir)], WHERE)
    assert "verdicts.csv: claim relu_wins of study s is missing" in capsys.readouterr().out


def scripted(*words):
    return subprocess.run(
        [sys.executable, REPOSITORY / "scripts" / "pack_records.py", *words], capture_output=True, text=True
    )


def test_a_page_is_verified_with_the_records_packed_beside_it(output_dir, tmp_path, capsys):
    pages = tmp_path / "docs"
    pages.mkdir()
    (pages / "README.md").write_text("# Verdicts\n")
    (collection,) = (output_dir / "studies").glob("both-*")
    done = scripted(collection, pages)
    assert done.returncode == 0, done.stderr
    first = (pages / "records.tar.xz").read_bytes()
    assert scripted(collection, pages).returncode == 0
    assert (pages / "records.tar.xz").read_bytes() == first
    shutil.move(output_dir, tmp_path / "away")
    assert verify_command([str(pages)], WHERE)
    assert (
        "pages beside records.tar.xz\n  ok       files: unchanged\n2 studies, 2 claims: 2 ok" in capsys.readouterr().out
    )
    (pages / "README.md").write_text("# Other verdicts\n")
    assert not verify_command([str(pages / "records.tar.xz")], WHERE)
    assert "pages: README.md is not the page that was packed with these records" in capsys.readouterr().out
    (pages / "README.md").unlink()
    assert not verify_command([str(pages)], WHERE)


def test_what_does_not_verify_is_not_packed(output_dir, tmp_path):
    tamper(output_dir)
    done = scripted(output_dir / "studies" / "s-1", tmp_path / "docs")
    assert "does not verify" in done.stderr
    assert not (tmp_path / "docs").exists()


def test_a_zip_of_an_output_folder_is_verified(output_dir, tmp_path):
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as content:
        for path in output_dir.rglob("*"):
            content.write(path, path.relative_to(tmp_path))
    assert verify_command([str(tmp_path / "mine.zip")], WHERE)
    (tmp_path / "mine.zip").write_bytes(b"no zip")
    with pytest.raises(UserError, match=r"mine\.zip cannot be unpacked"):
        verify_command([str(tmp_path / "mine.zip")], WHERE)


def test_nothing_is_unpacked_outside_the_folder(tmp_path):
    (tmp_path / "a").write_text("a")
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as content:
        content.add(tmp_path / "a", arcname="../outside")
    (tmp_path / "inner").mkdir()
    with pytest.raises(UserError, match=r"bad\.tar\.gz cannot be unpacked"):
        unpack(tmp_path / "bad.tar.gz", tmp_path / "inner")
    assert not (tmp_path / "outside").exists()
    (tmp_path / "a").write_text("a" * 50)
    pack([tmp_path / "a"], tmp_path, tmp_path / "good.tar.xz")
    whole = (tmp_path / "good.tar.xz").read_bytes()
    (tmp_path / "torn.tar.xz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"torn\.tar\.xz cannot be unpacked"):
        unpack(tmp_path / "torn.tar.xz", tmp_path / "inner")
    unpack(tmp_path / "good.tar.xz", tmp_path / "inner")
    assert (tmp_path / "inner" / "a").read_text() == "a" * 50


def test_the_claims_of_a_studys_file_are_those_of_its_command(output_dir, tmp_path, capsys):
    folder = output_dir / "studies" / "s-1"
    assert declared_study(folder, WHERE) == (None, "")  # there is no study file of this name
    assert verify_command([str(folder)], WHERE)
    assert " (not compared with a file: none of this name)\n" in capsys.readouterr().out
    (tmp_path / "mine" / "study").mkdir(parents=True)
    lines = ["grids:", "  - product: {activation: [relu, tanh]}", "claims:", "  relu_wins:", "    text: ReLU wins."]
    lines += ["    form: greater", "    smallest_effect: 0.03", "    treatment: {activation: relu}"]
    lines += ["    control: {activation: tanh}"]
    (tmp_path / "mine" / "study" / "s.yaml").write_text("\n".join(lines))
    found, _ = declared_study(folder, [*WHERE, tmp_path / "mine"])
    assert found.claims[0].smallest_effect == 0.03
    assert not verify_command([str(folder)], [*WHERE, tmp_path / "mine"])
    assert "not compared" not in capsys.readouterr().out


def test_a_study_is_compared_where_its_command_names_claims_of_other_studies_too(output_dir, tmp_path):
    command = "ablate study=both 'study.only=[relu_wins,claim_of_another_study]'"
    folder = output_dir / "studies" / "s-3"
    begin(replace(planned(only=["relu_wins"]), command=command), folder)
    (tmp_path / "mine" / "study").mkdir(parents=True)
    claims = yaml.safe_dump({"relu_wins": CLAIM, "relu_loses": {**CLAIM, "text": "ReLU loses.", "form": "smaller"}})
    content = f"grids: [product: {{activation: [relu, tanh]}}]\nclaims:\n{textwrap.indent(claims, '  ')}"
    (tmp_path / "mine" / "study" / "s.yaml").write_text(content)
    found, refused = declared_study(folder, [*WHERE, tmp_path / "mine"])
    assert not refused and found is not None
    assert found.only == ["relu_wins"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("grids: [product: {activation: [relu, tanh]}]\nunheard_of: 1\n", "unheard_of"),
        ("grids: [product: {activation: [relu\n", "is not valid YAML: line 2"),
    ],
)
def test_a_studys_file_that_is_refused_is_a_problem(output_dir, tmp_path, capsys, content, reason):
    (tmp_path / "mine" / "study").mkdir(parents=True)
    (tmp_path / "mine" / "study" / "s.yaml").write_text(content)
    assert not verify_command([str(output_dir / "studies" / "s-1")], [*WHERE, tmp_path / "mine"])
    title, problem, *_ = capsys.readouterr().out.splitlines()
    assert "none of this name" not in title
    assert problem.startswith("  DIFFERS  the study's file: not compared with its file: ")
    assert reason in problem


def test_a_folder_with_verdicts_and_no_manifest_is_a_problem(output_dir, capsys):
    assert verify_command([str(output_dir)], WHERE)
    capsys.readouterr()
    lost = output_dir / "studies" / "s-2"
    (lost / "manifest.json").unlink()
    (next((output_dir / "studies").glob("both-*")) / "report.html").write_text("")  # of a collection, which has none
    for where in (output_dir, output_dir.parent, output_dir / "studies", lost):
        assert not verify_command([str(where)], WHERE)
        shown = capsys.readouterr().out
        assert "s-2\n  DIFFERS  manifest.json: it is not there, so the verdicts" in shown
        assert shown.count("DIFFERS") == 1
    (lost / "verdicts.json").rename(lost / "report.md")
    assert not verify_command([str(output_dir)], WHERE)
    (lost / "report.md").unlink()
    assert verify_command([str(output_dir / "studies" / "s-1")], WHERE)
    assert verify_command([str(output_dir)], WHERE)
