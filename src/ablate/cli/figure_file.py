"""What `ablate figure` is asked for: a figure's file and the words of the command line, checked without torch.

A figure is one module and one file figure/NAME.yaml in a conf folder; the lecture's are in `ablate.lecture.figures`:

    compute: package.NAME               module with compute(lab, **knobs) -> arrays, draw(arrays), caption(arrays)
    uses: [data, net]                   groups whose level the caption names
    base: [net=micro, ...]              settings of its nets
    knobs: {num_epochs: 4, ...}         arguments of compute; figure.num_epochs=8 changes one
    profiles:                           profile=full adds to base, and replaces these knobs
      full: {base: [...], knobs: {...}}
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablate.cli import arguments
from ablate.cli.grammar import parse, plainly
from ablate.config import catalog, notation, schema
from ablate.config.overrides import in_profile, text
from ablate.config.yaml_file import read_mapping
from ablate.errors import UserError

OWN = ("profile", "rerun")
KEYS = "compute, uses, base, knobs, ..."
USAGE = """\
usage: ablate figure NAME [figure.KNOB=VALUE ...] [KEY=VALUE ...]

Compute a figure's numbers unless they are stored, draw it, and print the
paths of what was written. `ablate list figure` shows the figures.

figure.KNOB=VALUE             changes a knob of the figure's file
profile=NAME                  the figure's profile of this name
rerun=true                    compute its numbers again

  ablate figure dropout_masks
"""


@dataclass(frozen=True, kw_only=True)
class FigureSpec:
    """A figure, from its file and the command line.

    Args:
        name: the file's stem.
        module: the dotted name of its module.
        base: settings of its nets.
        knobs: arguments of its `compute`.
        uses: groups whose level its caption names.
    """

    name: str
    module: str
    base: list[str]
    knobs: dict[str, Any]
    uses: list[str]


def asked(words: Sequence[str], where: Sequence[Path]) -> tuple[FigureSpec, list[str], bool] | None:
    """Return the figure, the settings of its runs, and whether to compute it again; None where help was printed.

    Raises:
        UserError: no or an unknown name, an unknown knob, profile or setting.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    known = catalog.levels(where, "figure")
    if {"-h", "--help"} & set(words):
        print(USAGE)
        print(catalog.describe_levels(where, ["figure"]))
        return None
    if option := next((word for word in words if word.startswith("-")), None):
        raise UserError(f"`ablate figure` has no option {option!r}; settings are given as KEY=VALUE, without a dash")
    names = [word for word in words if "=" not in word and not word.startswith("~")]
    if len(names) != 1 or names[0] not in known:
        unknown = next((name for name in names if name not in known), "")
        problem = f"there is no figure {unknown!r}; {catalog.nearest(unknown, list(known))}" if unknown else ""
        if problem:
            raise UserError(problem)
        first = "; without data and in seconds: ablate figure dropout_masks" * ("dropout_masks" in known)
        got = " ".join(names) or "none"
        raise UserError(f"`ablate figure NAME` needs one name, got {got}; there are {', '.join(known)}{first}")
    others = [word for word in words if word not in names]
    knobs = read_mapping(known[names[0]], KEYS).get("knobs", {})
    for word in others:
        if (knob := word.partition("=")[0]) in knobs:
            raise UserError(f"{word!r}: {knob} is a knob of the figure; write figure.{word}")
        if knob.partition(".")[0] in ("study", "extra_seeds"):
            raise UserError(f"{word!r} is for a study, not for a figure; leave it out")
    own = [word for word in others if word.startswith("figure.") or word.split("=")[0] in OWN]
    overrides = [word for word in others if word not in own]
    if any(word.startswith("seed=") for word in overrides):
        raise UserError("`seed` cannot be set for a figure, which chooses its seeds itself; see its knobs")
    arguments.check(overrides, where, [], may_sweep=False)
    try:
        spec, rerun = read_figure(known[names[0]], own)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(plainly(error, where, words)) from error
    return spec, overrides, rerun


def read_figure(path: Path, own: Sequence[str]) -> tuple[FigureSpec, bool]:
    """Return the figure of a file with the user's profile and knobs, and whether to compute it again.

    Args:
        own: words such as figure.KNOB=VALUE, profile=NAME, rerun=true.

    Raises:
        UserError: an unknown profile or knob, or a value of another type than the knob's default.
    """
    content = read_mapping(path, KEYS)
    options: dict[str, Any] = {(found := parse(word)).key_or_group: found.value() for word in own}
    if (profile := options.pop("profile", None)) is not None:
        profile = schema.accept("profile", profile, notation.parse("text"))
    content = in_profile(f"figure {path.stem}", content, profile, merged=["knobs"])
    base, knobs = list(content.get("base", [])), dict(content.get("knobs", {}))
    rerun = schema.accept("rerun", options.pop("rerun", False), notation.parse("true or false"))
    rules = schema.read_rules((catalog.conf_dir(), path.parent.parent)).get(f"figure.{path.stem}", {})
    for key, value in options.items():
        knob = key.removeprefix("figure.")
        if knob not in knobs:
            raise UserError(f"figure {path.stem} has no knob {knob!r}; {catalog.nearest(knob, list(knobs))}")
        if knob in rules:
            default = f"the figure has {text(knobs[knob])}"
            value = schema.accept(key, value, rules[knob], {key: default}.__getitem__)
        elif not alike(value, knobs[knob]):
            raise UserError(f"`figure.{knob}` must be like its default {knobs[knob]!r}, got {value!r}")
        knobs[knob] = value
    uses = list(content.get("uses", []))
    return FigureSpec(name=path.stem, module=content["compute"], base=base, knobs=knobs, uses=uses), rerun


def alike(value: Any, default: Any) -> bool:
    """Return whether a value has the type of a default; an integer may replace a float, and lists hold such values.

    >>> alike(1, 0.5), alike(0.5, 1), alike([3], [1, 2]), alike("3", 1)
    (True, False, True, False)
    """
    if isinstance(default, list):
        kinds = default[:1]
        return isinstance(value, list) and all(alike(item, kind) for item in value for kind in kinds)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return default is None or isinstance(value, type(default))
