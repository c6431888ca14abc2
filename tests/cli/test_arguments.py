import pytest

from ablate.cli.arguments import applicable, as_sweep, check, options_first, split_folders
from ablate.config import catalog
from ablate.errors import UserError

CONF = catalog.folders()
SUBCOMMANDS = ["list", "report", "figure"]


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
def test_valid_settings_pass(argument):
    check(["-m", argument], CONF, SUBCOMMANDS)


def test_a_key_is_looked_up_in_all_levels_of_a_sweep():
    check(["-m", "optimizer=adam,adamw", "optimizer.lr=0.1"], CONF, SUBCOMMANDS)
    check(["-m", "optimizer=adam,adamw", "++optimizer.betas=[0.5,0.9]"], CONF, SUBCOMMANDS)
    with pytest.raises(UserError, match=r"needs '\+\+optimizer\.betas=\[0\.5,0\.9\]'"):
        check(["-m", "optimizer=adam,adamw", "optimizer.betas=[0.5,0.9]"], CONF, SUBCOMMANDS)
    with pytest.raises(UserError, match=r"optimizer=adam has no key 'optimizer\.momentum'"):
        check(["-m", "optimizer=momentum,adam", "optimizer.momentum=0.3"], CONF, SUBCOMMANDS)


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


def test_folders_of_data_go_only_to_data_sets_with_folders():
    words = ["data=shapes", "data.root=here", "data.cache_dir=there", "data.noise=0.1"]
    assert applicable(words, CONF) == ["data=shapes", "data.cache_dir=there", "data.noise=0.1"]
    assert applicable(["data.root=here", "data=cifar10"], CONF) == ["data.root=here", "data=cifar10"]
    assert applicable(["data.root=here", "data.nosuch=1"], CONF) == ["data.root=here", "data.nosuch=1"]  # cifar10


def test_options_and_their_values_come_first():
    words = ["a=1", "--info", "b=2", "-c", "job", "--config-dir", "x", "-m", "--info", "plugins", "c=3"]
    first = ["--info", "-c", "job", "--config-dir", "x", "-m", "--info", "plugins"]
    assert options_first(words) == [*first, "a=1", "b=2", "c=3"]
    with pytest.raises(UserError, match="existing folder"):
        split_folders(["--config-dir="])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("name=mine", "put -m before it"),
        ("study=activation name=mine", "a study has the name of its file"),
        ("-m seed=0,1 name=a name=b", "given more than once"),
        ("-m seed=0,1 name=a/b", "`name` must be letters"),
        ("-m seed=0,1 baseline=", "`baseline` must be values of one arm"),
    ],
)
def test_name_and_baseline_are_for_a_sweep(words, message):
    with pytest.raises(UserError, match=message):
        check(words.split(), catalog.folders(), [])
