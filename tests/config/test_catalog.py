import pytest
from omegaconf import OmegaConf

from ablate.cli.arguments import applicable, as_sweep, check, options_first, split_folders
from ablate.config import catalog
from ablate.config.overrides import quoted

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


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("activation=rleu", ["activation has no level 'rleu'", "relu"]),
        ("activation=relu,tanhh", ["'tanhh'", "tanh"]),
        ("net=zzz", ["net has no level 'zzz'", "small", "myrtle"]),
        ("activaton=relu", ["no key 'activaton'", "activation"]),
        ("lr=0.1", ["no key 'lr'"]),
        ("trianer.epochs=3", ["no key 'trianer.epochs'", "trainer"]),
        ("optimizer.learning_rate=1", ["optimizer=nesterov has no key", "lr"]),
        ("net.num_stages=3", ["net=small has no key", "there are widths"]),
        ("lst", ["'lst' is neither", "list"]),
        ("study=activatoin", ["study has no level", "activation"]),
        ("study=activation,dropout", ["one study at a time"]),
        ("study.seeds=3", ["belongs to a study"]),
        ("extra_seeds=3", ["belongs to a study"]),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(argument, words):
    with pytest.raises(ValueError, match=r"there is no key|has no level|has no key|neither|a study|one study") as error:
        check(["-m", argument], CONF, SUBCOMMANDS)
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
    check(["-m", argument], CONF, SUBCOMMANDS)


def test_a_key_is_looked_up_in_the_chosen_level():
    check(["optimizer=adam", "optimizer.betas=[0.5,0.9]"], CONF, SUBCOMMANDS)
    with pytest.raises(ValueError, match=r"optimizer=sgd has no key 'optimizer\.momentum'"):
        check(["optimizer.momentum=0.5", "optimizer=sgd"], CONF, SUBCOMMANDS)


def test_several_levels_need_a_multirun():
    with pytest.raises(ValueError, match=r"activation=relu,tanh names several levels.*-m"):
        check(["activation=relu,tanh"], CONF, SUBCOMMANDS)


def test_options_come_first():
    assert options_first(["a=1", "-m", "b=1,2", "--config-dir", "d"]) == ["-m", "--config-dir", "d", "a=1", "b=1,2"]
    assert options_first(["a=1", "--cfg", "job"]) == ["--cfg", "job", "a=1"]


def test_a_study_becomes_a_multirun_whose_jobs_do_not_see_it():
    words = ["study=activation", "study.seeds=[1,2]", "data=shapes", "extra_seeds=3", "-m"]
    assert as_sweep(words, ["recipe=x"])[-1] == "hydra.sweeper.command='ablate recipe=x'"
    assert as_sweep(words, words)[:-1] == [
        "-m",
        "data=shapes",
        "hydra.sweeper.study='activation'",
        "hydra.sweeper.profile=null",
        "hydra.sweeper.changes=['seeds=[1,2]']",
        "hydra.sweeper.extra_seeds=3",
    ]


def test_a_profile_belongs_to_a_study():
    with pytest.raises(ValueError, match="profile=quick belongs to a study"):
        check(["profile=quick"], CONF, SUBCOMMANDS)
    assert "hydra.sweeper.profile='quick'" in as_sweep(["study=a", "profile=quick"], [])


def test_where_data_lie_is_said_to_data_that_lie_somewhere():
    words = ["data=shapes", "data.root=here", "data.cache_dir=there", "data.noise=0.1"]
    assert applicable(words, CONF) == ["data=shapes", "data.cache_dir=there", "data.noise=0.1"]
    assert applicable(["data.root=here", "data=cifar10"], CONF) == ["data.root=here", "data=cifar10"]
    assert applicable(["data.root=here", "data.nosuch=1"], CONF) == ["data.root=here", "data.nosuch=1"]  # cifar10


@pytest.mark.parametrize("text", ["plain", "it's", "a\\b", "a=[1,'x']", "back\\'slash", "two\\\\'s", 'd"q'])
def test_quoted_survives_hydras_grammar(text):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (override,) = OverridesParser.create().parse_overrides([f"key={quoted(text)}"])
    assert str(override.value()) == text


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
