"""Runs of another program: a command that a study starts, or results that it has written before.

A study file with `command` runs that command once for each arm and seed:

    command: python train.py --act {activation} --epochs {epochs} --seed {seed}
    base: [epochs=5]                           a placeholder that all arms share
    grids: [{product: {activation: [relu, tanh]}}]
    sources: [model.py]                        files of its code, besides those that the command names
    record: metrics.json                       in {folder}, in place of the last JSON line on standard output
    timeout_minutes: 10                        of one run
    guessing: 0.1                              accuracy of guessing
    test_images: 10000                         on how many images test/... is measured

`{seed}` is the seed and `{folder}` the run's own folder. The words are split as a shell does it, but no shell runs
them: `*`, `|`, `>` and `$HOME` mean nothing, and a value stays one word whatever is in it.
"""

import math
import re
import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ablate.config.overrides import text
from ablate.errors import UserError

PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
OWN = ("seed", "folder")  # placeholders that are no setting
KEYS = (
    "command",
    "judged",
    "sources",
    "record",
    "timeout_minutes",
    "guessing",
    "test_images",
    "metrics",
)


@dataclass(frozen=True, kw_only=True)
class Program:
    """Where the runs of a study come from if `ablate` does not train them; see the module.

    Args:
        command: template of the command line; "" for results that were read from a file.
        judged: name of the file or folder that the results were read from; "" for a command.
        sources: files whose content belongs to the identity of a run.
        record: name of the file with the metrics, in the run's folder; "" for the last JSON line on standard output.
        timeout_minutes: after which a run is ended; None for no limit.
        guessing: accuracy of guessing, in (0, 1); None where it is not known: then no run counts as failed.
        test_images: number of images that test/... is measured on; None where it is not known.
        metrics: that tables show besides those of claims, the most important first.
    """

    command: str = ""
    judged: str = ""
    sources: list[str] = field(default_factory=list)
    record: str = ""
    timeout_minutes: float | None = None
    guessing: float | None = None
    test_images: int | None = None
    metrics: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if bool(self.command.strip()) == bool(self.judged):
            given = next((key for key in KEYS if getattr(self, key)), "command")
            raise UserError(f"`study.{given}` belongs to a study of another program, which needs `command`")
        if self.command:
            words = split(self.command)
            named = {key for word in words for key in placeholders(word)}
            if "seed" not in named:
                raise UserError(
                    f"`study.command` must hold {{seed}}: without it the runs of an arm would be the same, got "
                    f"{self.command!r}"
                )
            if placeholders(words[0]):
                raise UserError(f"`study.command` must begin with a program, not with a placeholder, got {words[0]!r}")
        if self.record and ("/" in self.record or "\\" in self.record or self.record in (".", "..")):
            raise UserError(f"`study.record` must be the name of a file in {{folder}}, without /, got {self.record!r}")

    @property
    def name(self) -> str:
        """What made the runs, in a few words: the command, or the file that was read."""
        return self.command or self.judged

    @property
    def keys(self) -> list[str]:
        """The settings that the command names, in its order."""
        found = dict.fromkeys(key for word in split(self.command) for key in placeholders(word))
        return [key for key in found if key not in OWN]


def split(command: str) -> list[str]:
    """Return the words of a command template.

    Raises:
        UserError: a quotation mark is not closed, or it is empty.

    >>> split("python train.py --act {activation} --name 'two words'")
    ['python', 'train.py', '--act', '{activation}', '--name', 'two words']
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UserError(f"`study.command` cannot be split into words ({error}), got {command!r}") from error
    if not words or not words[0]:
        raise UserError(f"`study.command` must begin with a program, got {command!r}")
    return words


def placeholders(word: str) -> list[str]:
    """Return the keys in the placeholders of a word.

    Raises:
        UserError: a brace has no partner, or nothing in it.

    >>> placeholders("--lr={optimizer.lr},{{kept}}")
    ['optimizer.lr']
    """
    found = []
    for match in PLACEHOLDER.finditer(word):
        if match[0] in ("{", "}"):
            raise UserError(f"`study.command` has a single {match[0]} in {word!r}; write {match[0] * 2} for a brace")
        if match[1] is not None:
            if not re.fullmatch(r"[^\s={}]+", match[1]):
                raise UserError(f"`study.command` has {match[0]} in {word!r}; a placeholder must be a key, {{KEY}}")
            found.append(match[1])
    return found


def filled(word: str, values: Mapping[str, str]) -> str:
    """Return a word with its placeholders replaced; one without a value stays.

    >>> filled("--lr={optimizer.lr},{{kept}},{seed}", {"optimizer.lr": "0.1"})
    '--lr=0.1,{kept},{seed}'
    """

    def replace(match: re.Match[str]) -> str:
        return match[0][0] if match[1] is None else values.get(match[1], match[0])

    return PLACEHOLDER.sub(replace, word)


def as_word(value: Any) -> str:
    """Return a value as the command gets it: text as it is, other values as on the command line of `ablate`.

    >>> as_word("two words"), as_word(True), as_word(0.1)
    ('two words', 'true', '0.1')
    """
    return value if isinstance(value, str) else text(value)


def check_settings(program: Program, varied: Collection[str], shared: Collection[str]) -> None:
    """Check that the command names all settings of its study, and no others.

    Args:
        program: with a command.
        varied: the axes and the tuned setting.
        shared: the keys in the base.

    Raises:
        UserError: names the key and where it is missing.

    >>> check_settings(Program(command="./train {activation} {seed}"), ["activation", "lr"], [])
    Traceback (most recent call last):
    ablate.errors.UserError: `study.command` does not name {lr}, so that all its values would be the same runs, got \
'./train {activation} {seed}'
    """
    for key in (*varied, *shared):
        if key in OWN:
            raise UserError(
                f"`study.command`: {{{key}}} is given by ablate for each run; call the setting another name"
            )
        if key not in program.keys:
            what = (
                "all its values would be the same runs"
                if key in varied
                else "it would change nothing: name it in the command or leave it out (ablate's own settings, such as "
                "keep_weights, are for nets that ablate trains)"
            )
            raise UserError(f"`study.command` does not name {{{key}}}, so that {what}, got {program.command!r}")
    for key in program.keys:
        if key not in varied and key not in shared:
            known = ", ".join([*varied, *shared, *OWN])
            raise UserError(
                f"`study.command` names {{{key}}}, which has no value: neither an axis of the grids nor in `base` "
                f"({key}=VALUE); there are {known}"
            )


def number(value: Any) -> float | None:
    """Return a measured value as a finite number, None for nan, infinity and null.

    Raises:
        ValueError: it is no number.

    >>> number(1), number(float("nan")), number(None)
    (1.0, None, None)
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return float(value) if math.isfinite(value) else None
