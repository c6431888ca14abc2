"""The levels of every group as they stand in the conf folders, read as text: quick, and nothing heavy is imported."""

import difflib
import re
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

import yaml

Levels = dict[str, Path]


def conf_dir() -> Path:
    """Return the folder of the configuration: inside the installed package, or in the repository it lies in."""
    here = Path(__file__).resolve().parent
    installed = here / "conf"
    return installed if installed.is_dir() else here.parents[1] / "conf"


def folders(arguments: Sequence[str] = ()) -> list[Path]:
    """Return the conf folders that a command line reads: the program's, and the one given as --config-dir."""
    found = [conf_dir()]
    for i, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name in ("--config-dir", "-cd"):
            found += [Path(value or arguments[i + 1])] if value or i + 1 < len(arguments) else []
    return found


def default_levels() -> dict[str, str]:
    """Return the level of every group that is chosen when nothing is said, in the groups' order."""
    content = yaml.safe_load((conf_dir() / "config.yaml").read_text(encoding="utf-8"))
    entries = [entry for entry in content["defaults"] if isinstance(entry, dict)]
    return {k: v for entry in entries for k, v in entry.items() if not k.startswith("override ")}


def levels(where: Sequence[Path], group: str) -> Levels:
    """Return {level: its file} of a group, in alphabetical order."""
    files = [path for folder in where for path in (folder / group).glob("*.yaml")]
    return {path.stem: path for path in sorted(files, key=lambda path: path.stem)}


def caption(path: Path) -> tuple[str, str]:
    """Return the description and the source that the first comment lines of a level's file give."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("#").strip() for line in lines[:2] if line.startswith("#")]
    description, source = [*comments, "", ""][:2]
    return description, source.removeprefix("Source:").strip()


def overview(where: Sequence[Path]) -> str:
    """Return one paragraph a group with the names of its levels, the default marked by a star."""
    lines = []
    for group, default in default_levels().items():
        names = (f"{level}*" if level == default else level for level in levels(where, group))
        lines += textwrap.wrap(", ".join(names), 118, initial_indent=f"  {group:<14} ", subsequent_indent=" " * 17)
    return "\n".join(lines)


def describe(where: Sequence[Path], groups: Sequence[str] = ()) -> str:
    """Return what every level of `groups` (all, when none is named) is and where it comes from.

    Raises:
        ValueError: there is no such group.
    """
    known = default_levels()
    for group in groups:
        if group not in known:
            raise ValueError(f"there is no group {group!r}; {nearest(group, list(known))}")
    width = min(118, shutil.get_terminal_size((118, 24)).columns)
    lines = []
    for group in groups or known:
        lines.append(group)
        for level, path in levels(where, group).items():
            description, source = caption(path)
            name = f"{level}{'*' if level == known[group] else ''}"
            lines += textwrap.wrap(
                f"{description} [{source}]" if source and source != "none." else description,
                width,
                initial_indent=f"  {name:<22} ",
                subsequent_indent=" " * 25,
                break_on_hyphens=False,
            )
    return "\n".join(lines)


def check(arguments: Sequence[str]) -> None:
    """Refuse an unknown level or an unknown key before anything is composed, and name the nearest ones.

    Raises:
        ValueError: `activation=rleu`, or `activaton=relu`.
    """
    where = folders(arguments)
    known = default_levels()
    content = yaml.safe_load((conf_dir() / "config.yaml").read_text(encoding="utf-8"))
    keys = [*known, *(key for key in content if key != "defaults")]
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][\w./@]*", name) or name.startswith("hydra"):
            continue  # an option, an addition or a deletion: Hydra's own messages serve
        if re.split(r"[./@]", name)[0] not in keys:
            raise ValueError(f"there is no key {name!r}; {nearest(name, keys)}")
        if name in known and re.fullmatch(r"[\w-]+(,[\w-]+)*", value):
            names = list(levels(where, name))
            for level in value.split(","):
                if level not in names:
                    raise ValueError(f"{name} has no level {level!r}; {nearest(level, names)}")


def nearest(name: str, names: Sequence[str]) -> str:
    """Return a sentence with the nearest of `names`, or all of them where none is near."""
    close = difflib.get_close_matches(name, names, n=3)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names)}"
