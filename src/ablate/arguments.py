"""The words of a command line before Hydra sees them: brought into order, and refused early where they are mistaken."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

from ablate import catalog
from ablate.errors import UserError
from ablate.identity import is_unscientific
from ablate.overrides import key_of, quoted

CONFIG_DIR = ("--config-dir", "-cd")
WITH_VALUE = (
    *CONFIG_DIR,
    "--config-name",
    "-cn",
    "--config-path",
    "-cp",
    "--package",
    "-p",
    "--cfg",
    "-c",
    "--info",
    "-i",
)


def split_folders(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the folders given as --config-dir, and the other words in order."""
    folders: list[Path] = []
    words: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name not in CONFIG_DIR:
            words.append(argument)
            continue
        folder = Path(value if equals else next(rest, ""))
        if not folder.is_dir():
            raise UserError(f"--config-dir needs an existing folder, got {str(folder)!r}")
        folders.append(folder)
    return folders, words


def options_first(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with options, and what belongs to them, before the overrides, as Hydra needs them."""
    options: list[str] = []
    overrides: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        options.append(argument)
        if argument in WITH_VALUE and (value := next(rest, None)) is not None:
            options.append(value)
    return [*options, *overrides]


def expand(words: Sequence[str], where: Sequence[Path]) -> list[str]:
    """Return the words with the overrides of conf/recipe/NAME.yaml in the place of `recipe=NAME`.

    What the other words say stands, whatever their order: a key or a level of theirs takes the place of the recipe's,
    and a level also of what the recipe sets within that group.

    Args:
        words: the command line without --config-dir.
        where: the conf folders.

    Raises:
        UserError: there is no such recipe, several are named, or one stands beside a study.
    """
    named = [word for word in words if word.startswith("recipe=")]
    if not named:
        return list(words)
    name = named[0].removeprefix("recipe=")
    if len(named) > 1 or "," in name:
        raise UserError(f"one recipe at a time, got {' '.join(named)}")
    if any(word.startswith("study=") for word in words):
        raise UserError(
            f"{named[0]} cannot stand beside a study, whose file has settings of its own; copy what you want of the "
            "recipe into the study's `base`"
        )
    check_levels("recipe", [name], list(recipes := catalog.levels(where, "recipe")))
    content = yaml.safe_load(recipes[name].read_text(encoding="utf-8"))
    overrides = content.get("overrides") if isinstance(content, dict) else None
    if not isinstance(overrides, list) or not all(isinstance(line, str) and "=" in line for line in overrides):
        raise UserError(
            f"{recipes[name]} must hold `overrides`, a list of KEY=VALUE; put quotes around what YAML reads"
        )
    taken = {key_of(word) for word in words if not word.startswith("-")}
    kept = [line for line in overrides if not {key_of(line), key_of(line).partition(".")[0]} & taken]
    place = words.index(named[0])
    return [*words[:place], *kept, *words[place + 1 :]]


def check(words: Sequence[str], where: Sequence[Path], subcommands: Sequence[str]) -> None:
    """Refuse an unknown level or key before anything is composed, and name the nearest ones.

    Args:
        words: the command line without --config-dir.
        where: the conf folders.
        subcommands: the words that may stand first.

    Raises:
        UserError: `activation=rleu`, `activaton=relu`, `optimizer.learning_rate=1`, `lst`, or `activation=relu,tanh`
            without -m.
    """
    groups = {**catalog.default_levels(), "study": ""}
    keys = [*catalog.keys(), "study", "profile", "extra_seeds"]
    chosen = {**groups, **dict(word.split("=", 1) for word in words if "=" in word and word.split("=", 1)[0] in groups)}
    option = ""
    for word in words:
        previous, option = option, word if word.startswith("-") else ""
        if option or previous in WITH_VALUE:
            continue
        name, equals, value = word.partition("=")
        if not equals and not word.startswith("~"):
            raise UserError(f"{word!r} is neither KEY=VALUE nor a subcommand; {catalog.nearest(word, subcommands)}")
        if not re.fullmatch(r"[A-Za-z_][\w./@]*", name) or name.startswith("hydra"):
            continue  # an addition or a deletion, or a key of Hydra's: its own messages serve
        group, _, rest = name.partition(".")
        if re.split(r"[/@]", group)[0] not in keys:
            raise UserError(f"there is no key {name!r}; {catalog.nearest(name, keys)}")
        if name == "study" and "," in value:
            raise UserError(f"one study at a time, got {word}")
        if name in groups and re.fullmatch(r"[\w-]+(,[\w-]+)*", value):
            check_levels(name, value.split(","), list(catalog.levels(where, name)))
            if "," in value and not {"-m", "--multirun"} & set(words):
                raise UserError(f"{word} names several levels; to train each of them, put -m before it")
        if group in ("study", "profile", "extra_seeds") and not any(other.startswith("study=") for other in words):
            raise UserError(f"{word} belongs to a study: say which, study=NAME")
        if rest and group in groups and not any(other.startswith("study=") for other in words):
            check_key(name, group, rest.split(".")[0], chosen[group], where)


def check_levels(group: str, levels: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a level that the group has not."""
    for level in levels:
        if level not in known:
            raise UserError(f"{group} has no level {level!r}; {catalog.nearest(level, known)}")


def check_key(name: str, group: str, key: str, level: str, where: Sequence[Path]) -> None:
    """Refuse a key that the chosen level of its group has not, where that can be told from the level's file alone."""
    path = catalog.levels(where, group).get(level)
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path else None
    if isinstance(content, dict) and "defaults" not in content and key not in content:
        known = [other for other in content if not other.startswith("_")]
        raise UserError(f"{group}={level} has no key {name!r}; {catalog.nearest(key, known)}")


def applicable(overrides: Sequence[str], where: Sequence[Path]) -> list[str]:
    """Return the overrides of an arm without those that say where data lie, if its data lie nowhere.

    Arms of one study may have different data, and `data.root=FOLDER` is said for those that are read from a folder.

    Args:
        overrides: of one arm, in order.
        where: the conf folders.
    """
    level = next((o.partition("=")[2] for o in reversed(overrides) if key_of(o) == "data"), "")
    path = catalog.levels(where, "data").get(level or catalog.default_levels()["data"])
    content = yaml.safe_load(path.read_text(encoding="utf-8")) if path else None
    if not isinstance(content, dict) or "defaults" in content:
        return list(overrides)
    known = {f"data.{key}" for key in content}
    placing = {key_of(o) for o in overrides if o.startswith("data.") and is_unscientific(key_of(o))}
    return [override for override in overrides if key_of(override) not in placing - known]


def as_sweep(arguments: Sequence[str], command: Sequence[str]) -> list[str]:
    """Return the command line of a study as that of a multirun: no job ever sees what is the study's own.

    Args:
        arguments: the command line, recipes expanded.
        command: the same as it was typed, for the record.
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
