"""Check of Hydra's options on the command line: unknown ones, and missing values, are refused."""

import difflib
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from ablate.config import catalog
from ablate.config.keys import every_key, nearest_keys
from ablate.errors import UserError

FLAGS = ("-h", "--help", "--hydra-help", "--version", "--resolve", "-r", "--run", "-m", "--multirun")
COMPLETION = ("-sc", "--shell-completion")
SHELLS = ("bash", "fish", "zsh")  # for which Hydra has a completion
CHOICES = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
SHORT = {"-c": "--cfg", "-i": "--info", "-m": "--multirun", "-r": "--run", "-sc": "--shell-completion"}
WITH_VALUE = ("--config-name", "-cn", "--config-path", "-cp", "--package", "-p", "--experimental-rerun")
ALONE = ("--run", "--multirun", "--cfg", "--info", "--shell-completion")  # one of them at a time


def value_follows(option: str, after: str) -> bool:
    """Return whether the word after an option is its value; that of --info may be left out.

    >>> value_follows("--cfg", "job"), value_follows("-m", "seed=1"), value_follows("--info", "seed=1")
    (True, False, False)
    """
    long = SHORT.get(option, option)
    return option in WITH_VALUE or (long in CHOICES and (long != "--info" or after in CHOICES[long]))


def check_options(words: Sequence[str]) -> list[str]:
    """Return the words that are neither an option nor the value of one.

    >>> check_options(["--cfg", "job", "seed=3"])
    ['seed=3']

    Raises:
        UserError: an unknown option, one without its value, or two that exclude each other.
    """
    settings: list[str] = []
    given: list[str] = []
    place = 0
    while place < len(words):
        word = words[place]
        place += 1
        if not word.startswith("-") or word == "-":
            settings.append(word)
            continue
        name, equals, value = word.partition("=")
        long = SHORT.get(name, name)
        given.append(long)
        if name in (*FLAGS, *COMPLETION) and not equals:
            continue
        if long not in CHOICES and name not in WITH_VALUE:
            raise UserError(no_option(word, words[place : place + 1]))
        if not equals:
            value = words[place] if place < len(words) else ""
            if not value_follows(name, value):
                continue
            place += 1
        if long in CHOICES and value not in CHOICES[long]:
            raise UserError(f"{name} needs one of {', '.join(CHOICES[long])}, got {value!r}")
        if not value:
            raise UserError(f"{name} needs a value")
        if long == "--experimental-rerun":
            check_pickle(Path(value))
    together = [name for name in ALONE if name in given]
    if len(together) > 1:
        raise UserError(f"{' and '.join(together)} exclude each other; leave one of them out")
    if "--resolve" in given and "--cfg" not in given:
        raise UserError("--resolve belongs to --cfg: ablate --cfg job --resolve")
    if {"--package", "-p"} & set(given) and "--cfg" not in given:
        raise UserError("--package belongs to --cfg: ablate --cfg job --package optimizer")
    if any(word.startswith("study=") for word in settings) and (one := [n for n in together if n != "--multirun"]):
        raise UserError(f"{one[0]} is for one run, not for a study; leave it out, or use dry_run=true")
    return settings


def check_completion(words: Sequence[str]) -> None:
    """Refuse words after -sc that Hydra's completion does not know.

    Raises:
        UserError: no shell is named, or another one; or `query=` is typed, which only a shell asks.
    """
    if any(word.startswith("query=") for word in words) and "COMP_LINE" not in os.environ:
        raise UserError("query= is for the shell, which asks by itself; to set it up: ablate -sc install=bash")
    asked = [word for word in words if word.startswith(("install=", "uninstall=", "query="))]
    if not asked or any(word.partition("=")[2] not in SHELLS for word in asked):
        raise UserError(
            f"-sc needs install=SHELL with one of {', '.join(SHELLS)}, got {' '.join(asked) or 'none'}; for instance "
            'eval "$(ablate -sc install=bash)"'
        )


def no_option(word: str, after: Sequence[str]) -> str:
    """Return the message for an unknown option; `after` may hold its value."""
    name, equals, value = word.partition("=")
    bare = name.lstrip("-")
    if equals and name in (*FLAGS, *COMPLETION):
        return f"{name} takes no value, got {word!r}; write {name}"
    every = [*FLAGS, *COMPLETION, *CHOICES, *WITH_VALUE, "--config-dir", "-cd"]
    value = value if equals else (after[0] if after and "=" not in after[0] else "VALUE")
    keys = every_key(catalog.folders())
    if settings := [bare] if bare in keys else nearest_keys(bare, keys) if len(bare) > 1 else []:
        return (
            f"there is no option {name!r}; settings have no dash: did you mean {shlex.quote(f'{settings[0]}={value}')}?"
        )
    close = difflib.get_close_matches(name, every, n=2)
    hint = f"did you mean {' or '.join(close)}?" if close else "`ablate --help` shows the options."
    return f"there is no option {name!r}; {hint} Settings are given as KEY=VALUE, without a dash"


def check_pickle(path: Path) -> None:
    """Refuse a file that Hydra cannot run again."""
    if not path.is_file():
        raise UserError(f"--experimental-rerun needs the config.pickle of an earlier run, and there is no {path}")
    with path.open("rb") as file:
        if file.read(1) != b"\x80":
            raise UserError(
                f"--experimental-rerun needs a config.pickle that Hydra's PickleJobInfoCallback wrote, got {path}"
            )
