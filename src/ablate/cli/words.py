"""Checks of single words of the command line, before Hydra composes: one line with the mistake and its correction."""

import difflib
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ablate.cli.grammar import values_of
from ablate.config import catalog
from ablate.config.keys import check_levels, dotted, every_key, nearest_keys, no_key
from ablate.errors import UserError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

OF_A_STUDY = ("study", "profile", "extra_seeds")
OF_A_SWEEP = ("name", "baseline")
TRAINS = "to train, write ablate KEY=VALUE ..."
SUBCOMMANDS_ELSEWHERE = {
    "train": TRAINS,
    "run": TRAINS,
    "fit": TRAINS,
    "start": TRAINS,
    "sweep": "to sweep, write ablate -m KEY=V1,V2",
    "multirun": "to sweep, write ablate -m KEY=V1,V2",
    "help": "write ablate --help",
    "version": "write ablate --version",
}


def check_bare(words: Sequence[str], place: int, where: Sequence[Path], subcommands: Sequence[str]) -> None:
    """Refuse a word that is not a setting, and name what may be meant.

    Args:
        words: the command line without options.
        place: index of the word.
        where: the conf folders.
        subcommands: the words that may come first.
    """
    word = words[place]
    after = words[place + 1] if place + 1 < len(words) else ""
    if not word.strip():
        raise UserError(f"{word!r} is an empty word; leave it out (is a variable of the shell not set?)")
    if word[0] in "\N{EM DASH}\N{EN DASH}\N{MINUS SIGN}":
        raise UserError(f"{word!r} begins with a long dash, not with the - of the keyboard: {'-' + word[1:]}")
    if word in subcommands:
        raise UserError(f"`{word}` must be the first word: ablate {word} ...")
    if word in SUBCOMMANDS_ELSEWHERE:
        raise UserError(f"there is no subcommand {word!r}: {SUBCOMMANDS_ELSEWHERE[word]}")
    keys = [*every_key(where), *OF_A_STUDY, *OF_A_SWEEP, "recipe"]
    key, value = re.match(r"([^:/]*)[:/]?(.*)", word, re.DOTALL).groups()  # type: ignore[union-attr]
    if not value and "=" not in after.lstrip("="):  # `activation relu`, `activation =relu`, `activation = relu`
        value = after.lstrip("=") or (words[place + 2] if after == "=" and place + 2 < len(words) else "")
    if key in keys and value:
        raise UserError(f"{word!r} is not KEY=VALUE; did you mean {shlex.quote(f'{key}={value}')}?")
    if key in keys:
        raise UserError(f"{word!r} needs a value: {key}=...; {what_may_be(key, where)}")
    groups = [group for group in (*catalog.default_levels(), "study", "recipe") if word in catalog.levels(where, group)]
    if groups:
        raise UserError(f"{word!r} is not KEY=VALUE; did you mean {' or '.join(f'{g}={word}' for g in groups[:3])}?")
    if word in catalog.levels(where, "figure"):
        raise UserError(f"{word!r} is not KEY=VALUE; did you mean ablate figure {word}?")
    if near := difflib.get_close_matches(word, [*subcommands, *SUBCOMMANDS_ELSEWHERE], n=1):
        meant = near[0]
        cure = SUBCOMMANDS_ELSEWHERE.get(meant, f"ablate {meant}")
        raise UserError(f"{word!r} is neither KEY=VALUE nor a subcommand; did you mean {meant}: {cure}")
    if near := nearest_keys(key, keys):
        meant = value or "VALUE"
        raise UserError(f"{word!r} is not KEY=VALUE; did you mean {shlex.quote(f'{near[0]}={meant}')}?")
    raise UserError(
        f"{word!r} is neither KEY=VALUE nor a subcommand; there are {', '.join(subcommands)}"
        if subcommands
        else f"{word!r} is not KEY=VALUE"
    )


def what_may_be(key: str, where: Sequence[Path]) -> str:
    """Return the levels of a group, or where to see the value of a key."""
    if levels := list(catalog.levels(where, key)):
        return f"there are {', '.join(levels)}"
    return "`ablate --cfg job` shows its value"


