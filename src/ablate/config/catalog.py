"""The levels of every group in the conf folders, read without importing anything slow."""

import difflib
import functools
import itertools
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ablate.config.yaml_file import read_yaml
from ablate.errors import UserError

Levels = dict[str, Path]
PACKAGE = Path(__file__).resolve().parents[1]
NO_FACTOR = ("study", "claim", "figure", "recipe")  # folders of conf/ whose files are not levels of a run


def conf_dir() -> Path:
    """Return the conf folder of the installed package, or of the repository."""
    installed = PACKAGE / "conf"
    return installed if installed.is_dir() else PACKAGE.parents[1] / "conf"


def folders() -> list[Path]:
    """Return the conf folders of the program: its own, and the lecture's, which is loaded like a user's.

    >>> [folder.name for folder in folders()]
    ['conf', 'conf']
    """
    return [conf_dir(), PACKAGE / "lecture" / "conf"]


@functools.cache
def default_levels() -> dict[str, str]:
    """Return the default level of every group, in the groups' order; do not modify it.

    >>> default_levels()["activation"]
    'relu'
    """
    content = yaml.safe_load((conf_dir() / "config.yaml").read_text(encoding="utf-8"))
    entries = [entry for entry in content["defaults"] if isinstance(entry, dict)]
    return {k: v for entry in entries for k, v in entry.items() if not k.startswith("override ")}


@functools.cache
def keys() -> list[str]:
    """Return the top-level keys of the configuration: groups, and settings of config.yaml; do not modify it.

    >>> "activation" in keys(), "seed" in keys()
    (True, True)
    """
    content = yaml.safe_load((conf_dir() / "config.yaml").read_text(encoding="utf-8"))
    return [*default_levels(), *(key for key in content if key != "defaults")]


def levels(where: Sequence[Path], group: str) -> Levels:
    """Return {level: its file} of a group, in alphabetical order.

    >>> list(levels(folders(), "recipe"))
    ['speedrun', 'speedrun_muon']

    Raises:
        UserError: two folders have a level of the same name; Hydra would silently take the first.
    """
    found: Levels = {}
    for path in sorted((path for folder in where for path in (folder / group).glob("*.yaml")), key=lambda p: p.stem):
        if path.stem in found:
            raise UserError(f"{path} has the name of a level that is there already ({found[path.stem]}); rename it")
        found[path.stem] = path
    return found


def content_of(group: str, level: str, where: Sequence[Path]) -> dict[str, Any] | None:
    """Return the settings of a level as its file has them, laid over those of the levels that its `defaults` name.

    None where there is no such level, or no mapping in its file.
    """
    path = levels(where, group).get(level)
    content = read_yaml(path) if path else None
    if not isinstance(content, dict):
        return None
    bases = content.pop("defaults", [])
    found: dict[str, Any] = {}
    for base in bases if "_self_" in bases else [*bases, "_self_"]:
        found = _merged(found, content if base == "_self_" else content_of(group, str(base), where) or {})
    return found


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings, one laid over the other."""
    both = {
        k: _merged(base[k], changes[k]) for k in base if isinstance(base[k], dict) and isinstance(changes.get(k), dict)
    }
    return {**base, **changes, **both}


def caption(path: Path) -> tuple[str, str]:
    """Return the description and the source from the first comment lines of a level's file; "" where there is none.

    The description is the first line, the source the second. The source goes on in a next comment line that begins with
    a small letter.

    >>> caption(levels(folders(), "activation")["relu"])[0]
    'Rectified linear unit max(0, x).'
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    first, *rest = [line.removeprefix("#").strip() for line in itertools.takewhile(is_comment, lines)] or [""]
    if not rest or not rest[0].startswith("Source:"):
        return first, ""
    more = itertools.takewhile(lambda line: line[:1].islower(), rest[1:])
    return first, " ".join([rest[0].removeprefix("Source:").strip(), *more])


def is_comment(line: str) -> bool:
    """Return whether a line of a YAML file is a comment from its first character."""
    return line.startswith("#")


def overview(where: Sequence[Path]) -> str:
    """Return one paragraph for each group (those of `NO_FACTOR` too) with its levels; * marks the default."""
    lines = []
    for group, default in {**default_levels(), **dict.fromkeys(NO_FACTOR, "")}.items():
        names = (f"{level}*" if level == default else level for level in levels(where, group))
        lines += textwrap.wrap(", ".join(names), 79, initial_indent=f"  {group:<14} ", subsequent_indent=" " * 17)
    return "\n".join(lines)


def describe_levels(where: Sequence[Path], groups: Sequence[str] = ()) -> str:
    """Return the description and source of every level of `groups`, by default of all groups.

    Args:
        where: the conf folders.
        groups: names of groups, or of levels, which are described in each group that has them.

    Raises:
        UserError: a name is neither a group nor a level.
    """
    known = {**default_levels(), **dict.fromkeys(NO_FACTOR, "")}
    named = {word: [group for group in known if word in levels(where, group)] for word in groups if word not in known}
    for word, having in named.items():
        if not having:
            every = [*known, *(level for group in known for level in levels(where, group))]
            close = difflib.get_close_matches(word, dict.fromkeys(every), n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}, and their levels"
            raise UserError(f"there is no group {word!r}; {hint}")
    shown = list(dict.fromkeys(group for word in groups or known for group in named.get(word, [word])))
    width = min(118, shutil.get_terminal_size((79, 24)).columns)
    lines = []
    for group in shown:
        lines.append(group)
        for level, path in levels(where, group).items():
            if groups and group not in groups and level not in groups:
                continue
            description, source = caption(path)
            name = f"{level}{'*' if level == known[group] else ''}"
            lines += textwrap.wrap(
                f"{description} [{source}]" if source else description,
                width,
                initial_indent=f"  {name:<22} ",
                subsequent_indent=" " * 25,
                break_on_hyphens=False,
            )
    return "\n".join(lines)


def nearest(name: str, names: Sequence[str]) -> str:
    """Return a hint with the names most similar to `name`, or all names if none is similar.

    >>> nearest("tahn", ["relu", "tanh"])
    'did you mean tanh?'
    """
    close = difflib.get_close_matches(name, names, n=3)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)}"
