import pytest

from ablate.cli.arguments import check, split_folders
from ablate.config import catalog

CONF = catalog.folders()
GROUPS = {**catalog.default_levels(), **dict.fromkeys(catalog.NO_FACTOR, "")}
ALL = [(group, level) for group in GROUPS for level in catalog.levels(CONF, group)]
SUBCOMMANDS = ["list", "report", "figure"]


def test_groups_are_the_folders():
    assert set(GROUPS) == {path.name for folder in CONF for path in folder.iterdir() if path.is_dir()} - {"schema"}


@pytest.mark.parametrize(("group", "level"), ALL)
def test_every_level_says_what_it_is_and_where_it_comes_from(group, level):
    path = catalog.levels(CONF, group)[level]
    first, second = path.read_text().splitlines()[:2]
    assert first.startswith("# ")
    assert first.endswith((".", "?"))
    assert second.startswith("# Source: ")
    assert level == level.lower()
    description, source = catalog.caption(path)
    assert description in catalog.describe_levels(CONF, [group]).replace("\n" + " " * 25, " ")
    assert source


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


def test_an_unknown_group_is_named():
    with pytest.raises(ValueError, match="no group 'activatoin'; did you mean activation"):
        catalog.describe_levels(CONF, ["activatoin"])