def check_key(
    override: "Override", word: str, chosen: Mapping[str, str], where: Sequence[Path], *, in_study: bool
) -> None:
    """Refuse a setting of an unknown key, or of one that cannot be added or removed.

    Args:
        override, word: the setting, parsed and as typed.
        chosen: the level of every group.
        where: the conf folders.
        in_study: whether a study's file may choose other levels.
    """
    name = override.key_or_group
    group, _, rest = name.partition(".")
    groups = catalog.default_levels()
    adds, removes = override.is_add() or override.is_force_add(), override.is_delete()
    plain = word.lstrip("+~")
    if override.package is not None and group in groups and adds:
        return  # Hydra's syntax for a level inside another one
    if override.package is not None or "/" in name or ":" in name:
        base = re.split(r"[@/:]", name)[0]
        hint = f"{base}=LEVEL chooses a level" if base in groups else no_key(base, every_key(where))
        raise UserError(f"{word!r} is not a setting that Hydra can change; {hint}")
    known = catalog.keys()
    if group not in known:
        raise UserError(no_key(name, every_key(where, chosen)))
    if group in groups and not rest:
        if adds:
            raise UserError(f"{word!r}: {group} is there already, so drop the +: {plain}")
        return
    if not rest and (removes or override.is_add()):
        raise UserError(
            f"{group} cannot be removed; set it: {group}=VALUE"
            if removes
            else f"{word!r}: {group} is there already, so drop the +: {plain}"
        )
    if not rest or in_study:
        return
    if group in groups:
        content = catalog.content_of(group, chosen[group], where)
    else:
        nested = yaml.safe_load((catalog.conf_dir() / "config.yaml").read_text(encoding="utf-8"))[group]
        content = nested if isinstance(nested, dict) else {}
    if content is None:
        return  # several levels, or one whose file has no mapping
    # A class may take more arguments than its file names, and callbacks are named by the user.
    closed = "_target_" not in content and group != "callbacks"
    node: Any = content
    path = group
    for key in rest.split("."):
        if not isinstance(node, dict):
            if isinstance(node, str) and "${" in node:
                return
            raise UserError(f"{path} has no key {key!r} within it; it is one value: {path}=VALUE")
        if key not in node:
            if node is not content or (adds and not closed):
                return  # left to Hydra: another word may have added it
            raise UserError(lacking(name, key, node, chosen, where))
        node, path = node[key], f"{path}.{key}"
    if override.is_add():
        raise UserError(f"{word!r}: {name} is there already, so drop the +: {plain}")
    if removes and closed:
        raise UserError(f"{name} cannot be removed; set it: {name}=VALUE")


def lacking(
    name: str,
    key: str,
    node: Mapping[str, Any],
    chosen: Mapping[str, str],
    where: Sequence[Path],
) -> str:
    """Return the message for a key that a level lacks, with the nearest keys, or the levels that have it."""
    group, _, rest = name.partition(".")
    level = f"{group}={chosen[group]}" if group in chosen else group
    known = [other for other in node if not other.startswith("_")]
    if near := nearest_keys(f"{group}.{key}", [f"{group}.{other}" for other in known]):
        return f"{level} has no key {name!r}; did you mean {' or '.join(near)}?"
    if group in chosen:
        levels = list(catalog.levels(where, group))
        have = [other for other in levels if rest in dotted(catalog.content_of(group, other, where) or {})]
        if have and have != levels:
            return f"{level} has no key {name!r}; it is a key of {', '.join(f'{group}={other}' for other in have[:4])}"
    if near := [other for other in nearest_keys(name, every_key(where, chosen)) if other.partition(".")[0] != group]:
        return f"{level} has no key {name!r}; did you mean {' or '.join(near)}?"
    there = f"there are {', '.join(known)}" if known else "it has none"
    more = f"; +{name}=... adds an argument" if "_target_" in node else ""
    more = f"; +{name}=... adds it" if group == "callbacks" else more
    return f"{level} has no key {name!r}; {there}{more}"


def check_level(override: "Override", word: str, where: Sequence[Path]) -> None:
    """Refuse a value that is not a level of the group that `override` sets."""
    group = override.key_or_group
    known = list(catalog.levels(where, group))
    for value in values_of(override, known):
        if isinstance(value, list):
            names = ",".join(str(item) for item in value)
            raise UserError(f"{word!r}: {group} is one level, not a list; to train each: ablate -m {group}={names}")
        check_levels(group, [value if isinstance(value, str) else word.partition("=")[2]], known)


