"""A study in TensorBoard: one aggregated run per arm, and links to the runs themselves.

| tag | meaning | x axis |
|---|---|---|
| accuracy/train, accuracy/val | mean over seeds; the page sorts tags by name and so opens on them | epoch |
| accuracy/test | mean over seeds of the final test accuracy | epoch |
| train/<scalar>/mean, /lower, /upper | mean over seeds, pointwise 95 % t interval; val/... likewise | epoch |
| measured/<scalar>/mean, /lower, /upper | the same of the history's other scalars: diagnostics, lr | epoch |
| final/<metric> | mean over seeds of a final metric; what the HParams page shows, one row per arm | - |
| runs | text: how many runs have finished, and which means are over fewer of them | - |
| verdicts, answer, registration | the claims' verdicts and the plan's date and hash as text, in the run "study" | - |

The run "study" also holds the layout of the custom scalars page, whose margin charts show the bands. TensorBoard's own
writer is used: torch's needs seconds to import.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ablate.config.overrides import text
from ablate.report.curves import averaged_over, band, history
from ablate.report.links import folder_names, link_runs
from ablate.report.markdown import verdict_rows
from ablate.report.notes import known_before
from ablate.report.phrases import range_of
from ablate.report.provenance import progress, records_of, registration_of, unsound
from ablate.report.verdicts import answer, verdict_table
from ablate.storage.integrity import replacing
from ablate.study.results import ArmResult, Results
from ablate.tables import markdown
from ablate.training.identity import flatten, scientific
from ablate.training.record import Record

if TYPE_CHECKING:
    from ablate.judging import Judgement

FOLDER = "tensorboard-arms"
STUDY_RUN = "study"
COLUMNS_RUN = "columns"  # beside the runs: holds the columns of the HParams page alone
FIRST = {"train/accuracy": "accuracy/train", "val/accuracy": "accuracy/val"}
FINAL_ACCURACY = "test/accuracy"
HEADLINE = ("test/accuracy", "val/accuracy", "train_eval/accuracy", "test/loss")

Scalar = bool | int | float | str


def link_study(results: Results, folder: Path) -> None:
    """Link the report runs that have begun as `folder`/tensorboard/<arm>/seed-<s>, and name the HParams columns."""
    names = folder_names(arm.label for arm in results.arms)
    runs = {
        f"{name}/seed-{seed}": results.output_dir / arm.chosen.folder / f"seed-{seed}"
        for name, arm in zip(names, results.arms, strict=True)
        if arm.chosen is not None
        for seed in results.seeds_of(arm)
    }
    link_runs(folder / "tensorboard", {name: run for name, run in runs.items() if run.is_dir()})
    hparams = varying_hparams([arm for arm in results.arms if arm.records])
    known = {key for record in records_of(results) for key in record.metrics}
    write_columns(folder / "tensorboard" / COLUMNS_RUN, hparams, [(key, key) for key in HEADLINE if key in known])


def write_arm_board(results: Results, judgements: "Sequence[Judgement]", folder: Path) -> None:
    """Write one aggregated run per arm under `folder`/tensorboard-arms, from scratch.

    Old event files there are removed, and nothing else.
    """
    board = folder / FOLDER
    for old in sorted(board.rglob("events.out.tfevents.*")):
        old.unlink()
    arms = [arm for arm in results.arms if arm.records]
    names = folder_names([STUDY_RUN, *(arm.label for arm in arms)])[1:]
    hparams = varying_hparams(arms)
    for name, arm, own in zip(names, arms, hparams, strict=True):
        write_arm(board / name, name, arm, own, len(results.seeds_of(arm)))
    write_study(board / STUDY_RUN, results, judgements, hparams)


def varying_hparams(arms: Sequence[ArmResult]) -> list[dict[str, Scalar]]:
    """Return the levels and scalar settings of each arm that are not the same in all of them.

    Values of one name get one type, as a column of the HParams page needs. A single arm has its levels.
    """
    flat: list[dict[str, Any]] = []
    for arm in arms:
        record = next(iter(arm.records.values()))
        settings = {
            key: value
            for key, value in scientific(record.settings).items()
            if not key.rpartition(".")[2].startswith("_")
        }
        # Where a group is a single setting, its level is the value.
        flat.append({**settings, **dict(flatten(arm.axes)), **record.levels})
    keys = sorted({key for own in flat for key in own if key.partition(".")[0] != "diagnostics"})
    if len(arms) > 1:
        keys = [key for key in keys if len({text(own.get(key)) for own in flat}) > 1]
    else:
        keys = [key for key in keys if key in next(iter(arms[0].records.values())).levels] if arms else []
    kinds = {key: {type(own[key]) for own in flat if key in own} for key in keys}
    return [{key: as_hparam(own[key], kinds[key]) for key in keys if key in own} for own in flat]


def write_columns(folder: Path, hparams: Sequence[Mapping[str, Scalar]], metrics: Sequence[tuple[str, str]]) -> None:
    """Write an event file with the columns of the HParams page, which would have one for every scalar otherwise.

    Args:
        folder: the event file's; events that are there are removed.
        hparams: of each arm.
        metrics: (tag, shown name) of the columns beside them.
    """
    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    with event_file(folder) as writer:
        add(writer, columns(hparams, metrics))


def columns(hparams: Sequence[Mapping[str, Scalar]], metrics: Sequence[tuple[str, str]]) -> Any:
    """Return the summary that names the columns of the HParams page."""
    from tensorboard.plugins.hparams.summary_v2 import Discrete, HParam, Metric, hparams_config_pb

    names = sorted({key for own in hparams for key in own})
    found = [HParam(name, Discrete(sorted({own[name] for own in hparams if name in own}))) for name in names]
    return hparams_config_pb(found, [Metric(tag, display_name=name) for tag, name in metrics])


def as_hparam(value: Any, kinds: set[type]) -> Scalar:
    """Return a value as HParams takes it: a number where all values are numbers, otherwise text."""
    if kinds <= {int, float}:
        return float(value)
    return value if kinds in ({bool}, {str}) else text(value)


def write_arm(folder: Path, name: str, arm: ArmResult, hparams: Mapping[str, Scalar], num_seeds: int) -> None:
    """Write bands, final means and hyperparameters of one arm, of `num_seeds` planned runs."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb

    records = list(arm.records.values())
    with event_file(folder) as writer:
        add(writer, hparams_pb(dict(hparams), trial_id=name))
        add(writer, text_summary("runs", markdown(run_rows(records, num_seeds))))
        for key in scalars(records):
            curve = band(history(records, key), range_of(key))
            ends = zip(curve.mean.tolist(), curve.low.tolist(), curve.high.tolist(), strict=True)
            for epoch, (mean, low, high) in enumerate(ends, start=1):
                if mean == mean:
                    # One seed has no interval; a band of no width keeps the line of the mean visible.
                    triple = (mean, low if low == low else mean, high if high == high else mean)
                    values = zip(("mean", "lower", "upper"), triple, strict=True)
                    points = [Summary.Value(tag=f"{placed(key)}/{end}", simple_value=v) for end, v in values]
                    if key in FIRST:
                        points.append(Summary.Value(tag=FIRST[key], simple_value=mean))
                    add(writer, Summary(value=points), epoch)
        finals = [Summary.Value(tag=f"final/{key}", simple_value=mean) for key, mean in final_means(records).items()]
        if FINAL_ACCURACY in (known := final_means(records)):
            finals.append(Summary.Value(tag="accuracy/test", simple_value=known[FINAL_ACCURACY]))
        add(writer, Summary(value=finals), max(len(record.history) for record in records))
        add(writer, session_end())


