"""What every key may hold: rules in conf/schema/*.yaml, and the check of a configuration against them.

A file of conf/schema/, or of schema/ in a folder given as --config-dir, holds {where: {key: rule}}. `where` is the
place of a mapping (trainer; config for the first level of a configuration, study for that of a study file), or the
`_target_` of a level, a preprocessing step or a diagnostic. A rule is one of these, or several joined by "or", in
parentheses within a list:

    number in [0, 1)     a finite number; also `number > 0`, `number >= 0, <= 10`, `number`
    whole in [1, 16]     a whole number; 1e2 counts as 100
    text, string         text that is not empty; any text
    path                 text; a whole number is a folder's name
    true, null, max, 8   this value
    list of RULE         also `list of 2 RULE` and `nonempty list of RULE`
    mapping              also `mapping of RULE`
    piece                a mapping with a `_target_`: what one class or function is made from
    any                  whatever it is

No boolean is a number, no text a boolean. A place without `_target_`, and a class of ablate's own, has the keys that
have rules and no others; elsewhere a key without a rule is left to the class or function that takes it.
"""

import functools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ablate import catalog
from ablate.errors import UserError
from ablate.overrides import from_yaml, quoted, text

FOLDER = "schema"
FIRST_LEVEL = "config"  # the place whose keys are those of the configuration's first level
HYDRAS = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")

Rules = Mapping[str, Mapping[str, "Rule"]]
Cure = Callable[[str], str]  # key -> what to do about a value that is refused, "" where nothing better is known
REFUSED: Any = object()


class Rule:
    """What a value must be."""

    def accept(self, value: Any) -> Any:
        """Return the value as it is meant (1e2 as 100), or `REFUSED`."""
        raise NotImplementedError

    def describe(self) -> str:
        """Return what stands behind "must be"."""
        raise NotImplementedError


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
            return f"{name} in {'[' if lower == '>=' else '('}{a:g}, {b:.10g}{']' if upper == '<=' else ')'}"
        if not self.bounds:
            return name
        words = " and ".join(f"{self.WORDS[sign]} {bound:.10g}" for sign, bound in self.bounds)
        return f"{name if self.whole else 'a finite number'} {words}"


@dataclass(frozen=True)
class Text(Rule):
    """Text, empty where `may_be_empty`; as a path also a whole number, which is the name of a folder."""

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
    """A list whose entries all keep one rule."""

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
    """A mapping from names to values that all keep one rule; `entry` is None where each has a rule of its own."""

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
    """A mapping that says by `_target_` which class or function it is made from."""

    def accept(self, value: Any) -> Any:
        is_piece = isinstance(value, dict) and all(isinstance(name, str) for name in value) and "_target_" in value
        return value if is_piece else REFUSED

    def describe(self) -> str:
        return "a mapping with the `_target_` that it is made from"


@dataclass(frozen=True)
class Either(Rule):
    """What keeps one of several rules; the first that accepts counts."""

    rules: tuple[Rule, ...]

    def accept(self, value: Any) -> Any:
        accepted = (rule.accept(value) for rule in self.rules)
        return next((found for found in accepted if found is not REFUSED), REFUSED)

    def describe(self) -> str:
        *first, last = [rule.describe() for rule in self.rules]
        return f"{', '.join(first)} or {last}"


