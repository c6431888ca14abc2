"""Which metrics the tables of a study show, and in which unit: the first of them orders the arms."""

from collections.abc import Sequence
from dataclasses import dataclass

from ablate.report.phrases import is_accuracy, range_of
from ablate.study.results import Results
from ablate.training.record import Record


@dataclass(frozen=True)
class Headline:
    """A metric as tables and figures show it, accuracies in percent.

    Args:
        metric: key of `Record.metrics`.
        minimize: whether less is better.

    >>> Headline("test/accuracy").name, Headline("rmse", minimize=True).name
    ('test accuracy %', 'rmse')
    """

    metric: str
    minimize: bool = False

    @property
    def scale(self) -> float:
        """Factor from the metric to the shown number."""
        return 100.0 if is_accuracy(self.metric) else 1.0

    @property
    def limits(self) -> tuple[float, float]:
        """The least and the greatest number that can be shown."""
        low, high = range_of(self.metric)
        return self.scale * low, self.scale * high

    @property
    def name(self) -> str:
        """The metric with its unit."""
        return f"{self.metric.replace('/', ' ')} %" if is_accuracy(self.metric) else self.metric

    @property
    def caption(self) -> str:
        """The metric with its unit, in running text."""
        return self.name.replace(" %", ", %")

    def values(self, runs: Sequence[Record]) -> list[float]:
        """Return the shown numbers of the runs that have one; a null accuracy of a run of ablate's own counts as 0."""
        found = [run.metrics.get(self.metric) if run.program else run.metrics[self.metric] or 0.0 for run in runs]
        return [self.scale * value for value in found if value is not None]

    def number(self, value: float) -> str:
        """Return a shown number without its unit: two decimals of a percentage, otherwise four significant digits.

        >>> Headline("test/accuracy").number(81.234), Headline("rmse").number(0.0123456)
        ('81.23', '0.01235')
        """
        return f"{value:.2f}" if is_accuracy(self.metric) else f"{value:.4g}"

    def span(self, low: float, high: float) -> str:
        """Return a range of shown numbers.

        >>> Headline("test/accuracy").span(40, 60), Headline("rmse").span(0.5, 1)
        ('40.0 to 60.0 %', '0.5 to 1')
        """
        return f"{low:.1f} to {high:.1f} %" if is_accuracy(self.metric) else f"{low:.3g} to {high:.3g}"


def headlines(results: Results) -> list[Headline]:
    """Return the metrics that a study's tables show; the test accuracy where ablate trained.

    Of another program these are the metrics that the study names, then those of its claims, or all where it has none.
    Less is better if the first claim about the metric says "smaller".
    """
    study = results.study
    if study.foreign is None:
        return [Headline("test/accuracy")]
    claimed = [claim.metric for claim in study.asked]
    names = list(dict.fromkeys([*study.foreign.metrics, *claimed]))
    records = [record for arm in results.arms for record in arm.records.values()]
    if not names:
        names = list(dict.fromkeys(name for record in records for name in record.metrics))[:6]
    smaller: dict[str, bool] = {}
    for claim in study.asked:
        smaller.setdefault(claim.metric, "smaller" in (claim.form, claim.direction))
    return [Headline(name, smaller.get(name, False)) for name in names] or [Headline("test/accuracy")]