def run_rows(records: Sequence[Record], num_seeds: int) -> list[list[str]]:
    """Return head and rows: how many runs have finished, then each mean over fewer of them or not shown."""
    rows = [["mean", "over"], ["all that are not named below", f"{len(records)} of {num_seeds} runs"]]
    shown = ((key, averaged_over(history(records, key), len(records))) for key in scalars(records))
    rows += [[key, over] for key, over in shown if over]
    known = final_means(records)
    for key in dict.fromkeys(key for record in records for key in record.metrics):
        count = sum(record.metrics.get(key) is not None for record in records)
        if key not in known:
            rows.append([f"final/{key}", f"{count} of {len(records)} runs have a value: no mean is shown"])
    return rows


def placed(key: str) -> str:
    """Return the tag of a scalar: what is not about training or validation images is below "measured/".

    >>> placed("val/accuracy"), placed("dead_units/conv1_1")
    ('val/accuracy', 'measured/dead_units/conv1_1')
    """
    return key if key.startswith(("train/", "val/")) else f"measured/{key}"


def scalars(records: Sequence[Record]) -> list[str]:
    """Return the keys of the runs' histories, without the epoch itself."""
    found = {key: None for record in records for entry in record.history for key in entry if key != "epoch"}
    return list(found)


def final_means(records: Sequence[Record]) -> dict[str, float]:
    """Return the mean over seeds of each final metric that every run has; of "non_finite" only where it is not 0."""
    keys = {key: None for record in records for key in record.metrics}
    means = {}
    for key in keys:
        values = [value for record in records if (value := record.metrics.get(key)) is not None]
        if len(values) == len(records) and (any(values) or not key.endswith("/non_finite")):
            means[key] = sum(values) / len(values)
    return means


