"""Metrics of a record as numbers, with those that are computed from what it holds.

| metric | value |
|---|---|
| gap/accuracy | train_eval/accuracy - test/accuracy, in [-1, 1] |
| reaches/METRIC/NUMBER | 1 if METRIC is at least NUMBER, else 0: its mean is the share of runs that reach the number |
| at/train/cross_entropy/NUMBER/val/accuracy | validation accuracy where the training loss passes NUMBER nats |

The last one compares nets that have learned equally much from their training images, whatever their speed. It is
interpolated between the last epoch whose training loss is above the number and the first one that is not; there is no
value if no epoch is, or the first one already. val/loss is possible too.
"""

import itertools
import math
import re
from typing import Any

from ablate.errors import UserError
from ablate.training.record import Record

GAP = "gap/accuracy"
REACHES = re.compile(r"reaches/((?:train_eval|val|test)/(?:accuracy|loss))/(\d+(?:\.\d+)?)")
AT = re.compile(r"at/train/cross_entropy/(\d+(?:\.\d+)?)/(val/(?:accuracy|loss))")


def is_computed(metric: str) -> bool:
    """Return whether a metric is computed from others.

    >>> is_computed("reaches/test/accuracy/0.985"), is_computed("test/accuracy")
    (True, False)
    """
    return metric == GAP or bool(REACHES.fullmatch(metric) or AT.fullmatch(metric))


def metric_value(record: Record | None, metric: str) -> float:
    """Return a metric as a number: nan for a missing run, inf for a null (a threshold never reached, a loss diverged).

    Raises:
        UserError: the run has no such metric.

    >>> metric_value(None, "test/accuracy")
    nan
    """
    if record is None:
        return math.nan
    if is_computed(metric):
        return computed(record, metric)
    if metric not in record.metrics and record.status == "diverged":
        return math.inf  # a net that diverged is not measured
    if metric not in record.metrics:
        raise UserError(
            f"some runs have no metric {metric!r} (for one, seed {record.seed} of {record.arm}); "
            f"it has {', '.join(sorted(record.metrics)) or 'no metric at all'}"
        )
    value = record.metrics[metric]
    return math.inf if value is None else float(value)


def computed(record: Record, metric: str) -> float:
    """Return a metric for which `is_computed` holds, see the module."""
    if metric == GAP:
        return metric_value(record, "train_eval/accuracy") - metric_value(record, "test/accuracy")
    if found := REACHES.fullmatch(metric):
        value = metric_value(record, found[1])
        return float(math.isfinite(value) and value >= float(found[2]))
    found = AT.fullmatch(metric)
    assert found is not None
    return at_equal(record.history, "train/cross_entropy", float(found[1]), found[2])


def at_equal(history: list[dict[str, Any]], falling: str, level: float, metric: str) -> float:
    """Return a metric where a falling one passes a level, linear between two epochs; inf where it does not.

    >>> rows = [{"loss": 2.0, "accuracy": 0.2}, {"loss": 1.0, "accuracy": 0.4}]
    >>> round(at_equal(rows, "loss", 1.25, "accuracy"), 6)
    0.35
    """
    for before, after in itertools.pairwise(history):
        known = [float(v) for row in (before, after) for key in (falling, metric) if (v := row.get(key)) is not None]
        if len(known) < 4:
            return math.inf
        x0, y0, x1, y1 = known
        if x0 > level >= x1:
            return y0 + (y1 - y0) * (x0 - level) / (x0 - x1)
        if x0 <= level:
            return math.inf
    return math.inf
