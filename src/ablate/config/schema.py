"""Rules for the value of every key, in conf/schema/*.yaml, and the check of a configuration against them.

A file of conf/schema/, or of schema/ in a folder given as --config-dir, holds {place: {key: rule}}. `place` is the
path of a mapping in the configuration (trainer; config for the top level, study for a study file), or the `_target_` of
a level, a preprocessing step or a diagnostic. `notation` says how rules are written. A mapping without `_target_`, or
with one of ablate's own classes, may have no keys without a rule; elsewhere a key without a rule is left to the class
or function that takes it.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ablate.config import catalog
from ablate.config.notation import REFUSED, MappingOf, Rule, parse
from ablate.config.overrides import from_yaml, quoted, text
from ablate.config.yaml_file import read_yaml
from ablate.errors import UserError

FOLDER = "schema"
QUICK_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a tenth of the time; it creates no objects either
FIRST_LEVEL = "config"  # the place of the top-level keys
HYDRA_KEYS = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")

Rules = Mapping[str, Mapping[str, Rule]]
Cure = Callable[[str], str]  # key -> advice for a refused value, or ""


@functools.cache
def read_rules(where: tuple[Path, ...]) -> Rules:
    """Return the rules of all schema files in the conf folders; those of a later folder replace earlier ones.

    >>> read_rules((catalog.conf_dir(),))["trainer"]["epochs"].describe()
    'a whole number in [1, 1000000]'

    Raises:
        UserError: a file does not hold rules.
    """
    rules: dict[str, dict[str, Rule]] = {}
    for path in (path for folder in where for path in sorted((folder / FOLDER).glob("*.yaml"))):
        try:
            content = yaml.load(path.read_text(encoding="utf-8"), QUICK_LOADER) or {}
        except (yaml.YAMLError, UnicodeDecodeError):
            content = read_yaml(path)  # names the mistake
        if not isinstance(content, dict) or not all(isinstance(keys, dict) for keys in content.values()):
            raise UserError(
                f"{path} must hold {{place or _target_: {{key: rule}}}}; see the first lines of ablate/config/schema.py"
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
    """Return a mapping and the mappings in it, with every value checked and converted (1e2 to 100).

    >>> check({"epochs": 1e1}, {"trainer": {"epochs": parse("whole >= 1")}}, "trainer")
    {'epochs': 10}

    Args:
        content: plain data, interpolations resolved.
        rules: see `read_rules`.
        place: path of the mapping in the configuration.
        cure: see `Cure`.

    Raises:
        UserError: a value breaks its rule, or a key is unknown or missing where all keys must have rules.
    """
    prefix = "" if place == FIRST_LEVEL else f"{place}."
    target = content.get("_target_")
    if "_target_" in content and not (isinstance(target, str) and target.strip()):
        raise UserError(
            f"`{prefix}_target_` must be the import path of a class or function, got {shown(target)}; "
            "an example is torch.nn.ReLU"
        )
    known = {**rules.get(place, {}), **rules.get(str(target), {})}
    if str(target) in rules and str(target).startswith(("ablate.", "torch.")):  # a user's file need not say it
        known.setdefault("_partial_", parse("false"))
    if (known and not target) or (str(target) in rules and str(target).startswith("ablate.")):
        for key in (key for key in content if key not in known and key not in HYDRA_KEYS):
            names = [name for name in known if name not in HYDRA_KEYS]
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
    """Return a checked mapping outside the configuration (of a study file, a claim); the program's own rules apply.

    >>> check_place({"alpha": 0.05}, "study")
    {'alpha': 0.05}

    Args:
        content: plain data; absent keys have defaults.
        place: of the rules.
        title: name of the mapping in messages, by default the place.

    Raises:
        UserError: a key is unknown, or a value breaks its rule.
    """
    rules = read_rules((catalog.conf_dir(),))[place]
    if unknown := [key for key in content if key not in rules]:
        raise UserError(f"{title or place} has no key {unknown[0]}; {catalog.nearest(str(unknown[0]), sorted(rules))}")
    named = {key: (f"{title}: `{key}`" if title else f"`{place}.{key}`") for key in content}
    return {key: _accept(named[key], value, rules[key], str) for key, value in content.items()}


def accept(name: str, value: Any, rule: Rule, cure: Cure = lambda key: "") -> Any:
    """Return the checked and converted value of a key.

    >>> accept("trainer.epochs", 1e1, parse("whole >= 1"))
    10

    Raises:
        UserError: it breaks the rule.
    """
    return _accept(f"`{name}`", value, rule, lambda: cure(name))


def _accept(name: str, value: Any, rule: Rule, advise: Callable[[], str]) -> Any:
    accepted = rule.accept(value)
    if accepted is not REFUSED:
        return accepted
    if isinstance(rule, MappingOf) and rule.entry and isinstance(value, dict):
        for key, entry in value.items():  # name the entry that is refused, if the names are valid
            _accept(f"{name[:-1]}.{key}`", entry, rule.entry, str)
    advice = advise()
    raise UserError(f"{name} must be {rule.describe()}, got {shown(value)}{f'; {advice}' if advice else ''}")


def shown(value: Any) -> str:
    """Return a value as it is typed, text in quotes.

    >>> print(shown(None), shown("abc"))
    null 'abc'
    """
    return quoted(value) if isinstance(value, str) else text(value)


def usual(key: str, levels: Mapping[str, str], where: Sequence[Path]) -> str:
    """Return the value of a key in the chosen level, or in config.yaml, as advice; "" if there is none.

    >>> usual("seed", {}, [])
    'the default is seed=0'

    Args:
        key: dotted, e.g. optimizer.lr.
        levels: the chosen level of every group.
        where: the conf folders.
    """
    group, _, rest = key.partition(".")
    if group in levels:
        found = _within(catalog.content_of(group, levels[group], where), rest.split("."))
        return "" if found is None else f"{group}={levels[group]} has {key}={text(found[0])}"
    found = _within(from_yaml((catalog.conf_dir() / "config.yaml").read_text(encoding="utf-8")), key.split("."))
    return "" if found is None else f"the default is {key}={text(found[0])}"


def _within(content: Any, keys: Sequence[str]) -> tuple[Any] | None:
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            return None
        content = content[key]
    return None if isinstance(content, str) and ("${" in content or content == "???") else (content,)
