"""The notation of rules for values: `number in [0, 1)`, `list of (whole >= 1 or text)`.

A rule is one of these, or several joined by "or", in parentheses within a list:

    number in [0, 1)     a finite number; also `number > 0`, `number >= 0, <= 10`, `number`
    whole in [1, 16]     a whole number; 1e2 counts as 100
    text, string         text that is not empty; any text
    path                 text; a whole number counts as the name of a folder
    true, null, max, 8   this value
    list of RULE         also `list of 2 RULE` and `nonempty list of RULE`
    mapping              also `mapping of RULE`
    piece                a mapping with a `_target_`, the import path of a class or function
    any                  any value

A boolean is not a number, and text is not a boolean.
"""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ablate.config.overrides import from_yaml, text
from ablate.errors import UserError

REFUSED: Any = object()


class Rule(ABC):
    """A rule for a value."""

    @abstractmethod
    def accept(self, value: Any) -> Any:
        """Return the accepted value (1e2 as 100 for a whole number), or `REFUSED`."""

    @abstractmethod
    def describe(self) -> str:
        """Return the text that follows "must be" in a message."""


@dataclass(frozen=True)
class Number(Rule):
    """A finite number within bounds, a whole one where `whole`."""

    whole: bool
    bounds: tuple[tuple[str, float], ...]

    HOLDS: ClassVar[Mapping[str, Callable[[float, float], bool]]] = {
        ">": lambda value, bound: value > bound,
        ">=": lambda value, bound: value >= bound,
        "<": lambda value, bound: value < bound,
        "<=": lambda value, bound: value <= bound,
    }
    WORDS: ClassVar[Mapping[str, str]] = {">": "above", ">=": "of at least", "<": "below", "<=": "of at most"}

    def accept(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return REFUSED
        if isinstance(value, float) and not math.isfinite(value):
            return REFUSED
        if self.whole and value != int(value):
            return REFUSED
        if not all(self.HOLDS[sign](value, bound) for sign, bound in self.bounds):
            return REFUSED
        return int(value) if self.whole else value

    def describe(self) -> str:
        name = "a whole number" if self.whole else "a number"
        if [sign[0] for sign, _ in self.bounds] == [">", "<"]:
            (lower, a), (upper, b) = self.bounds
            return f"{name} in {'[' if lower == '>=' else '('}{a:.10g}, {b:.10g}{']' if upper == '<=' else ')'}"
        if not self.bounds:
            return name
        words = " and ".join(f"{self.WORDS[sign]} {bound:.10g}" for sign, bound in self.bounds)
        return f"{name if self.whole else 'a finite number'} {words}"


@dataclass(frozen=True)
class Text(Rule):
    """Text, empty where `may_be_empty`; a path may be a whole number, the name of a folder."""

    is_path: bool = False
    may_be_empty: bool = False

    def accept(self, value: Any) -> Any:
        if self.is_path and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        fits = isinstance(value, str) and (self.may_be_empty or value.strip()) and "\0" not in value
        return value if fits else REFUSED

    def describe(self) -> str:
        if self.is_path:
            return "a path (with ./ before what reads as something else)"
        return "text" if self.may_be_empty else "text that is not empty"


@dataclass(frozen=True)
class Anything(Rule):
    """No rule."""

    def accept(self, value: Any) -> Any:
        return value

    def describe(self) -> str:
        return "anything"


@dataclass(frozen=True)
class Exactly(Rule):
    """One value."""

    value: Any

    def accept(self, value: Any) -> Any:
        same_kind = isinstance(value, bool) == isinstance(self.value, bool)
        return self.value if same_kind and value == self.value else REFUSED

    def describe(self) -> str:
        return text(self.value)


@dataclass(frozen=True)
class ListOf(Rule):
    """A list whose entries all follow one rule."""

    entry: Rule
    size: int | None = None
    nonempty: bool = False

    def accept(self, value: Any) -> Any:
        if not isinstance(value, list) or (self.nonempty and not value) or self.size not in (None, len(value)):
            return REFUSED
        accepted = [self.entry.accept(entry) for entry in value]
        return REFUSED if any(entry is REFUSED for entry in accepted) else accepted

    def describe(self) -> str:
        kind = f"a list of {self.size}" if self.size else "a list that is not empty" if self.nonempty else "a list"
        return f"{kind} (each entry {self.entry.describe()})"


@dataclass(frozen=True)
class MappingOf(Rule):
    """A mapping from names to values that all follow one rule; `entry` is None if each has its own rule."""

    entry: Rule | None = None

    def accept(self, value: Any) -> Any:
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            return REFUSED
        if self.entry is None:
            return value
        accepted = {name: self.entry.accept(entry) for name, entry in value.items()}
        named = not isinstance(self.entry, Piece) or all(re.fullmatch(r"[\w-]+", name) for name in value)
        return accepted if named and not any(entry is REFUSED for entry in accepted.values()) else REFUSED

    def describe(self) -> str:
        return f"a mapping of names to {self.entry.describe()}" if self.entry else "a mapping of keys to values"


@dataclass(frozen=True)
class Piece(Rule):
    """A mapping whose `_target_` is the import path of a class or function."""

    def accept(self, value: Any) -> Any:
        is_piece = isinstance(value, dict) and all(isinstance(name, str) for name in value) and "_target_" in value
        return value if is_piece else REFUSED

    def describe(self) -> str:
        return "a mapping with a `_target_`"


@dataclass(frozen=True)
class Either(Rule):
    """A value that follows one of several rules; the first that accepts it counts."""

    rules: tuple[Rule, ...]

    def accept(self, value: Any) -> Any:
        accepted = (rule.accept(value) for rule in self.rules)
        return next((found for found in accepted if found is not REFUSED), REFUSED)

    def describe(self) -> str:
        *first, last = [rule.describe() for rule in self.rules]
        return f"{', '.join(first)} or {last}"


def parse(notation: str) -> Rule:
    """Return the rule of a notation; see the module's docstring.

    >>> rule = parse("number in [0, 1) or null")
    >>> rule.accept(0.5), rule.accept(None), rule.accept(1) is REFUSED, rule.describe()
    (0.5, None, True, 'a number in [0, 1) or null')

    Raises:
        UserError: it is not a rule.
    """
    plain = re.sub(r"\bin ([\[(])([^,()\[\]]+),([^,()\[\]]+)([\])])", _as_bounds, notation)
    return _rule(plain)


def _as_bounds(found: re.Match[str]) -> str:
    opening, lower, upper, closing = found.groups()
    return f"{'>=' if opening == '[' else '>'} {lower}, {'<=' if closing == ']' else '<'} {upper.strip()}"


def _rule(notation: str) -> Rule:
    parts, depth, start = [], 0, 0
    for found in re.finditer(r"[()]| or ", notation):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if found[0] == " or " and depth == 0:
            parts.append(notation[start : found.start()])
            start = found.end()
    rules = tuple(_alternative(part.strip()) for part in [*parts, notation[start:]])
    return rules[0] if len(rules) == 1 else Either(rules)


def _alternative(part: str) -> Rule:
    if part.startswith("(") and part.endswith(")"):
        return _rule(part[1:-1])
    if found := re.fullmatch(r"(nonempty )?list of (\d+ )?(.+)", part):
        return ListOf(_alternative(found[3]), int(found[2]) if found[2] else None, bool(found[1]))
    if part.startswith("mapping of "):
        return MappingOf(_alternative(part.removeprefix("mapping of ")))
    if found := re.fullmatch(r"(number|whole)((?: ?,? ?[<>]=? ?[-+.\de]+)*)", part):
        bounds = re.findall(r"([<>]=?) ?([-+.\de]+)", found[2])
        return Number(found[1] == "whole", tuple((sign, float(bound)) for sign, bound in bounds))
    simple: dict[str, Rule] = {
        "text": Text(),
        "string": Text(may_be_empty=True),
        "path": Text(is_path=True),
        "any": Anything(),
        "mapping": MappingOf(),
        "piece": Piece(),
    }
    if part in simple:
        return simple[part]
    if not re.fullmatch(r"[\w.+-]+", part):
        raise UserError(f"{part!r} is not a rule; see the first lines of ablate/config/notation.py")
    return Exactly(from_yaml(part))
