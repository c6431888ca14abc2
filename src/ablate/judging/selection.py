"""Which arms a claim compares, and whether they may be compared."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ablate.config.overrides import text
from ablate.errors import UserError
from ablate.study.claim import Axes, Claim
from ablate.study.manifest import PlannedArm, same_runs
from ablate.study.metrics import is_computed
from ablate.study.results import ArmResult, Job, Results
from ablate.study.study import Study
from ablate.study.undeclared import undeclared
from ablate.training.identity import measures

NO_MEASURE = ("train", "train_eval", "val", "test", "best", "epochs_to", "initial")
SCORE = re.compile(
    r"(train|train_eval|val|test)/(loss|accuracy)|train/cross_entropy|best/(train|val)/accuracy|epochs_to/(train|val)/accuracy/[0-9.e-]+"
)
MEASURED = re.compile(r"(?:initial/)?([a-z][\w.]*)/\w[\w./-]*")


class HasAxes(Protocol):
    """A planned arm, or an arm with results."""

    @property
    def axes(self) -> Axes: ...

    @property
    def label(self) -> str: ...


A = TypeVar("A", bound=HasAxes)


@dataclass(frozen=True, kw_only=True)
class Selection(Generic[A]):
    """The arms of a claim in cells, the groups of arms between which it compares.

    Args:
        specs: of each cell, the values of axes that select its arms.
        cells: of each cell, its arms; those at equal positions match in every axis that the claim does not name.
        mismatch: why the cells cannot be matched, "" where they can.
    """

    specs: list[Axes]
    cells: list[list[A]]
    mismatch: str = ""


def check_claims(study: Study) -> None:
    """Check before the first run that every claim has a known metric and arms, and that these match.

    Raises:
        UserError: names the claim, what it asks for and what there is.

    Example:
        >>> from ablate.study.study import parse
        >>> sides = {"treatment": {"activation": "relu"}, "control": {"activation": "gelu"}}
        >>> claim = {"text": "ReLU is better.", "form": "greater", "smallest_effect": 0.01, **sides}
        >>> grid = {"product": {"activation": ["relu", "tanh"]}}
        >>> check_claims(parse("toy", {"grids": [grid], "claims": {"relu": claim}}))
        Traceback (most recent call last):
        ablate.errors.UserError: claim 'relu' finds no arm with activation=gelu; the axes are activation: relu, tanh
    """
    arms = study.arms()
    for claim in study.statements:
        for metric in (claim.metric, *claim.explained_by):
            measure = MEASURED.fullmatch(metric)
            if not study.foreign and not is_score(metric) and (not measure or measure[1] in NO_MEASURE):
                raise UserError(
                    f"{claim.kind} {claim.name!r}: `metric` and `explained_by` must be train, train_eval, val or test "
                    "with /loss or /accuracy, or train/cross_entropy, or epochs_to/train/accuracy/THRESHOLD or "
                    "best/train/accuracy, or the same of val, or gap/accuracy, reaches/test/accuracy/NUMBER or "
                    "at/train/cross_entropy/NUMBER/val/accuracy, or a diagnostic "
                    f"such as saturation/mean or initial/saturation/mean, got {metric!r}"
                )
        if mismatch := select(claim, arms).mismatch:
            raise UserError(f"{claim.kind} {claim.name!r}: {mismatch}")


def check_recorded(study: Study, arms: Sequence[PlannedArm]) -> None:
    """Check before the first run that the runs record every threshold and diagnostic that a claim uses.

    Raises:
        UserError: names the claim, the threshold or the diagnostic, and what there is.
    """
    for claim in study.statements if not study.foreign else ():  # a program's metrics are known once it has run
        if measure := measure_of(claim.metric):
            known = [(arm, measures(arm.variants[0].settings)) for arm in arms]
            if lacking := [(arm, names) for arm, names in known if measure not in names]:
                runs, of = _lacking([arm for arm, _ in lacking], arms)
                raise UserError(
                    f"{claim.kind} {claim.name!r}: {runs} measures {measure}; diagnostics.measure{of} is "
                    f"{', '.join(lacking[0][1]) or 'empty'}"
                )
        for arm in arms if any(metric.startswith("initial/") for metric in (claim.metric, *claim.explained_by)) else ():
            if not arm.variants[0].settings.get("diagnostics", {}).get("at_start", True):
                raise UserError(
                    f"{claim.kind} {claim.name!r} is about a measurement before the first step, and "
                    "diagnostics.at_start is false; set it to true"
                )
        threshold = claim.metric.rpartition("/")[2]
        if not claim.metric.startswith("epochs_to/"):
            continue
        watching = [(arm, [f"{v:g}" for v in arm.variants[0].settings["trainer"]["thresholds"]]) for arm in arms]
        if lacking := [(arm, watched) for arm, watched in watching if threshold not in watched]:
            runs, of = _lacking([arm for arm, _ in lacking], arms)
            raise UserError(
                f"{claim.kind} {claim.name!r}: {runs} watches for {claim.metric}; trainer.thresholds{of} are "
                f"{', '.join(lacking[0][1]) or 'empty'}"
            )


def _lacking(lacking: Sequence[PlannedArm], arms: Sequence[PlannedArm]) -> tuple[str, str]:
    """Return subject of the message that runs lack something, and the arm whose setting it shows."""
    return ("no run", "") if len(lacking) == len(arms) else ("not every run", f" of arm '{lacking[0].label}'")


def unmeasured_runs(results: Results) -> Iterator[Job]:
    """Yield the finished report runs whose settings did not ask for the diagnostic that a claim is about.

    A run whose settings asked for it and whose record lacks it is not among them: a rerun would not help.
    """
    seen: set[str] = set()
    for claim in results.study.statements if not results.study.foreign else ():
        measure = measure_of(claim.metric)
        cells = select(claim, results.arms).cells if measure else []
        for arm in (arm for cell in cells for arm in cell):
            for seed, record in arm.records.items():
                lacking = claim.metric not in record.metrics and measure not in measures(record.settings)
                if arm.chosen is None or not lacking or record.status == "diverged":
                    continue
                job = Job(label=arm.label, variant=arm.chosen, seed=seed)
                if job.folder not in seen:
                    seen.add(job.folder)
                    yield job


def is_score(metric: str) -> bool:
    """Return whether a metric is a score, recorded or computed from scores, and not a diagnostic."""
    return bool(SCORE.fullmatch(metric)) or is_computed(metric)


def measure_of(metric: str) -> str:
    """Return the name of the diagnostic that a metric belongs to, "" for a score.

    Example:
        >>> measure_of("initial/saturation/mean"), measure_of("test/accuracy")
        ('saturation', '')
    """
    found = MEASURED.fullmatch(metric)
    return "" if is_score(metric) or found is None else found[1]


def select(claim: Claim, arms: Sequence[A]) -> Selection[A]:
    """Return the arms that a claim is about.

    An arm belongs to a cell if its axes have all values of the cell. Arms of different cells match where they agree in
    all axes that the claim does not name. An arm without a match in another cell is left out, as where one grid varies
    what another does not, so that all cells are averaged over the same settings.

    Raises:
        UserError: a cell has no arm, or an arm is in two cells: a mistake in the study file.

    Example:
        >>> from types import SimpleNamespace
        >>> arms = [SimpleNamespace(axes={"activation": name}, label=name) for name in ("relu", "tanh", "gelu")]
        >>> sides = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
        >>> found = select(Claim(name="it", text="", form="greater", smallest_effect=0.01, **sides), arms)
        >>> [[arm.label for arm in cell] for cell in found.cells]
        [['relu'], ['tanh']]
    """
    where = f"{claim.kind} {claim.name!r}"
    if claim.form == "interaction" and (claim.factor in claim.treatment or claim.factor in claim.control):
        raise UserError(f"{where}: `factor` {claim.factor} must not be in `treatment` or `control`, `order` has it")
    specs = claim.cells()
    picked = [[arm for arm in arms if spec.items() <= arm.axes.items()] for spec in specs]
    seen: set[int] = set()
    for spec, cell in zip(specs, picked, strict=True):
        if not cell:
            raise UserError(f"{where} finds no arm with {axes_text(spec)}; {_axes_there_are(arms)}")
        if shared := [arm.label for arm in cell if id(arm) in seen]:
            raise UserError(f"{where} has arm '{shared[0]}' on both sides; name more axes in treatment and control")
        seen |= {id(arm) for arm in cell}

    named = {key for spec in specs for key in spec}
    by_rest = [{_rest(arm, named): arm for arm in cell} for cell in picked]
    common = [rest for rest in by_rest[0] if all(rest in found for found in by_rest)]
    mismatch = _mismatch(specs, picked, by_rest, common)
    cells = picked if mismatch else [[found[rest] for rest in common] for found in by_rest]
    return Selection(specs=specs, cells=cells, mismatch=mismatch)


def why_not_comparable(selection: Selection[ArmResult], tuned: str = "") -> str:
    """Return in which undeclared settings matched arms differ, "" where in none.

    Declared are the axes in which the claim's cells differ, and the tuned setting. Settings are compared at the first
    value of a tuned setting; if its values were fixed beforehand, each arm has its own. A setting may follow from a
    declared one by interpolation, as preprocessing.bits from data.bits: see `undeclared`.
    """
    if selection.mismatch:
        return selection.mismatch
    first, *others = zip(selection.specs, selection.cells, strict=True)
    for spec, cell in others:
        declared = apart(spec, first[0])
        for mine, other in zip(first[1], cell, strict=True):
            a, b = mine.planned.variants[0], other.planned.variants[0]
            if a.fingerprint == b.fingerprint:
                return same_runs([mine.label, other.label])
            found = undeclared(a, b, declared | ({tuned} if tuned else set()))
            if found:
                shown = "; ".join(f"{key} is {x!r} against {y!r}" for key, (x, y) in found.items())
                return f"{mine.label} and {other.label} differ in more than {', '.join(sorted(declared))}: {shown}"
    return ""


def apart(mine: Axes, other: Axes) -> set[str]:
    """Return the axes in which two cells differ."""
    keys = mine.keys() | other.keys()
    return {key for key in keys if (key in mine, mine.get(key)) != (key in other, other.get(key))}


def axes_text(axes: Axes) -> str:
    """Return values of axes as they are written on the command line.

    Example:
        >>> axes_text({"activation": "relu", "optimizer.lr": 0.1})
        'activation=relu optimizer.lr=0.1'
    """
    return " ".join(f"{key}={text(value)}" for key, value in axes.items())


def _rest(arm: HasAxes, named: Collection[str]) -> str:
    """Return an arm's values of the axes that a claim does not name."""
    return axes_text({key: value for key, value in sorted(arm.axes.items()) if key not in named}) or "nothing else"


def _mismatch(
    specs: Sequence[Axes],
    picked: Sequence[Sequence[A]],
    by_rest: Sequence[Mapping[str, A]],
    common: Sequence[str],
) -> str:
    """Return why the arms of the cells do not match, "" where they do."""
    for spec, arms, found in zip(specs, picked, by_rest, strict=True):
        if len(found) < len(arms):
            return (
                f"{len(arms)} arms have {axes_text(spec)}, and some agree in all axes that the claim does not name, so "
                "that their matches are ambiguous; name the same axes in treatment and control"
            )
    if not common:
        rests = "; ".join(f"{axes_text(spec)} with {', '.join(f)}" for spec, f in zip(specs, by_rest, strict=True))
        return f"no arms match in the axes that the claim does not name: there is {rests}; name or add them"
    return ""


def _axes_there_are(arms: Sequence[HasAxes]) -> str:
    values: dict[str, list[str]] = {}
    for arm in arms:
        for key, value in arm.axes.items():
            known = values.setdefault(key, [])
            known += [shown] if (shown := text(value)) not in known else []
    return "the axes are " + ("; ".join(f"{key}: {', '.join(known)}" for key, known in values.items()) or "none")
