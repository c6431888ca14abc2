"""The command `ablate`: from the command line to a run, a sweep or a study, and to its result.

Settings alone train (`ablate activation=tanh optimizer.lr=0.01`), `-m` sweeps, `study=` runs a study. A first word from
`SUBCOMMANDS` does something else, and imports nothing that only training needs. Hydra composes the configuration and
makes objects from it; only this package and the sweeper plugin use Hydra.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate import stopping
from ablate.cli import console
from ablate.cli.arguments import as_sweep, check, expand, named_sweep, options_first, split_folders
from ablate.cli.ending import end_stopped, end_with
from ablate.cli.options import COMPLETION, check_completion
from ablate.cli.subcommand_help import HELP
from ablate.config import catalog
from ablate.config.overrides import quoted
from ablate.errors import Unusable, UserError
from ablate.installed import version_of
from ablate.storage.paths import localized

if TYPE_CHECKING:
    from omegaconf import DictConfig

USAGE = """\
usage: ablate [KEY=VALUE ...]                train one net; other keys: defaults
       ablate -m KEY=V1,V2 'seed=range(5)'   train and compare all combinations
       ablate study=NAME [profile=NAME] [KEY=VALUE ...]
                                             run a study: runs, verdicts, report
       ablate report FOLDER [--watch]        write the report of a study; with
                                             --watch also a page while it runs
       ablate judge FILE --claims CLAIMS     decide claims on others' runs
       ablate verify FOLDER                  check verdicts against the records
       ablate map study=NAME                 verdicts at every budget
       ablate export FOLDER --to FORMAT      LaTeX, Markdown, Parquet, trackers
       ablate figure NAME [KEY=VALUE ...]    compute and draw a figure
       ablate list [GROUP|LEVEL ...]         describe levels, studies, recipes
       ablate explain CLAIM                  what a claim tests, and its cost
       ablate doctor                         what is installed, found, writable
       ablate SUBCOMMAND --help              its options, with an example

  ablate activation=tanh initializer=xavier_normal normalization=none
  ablate data=shapes trainer.epochs=3 optimizer.lr=0.01
  ablate -m activation=relu,tanh 'seed=range(5)' hydra/launcher=joblib
  ablate study=activation data=shapes study.seeds=6 hydra/launcher=joblib
  ablate study=lecture profile=quick hydra/launcher=joblib
  ablate study=activation 'study.only=[relu_beats_tanh]' trainer.epochs=20
  ablate recipe=speedrun activation=relu

`ablate --cfg job` prints every key that can be set. `dry_run=true` shows what
would be done and does nothing: a run's layers and folder, a sweep's arms, runs
and time. `extra_seeds=3` adds seeds to a finished study, as its next declared
look. `recipe=NAME` stands for the settings in conf/recipe/NAME.yaml; settings
beside it take precedence. `name=NAME` beside -m names a sweep, `baseline=tanh`
the arm that its others are compared with (by default the first).
`hydra.launcher.n_jobs=2` beside `hydra/launcher=joblib` sets the number of
worker processes. `eval "$(ablate -sc install=bash)"` completes groups, levels
and keys in your shell.
--config-dir DIR adds a folder with levels, studies, claims, figures and recipes
of your own (DIR/activation/mine.yaml). The environment variable
HYDRA_FULL_ERROR=1 shows the traceback of an error.