def write_study(
    folder: Path, results: Results, judgements: "Sequence[Judgement]", hparams: Sequence[Mapping[str, Scalar]]
) -> None:
    """Write what concerns the whole study: layout of the charts, columns of the HParams page, verdicts."""

    records = records_of(results)
    known = set(final_means(records))
    metrics = [(f"final/{key}", f"{key} (mean)") for key in HEADLINE if key in known]
    with event_file(folder) as writer:
        add(writer, columns(hparams, metrics))
        add(writer, layout(scalars(records)))
        headline = answer(judgements) if judgements else "no claims"
        add(
            writer,
            text_summary("answer", "; ".join([f"**{headline}**", progress(results).sentence(), *unsound(results)])),
        )
        if judgements:
            rows = verdict_rows(verdict_table(results, judgements))
            add(writer, text_summary("registration", registration_of(results)))
            reasons = [f"- {number}: {line}" for number, j in enumerate(judgements, 1) for line in known_before(j)]
            add(writer, text_summary("verdicts", "\n".join([markdown([row[:5] for row in rows]), "", *reasons])))


@contextlib.contextmanager
def event_file(folder: Path) -> Iterator[Any]:
    """Yield the writer of a new event file, which appears in the folder when the block has succeeded.

    Raises:
        CannotWrite: see `integrity.replacing`. (TensorBoard's own writer reports a full disk from a thread.)
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder.mkdir(parents=True, exist_ok=True)
    name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
    with replacing(folder / name) as temporary, temporary.open("wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
        yield writer
        writer.flush()


def layout(keys: Sequence[str]) -> Any:
    """Return the custom scalars page: a margin chart for each scalar, accuracies first."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.custom_scalar import layout_pb2, metadata

    groups: dict[str, list[str]] = {"accuracy": [], "loss": [], "training": []}
    for key in keys:
        last = key.rpartition("/")[2]
        groups[last if last in groups else "training"].append(key)
    categories = [
        layout_pb2.Category(
            title=f"{title}: mean over seeds, 95 % t interval",
            chart=[chart(key) for key in found],
        )
        for title, found in groups.items()
        if found
    ]
    content = layout_pb2.Layout(category=categories).SerializeToString()
    summary = Summary()
    summary.value.add(
        tag=metadata.CONFIG_SUMMARY_TAG, metadata=metadata.create_summary_metadata(), tensor=string_tensor(content)
    )
    return summary


def chart(key: str) -> Any:
    """Return the margin chart of one scalar."""
    from tensorboard.plugins.custom_scalar import layout_pb2

    tag = placed(key)
    series = layout_pb2.MarginChartContent.Series(value=f"{tag}/mean", lower=f"{tag}/lower", upper=f"{tag}/upper")
    return layout_pb2.Chart(title=key, margin=layout_pb2.MarginChartContent(series=[series]))


def text_summary(tag: str, content: str) -> Any:
    """Return a summary that the text page shows as Markdown."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.text import metadata

    summary = Summary()
    summary.value.add(
        tag=tag, metadata=metadata.create_summary_metadata(tag, ""), tensor=string_tensor(content.encode())
    )
    return summary


def session_end() -> Any:
    """Return the summary that marks a row of the HParams page as complete."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.api_pb2 import Status
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

    data = HParamsPluginData(session_end_info=SessionEndInfo(status=Status.STATUS_SUCCESS))
    summary = Summary()
    summary.value.add(
        tag=metadata.SESSION_END_INFO_TAG, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR
    )
    return summary


def string_tensor(content: bytes) -> Any:
    """Return bytes as a tensor of one string, shape (1,)."""
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
    from tensorboard.compat.proto.types_pb2 import DT_STRING

    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    return TensorProto(dtype=DT_STRING, string_val=[content], tensor_shape=shape)


def add(writer: Any, summary: Any, step: int = 0) -> None:
    """Write a summary as an event with the current time."""
    from tensorboard.compat.proto.event_pb2 import Event

    writer.write(Event(wall_time=time.time(), step=step, summary=summary).SerializeToString())
