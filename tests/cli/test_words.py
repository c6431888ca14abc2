"""A mistake on the command line ends with status 2 and one line that names it and its correction."""

import logging
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.cli import main as cli
from ablate.cli.arguments import check
from ablate.config import catalog

SHAPES = "data=shapes net=micro data.train_size=200 data.val_size=50 data.test_size=50 trainer.batch_size=50"
CONF = catalog.folders()

# Command line, and what its one line holds: the word or key, and the cure.
REFUSED = [
    ("--help=x", ["--help takes no value, got '--help=x'; write --help"]),
    ("--multirun=3 seed=0,1", ["--multirun takes no value"]),
    ("optimizer=adam optimizer.momentum=0.9", ["it is a key of optimizer=momentum, optimizer=muon"]),
    # what is swept
    ("-m optimizer.lr=interval(0.001,0.1)", ["optimizer.lr=interval(0.001,0.1)", "choice(", "range("]),
    ("optimizer.lr=interval(0.001,0.1)", ["optimizer.lr=interval(0.001,0.1)", "choice(", "range("]),
    ("activation=glob(*)", ["activation=glob(*)", "ablate -m 'activation=glob(*)'"]),
    ("-m activation=glob(zzz*)", ["activation=glob(zzz*)", "has no values", "relu"]),
    ("-m optimizer.lr=glob(*)", ["glob(...)", "optimizer.lr=V1,V2"]),
    ("activation=[relu,tanh]", ["activation=[relu,tanh]", "ablate -m activation=relu,tanh"]),
    ("-m activation=[relu,tanh]", ["activation=[relu,tanh]", "ablate -m activation=relu,tanh"]),
    ("-m activation=[relu,tanh],[elu]", ["one level, not a list", "ablate -m activation=relu,tanh"]),
    ("seed=range(5)", ["seed=range(5)", "5 values", "ablate -m 'seed=range(5)'"]),
    ("seed=1,2", ["seed=1,2", "ablate -m seed=1,2"]),
    ("optimizer.lr=choice(0.1,0.2)", ["ablate -m 'optimizer.lr=choice(0.1,0.2)'"]),
    ("net.widths=8,16", ["ablate -m net.widths=8,16", "'net.widths=[8,16]'"]),
    ("activation=relu,tanh", ["names several levels", "ablate -m activation=relu,tanh"]),
    ("-m seed=-1,0", ["`seed`", "whole number in [0, 2147483647]", "got -1"]),
    ("-m seed=-1", ["`seed`", "whole number in [0, 2147483647]", "got -1"]),
    ("-m seed=1.5,2", ["`seed`", "whole number", "got 1.5"]),
    ("-m seed=abc,1", ["`seed`", "whole number", "got 'abc'"]),
    ("-m seed=true,1", ["`seed`", "whole number", "got true"]),
    ("-m seed=range(5,0)", ["seed=range(5,0)", "has no values"]),
    ("-m seed=range(0,5,0)", ["seed=range(0,5,0)", "step"]),
    ("-m seed=0,1 seed=2,3", ["seed is given more than once", "leave one"]),
    ("-m activation=rleu,tanh", ["'rleu'", "relu"]),
    ("-m dry-run=true seed=0,1", ["dry-run", "dry_run"]),
    ("-m trian seed=0,1", ["trian", "ablate KEY=VALUE"]),
    ("-m optimizer.lrr=0.1,0.2", ["optimizer.lrr", "did you mean optimizer.lr?"]),
    ("-m +hydra.sweeper.params.seed=0,1", ["+hydra.sweeper.params.seed=0,1", "ablate -m 'seed=0,1'"]),
    ("-m hydra/sweeper=basic seed=0,1", ["hydra/sweeper=basic", "leave it out"]),
    ("-m hydra/launcher=basic,joblib", ["hydra/launcher=basic,joblib", "one value"]),
    # bare words
    ("trian", ["'trian'", "train", "ablate KEY=VALUE"]),
    ("train", ["'train'", "to train, write", "ablate KEY=VALUE"]),
    ("lst", ["'lst'", "did you mean list"]),
    ("sweep", ["'sweep'", "ablate -m KEY=V1,V2"]),
    ("help", ["'help'", "ablate --help"]),
    ("data=shapes list", ["`list` must be the first word"]),
    ("activation relu", ["did you mean activation=relu?"]),
    ("activation= relu", ["did you mean activation=relu"]),
    ("activation =relu", ["did you mean activation=relu?"]),
    ("activation = relu", ["did you mean activation=relu?"]),
    ("activation:relu", ["did you mean activation=relu?"]),
    ("activation", ["'activation' needs a value", "relu"]),
    ("''", ["''", "empty word", "leave it out"]),
    ("activation data=shapes", ["'activation' needs a value", "relu"]),
    ("optimizer.lr 0.1", ["did you mean optimizer.lr=0.1?"]),
    ("lr 0.1", ["did you mean optimizer.lr=0.1?"]),
    ("relu", ["did you mean activation=relu?"]),
    ("init_depth", ["ablate figure init_depth"]),
    ("study activation", ["did you mean study=activation?"]),
    ("—m seed=0,1", ["long dash", "-m"]),
    # options
    ("--activation=relu", ["--activation", "did you mean activation=relu?"]),
    ("-activation=relu", ["-activation", "did you mean activation=relu?"]),
    ("--lr 0.1", ["--lr", "did you mean optimizer.lr=0.1?"]),
    ("--batch-size 64", ["--batch-size", "did you mean trainer.batch_size=64?"]),
    ("--multirrun seed=0,1", ["--multirrun", "did you mean --multirun"]),
    ("-x", ["'-x'", "KEY=VALUE"]),
    ("--cfg", ["--cfg", "job"]),
    ("--cfg nope", ["--cfg", "job", "'nope'"]),
    ("--resolve", ["--resolve", "--cfg job --resolve"]),
    ("--package optimizer seed=3", ["--package", "ablate --cfg job --package optimizer"]),
    ("-sc", ["-sc needs install=SHELL", "bash", "got none"]),
    ("-sc install=foo", ["-sc needs install=SHELL", "zsh", "got install=foo"]),
    ("-m seed=0,1 hydra.job.chdir=true output_dir=ro", ["hydra.job.chdir=true", "got output_dir=ro", "/ro"]),
    ("-m seed=0,1 hydra.job.chdir=true", ["hydra.job.chdir=true", "got none", "output_dir=/"]),
    (
        "-m seed=0,1 hydra.job.chdir=true output_dir=/tmp/ro output_dir=ro",
        ["hydra.job.chdir=true", "got output_dir=ro"],
    ),
    (
        "-m seed=0,1 hydra/launcher=joblib hydra.launcher.n_jobs=0",
        ["`hydra.launcher.n_jobs` must be 1 or more", "got 0"],
    ),
    ("-m --cfg job", ["--multirun", "--cfg", "leave one of them out"]),
    ("-r -m", ["--run", "--multirun", "leave one of them out"]),
    ("--cfg job study=activation", ["--cfg", "study", "dry_run=true"]),
    ("--config-dir nope", ["--config-dir", "'nope'", "existing folder"]),
    ("--config-dir", ["--config-dir", "existing folder"]),
    ("--config-name nope", ["--config-name nope", "leave it out"]),
    ("--config-path nope", ["--config-path", "--config-dir FOLDER"]),
    ("--experimental-rerun nope.pickle", ["--experimental-rerun", "nope.pickle", "config.pickle"]),
    ("--experimental-rerun /etc/passwd", ["--experimental-rerun", "/etc/passwd", "config.pickle"]),
    # keys
    ("dry-run=true", ["'dry-run'", "did you mean dry_run?"]),
    ("Activation=relu", ["'Activation'", "did you mean activation?"]),
    ("activaton=relu", ["'activaton'", "did you mean activation?"]),
    ("lr=0.1", ["'lr'", "did you mean optimizer.lr?"]),
    ("weight_decay=0.1", ["'weight_decay'", "did you mean regularizer.l2?"]),
    ("optimizer.learning_rate=1", ["optimizer.learning_rate", "did you mean optimizer.lr?"]),
    ("optimizer.betas=[0.9,0.9]", ["optimizer.betas", "optimizer=adam"]),
    ("trainer.max_epochs=3", ["trainer.max_epochs", "did you mean trainer.epochs?"]),
    ("+trainer.max_epochs=3", ["trainer.max_epochs", "did you mean trainer.epochs?"]),
    ("++trainer.max_epochs=3", ["trainer.max_epochs", "did you mean trainer.epochs?"]),
    ("+optimzer.x=3", ["optimzer.x", "did you mean optimizer?"]),
    ("tensorboard.enable=false", ["tensorboard.enable", "did you mean tensorboard.enabled?"]),
    ("+tensorboard.x=1", ["tensorboard.x", "there are enabled"]),
    ("diagnostics.known.curvature.nun=3", ["diagnostics.known.curvature.nun", "num"]),
    ("preprocessing=window_standardize preprocessing.steps.windoww.x=3", ["windoww", "preprocessing.steps.window"]),
    ("net.widths.x=3", ["net.widths", "net.widths=VALUE"]),
    ("trainer.epochs.x=3", ["trainer.epochs", "trainer.epochs=VALUE"]),
    ("activation@x=relu", ["activation@x=relu", "activation=LEVEL"]),
    ("data/x=3", ["data/x=3", "data=LEVEL"]),
    ("+seed=3", ["drop the +", "seed=3"]),
    ("+activation=relu", ["drop the +", "activation=relu"]),
    ("+optimizer.lr=0.2", ["drop the +", "optimizer.lr=0.2"]),
    ("~activation", ["activation cannot be removed", "ablate list activation"]),
    ("~normalization", ["normalization cannot be removed", "normalization=none"]),
    ("~activaton", ["'activaton'", "did you mean activation?"]),
    ("~trainer.epochs", ["trainer.epochs cannot be removed", "trainer.epochs=VALUE"]),
    ("~seed", ["seed cannot be removed", "seed=VALUE"]),
    ("hydra.nope=2", ["hydra.nope", "--cfg hydra"]),
    ("hydra.launcher.n_jobs=2", ["hydra.launcher.n_jobs", "hydra/launcher=joblib"]),
    ("hydra/launcher=joblib hydra.launcher.n_jobs=abc", ["hydra.launcher.n_jobs", "'abc'", "Integer"]),
    ("hydra/launcher=jolib", ["hydra/launcher", "'jolib'", "joblib"]),
    # values that are none
    ("activation=", ["activation has no level ''", "relu"]),
    ("activation=none", ["activation has no level 'none'", "relu"]),
    ("activation=null", ["activation has no level 'null'", "relu"]),
    ("activation=3", ["activation has no level '3'", "relu"]),
    ("activation=Relu", ["'Relu'", "relu"]),
    ("'activation=relu tanh'", ["'relu tanh'", "relu"]),
    ("activation==relu", ["activation==relu", "write activation=relu"]),
    ("activation=“relu”", ["typographic quotes", "activation=relu"]),
    ("optimizer.lr=", ["'optimizer.lr='", "no value", "optimizer.lr=VALUE"]),
    ("=relu", ["'=relu'", "KEY=VALUE"]),
    ("optimizer.=3", ["optimizer.=3", "optimizer.lr"]),
    ('"optimizer.lr=\'0.1"', ["a quote that is not closed"]),
    ("net.widths=[1,2", ["net.widths=[1,2", "'net.widths=[1,2]'"]),
    ("net.widths=1,2]", ["net.widths=1,2]", "'net.widths=[1,2]'"]),
    ("optimizer.lr=foo(3)", ["foo(...)", "choice(a,b)"]),
    ("optimizer.lr=${optimzer.lr}", ["optimizer.lr", "${optimzer.lr}", "no such key"]),
    ("optimizer.lr=${oc.env:ABLATE_NOPE}", ["optimizer.lr", "ABLATE_NOPE", "not set"]),
    ("recipe=nope", ["recipe has no level 'nope'", "speedrun"]),
    ("recipe=", ["recipe has no level ''", "speedrun"]),
    # studies
    ("study=nope", ["study has no level 'nope'", "activation"]),
    ("study=activaton", ["study has no level 'activaton'", "did you mean activation"]),
    ("study=", ["study has no level ''", "activation"]),
    ("+study=activation", ["write study=activation"]),
    ("study=lecture,activation", ["one study at a time", "study=lecture,activation"]),
    ("study=lecture study=activation", ["one study at a time", "study=lecture study=activation"]),
    ("study=activation profile=nope", ["no profile 'nope'", "quick"]),
    ("study=activation study.seeds=abc", ["`study.seeds`", "whole number", "'abc'"]),
    ("study=activation study.sedes=3", ["sedes", "seeds"]),
    ("study=activation study.seeds.x=3", ["study.seeds.x=3", "as a whole"]),
    ("study=activation 'study.only=[a'", ["study.only=[a", "YAML", "brackets"]),
    ("'study.only=[a'", ["study.only=[a", "study=NAME"]),
    ("profile=quick", ["profile=quick", "study=NAME"]),
    ("extra_seeds=2", ["extra_seeds=2", "study=NAME"]),
    ("study=activation seed=3", ["seed=3", "study.seeds"]),
    ("study=activation optimizer.lr=0.1,0.2", ["optimizer.lr=0.1,0.2", "study.grids"]),
    ("-sc query=bash", ["query=", "ablate -sc install=bash"]),
    ("study=activation extra_seeds=abc", ["`extra_seeds`", "whole number", "'abc'"]),
    ("study=activation extra_seeds=-1", ["`extra_seeds`", "at least 0", "'-1'"]),
    ("study=activation extra_seeds=1.5", ["`extra_seeds`", "whole number", "'1.5'"]),
    ("study=lecture data=cifar10 data.root=x", ["data=cifar10", "leave it out", "ABLATE_DATA"]),
    # subcommands
    ("figure nope", ["no figure 'nope'", "init_depth"]),
    ("figure", ["ablate figure NAME", "init_depth"]),
    ("figure init_depth overlap", ["needs one name", "init_depth overlap"]),
    ("figure init_depth depths=[5]", ["depths=[5]", "write figure.depths=[5]"]),
    ("figure init_depth figure.dephts=[5]", ["'dephts'", "depths"]),
    ("figure init_depth figure.depths=[5", ["figure.depths=[5", "'figure.depths=[1,2]'"]),
    ("figure init_depth -m", ["'-m'", "KEY=VALUE"]),
    ("figure init_depth activation=relu,tanh", ["activation=relu,tanh", "a figure needs one"]),
    ("figure init_depth study=activation", ["study=activation", "leave it out"]),
    ("report", ["ablate report", "outputs/studies/"]),
    ("report nope", ["nope is not there", "outputs/studies/"]),
    ("report .", ["no manifest.json", "outputs/studies/"]),
    ("report /etc/passwd", ["/etc/passwd is a file", "outputs/studies/"]),
    ("verify", ["ablate verify", "outputs/studies/"]),
    ("verify nope", ["nope is not there", "with studies or with their records"]),
    ("verify .", ["holds no study", "with studies or with their records"]),
    ("verfy outputs", ["did you mean verify"]),
    ("list nope", ["'nope'", "none"]),
    ("list dropuot", ["'dropuot'", "dropout"]),
]


