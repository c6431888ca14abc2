"""A sentence that a study can support or contradict, as plain data."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from ablate.errors import UserError

DIFFERENCE_FORMS = ("greater", "smaller", "equivalent")
TAUGHT = ("supported", "contradicted", "no difference")  # verdicts that have a sentence of their own in `teach`
FORMS = (*DIFFERENCE_FORMS, "ratio", "trend", "interaction", "identity")

# Diagnostics in seconds: seeds do not replicate a machine's speed.
TIMED = ("activation_cost/", "initial/activation_cost/")
# Metrics that are measured before training or without it: failed runs do not change them.
UNTRAINED = ("initial/", "algebra/", "activation_cost/", "autoencoder/")

Axes = dict[str, Any]


def depends_on_training(metric: str) -> bool:
    """Return whether a metric is measured on trained nets.

    Example:
        >>> depends_on_training("test/accuracy"), depends_on_training("initial/saturation/mean")
        (True, False)
    """
    return not metric.startswith(UNTRAINED)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A sentence that a study can support or contradict.

    Args:
        name: short, unique in the study.
        text: the sentence, for people.
        form: "greater", "smaller", "equivalent": treatment - control of the metric.
            "ratio": treatment / control of a positive metric; `direction` says which side is claimed, `smallest_effect`
            is the factor k > 1 ("k times faster": smaller on epochs_to/...; null, never reached, is censored).
            "trend": the change of the metric over `order`, the ordered values of one axis; `direction` as above.
            "interaction": (treatment - control at the second value of `factor`) - (the same at its first value), where
            `order` holds the two values of the axis `factor`; `direction` as above.
            "identity": |treatment - control| <= `tolerance` in every seed.
        metric: key of `Record.metrics`, e.g. test/accuracy.
        treatment, control: values of axes that pick arms; what they leave open is averaged over, matched by the
            other axes. Empty for "trend", whose arms are all that have `factor` in `order`.
        at: values of axes that all arms of the claim have.
        value: what the metric of the treatment is compared with in place of a control, for "greater", "smaller",
            "equivalent" and "identity"; null where there is a control.
        smallest_effect: least difference that matters, in units of the metric; for a ratio the factor k.
        at_least: whether the sentence names `smallest_effect` ("at least four times", "10 points more"): the effect is
            then tested against this number instead of 0 (1 for a ratio).
        direction: "greater" or "smaller", for ratio, trend and interaction.
        factor, order: see the forms.
        tolerance: of an identity.
        family: claims of one family share the error level; by default all claims of a study are one family, or, where
            they stand in claim files, those of one file.
        source: where the sentence comes from.
        published: what the literature found, with its source; empty where nothing verified is known.
        note: what else to know when reading the verdict.
        post_hoc: why the claim does not count as made before its runs, "" where it does; marks its verdict.
        explained_by: diagnostics that show the mechanism, keys of `Record.metrics`, shown beside the verdict.
        teach: what to teach, a sentence for each verdict (supported, contradicted, no difference); where there is
            none it is made of `text`.
        figure: name of the figure that shows it, see `ablate figure`; "" for none.
        file: stem of the claim file that it stands in, "" for one that stands in the study file.

    >>> sides = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
    >>> Claim(name="c", text="ReLU wins.", form="greater", smallest_effect=0.02, **sides).cells()
    [{'activation': 'relu'}, {'activation': 'tanh'}]
    """

    kind: ClassVar[str] = "claim"  # as messages name it

    name: str
    text: str
    form: str
    metric: str = "test/accuracy"
    treatment: Axes = field(default_factory=dict)
    control: Axes = field(default_factory=dict)
    at: Axes = field(default_factory=dict)
    value: float | None = None
    smallest_effect: float = 0.0
    at_least: bool = False
    direction: str = ""
    factor: str = ""
    order: list[Any] = field(default_factory=list)
    tolerance: float = 0.0
    family: str = "all"
    source: str = ""
    published: str = ""
    note: str = ""
    post_hoc: str = ""
    explained_by: list[str] = field(default_factory=list)
    teach: dict[str, str] = field(default_factory=dict)
    figure: str = ""
    file: str = ""

    def __post_init__(self) -> None:
        where = f"{self.kind} {self.name!r}"
        if self.form not in FORMS:
            raise UserError(f"{where}: `form` must be one of {', '.join(FORMS)}, got {self.form!r}")
        if unknown := [verdict for verdict in self.teach if verdict not in TAUGHT]:
            raise UserError(f"{where}: `teach` must have sentences for {', '.join(TAUGHT)}, got {unknown[0]!r}")
        if self.form not in (*DIFFERENCE_FORMS, "identity") and self.direction not in ("greater", "smaller"):
            raise UserError(f"{where}: `direction` must be greater or smaller for {self.form}, got {self.direction!r}")
        if self.value is not None:
            if self.form not in (*DIFFERENCE_FORMS, "identity") or self.control:
                raise UserError(
                    f"{where}: `value` takes the place of `control` in {', '.join(DIFFERENCE_FORMS)} and identity, got "
                    f"{self.value!r} in {self.form}{' beside a control' * bool(self.control)}"
                )
            if not self.treatment:
                raise UserError(f"{where}: `treatment` must name values of axes")
        elif self.form != "trend" and not (self.treatment and self.control):
            raise UserError(f"{where}: `treatment` and `control` must each name values of axes")
        if twice := {*self.treatment, *self.control, self.factor} & self.at.keys():
            raise UserError(f"{where}: {min(twice)} is in `at` and on a side too; name it once")
        if self.form in ("trend", "interaction") and not (self.factor and len(self.order) >= 2):
            raise UserError(
                f"{where}: `factor` must be an axis and `order` its values, got {self.factor!r}, {self.order}"
            )
        if self.form == "interaction" and len(self.order) != 2:
            raise UserError(f"{where}: `order` must have two values for an interaction, got {self.order}")
        if self.form == "ratio" and not self.smallest_effect > 1:
            raise UserError(f"{where}: `smallest_effect` of a ratio is a factor above 1, got {self.smallest_effect}")
        if self.form != "identity" and not self.smallest_effect > 0:
            raise UserError(f"{where}: `smallest_effect` must be above 0, got {self.smallest_effect}")
        if not isinstance(self.at_least, bool):
            raise UserError(f"{where}: `at_least` must be true or false, got {self.at_least!r}")
        if self.at_least and self.form in ("equivalent", "identity"):
            raise UserError(f"{where}: `at_least` is for a claim that one side is greater or smaller, got {self.form}")

    @property
    def is_timed(self) -> bool:
        """Whether the metric is in seconds, or relative to some: it is reported, and gets no verdict."""
        return self.metric.startswith(TIMED)

    @property
    def is_tested(self) -> bool:
        """Whether a test decides the claim, so that it has a share in its family's error level."""
        return self.form != "identity" and not self.is_timed

    def cells(self) -> list[Axes]:
        """Return the values of axes that pick the arms of each cell.

        Two cells are treatment and control; a claim about a value has one. A trend has one a value of its order, all of
        them with the values of its treatment, if any. An interaction has four: treatment and control at the second
        value, then at the first.
        """
        if self.form == "trend":
            return [{**self.at, **self.treatment, self.factor: value} for value in self.order]
        if self.form == "interaction":
            return [
                {**self.at, **side, self.factor: value}
                for value in reversed(self.order)
                for side in (self.treatment, self.control)
            ]
        sides = [self.treatment] if self.value is not None else [self.treatment, self.control]
        return [{**self.at, **side} for side in sides]