def check_sweep(override: "Override", word: str, where: Sequence[Path], *, multirun: bool, may_sweep: bool) -> None:
    """Refuse several values without -m, and a sweep whose values cannot be listed.

    Args:
        override, word: the setting, parsed and as typed.
        where: the conf folders.
        multirun: whether -m is given.
        may_sweep: whether -m could be given.
    """
    key, _, value = word.partition("=")
    is_group = key in catalog.default_levels()
    if not is_group and value.startswith("glob("):
        raise UserError(f"{word!r}: glob(...) stands for the levels of a group; list the values: {key}=V1,V2")
    values = values_of(override, list(catalog.levels(where, key)) if is_group else [])
    if not multirun:
        many = "names several levels" if is_group else f"has {len(values)} values"
        if not may_sweep:
            raise UserError(f"{word} {many}, and a figure needs one")
        as_list = "" if is_group or "(" in value else f"; one list is {shlex.quote(f'{key}=[{value}]')}"
        cure = f"to train each of them, put -m before it: ablate -m {shlex.quote(word)}"
        raise UserError(f"{word} {many}; {cure}{as_list}")


def check_of_study(word: str, has_study: bool, where: Sequence[Path]) -> None:
    """Refuse `profile=`, `extra_seeds=` and `study.KEY=` without a study, and an unknown study."""
    key, _, value = word.partition("=")
    name = key.lstrip("+~")
    group = name.partition(".")[0]
    if key != name:
        raise UserError(f"{word!r}: {group} can neither be added nor removed; write {name}={value or 'VALUE'}")
    if not has_study:
        raise UserError(f"{word} belongs to a study; name it: study=NAME")
    if key == "study":
        check_levels("study", [value], list(catalog.levels(where, "study")))
    elif key == "extra_seeds":
        if not re.fullmatch(r"\d+", value, re.ASCII):
            raise UserError(f"`extra_seeds` must be a whole number of at least 0, got {value!r}")
    elif group != "study" and group != key:
        raise UserError(f"there is no key {key!r}; write {group}=VALUE")
    elif not value or key == "study.":
        raise UserError(f"{word!r} has no {'key' if value else 'value'}; write it like study.seeds=5 or profile=quick")


def check_of_sweep(word: str, words: Sequence[str], *, multirun: bool, has_study: bool) -> None:
    """Refuse `name=` and `baseline=` without a sweep, more than once, without a value, or with one for a file."""
    key, _, value = word.partition("=")
    if has_study:
        raise UserError(f"{word} is for a sweep (-m), and a study has the name of its file; leave it out")
    if not multirun:
        raise UserError(f"{word} is for a sweep; put -m before it: ablate -m KEY=V1,V2 {word}")
    if sum(other.startswith(f"{key}=") for other in words) > 1:
        raise UserError(f"{key} is given more than once; leave one")
    if not value.strip() or (key == "name" and not re.fullmatch(r"[\w. -]{1,80}", value)):
        what = "letters, digits, -, _, . and spaces, at most 80" if key == "name" else "values of one arm"
        raise UserError(f"`{key}` must be {what}, got {value!r}")


def check_hydra(override: "Override", word: str, output_dir: str) -> None:
    """Refuse the settings of Hydra that `ablate` sets itself, and a sweep over Hydra's settings.

    Args:
        override, word: the setting, parsed and as typed.
        output_dir: as the command line gives it, "" where it does not.
    """
    name = override.key_or_group
    if name == "hydra/sweeper" and override.value() != "ablate":
        raise UserError(
            f"{word!r}: ablate has its own sweeper, which resumes, compares and reports; leave it out "
            "(hydra/launcher=... chooses where the runs are trained)"
        )
    if name.startswith("hydra.sweeper.") or name == "hydra.sweeper":
        raise UserError(f"{word!r}: ablate's sweeper has no such key; give the values themselves: ablate -m 'seed=0,1'")
    if override.is_sweep_override():
        raise UserError(f"{word!r}: a setting of Hydra needs one value; sweep over your settings: ablate -m 'seed=0,1'")
    if name == "hydra.job.chdir" and override.value() is True and not Path(output_dir).is_absolute():
        got = f"output_dir={output_dir}" if output_dir else "none"
        raise UserError(
            f"{word!r} changes the folder of every run, so it needs an absolute output_dir, got {got}; leave it out, "
            f"or give the whole path: output_dir={shlex.quote(str(Path(output_dir or 'outputs').absolute()))}"
        )
