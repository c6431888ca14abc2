"""The command line before Hydra reads it: sorted, recipes expanded, mistakes refused early."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ablate.cli.grammar import parse
from ablate.cli.options import check_options, value_follows
from ablate.cli.words import (
    OF_A_STUDY,
    OF_A_SWEEP,
    check_bare,
    check_hydra,
    check_key,
    check_level,
    check_of_study,
    check_of_sweep,
    check_sweep,
)
from ablate.config import catalog
from ablate.config.keys import check_levels
from ablate.config.overrides import key_of, quoted
from ablate.config.yaml_file import read_yaml
from ablate.errors import UserError
from ablate.training.identity import is_unscientific

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

CONFIG_DIR = ("--config-dir", "-cd")


def split_folders(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the folders given as --config-dir, and the other words in order.

    >>> split_folders(["--config-dir", ".", "seed=1"])[1]
    ['seed=1']
    """
    folders: list[Path] = []
    words: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name not in CONFIG_DIR:
            words.append(argument)
            continue
        value = value if equals else next(rest, "")
        if not value or not Path(value).is_dir():
            raise UserError(f"{name} needs an existing folder, got {value!r}")
        folders.append(Path(value))
    return folders, words


def options_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the options and their values first, as Hydra needs them.

    >>> options_first(["seed=0,1", "-m", "--config-dir", "mine"])
    ['-m', '--config-dir', 'mine', 'seed=0,1']
    """
    options: list[str] = []
    overrides: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        options.append(argument)
        if rest and (argument in CONFIG_DIR or value_follows(argument, rest[0])):
            options.append(rest.pop(0))
    return [*options, *overrides]


def expand(words: Sequence[str], where: Sequence[Path]) -> list[str]:
    """Return the words with `recipe=NAME` replaced by the overrides of conf/recipe/NAME.yaml.

    The other words take precedence, in any order: a key or level of theirs replaces the recipe's, and a level also
    replaces what the recipe sets within its group.

    >>> expand(["recipe=speedrun", "optimizer=adam"], catalog.folders())[-1]
    'optimizer=adam'

    Args:
        words: the command line without --config-dir.
        where: the conf folders.

    Raises:
        UserError: an unknown recipe, several recipes, or one beside a study.
    """
    named = [word for word in words if word.startswith("recipe=")]
    if not named:
        return list(words)
    name = named[0].removeprefix("recipe=")
    if len(named) > 1 or "," in name:
        raise UserError(f"one recipe at a time, got {' '.join(named)}")
    if any(word.startswith("study=") for word in words):
        raise UserError(
            f"{named[0]} cannot stand beside a study, whose file has settings of its own; copy the settings that you "
            "want from the recipe into the study's `base`"
        )
    check_levels("recipe", [name], list(recipes := catalog.levels(where, "recipe")))
    content = read_yaml(recipes[name])
    overrides = content.get("overrides") if isinstance(content, dict) else None
    if not isinstance(overrides, list) or not all(isinstance(line, str) and "=" in line for line in overrides):
        raise UserError(
            f"{recipes[name]} must hold `overrides`, a list of KEY=VALUE; put quotes around what YAML reads"
        )
    taken = {key_of(word) for word in words if not word.startswith("-")}
    kept = [line for line in overrides if not {key_of(line), key_of(line).partition(".")[0]} & taken]
    place = words.index(named[0])
    return [*words[:place], *kept, *words[place + 1 :]]


def check(words: Sequence[str], where: Sequence[Path], subcommands: Sequence[str], *, may_sweep: bool = True) -> None:
    """Refuse a mistaken word before anything is composed, and name what may be meant.

    Args:
        words: the command line without --config-dir.
        where: the conf folders.
        subcommands: the words that may come first.
        may_sweep: whether `-m` could be given.

    Raises:
        UserError: for instance `activation=rleu`, `activaton=relu`, `optimizer.learning_rate=1`, `lst`,
            `activation relu`, `--lr 0.1`, `seed=range(5)` without -m.
    """
    settings = check_options(words)
    studies = [word for word in settings if word.startswith("study=")]
    if len(studies) > 1 or (studies and "," in studies[0]):
        raise UserError(f"one study at a time, got {' '.join(studies)}")
    multirun = bool({"-m", "--multirun"} & set(words)) or "hydra.mode=MULTIRUN" in words
    read: list[tuple[str, Override]] = []
    for place, word in enumerate(settings):
        name, equals, value = word.partition("=")
        if not equals and not word.startswith("~"):
            check_bare(settings, place, where, subcommands)
        group = name.lstrip("+~").partition(".")[0]
        if group in OF_A_STUDY:
            check_of_study(word, bool(studies), where)
        elif name in OF_A_SWEEP and may_sweep:
            check_of_sweep(word, settings, multirun=multirun, has_study=bool(studies))
        elif equals and not value and settings[place + 1 :] and "=" not in settings[place + 1]:
            meant = shlex.quote(f"{name}={settings[place + 1]}")
            raise UserError(f"{word!r} has no value; did you mean {meant}, without a space?")
        elif equals and not value and name in catalog.default_levels():
            check_levels(name, [value], list(catalog.levels(where, name)))
        else:
            read.append((word, parse(word)))
    groups = catalog.default_levels()
    chosen = {**groups, **{o.key_or_group: str(o.value()) for _, o in read if o.key_or_group in groups}}
    output_dir = next((str(o.value()) for _, o in reversed(read) if o.key_or_group == "output_dir"), "")
    for word, override in read:
        if override.is_hydra_override() or override.key_or_group == "hydra":
            check_hydra(override, word, output_dir)
            continue
        check_key_of_levels(override, word, chosen, read, where, in_study=bool(studies))
        if override.is_sweep_override() and not studies:  # a study has grids of its own
            check_sweep(override, word, where, multirun=multirun, may_sweep=may_sweep)
            twice = [other for other, found in read if found.key_or_group == override.key_or_group]
            if len(twice) > 1:
                raise UserError(f"{override.key_or_group} is given more than once ({' '.join(twice)}); leave one")
        if override.key_or_group in groups and not override.is_delete():
            check_level(override, word, where)


def check_key_of_levels(
    override: "Override",
    word: str,
    chosen: Mapping[str, str],
    read: Sequence[tuple[str, "Override"]],
    where: Sequence[Path],
    *,
    in_study: bool,
) -> None:
    """Refuse a setting that `check_key` refuses for the chosen level, or for one of the levels of a sweep.

    Args:
        override, word: the setting, parsed and as typed.
        chosen: the level of every group.
        read: all settings, as typed and parsed.
        where: the conf folders.
        in_study: whether a study's file may choose other levels.
    """
    group = override.key_or_group.partition(".")[0]
    sweeps = [o.value() for _, o in read if o.key_or_group == group != override.key_or_group]
    levels = [str(level) for value in sweeps for level in getattr(value, "list", [])]
    for choice in [{**chosen, group: level} for level in levels] or [dict(chosen)]:
        check_key(override, word, choice, where, in_study=in_study)
    if not levels or in_study or override.is_force_add():
        return
    default = catalog.default_levels()[group]
    try:  # Hydra sets a key in the default level first
        check_key(override, word, {**chosen, group: default}, where, in_study=False)
    except UserError as error:
        raise UserError(
            f"{word!r}: the default level {group}={default} has no such key, so a sweep over {group} needs "
            f"{shlex.quote(f'++{word}')}"
        ) from error


def applicable(overrides: Sequence[str], where: Sequence[Path]) -> list[str]:
    """Return the overrides of an arm without those for the data's folders that its data set does not have.

    Arms of one study may have different data sets, and `data.root=FOLDER` is for those that are read from a folder.

    >>> applicable(["data=shapes", "data.root=here", "data.noise=0.1"], catalog.folders())
    ['data=shapes', 'data.noise=0.1']

    Args:
        overrides: of one arm, in order.
        where: the conf folders.
    """
    level = next((o.partition("=")[2] for o in reversed(overrides) if key_of(o) == "data"), "")
    path = catalog.levels(where, "data").get(level or catalog.default_levels()["data"])
    content = read_yaml(path) if path else None
    if not isinstance(content, dict) or "defaults" in content:
        return list(overrides)
    known = {f"data.{key}" for key in content}
    placing = {key_of(o) for o in overrides if o.startswith("data.") and is_unscientific(key_of(o))}
    return [override for override in overrides if key_of(override) not in placing - known]


def named_sweep(arguments: Sequence[str], command: Sequence[str]) -> list[str]:
    """Return the command line with `name=` and `baseline=` as settings of the sweeper.

    >>> named_sweep(["-m", "seed=0,1", "name=mine"], ["-m", "seed=0,1", "name=mine"])[:3]
    ['-m', 'seed=0,1', "hydra.sweeper.name='mine'"]

    Args:
        arguments: the command line, recipes expanded.
        command: the same as typed, for the record.
    """
    own = [word for word in arguments if word.partition("=")[0] in OF_A_SWEEP]
    if not own:
        return list(arguments)
    rest = [word for word in arguments if word not in own]
    settings = [f"hydra.sweeper.{key}={quoted(value)}" for key, _, value in (word.partition("=") for word in own)]
    return [*rest, *settings, f"hydra.sweeper.command={quoted(shlex.join(['ablate', *command]))}"]


def as_sweep(arguments: Sequence[str], command: Sequence[str]) -> list[str]:
    """Return the command line of a study as one of a multirun: the study's own settings go to the sweeper, not to jobs.

    >>> as_sweep(["study=activation", "net=micro"], ["study=activation", "net=micro"])[:3]
    ['-m', 'net=micro', "hydra.sweeper.study='activation'"]

    Args:
        arguments: the command line, recipes expanded.
        command: the same as typed, for the record.
    """
    name, profile, extra_seeds = "", "null", "0"
    changes, rest = [], []
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key == "study":
            name = value
        elif key == "profile":
            profile = quoted(value)
        elif key == "extra_seeds":
            extra_seeds = value
        elif key.startswith("study."):
            changes.append(argument.removeprefix("study."))
        elif argument not in ("-m", "--multirun"):
            rest.append(argument)
    own = {
        "study": quoted(name),
        "profile": profile,
        "changes": f"[{','.join(map(quoted, changes))}]",
        "extra_seeds": extra_seeds,
        "command": quoted(shlex.join(["ablate", *command])),
    }
    return ["-m", *rest, *(f"hydra.sweeper.{key}={value}" for key, value in own.items())]
