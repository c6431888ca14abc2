"""A study as plain data: what is varied, how often, and what is claimed before the first run.

A study file (conf/study/*.yaml) holds

    base: [net=micro, trainer.epochs=10]       overrides that all arms share
    grids:                                     the arms: the union of
      - product: {activation: [relu, tanh], normalization: [none, batch]}
      - zip: {optimizer.lr: [0.1, 0.2], trainer.batch_size: [64, 128]}
      - leave_one_out: {normalization: [batch, none], augmentation: [crop_flip, none]}   [default, ablated]
      - add_one_in: {normalization: [batch, none], augmentation: [crop_flip, none]}
    seeds: 5                                   a number, a list, or {from: 4, to: 16, looks: 4}, see `study.seeds`
    tuning: {key: optimizer.lr, values: [0.01, 0.1], seeds: 3, metric: val/accuracy, rule: best}     or null;
                                                `base: [trainer.epochs=3]` gives the tuning runs a budget of their own
    fixed: {key: optimizer.lr, values: {activation=tanh: 0.03}, source: where they are from}     instead, or null;
                                                `shared: 0.03` is the value of the arms that `values` does not name
    alpha: 0.05                                error level of each family of claims, over all looks
    failure_share: 0.1                         share of runs that may fail unseen: what verdicts stand for, or exclude
    looks: 2                                   how often verdicts may be drawn: 1 + how often seeds may be added
    claims: {name: {...}}                      see `Claim`; or a list of files in conf/claim, each {name: {...}, ...}
                                               and, unless it says otherwise, a family of its own
    controls: {name: {...}}                    what has to pass before claims get a verdict, see `Control`
    baseline: {activation: relu}               without claims: the arm that others are compared with; else the first
    minutes: 20                                with declared looks: take those that end in time, and the first always
    seconds_a_run: 5                           on one core, to say beforehand how long it will take
    profiles: {full: {base: [...], seeds: 10}} profile=full puts these in the place of the above; {full: {like: NAME}}

`command: python train.py --act {activation} --seed {seed}` has another program do the runs, see `program`. A study file
may also be a study that consists of others, each judged by itself,

    studies: [activation, initialization]
    remarks: {quick: "The twenty-minute version."}    what its page says first at a profile; may be left out
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from ablate.config import schema
from ablate.config.overrides import from_yaml, key_of, over, text
from ablate.errors import UserError
from ablate.study.claim import Axes, Claim
from ablate.study.control import Control, check_controls
from ablate.study.program import KEYS as PROGRAM_KEYS
from ablate.study.program import Program, check_settings
from ablate.study.seeds import read_seeds
from ablate.study.tuned import Fixed, Tuning

# Tuning runs have seeds of their own, so that no score that chose a value is used to judge it.
TUNING_SEED = 1_000_000

GRIDS = ("product", "zip", "leave_one_out", "add_one_in")


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One setting of all axes.

    Args:
        axes: the value of every axis that the study varies and this arm's grid names.
        overrides: the whole command line of the arm without the seed and the tuned setting.

    >>> Arm(axes={"activation": "relu"}, overrides=("net=micro", "activation=relu")).label
    'activation=relu'
    """

    axes: Axes
    overrides: tuple[str, ...]

    @property
    def label(self) -> str:
        """A readable name within the study."""
        return " ".join(f"{key}={text(value)}" for key, value in self.axes.items()) or "default"


