import pytest
from omegaconf import OmegaConf

from ablate.cli.arguments import check, split_folders
from ablate.config import catalog

CONF = catalog.folders()
GROUPS = {**catalog.default_levels(), **dict.fromkeys(catalog.NO_FACTOR, "")}
ALL = [(group, level) for group in GROUPS for level in catalog.levels(CONF, group)]
SUBCOMMANDS = ["list", "report", "figure"]


def test_groups_are_the_folders():
    assert set(GROUPS) == {path.name for folder in CONF for path in folder.iterdir() if path.is_dir()} - {"schema"}


@pytest.mark.parametrize(("group", "level"), ALL)
def test_every_level_says_what_it_is(group, level):
    """Its source too, where it has one: "# Source: none." says nothing."""
    path = catalog.levels(CONF, group)[level]
    description, source = catalog.caption(path)
    assert description.endswith((".", "?")), f"begin {path} with a comment line that says what it is"
    assert not source.startswith("none"), f"leave the source out of {path}"
    assert level == level.lower()
    assert description in catalog.describe_levels(CONF, [group]).replace("\n" + " " * 25, " ")


def test_a_source_may_be_absent(tmp_path):
    path = tmp_path / "mine.yaml"
    for text, expected in (
        ("# Mine.\n# Source: me.\na: 1\n", ("Mine.", "me.")),
        ("# Mine.\n# It is good.\na: 1\n", ("Mine.", "")),
        ("# Mine.\na: 1\n", ("Mine.", "")),
        ("a: 1\n", ("", "")),
        ("", ("", "")),
    ):
        path.write_text(text)
        assert catalog.caption(path) == expected


def test_content_has_what_the_defaults_name(tmp_path):
    group = tmp_path / "toy"
    group.mkdir()
    (group / "one.yaml").write_text("a: 1\nb: {c: 2, d: 3}\n")
    (group / "over.yaml").write_text("defaults: [one, _self_]\nb: {c: 1e-4}\n")
    (group / "under.yaml").write_text("defaults: [_self_, over]\na: 5\nb: {e: 6}\n")
    (group / "unsaid.yaml").write_text("defaults: [one]\na: 5\n")
    content = {level: catalog.content_of("toy", level, [tmp_path]) for level in catalog.levels([tmp_path], "toy")}
    assert content["over"] == {"a": 1, "b": {"c": 1e-4, "d": 3}}
    assert content["under"] == {"a": 1, "b": {"c": 1e-4, "d": 3, "e": 6}}
    assert content["unsaid"] == {"a": 5, "b": {"c": 2, "d": 3}}
    assert catalog.content_of("toy", "nosuch", [tmp_path]) is None


@pytest.mark.parametrize("group", catalog.default_levels())
def test_content_is_what_is_composed(group, compose):
    for level in catalog.levels(CONF, group):
        composed = OmegaConf.to_container(compose([f"{group}={level}"])[0][group], resolve=False)
        assert composed == catalog.content_of(group, level, CONF)


def test_overview_names_every_level_and_marks_the_defaults():
    text = catalog.overview(CONF)
    words = set(text.replace(",", " ").split())
    for group, level in ALL:
        assert (f"{level}*" if GROUPS[group] == level else level) in words
        assert group in words
    assert max(map(len, text.splitlines())) <= 120


def test_a_folder_of_ones_own_adds_levels(tmp_path):
    (tmp_path / "activation").mkdir()
    (tmp_path / "activation" / "mine.yaml").write_text("# Mine.\n# Source: me.\n_target_: torch.nn.ReLU\n")
    for arguments in (["--config-dir", str(tmp_path)], [f"--config-dir={tmp_path}"], ["-cd", str(tmp_path)]):
        folders, words = split_folders([*arguments, "activation=mine"])
        assert words == ["activation=mine"]
        where = [*CONF, *folders]
        check(words, where, SUBCOMMANDS)
        assert "mine" in catalog.overview(where)
        assert "Mine. [me.]" in catalog.describe_levels(where, ["activation"])
    (tmp_path / "activation" / "relu.yaml").write_text("# Mine too.\n# Source: me.\n")
    with pytest.raises(ValueError, match=r"relu\.yaml has the name of a level that is there already"):
        catalog.overview([*CONF, tmp_path])
    with pytest.raises(ValueError, match="needs an existing folder"):
        split_folders(["--config-dir", "nowhere"])


def test_a_source_goes_on_in_the_next_comment_line(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("# First.\n# Source: A 2012, a net with a\n# rate of its own. It is.\n# Here: more.\nbase: []\n")
    assert catalog.caption(path) == ("First.", "A 2012, a net with a rate of its own. It is.")
    path.write_text("# First.\n# Source: A 2012\nkey: 1\n# and a comment elsewhere\n")
    assert catalog.caption(path) == ("First.", "A 2012")
    path.write_text("key: 1\n# Source: no caption\n")
    assert catalog.caption(path) == ("", "")
    words = " ".join(catalog.describe_levels(CONF, ["published_speed"]).split())
    assert "regularization, a learning rate for each net" in words


def test_an_unknown_group_is_named():
    with pytest.raises(ValueError, match="no group 'activatoin'; did you mean activation"):
        catalog.describe_levels(CONF, ["activatoin"])
