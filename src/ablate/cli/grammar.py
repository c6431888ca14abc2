"""Hydra's grammar of KEY=VALUE, and its messages of several lines as one line with the correction."""

import decimal
import difflib
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.config import catalog
from ablate.config.keys import every_key, nearest_keys, no_key
from ablate.errors import UserError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

NOISE = re.compile(r"\s*(\^|See https?://.*|full_key: .*|object_type=.*|reference_type=.*|Set the environment .*)?\s*")


def parse(word: str) -> "Override":
    """Return a setting, parsed by Hydra.

    >>> parse("trainer.epochs=3").value()
    3

    Raises:
        UserError: it does not follow Hydra's grammar.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, _, value = word.partition("=")
    if not key.lstrip("+~"):
        raise UserError(f"{word!r} has no key before the =; write KEY=VALUE without spaces around the =")
    if not re.fullmatch(r"(\+\+?|~)?[A-Za-z_][\w/.@:-]*", key, re.ASCII) or re.search(r"\.\.|[./@]$", key):
        raise UserError(f"{word!r} has no key that can be read before the =, got {key!r}; keys are like optimizer.lr")
    if "=" in word and not value and not key.startswith("~"):
        raise UserError(f"{word!r} has no value; write {key}=VALUE without spaces around the =")
    if value[:1] + value[-1:] in ("\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}", "‘’"):
        raise UserError(f"{word!r} has typographic quotes; leave them out: {key}={value[1:-1]}")
    try:
        found = OverridesParser.create().parse_override(word)
    except HydraException as error:
        raise UserError(unreadable(word, str(error))) from error
    return found


def unreadable(word: str, why: str) -> str:
    """Return the message for a word that Hydra cannot parse, with its correction."""
    key, _, value = word.partition("=")
    counts = {pair: (value.count(pair[0]), value.count(pair[1])) for pair in ("[]", "{}", "()")}
    if value.startswith("="):
        once = shlex.quote(f"{key}={value.lstrip('=')}")
        return f"{word!r} has two =; write {once}"
    if function := re.search(r"Unknown function '(\w+)'", why):
        return (
            f"{word!r}: there is no {function[1]}(...); a sweep has choice(a,b) or range(start,stop,step), and text "
            f"with brackets needs quotes: {literally(key, value)}"
        )
    if open_ := [pair for pair, (a, b) in counts.items() if a != b]:
        return (
            f"{word!r} has a {open_[0][0]} or {open_[0][1]} without the other; a list is KEY=[1,2], and the whole word "
            f"needs quotes in the shell: {shlex.quote(f'{key}=[1,2]')}"
        )
    if value.count("'") % 2 or value.count('"') % 2:
        return f"{word!r} has a quote that is not closed; close it or leave it out"
    if evaluating := re.search(r"while evaluating '.*?': (.*)", why):
        return f"{word!r} cannot be read: {evaluating[1]}; a sweep is choice(a,b) or range(start,stop,step)"
    return f"{word!r} cannot be read; a value with such characters needs two pairs of quotes: {literally(key, value)}"


def literally(key: str, value: str) -> str:
    """Return a setting with its value quoted as text, for the shell."""
    return shlex.quote(f'{key}="{value.strip(chr(34))}"')


def values_of(override: "Override", levels: Sequence[str] = ()) -> list[Any]:
    """Return the values that a setting has in a sweep, in order, or its only one.

    The numbers of a range are those that one types: `range(0.1,0.4,0.1)` holds 0.3, not 0.30000000000000004, so that
    its runs are shared with `0.3`; like Python's range it ends before the second number.

    >>> values_of(parse("optimizer.lr=range(0.1,0.4,0.1)"))
    [0.1, 0.2, 0.3]

    Args:
        override: see `parse`.
        levels: the levels of the group, if the key is a group.

    Raises:
        UserError: there are no values, or infinitely many.
    """
    from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, RangeSweep

    value = override._value
    values: list[Any]
    if isinstance(value, IntervalSweep):
        raise UserError(
            f"{override.input_line!r} is an interval, and a sweep needs values that can be listed; write "
            f"{override.key_or_group}=choice(V1,V2) or {override.key_or_group}=range(START,STOP,STEP)"
        )
    if isinstance(value, Glob):
        values = value.filter(list(levels))
    elif isinstance(value, RangeSweep):
        if value.step == 0:
            raise UserError(f"{override.input_line!r} needs a step that is not 0, got {value.step}")
        values = list(numbers(value.start, value.stop, value.step))
    elif isinstance(value, ChoiceSweep):
        values = [override._convert_value(item) for item in value.list]
    else:
        return [override.value()]
    if not values:
        there = f"; there are {', '.join(levels)}" if levels else "; give some"
        raise UserError(f"{override.input_line!r} has no values{there}")
    return values


def numbers(start: float | None, stop: float | None, step: float) -> Iterator[int | float]:
    """Yield the numbers of a range in decimal arithmetic; integers where start, stop and step are integers.

    >>> list(numbers(0.1, 0.4, 0.1)), list(numbers(0, 5, 2))
    ([0.1, 0.2, 0.3], [0, 2, 4])
    """
    whole = all(isinstance(bound, int) for bound in (start, stop, step))
    first, end, by = (decimal.Decimal(repr(bound)) for bound in (start, stop, step))
    place = 0
    while (current := first + place * by) < end if by > 0 else (current := first + place * by) > end:
        yield int(current) if whole else float(current)
        place += 1


def plainly(error: Exception, where: Sequence[Path], words: Sequence[str] = ()) -> str:
    """Return an error of Hydra or OmegaConf as one line, with the nearest key if it is about a key.

    Args:
        error: raised while a configuration was composed.
        where: the conf folders.
        words: the command line, whose levels have the keys that may be meant.
    """
    message = f"{error}\n{error.__cause__ or ''}"
    if found := re.search(r"Could not (?:override|delete from config\.|append to config\.) '([^']+)'", message):
        name = found[1]
        if name.startswith("hydra"):
            return f"there is no key {name!r}{with_launcher(name)}; `ablate --cfg hydra` shows Hydra's settings"
        groups = catalog.default_levels()
        chosen = dict(word.split("=", 1) for word in words if word.partition("=")[0] in groups)
        return no_key(name, every_key(where, {**groups, **chosen}))
    if found := re.search(r"Could not find '([^']+)/([^'/]*)'", message):
        known = re.findall(r"^\t(\S+)$", message.partition("Available options")[2].partition("Config search")[0], re.M)
        close = difflib.get_close_matches(found[2], known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"
        return f"{found[1]} has no level {found[2]!r}; {hint}"
    if found := re.search(r"Error merging override (\S+)=(.*)\n(.*)", message):
        return f"`{found[1]}` must be of another type, got {found[2]!r}: {found[3]}"
    if found := re.search(r"Cannot find primary config '([^']+)'", message):
        return f"--config-name {found[1]}: there is no {found[1]}.yaml in {', '.join(map(str, where))}; leave it out"
    if found := re.search(r"Primary config (?:module|directory|dir) '?([^'\s]+)'? not found", message):
        return f"--config-path: there is no folder {found[1]}; a folder of your own levels is --config-dir FOLDER"
    if found := re.search(r"Interpolation key '([^']+)' not found\s+full_key: (\S+)", message):
        if found[1] in (known := every_key(where)):
            group, _, key = found[1].partition(".")
            return (
                f"`{found[2]}` refers to ${{{found[1]}}}, and the chosen level of `{group}` has no key {key!r}; "
                f"give the value itself, {found[2]}=VALUE, or add {key} to that level where its class takes it"
            )
        near = nearest_keys(found[1], known)
        hint = f"did you mean ${{{near[0]}}}?" if near else "`ablate --cfg job` shows all keys"
        return f"`{found[2]}` refers to ${{{found[1]}}}, and there is no such key; {hint}"
    if found := re.search(r"Environment variable '([^']+)' not found\W*full_key: (\S+)", message):
        return f"`{found[2]}` refers to the environment variable {found[1]}, which is not set"
    lines = [line.strip() for line in str(error).splitlines() if not NOISE.fullmatch(line)]
    key = re.search(r"full_key: (\S+)", message)
    return f"{f'`{key[1]}`: ' if key else ''}{' '.join(lines)}"


def with_launcher(name: str) -> str:
    """Return the launcher that has a key which the chosen one lacks."""
    return " with this launcher (n_jobs is hydra/launcher=joblib's)" if name == "hydra.launcher.n_jobs" else ""