@dataclass(frozen=True, kw_only=True)
class Study:
    """See the module; `name` is the file's stem, `title` and `source` its first comment lines.

    `schedule` holds the number of seeds at each declared look, and `seeds` all seeds of the last; it is empty where
    every arm has all seeds from the beginning. `minutes` is how long a command may take for further looks. `foreign` is
    the other program that makes the runs, None where ablate trains. `baseline` are axes of the arm that the others are
    compared with in a study without claims; the first arm where it is empty.

    `only` names the claims to judge, with their arms; by default all. The error level of a family is still shared by
    all its claims, so that asking for one alone makes no verdict easier to reach.

    >>> study = Study(name="s", base=["net=micro"], grids=[{"product": {"activation": ["relu", "tanh"]}}], seeds=[0])
    >>> [arm.label for arm in study.arms()]
    ['activation=relu', 'activation=tanh']
    """

    name: str
    title: str = ""
    source: str = ""
    base: list[str] = field(default_factory=list)
    grids: list[dict[str, dict[str, list[Any]]]] = field(default_factory=lambda: [{"product": {}}])
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4])
    tuning: Tuning | None = None
    fixed: Fixed | None = None
    alpha: float = 0.05
    failure_share: float = 0.1
    looks: int = 1
    claims: list[Claim] = field(default_factory=list)
    controls: list[Control] = field(default_factory=list)
    only: list[str] = field(default_factory=list)
    profile: str = ""
    seconds_a_run: float | None = None
    schedule: list[int] = field(default_factory=list)
    minutes: float | None = None
    foreign: Program | None = None
    baseline: Axes = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(set(self.seeds)) != len(self.seeds) or not self.seeds or min(self.seeds) < 0:
            raise UserError(f"`study.seeds` must be different numbers of at least 0, got {self.seeds}")
        if max(self.seeds) >= TUNING_SEED:
            raise UserError(
                f"`study.seeds` must lie below {TUNING_SEED}, where tuning seeds begin, got {max(self.seeds)}"
            )
        if not 0 < self.alpha < 0.5:
            raise UserError(f"`study.alpha` must lie in (0, 0.5), got {self.alpha}")
        if not 0 < self.failure_share < 1:
            raise UserError(
                f"`study.failure_share` must lie in (0, 1), got {self.failure_share}; 0.1 is one failing run in ten"
            )
        if self.schedule and self.looks != len(self.schedule):
            raise UserError(
                f"`study.looks` must be that of `study.seeds`, {len(self.schedule)}, got {self.looks}; drop it, or "
                "give study.looks=null"
            )
        if self.looks < 1:
            raise UserError(f"`study.looks` must be at least 1, got {self.looks}")
        for grid in self.grids:
            if len(grid) != 1 or next(iter(grid)) not in GRIDS:
                raise UserError(f"each of `study.grids` must be one of {', '.join(GRIDS)}, got {list(grid)}")
        if self.tuning and self.fixed:
            raise UserError("`tuning` and `fixed` are two ways to choose a setting's values; set one of them to null")
        what = "tuning" if self.tuning else "fixed"
        if self.nuisance and any(self.nuisance in axes for grid in self.grids for axes in grid.values()):
            raise UserError(f"`{what}.key` {self.nuisance} is an axis of the grids too; drop it from one of them")
        axes = {key for grid in self.grids for named in grid.values() for key in named}
        if lost := [line for line in self.tuning.base if key_of(line) in axes] if self.tuning else []:
            raise UserError(f"`tuning.base` must not change an axis of the grids, got {lost[0]!r}")
        if self.tuning and self.tuning.base and self.foreign:
            raise UserError("`tuning.base` is for studies of this program's own runs; drop it where `command` is given")
        check_controls(self.controls, self.claims)
        if self.foreign is None and self.tuning and (self.tuning.metric != "val/accuracy" or self.tuning.minimize):
            raise UserError(
                "`tuning.metric` must be val/accuracy, and `tuning.minimize` false, where ablate trains, got "
                f"{self.tuning.metric} and {str(self.tuning.minimize).lower()}"
            )
        if self.foreign and self.foreign.command:
            axes_and_tuned = [*dict.fromkeys(key for grid in self.grids for axes in grid.values() for key in axes)]
            axes_and_tuned += [self.nuisance] if self.nuisance else []
            shared = [key for key in map(key_of, self.base) if key not in axes_and_tuned]
            check_settings(self.foreign, axes_and_tuned, shared)
        known = [claim.name for claim in self.claims]
        if unknown := [name for name in (self.fixed.sensitive if self.fixed else ()) if name not in known]:
            raise UserError(f"`fixed.sensitive` must name claims of study {self.name}, got {unknown[0]!r}")
        if any(name not in known for name in self.only):
            raise UserError(f"`study.only` must name claims of study {self.name} ({', '.join(known)}), got {self.only}")

    @property
    def asked(self) -> list[Claim]:
        """The claims to judge; the others still count in their families."""
        return [claim for claim in self.claims if not self.only or claim.name in self.only]

    @property
    def asked_controls(self) -> list[Control]:
        """The controls that claims to judge depend on."""
        return [control for control in self.controls if any(map(control.concerns, self.asked))]

    @property
    def statements(self) -> list[Claim]:
        """The claims to judge and the controls that they depend on: what needs runs."""
        return [*self.asked, *self.asked_controls]

    @property
    def nuisance(self) -> str:
        """Key of the setting of `tuning` or `fixed`, which differs between arms without being an axis; "" for none."""
        return self.tuning.key if self.tuning else self.fixed.key if self.fixed else ""

    @property
    def tuning_seeds(self) -> list[int]:
        """The seeds of tuning runs; none where nothing is tuned."""
        return [TUNING_SEED + i for i in range(self.tuning.seeds)] if self.tuning else []

    def arms(self) -> list[Arm]:
        """Return the arms in the grids' order, each once.

        An axis that one grid names and another does not has, in the arms of the other, the value that `base` gives it.
        With `only`, arms that belong to none of these claims are left out.

        Raises:
            UserError: a fixed value is for an arm that does not exist.
        """
        found: dict[tuple[str, ...], Arm] = {}
        named = {key for grid in self.grids for axes in grid.values() for key in axes}
        given = dict(override.split("=", 1) for override in self.base if "=" in override)
        shared = {key: from_yaml(given[key]) for key in sorted(named & given.keys())}
        for grid in self.grids:
            for own_axes in combinations(grid):
                axes = {**shared, **own_axes}
                own = [f"{key}={text(value)}" for key, value in axes.items()]
                kept = [override for override in self.base if key_of(override) not in axes]
                arm = Arm(axes=axes, overrides=(*kept, *own))
                found.setdefault(tuple(sorted(arm.overrides)), arm)
        arms = [self._at_fixed_value(arm) for arm in found.values()]
        if unknown := (self.fixed.values if self.fixed else {}).keys() - {arm.label for arm in arms}:
            there = ", ".join(repr(arm.label) for arm in arms)
            raise UserError(f"`fixed.values` names no arm of study {self.name}: {min(unknown)!r}; there are {there}")
        cells = [cell.items() for each in self.statements for cell in each.cells()] if self.only else []
        return [arm for arm in arms if not self.only or any(cell <= arm.axes.items() for cell in cells)]

    def _at_fixed_value(self, arm: Arm) -> Arm:
        value = self.fixed.values.get(arm.label, self.fixed.shared) if self.fixed else None
        if self.fixed is None or value is None:
            return arm
        kept = [override for override in arm.overrides if key_of(override) != self.fixed.key]
        return Arm(axes=arm.axes, overrides=(*kept, f"{self.fixed.key}={text(value)}"))

    def with_overrides(self, overrides: Sequence[str]) -> "Study":
        """Return the study with `overrides` in place of those of its base with the same keys.

        Raises:
            UserError: an override is of a grid's axis, of the seed or of the tuned setting.
        """
        axes = {key for grid in self.grids for keys in grid.values() for key in keys} | {"seed"}
        axes |= {self.nuisance}
        for override in overrides:
            if key_of(override) in axes:
                where = "; to say where its data lie: data.root=FOLDER, or the environment variable ABLATE_DATA"
                raise UserError(
                    f"study {self.name} varies {key_of(override)} itself, so {override} would be lost; leave it out, "
                    "or change study.grids, study.seeds, study.tuning or study.fixed"
                    f"{where if key_of(override) == 'data' else ''}"
                )
        return Study(**{**shallow(self), "base": over(self.base, overrides)})


