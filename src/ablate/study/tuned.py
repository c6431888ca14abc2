"""How the setting that differs between arms without being an axis gets its values: tuned, or fixed before."""

from dataclasses import dataclass, field
from typing import Any

from ablate.config.overrides import key_of
from ablate.errors import UserError
from ablate.study.choice import RULES

MIN_TUNING_SEEDS = 3  # with two, a value that won by chance has been seen to decide a verdict


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """How a setting is tuned: the same values and as many seeds for every arm, scored on validation images.

    Args:
        key: the setting, e.g. optimizer.lr.
        values: at least two, in increasing order.
        seeds: how many tuning seeds, at least 3; report runs use others.
        metric: what is maximized, a key of `Record.metrics`: val/accuracy, or in a study of another program any
            that is not measured on test images.
        rule: "best" or "one_standard_error", see `choice.choose_place`; fixed before the first run, like the values.
        minimize: whether less is better, for runs of another program.
        base: overrides of the tuning runs alone, such as trainer.epochs=3: a smaller budget than that of the report.
        seconds_a_run: of a tuning run on one core; None: as of a report run.
    """

    key: str
    values: list[Any]
    seeds: int = MIN_TUNING_SEEDS
    metric: str = "val/accuracy"
    rule: str = "best"
    minimize: bool = False
    base: list[str] = field(default_factory=list)
    seconds_a_run: float | None = None

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise UserError(f"`tuning.rule` must be one of {', '.join(RULES)}, got {self.rule!r}")
        if len(self.values) < 2 or sorted(self.values) != self.values:
            raise UserError(f"`tuning.values` must be at least two, in increasing order, got {self.values}")
        if self.seeds < MIN_TUNING_SEEDS:
            raise UserError(
                f"`tuning.seeds` must be at least {MIN_TUNING_SEEDS}, got {self.seeds}: with fewer, values that "
                "win by chance decide verdicts"
            )
        if self.metric.startswith("test"):
            raise UserError(f"`tuning.metric` must be val/accuracy: test images are not for tuning, got {self.metric}")
        if unusable := [line for line in self.base if "=" not in line or key_of(line) in (self.key, "seed")]:
            raise UserError(
                "`tuning.base` must be overrides key=value of the tuning runs, without the seed and the tuned setting "
                f"{self.key}, got {unusable[0]!r}; an example is [trainer.epochs=3]"
            )


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """A setting at which each arm has a value of its own that was tuned before, in place of tuning it again.

    Args:
        key: the setting, e.g. optimizer.lr.
        values: by label of the arm.
        shared: value of the arms that `values` does not name, tuned for another arm or study, which `source` names;
            None: they have the value of the base.
        source: which tuning runs chose the values.
        budget: at which they were tuned; "" for the study's own.
        edges: labels of the arms for which a better value may be outside those that were tried.
        sensitive: names of the claims that the tuning runs answer otherwise with one arm at a neighbouring value, see
            `judging.tuning.value_sensitive`.
    """

    key: str
    values: dict[str, Any] = field(default_factory=dict)
    shared: Any = None
    source: str = ""
    budget: str = ""
    edges: list[str] = field(default_factory=list)
    sensitive: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.values and self.shared is None:
            raise UserError("`fixed` must have `values` of arms, or a value that they have `shared`, got neither")
        if unknown := [label for label in self.edges if label not in self.values]:
            raise UserError(f"`fixed.edges` must be labels of `fixed.values`, got {unknown[0]!r}")
