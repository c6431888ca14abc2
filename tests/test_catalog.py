import pytest

from ablate import catalog

CONF = catalog.conf_dir()
ALL = [(group, level) for group in catalog.default_levels() for level in catalog.levels([CONF], group)]


def test_groups_are_the_folders():
    assert set(catalog.default_levels()) == {path.name for path in CONF.iterdir() if path.is_dir()}


@pytest.mark.parametrize(("group", "level"), ALL)
def test_every_level_says_what_it_is_and_where_it_comes_from(group, level):
    path = catalog.levels([CONF], group)[level]
    first, second = path.read_text().splitlines()[:2]
    assert first.startswith("# ")
    assert first.endswith(".")
    assert second.startswith("# Source: ")
    assert level == level.lower()
    description, source = catalog.caption(path)
    assert description in catalog.describe([CONF], [group]).replace("\n" + " " * 25, " ")
    assert source


def test_overview_names_every_level_and_marks_the_defaults():
    text = catalog.overview([CONF])
    words = set(text.replace(",", " ").split())
    for group, level in ALL:
        assert (f"{level}*" if catalog.default_levels()[group] == level else level) in words
        assert group in words
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("activation=rleu", ["activation has no level 'rleu'", "relu"]),
        ("activation=relu,tanhh", ["'tanhh'", "tanh"]),
        ("net=zzz", ["net has no level 'zzz'", "small", "myrtle"]),
        ("activaton=relu", ["no key 'activaton'", "activation"]),
        ("lr=0.1", ["no key 'lr'"]),
        ("trianer.epochs=3", ["no key 'trianer.epochs'", "trainer"]),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(argument, words):
    with pytest.raises(ValueError, match=r"there is no key|has no level") as error:
        catalog.check([argument])
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    "argument",
    [
        "activation=relu,tanh",
        "activation=glob(*)",
        "optimizer.lr=0.1,0.2",
        "seed=range(3)",
        "tensorboard.enabled=false",
        "+activation.x=1",
        "~dropout",
        "hydra/launcher=joblib",
        "hydra.launcher.n_jobs=2",
        "-m",
        "preprocessing.steps.whiten.eps=0.1",
        "+preprocessing@preprocessing.steps.a=window",
    ],
)
def test_what_hydra_understands_passes(argument):
    catalog.check([argument])


def test_a_folder_of_ones_own_adds_levels(tmp_path):
    (tmp_path / "activation").mkdir()
    (tmp_path / "activation" / "mine.yaml").write_text("# Mine.\n# Source: me.\n_target_: torch.nn.ReLU\n")
    for arguments in (["--config-dir", str(tmp_path)], [f"--config-dir={tmp_path}"], ["-cd", str(tmp_path)]):
        catalog.check([*arguments, "activation=mine"])
        assert "mine" in catalog.overview(catalog.folders(arguments))
        assert "Mine. [me.]" in catalog.describe(catalog.folders(arguments), ["activation"])


def test_an_unknown_group_is_named():
    with pytest.raises(ValueError, match="no group 'activatoin'; did you mean activation"):
        catalog.describe([CONF], ["activatoin"])