def combinations(grid: Mapping[str, Mapping[str, list[Any]]]) -> Iterator[Axes]:
    """Yield the settings of one grid.

    Raises:
        UserError: zipped axes of different lengths, or an ablation axis without its two values.

    >>> list(combinations({"zip": {"optimizer.lr": [0.1, 0.2], "trainer.batch_size": [64, 128]}}))
    [{'optimizer.lr': 0.1, 'trainer.batch_size': 64}, {'optimizer.lr': 0.2, 'trainer.batch_size': 128}]
    """
    ((kind, axes),) = grid.items()
    keys = list(axes)
    if kind == "product":
        yield from (dict(zip(keys, values, strict=True)) for values in itertools.product(*axes.values()))
    elif kind == "zip":
        lengths = {key: len(values) for key, values in axes.items()}
        if len(set(lengths.values())) > 1:
            raise UserError(f"zipped axes must be of one length, got {lengths}")
        yield from (dict(zip(keys, values, strict=True)) for values in zip(*axes.values(), strict=True))
    else:
        for key, values in axes.items():
            if len(values) != 2:
                raise UserError(f"{kind} needs [default, ablated] for {key}, got {values}")
        whole, changed = (0, 1) if kind == "leave_one_out" else (1, 0)
        yield {key: axes[key][whole] for key in keys}
        yield from ({key: axes[key][changed if key == one else whole] for key in keys} for one in keys)