@pytest.fixture
def logging_kept():
    """Hydra sets the level and the handlers of the root logger; later tests in this process must not inherit them."""
    root = logging.getLogger()
    level, handlers = root.level, [*root.handlers]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture
def command(monkeypatch, tmp_path, capsys, logging_kept):
    """A function (command line) -> status, what it printed, what it said as an error; in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "0")

    def go(line):
        monkeypatch.setattr(sys, "argv", ["ablate", *shlex.split(line)])
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = end.code or 0
        return status, *capsys.readouterr()

    return go


@pytest.mark.parametrize(("line", "words"), REFUSED, ids=[line for line, _ in REFUSED])
def test_a_mistake_gives_one_line_with_its_correction(line, words, command, tmp_path):
    status, out, err = command(shlex.join(shlex.split(line)))
    assert (status, out) == (2, "")
    assert err.startswith("ablate: ")
    assert err.count("\n") == 1
    assert not [word for word in ("Traceback", "Error executing", "full_key", "hydra.cc") if word in err]
    assert [word for word in words if word not in err] == [], err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", ["-m optimizer.lr=interval(0,1)", "hydra.nope=2", "seed=range(5)", "study="])
def test_a_process_of_its_own_ends_in_the_same_way(line, tmp_path):
    command = [sys.executable, "-m", "ablate", *shlex.split(line)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("ablate: ")


def test_hydra_full_error_shows_the_traceback(command, monkeypatch):
    monkeypatch.setattr("ablate.cli.ending.SHOW_ALL", True)
    for line in ("activaton=relu", "hydra.nope=2"):
        status, _, err = command(line)
        assert status == 2
        assert "Traceback" in err


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("optimizer", "optimizer=own dry_run=true"),  # read by Hydra
        ("recipe", "recipe=own dry_run=true"),
        ("study", "study=own dry_run=true"),
        ("data", "data=own dry_run=true"),
        ("figure", "figure own"),
        ("schema", "seed=1 dry_run=true"),
    ],
)
def test_a_file_of_the_user_that_is_not_valid_yaml_is_no_bug(command, tmp_path, folder, line):
    (tmp_path / "mine" / folder).mkdir(parents=True)
    (tmp_path / "mine" / folder / "own.yaml").write_text("a: [1\n")
    words = f"{line} --config-dir mine" if line.startswith("figure") else f"--config-dir mine {line}"
    status, _, err = command(words)
    assert status == 2
    assert "own.yaml is not valid YAML: line 2, column 1: expected" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_setting_without_default_is_asked_for_and_can_be_given(command, tmp_path):
    (tmp_path / "mine" / "optimizer").mkdir(parents=True)
    own = "_target_: torch.optim.SGD\n_partial_: true\nlr: ???\n"  # diagnostics name optimizer.lr
    (tmp_path / "mine" / "optimizer" / "own.yaml").write_text(own)
    line = f"--config-dir mine {SHAPES} optimizer=own dry_run=true"
    status, _, err = command(line)
    assert (status, err.splitlines()[-1]) == (2, "ablate: optimizer.lr has no default: give optimizer.lr=...")
    status, out, err = command(f"{line} optimizer.lr=0.25")
    assert status == 0, err
    assert "run outputs/runs/data=shapes,net=micro,optimizer=own-" in out


ACCEPTED = [
    "++seed=3",
    "activation=prelu +activation.num_parameters=1",
    "activation=prelu ++activation.init=0.1",
    "+diagnostics.known.mine.x=3",
    "-m +activation.inplace=true,false",
    "~optimizer.momentum",
    "+preprocessing@preprocessing.steps.a=window",
    "'activation=\"relu\"'",
    "hydra/sweeper=ablate",
    "hydra.mode=MULTIRUN seed=0,1",
    "hydra/launcher=joblib hydra.launcher.n_jobs=-1",
    "-m activation=glob(*) 'seed=range(3)'",
    "-m net.widths=[8,16],[16,32]",
    "preprocessing=window_standardize preprocessing.steps.window.center=0",
    "diagnostics.known.landscape.lr=0.1",
    "study=activation activation.slope=0.2 study.seeds=3 profile=quick extra_seeds=2",
    "--cfg job --resolve --package trainer",
    "-c job -p net",
    "--info defaults-tree activation=tanh",
    "--info activation=tanh",
    "-r seed=3",
    "data.root=${oc.env:HOME}",
    "output_dir=/tmp/some-folder_2/x.y",
]


@pytest.mark.parametrize("line", ACCEPTED)
def test_valid_words_pass(line):
    check(shlex.split(line), CONF, list(cli.SUBCOMMANDS))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--version", ["ablate "]),
        ("--hydra-help", ["Hydra (", "--shell-completion"]),
        ("--info plugins", ["Installed Hydra Plugins", "AblateSweeper"]),
        ("--info", ["Config", "activation/relu"]),
        ("--cfg job --resolve --package trainer", ["epochs: 8"]),
        ("trainer.epochs=3 --cfg job", ["epochs: 3"]),
        ("--shell-completion install=bash", ["complete -o nospace"]),
        ("list relu", ["activation\n", "Rectified linear unit"]),
        ("list none activation", ["normalization\n", "activation\n", "tanh"]),
    ],
)
def test_the_options_of_hydra_work(line, words, command):
    status, out, err = command(line)
    assert (status, err) == (0, "")
    assert [word for word in words if word not in out] == []


def test_listing_a_level_shows_no_other_level(command):
    _, out, _ = command("list relu")
    assert "tanh" not in out


def test_the_shell_completes_levels(tmp_path):
    """As bash does it: the script that `-sc install=bash` prints asks `ablate -sc query=bash`."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = """
        eval "$(ablate -sc install=bash)"
        COMP_LINE='ablate activation=lec'; COMP_POINT=${#COMP_LINE}; COMP_WORDS=(ablate activation=lec); COMP_CWORD=1
        hydra_bash_completion; echo "${COMPREPLY[@]}"
    """
    found = subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.stdout.strip() == "activation=lecun_tanh", found.stderr


def test_hydras_rerun_of_a_pickled_configuration_works(command, tmp_path):
    line = f"{SHAPES} trainer.epochs=1 trainer.threads=1 data.cache_dir={tmp_path}/cache output_dir={tmp_path}/out"
    pickling = "+hydra.callbacks.save._target_=hydra.experimental.callbacks.PickleJobInfoCallback"
    status, out, _ = command(f"{line} {pickling} hydra.output_subdir=kept hydra.run.dir={tmp_path}/job")
    assert (status, "epoch 1/1" in out) == (0, True)
    with pytest.warns(UserWarning, match="rerun"):
        status, out, _ = command(f"--experimental-rerun {tmp_path}/job/kept/config.pickle")
    assert (status, "finished already" in out) == (0, True)


def test_two_folders_of_ones_own_are_both_there(command, tmp_path):
    for folder, level in (("a", "mine"), ("b", "yours")):
        (tmp_path / folder / "activation").mkdir(parents=True)
        content = "# A.\n# Source: me.\n_target_: torch.nn.ELU\n_partial_: true\n"
        (tmp_path / folder / "activation" / f"{level}.yaml").write_text(content)
    for level in ("mine", "yours"):
        status, out, err = command(f"--config-dir a --config-dir=b activation={level} --cfg job --package activation")
        assert (status, err) == (0, "")
        assert "torch.nn.ELU" in out
    (tmp_path / "b" / "activation" / "mine.yaml").write_text(content)
    status, _, err = command("--config-dir a --config-dir b activation=mine")
    assert status == 2
    assert "name of a level that is there already" in err


def test_a_range_shares_its_runs_with_its_numbers(command, tmp_path):
    line = f"-m {SHAPES} trainer.epochs=1 trainer.threads=1 data.cache_dir={tmp_path}/cache output_dir={tmp_path}/out"
    status, _, err = command(f"{line} optimizer.lr=0.1,0.2,0.3 diagnostics.measure=[]")
    assert status == 0, err
    status, out, err = command(f"{line} 'optimizer.lr=range(0.1,0.4,0.1)' diagnostics.measure=[]")
    assert status == 0, err
    assert "no run is left" in out


def test_a_report_of_a_runs_folder_points_to_the_study(command, tmp_path):
    study, run = tmp_path / "outputs" / "studies" / "s-1", tmp_path / "outputs" / "runs" / "a-1" / "seed-0"
    for folder, name in ((study, "manifest.json"), (run, "record.json")):
        folder.mkdir(parents=True)
        (folder / name).write_text("{}")
    for word, hint in (
        (run, "holds one run"),
        (tmp_path / "outputs", str(study)),
        (study / "manifest.json", str(study)),
    ):
        status, _, err = command(f"report {word}")
        assert status == 2
        assert hint in err


def test_a_run_may_change_its_folder_where_the_results_have_a_whole_path():
    check(["-m", "seed=0,1", "hydra.job.chdir=true", "output_dir=/tmp/results"], CONF, list(cli.SUBCOMMANDS))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("grids: [{product: {activation: [relu, tanhh]}}]", ["activation has no level 'tanhh'", "tanh?"]),
        ("base: [optimizer.lrr=3]", ["there is no key 'optimizer.lrr'", "optimizer.lr"]),
        ('base: ["net=micro,small"]', ["net=micro,small"]),
        ("base: [hydra.job.chdir=true]", ["hydra.job.chdir=true has no place in the base of study own"]),
        ("grids: [{product: {hydra.job.chdir: [true, false]}}]", ["hydra.job.chdir has no place in the grids"]),
    ],
)
def test_a_mistake_in_a_study_file_is_one_line(content, words, command, tmp_path):
    (tmp_path / "mine" / "study").mkdir(parents=True)
    default = "" if "grids" in content else "grids: [{product: {activation: [relu, tanh]}}]\n"
    (tmp_path / "mine" / "study" / "own.yaml").write_text(f"# A study.\n{content}\n{default}seeds: 2\n")
    status, _, err = command(f"--config-dir {tmp_path / 'mine'} study=own")
    assert status == 2 and all(word in err for word in words), err
    assert "Traceback" not in err