def parse(notation: str) -> Rule:
    """Return the rule that a notation stands for, see the module.

    Raises:
        UserError: it is none.
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
        raise UserError(f"{part!r} is no rule; see the first lines of ablate/schema.py")
    return Exactly(from_yaml(part))


@functools.cache
def read_rules(where: tuple[Path, ...]) -> Rules:
    """Return the rules of all schema files in the conf folders; those of a later folder hold.

    Raises:
        UserError: a file holds something else than rules.
    """
    rules: dict[str, dict[str, Rule]] = {}
    for path in (path for folder in where for path in sorted((folder / FOLDER).glob("*.yaml"))):
        content = from_yaml(path.read_text(encoding="utf-8")) or {}
        if not isinstance(content, dict) or not all(isinstance(keys, dict) for keys in content.values()):
            raise UserError(
                f"{path} must hold {{place or _target_: {{key: rule}}}}; see the first lines of ablate/schema.py"
            )
        for place, keys in content.items():
            for key, notation in keys.items():
                try:
                    rule = parse(notation if isinstance(notation, str) else text(notation))
                except UserError as error:
                    raise UserError(f"{path}, {place}, {key}: {error}") from error
                rules.setdefault(str(place), {})[str(key)] = rule
    return rules


def check(
    content: Mapping[str, Any], rules: Rules, place: str = FIRST_LEVEL, cure: Cure = lambda key: ""
) -> dict[str, Any]:
    """Return a mapping, checked with all within it, and every value as it is meant.

    Args:
        content: plain data, interpolations resolved.
        rules: see `read_rules`.
        place: of the mapping in the configuration.
        cure: see `Cure`.

    Raises:
        UserError: a value does not keep its rule, or a key is unknown or missing at a place whose keys are all known.
    """
    prefix = "" if place == FIRST_LEVEL else f"{place}."
    target = content.get("_target_")
    if "_target_" in content and not (isinstance(target, str) and target.strip()):
        raise UserError(
            f"`{prefix}_target_` must be the import path of a class or function, got {shown(target)}; "
            "an example is torch.nn.ReLU"
        )
    known = {**rules.get(place, {}), **rules.get(str(target), {})}
    if str(target) in rules:
        known.setdefault("_partial_", Exactly(False))
    if (known and not target) or (str(target) in rules and str(target).startswith("ablate.")):
        for key in (key for key in content if key not in known and key not in HYDRAS):
            names = [name for name in known if name not in HYDRAS]
            raise UserError(f"there is no key {f'{prefix}{key}'!r}; {catalog.nearest(str(key), names)}")
    if not target and (missing := [key for key in known if key not in content]):
        name = f"{prefix}{missing[0]}"
        raise UserError(f"`{name}` must be given, got nothing; leave out what removes it, such as ~{name}")
    checked = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if key in known:
            value = accept(name, value, known[key], cure)
        checked[key] = check(value, rules, name, cure) if isinstance(value, dict) else value
    return checked


def check_place(content: Mapping[str, Any], place: str, title: str = "") -> dict[str, Any]:
    """Return a mapping that is no configuration (a study file's, a claim's), checked by the program's own rules.

    Args:
        content: plain data; a key that is absent has its default.
        place: whose rules hold.
        title: what messages call the mapping, where it is not the place.

    Raises:
        UserError: a key is unknown, or a value does not keep its rule.
    """
    rules = read_rules((catalog.conf_dir(),))[place]
    if unknown := [key for key in content if key not in rules]:
        raise UserError(f"{title or place} has no key {unknown[0]}; {catalog.nearest(str(unknown[0]), sorted(rules))}")
    named = {key: (f"{title}: `{key}`" if title else f"`{place}.{key}`") for key in content}
    return {key: _accept(named[key], value, rules[key], str) for key, value in content.items()}


def accept(name: str, value: Any, rule: Rule, cure: Cure = lambda key: "") -> Any:
    """Return the value of a key as it is meant.

    Raises:
        UserError: it does not keep the rule.
    """
    return _accept(f"`{name}`", value, rule, lambda: cure(name))


def _accept(name: str, value: Any, rule: Rule, advise: Callable[[], str]) -> Any:
    accepted = rule.accept(value)
    if accepted is not REFUSED:
        return accepted
    if isinstance(rule, MappingOf) and rule.entry and isinstance(value, dict):
        for key, entry in value.items():  # the one that is refused is named, where the names themselves are good
            _accept(f"{name[:-1]}.{key}`", entry, rule.entry, str)
    advice = advise()
    raise UserError(f"{name} must be {rule.describe()}, got {shown(value)}{f'; {advice}' if advice else ''}")


def shown(value: Any) -> str:
    """Return a value as one types it, text in quotes."""
    return quoted(value) if isinstance(value, str) else text(value)


def usual(key: str, levels: Mapping[str, str], where: Sequence[Path]) -> str:
    """Return what the chosen level, or config.yaml, has for a key, as advice; "" where it says nothing.

    Args:
        key: dotted, e.g. optimizer.lr.
        levels: the chosen level of every group.
        where: the conf folders.
    """
    group, _, rest = key.partition(".")
    if group in levels:
        found = _in_level(group, levels[group], rest.split("."), where)
        return "" if found is None else f"{group}={levels[group]} has {key}={text(found[0])}"
    found = _within(from_yaml((catalog.conf_dir() / "config.yaml").read_text(encoding="utf-8")), key.split("."))
    return "" if found is None else f"the default is {key}={text(found[0])}"


def _in_level(group: str, level: str, keys: Sequence[str], where: Sequence[Path]) -> tuple[Any] | None:
    path = catalog.levels(where, group).get(level)
    content = from_yaml(path.read_text(encoding="utf-8")) if path else None
    found = _within(content, keys)
    bases = content.get("defaults", []) if isinstance(content, dict) else []
    for base in (base for base in bases if found is None and isinstance(base, str) and base != "_self_"):
        found = _in_level(group, base, keys, where) or found
    return found


def _within(content: Any, keys: Sequence[str]) -> tuple[Any] | None:
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            return None
        content = content[key]
    return None if isinstance(content, str) and "${" in content else (content,)