def parse(name: str, content: Mapping[str, Any], title: str = "", source: str = "") -> Study:
    """Return the study that the content of a study file describes.

    Raises:
        UserError: an unknown key, or a value that the study refuses.

    >>> parse("s", {"base": ["net=micro"], "seeds": 3}).seeds
    [0, 1, 2]
    """
    given = {"claims": {}, **{key: value for key, value in content.items() if value is not None}}
    parts = schema.check_place(given, "study")
    if "seeds" in parts:
        parts["seeds"], schedule = read_seeds(parts["seeds"])
        parts |= {"schedule": schedule, "looks": parts.get("looks", len(schedule))} if schedule else {}
    for key, part in (("tuning", Tuning), ("fixed", Fixed)):
        if key in parts:
            parts[key] = _build(part, f"study.{key}", "", parts[key])
    parts.pop("units", None)  # the names of the seeds of judged results
    if own := {key: parts.pop(key) for key in PROGRAM_KEYS if key in parts}:
        parts["foreign"] = Program(**own)
    parts["claims"] = [
        _build(Claim, "claim", f"claim {key!r}", {"name": key, **value}) for key, value in parts["claims"].items()
    ]
    parts["controls"] = [_build_control(key, value) for key, value in parts.get("controls", {}).items()]
    return Study(name=name, title=title, source=source, **parts)


def shallow(study: Study) -> dict[str, Any]:
    """Return the fields of a study by name."""
    return {f.name: getattr(study, f.name) for f in fields(study)}


def _build_control(name: str, content: Mapping[str, Any]) -> Control:
    """Return a control: it has the keys of a claim and those of its own."""
    title = f"control {name!r}"
    own = schema.check_place({key: content[key] for key in content if key == "claims"}, "control", title)
    shared = {key: value for key, value in content.items() if key not in own}
    return _build(Control, "claim", title, {"name": name, **shared}, own)


def _build(kind: type, place: str, title: str, content: Mapping[str, Any], own: Mapping[str, Any] | None = None) -> Any:
    checked = schema.check_place(content, place, title) | dict(own or {})
    needed = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    if missing := [key for key in needed if key not in checked]:
        raise UserError(f"{title or place}: `{missing[0]}` must be given, got {', '.join(checked) or 'no key'} alone")
    return kind(**checked)