groups and their levels (* is the default):
"""


def main() -> None:
    """Run the command line of this process."""
    console.prepare()
    with stopping.watched():
        run_command()


def run_command() -> None:
    """Run the command line of this process; an error ends it with a message and a status."""
    typed_words, how = sys.argv[1:], "to continue from the last checkpoint"
    try:
        if (here := current_folder()) not in sys.path:
            sys.path.append(here)  # a level may name a module in the current folder
        sys.argv[1:] = localized(sys.argv[1:])
        folders, words = split_folders(sys.argv[1:])
        where = [*catalog.folders(), *folders]
        if words and words[0] in HELP and {"-h", "--help"} & set(words):
            print(HELP[words[0]], end="")
        elif words and words[0] in SUBCOMMANDS:
            how = "to start it again"
            SUBCOMMANDS[words[0]](words[1:], where)
        elif {"-h", "--help"} & set(words):
            print(USAGE + catalog.overview(where))
        elif set(COMPLETION) & set(words):
            check_completion(words)
            compose_and_train()  # the words after it belong to the completion
        elif "--version" in words:
            print(f"ablate {version_of() or 'from its source, not installed'}")
        elif is_program_study(words, where):
            from ablate.cli.program_study import do_program_study

            how = "to continue"
            do_program_study(words, where, shlex.join(["ablate", *sys.argv[1:]]))
        else:
            typed = options_first(sys.argv[1:])
            arguments = expand(typed, where)
            check(expand(words, where), where, list(SUBCOMMANDS))
            is_study = any(word.startswith("study=") for word in words)
            if len(folders) > 1:  # Hydra's own option takes one: the last
                others = ",".join(quoted(str(folder.resolve())) for folder in folders[:-1])
                arguments = [*arguments, f"hydra.searchpath=[{others}]"]
            sys.argv[1:] = as_sweep(arguments, typed) if is_study else named_sweep(arguments, typed)
            compose_and_train()
        console.flush()
    except Exception as error:
        end_with(error)
    except stopping.Stopped as stopped:
        end_stopped(stopped, typed_words, how)


def list_levels(words: Sequence[str], where: Sequence[Path]) -> None:
    """`ablate list [GROUP ...]`: print each level, what it is and where it comes from."""
    if words:
        print(catalog.describe_levels(where, [] if list(words) == ["all"] else words))
        return
    print(catalog.overview(where))
    print("\n* is the default. `ablate list activation` describes a group, `ablate list relu`")
    print("a level, `ablate list all` all.")


def write_report(words: Sequence[str], where: Sequence[Path]) -> None:
    """`ablate report FOLDER ... [--watch]`: write the report of each study and say where it is.

    With --watch, first keep live.html in the study's folder up to date until all runs are done.

    Raises:
        UserError: no folder, or one that holds no study.
    """
    from ablate import report
    from ablate.judging import collect, judge
    from ablate.study.collection import read_collection
    from ablate.study.manifest import read_manifest
    from ablate.sweep import live

    is_watched, words = "--watch" in words, [word for word in words if word != "--watch"]
    if is_watched and len(words) > 1:
        raise UserError(f"`ablate report --watch` shows one study, got {len(words)} folders; start it once for each")
    if not words:
        raise UserError("`ablate report` needs the folder of a study, e.g. outputs/studies/activation-1a2b3c4d")
    for word in words:
        folder = Path(word).resolve()
        try:
            collection = read_collection(folder)
        except Unusable as error:
            raise UserError(f"{error}; the command that started it (ablate study=...) makes it again") from error
        if collection is not None:
            if is_watched:
                live.watch(
                    collection.title or collection.name, [place for _, place in collection.studies(folder)], folder
                )
            shown, page = report.report_collection(collection, collection.studies(folder))
            print(f"{shown}\n\n{page}")
            continue
        manifest = read_manifest(folder)
        if manifest is None:
            raise UserError(no_study(word, folder))
        if is_watched:
            live.watch(manifest.title or manifest.name, [folder], folder)
            manifest = read_manifest(folder) or manifest  # with the looks that it has had since
        study = collect(manifest, folder)
        judgements = judge(study)
        page = report.write_report(study, judgements)
        print(f"{report.summary(study, judgements)}\n\n{page}")


def no_study(word: str, folder: Path) -> str:
    """Return the message for a folder without a study, with folders that may be meant."""
    from ablate.study.collection import COLLECTION_NAME
    from ablate.study.manifest import MANIFEST_NAME
    from ablate.training.record import RECORD_NAME

    what = "is not there" if not folder.exists() else "is a file" if folder.is_file() else f"has no {MANIFEST_NAME}"
    parent = folder.parent if folder.is_file() else folder
    if (parent / RECORD_NAME).is_file():
        what = f"holds one run, whose result is in its {RECORD_NAME}"
    found = [p.parent for name in (MANIFEST_NAME, COLLECTION_NAME) for p in parent.glob(f"**/{name}")][:3]
    if not found and parent == folder and (folder.parent / MANIFEST_NAME).is_file():
        found = [folder.parent]
    hint = f"did you mean {' or '.join(map(str, found))}?" if found else "it is in outputs/studies/NAME"
    return f"`ablate report` needs the folder of a study, and {word} {what}; {hint}"


def figure_command(words: Sequence[str], where: Sequence[Path]) -> None:
    """`ablate figure NAME [KEY=VALUE ...]`: see `ablate.cli.figure`."""
    from ablate.cli.figure_file import asked

    words = expand(words, where)
    if asked(words, where) is None:  # before torch is loaded, which takes seconds
        return
    from ablate.cli import figure

    figure.figure_command(words, where)


def judge_results(words: Sequence[str], where: Sequence[Path]) -> None:
    """`ablate judge FILE --claims CLAIMS [KEY=VALUE ...]`: see `ablate.cli.judge`."""
    from ablate.cli import judge

    judge.judge_command(words, where)


def is_program_study(words: Sequence[str], where: Sequence[Path]) -> bool:
    """Return whether the command line asks for a study whose runs another program does."""
    if not any(word.startswith("study=") for word in words):
        return False
    from ablate.cli.program_study import has_command

    return has_command(words, where)


def verify(words: Sequence[str], where: Sequence[Path]) -> None:
    """`ablate verify FOLDER ...`: see `ablate.cli.verify`; ends with status 1 where something differs."""
    from ablate.cli.verify import verify_command

    if not verify_command(words, where):
        console.flush()
        sys.exit(1)


def map_budgets(words: Sequence[str], where: Sequence[Path]) -> None:
    """`ablate map study=NAME`, `ablate map FOLDER ...`: see `ablate.cli.budget_map`."""
    from ablate.cli.budget_map import map_command

    map_command(words, where)


def export(words: Sequence[str], where: Sequence[Path]) -> None:
    """`ablate export FOLDER --to FORMAT`: see `ablate.cli.export`."""
    from ablate.cli.export import export_command

    export_command(words, where)


def explain_claims(words: Sequence[str], where: Sequence[Path]) -> None:
    """`ablate explain CLAIM ...`: see `ablate.cli.explain`."""
    from ablate.cli.explain import explain_command

    explain_command(words, where)


def doctor(words: Sequence[str], where: Sequence[Path]) -> None:
    """`ablate doctor`: see `ablate.cli.doctor`; ends with status 1 where something that is needed is wrong."""
    from ablate.cli.doctor import doctor_command

    if not doctor_command(words, where):
        console.flush()
        sys.exit(1)


SUBCOMMANDS = {
    "list": list_levels,
    "report": write_report,
    "verify": verify,
    "map": map_budgets,
    "judge": judge_results,
    "figure": figure_command,
    "export": export,
    "explain": explain_claims,
    "doctor": doctor,
}


def compose_and_train() -> None:
    """Hand the command line to Hydra, which calls `train` once, or once a job of a multirun.

    Raises:
        UserError: the configuration cannot be composed.
    """
    import hydra
    from hydra._internal import utils
    from hydra.errors import HydraException, InstantiationException
    from omegaconf.errors import OmegaConfBaseException

    from ablate.cli.grammar import plainly
    from ablate.cli.hydra_version import of_main

    utils.run_and_report = call  # Hydra's own prints each error itself, over several lines, and ends with status 1
    decorate = hydra.main(**of_main(), config_path=str(catalog.conf_dir()), config_name="config")
    try:
        decorate(train)()
    except InstantiationException:
        raise  # raised by a level's code, not a mistake in the command line
    except (HydraException, OmegaConfBaseException) as error:
        folders, words = split_folders(sys.argv[1:])
        raise UserError(plainly(error, [*catalog.folders(), *folders], words)) from error


def call(func: Any) -> Any:
    """Call `func`, with no handling of errors."""
    return func()


def train(cfg: "DictConfig") -> None:
    """Train the run that `cfg` describes: Hydra's task function, in this process or a worker."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from ablate.cli.composition import checked, conf_folders

    if stopping.is_worker():
        stopping.watch()
        stopping.follow()
        if stopping.requested():  # the jobs that are left in the leader's queue
            return
    hydra = HydraConfig.get()
    where = conf_folders(hydra.runtime.config_sources)
    try:
        settings, levels = checked(cfg, hydra.runtime.choices, where)  # before torch is loaded, which takes seconds
        from ablate.cli import jobs, planning

        do = jobs.do_in_sweep if hydra.mode == RunMode.MULTIRUN else jobs.do_alone
        do(planning.plan_checked(settings, levels))
    except Exception as error:
        if hydra.mode == RunMode.MULTIRUN:
            raise
        end_with(error)


def current_folder() -> str:
    """Return the folder that the command was started in.

    Raises:
        UserError: it has been removed.
    """
    try:
        return os.getcwd()
    except FileNotFoundError as error:
        raise UserError("the current folder does not exist any more; change to another one with cd") from error
