"""Records side by side: one row an arm, over its seeds. No torch, so that a table appears at once."""

import os
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from ablate.identity import plain, scientific
from ablate.record import Record
from ablate.tables import aligned, comma_separated, markdown

HEAD = ("seeds", "test accuracy %", "std", "val accuracy %", "train accuracy %", "diverged", "seconds a run")


def arm_labels(records: Iterable[Record]) -> dict[str, str]:
    """Return {fingerprint: label}, a label naming only what is not the same in all arms.

    The levels of the groups that vary come first, then the settings that vary although the level is the same.
    """
    arms = {record.fingerprint: record for record in records}
    varying = [g for g in next(iter(arms.values())).levels if len({r.levels[g] for r in arms.values()}) > 1]
    by_levels: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in arms.values():
        by_levels[tuple(record.levels[group] for group in varying)].append(record)
    varying_keys: set[str] = set()
    for alike in [*by_levels.values(), list(arms.values())]:
        settings = [scientific(record.settings) for record in alike]
        across = alike is not by_levels.get(tuple(alike[0].levels[group] for group in varying))
        for key in set.union(*map(set, settings)):
            of_a_varying_group = across and key.partition(".")[0] in varying
            if not of_a_varying_group and len({plain(s.get(key)) for s in settings}) > 1:
                varying_keys.add(key)

    def label(record: Record) -> str:
        settings = scientific(record.settings)
        parts = [f"{group}={record.levels[group]}" for group in varying]
        parts += [f"{key}={plain(settings[key])}" for key in sorted(varying_keys) if key in settings]
        return " ".join(parts) or record.arm

    return {fingerprint: label(record) for fingerprint, record in arms.items()}


def arm_rows(records: Sequence[Record]) -> list[list[str]]:
    """Return the head and one row an arm, best test accuracy first.

    Accuracies are means over seeds in percent; "std" is the standard deviation (n - 1) of test accuracy over seeds;
    training accuracy is measured at inference with the final weights. A diverged run counts as guessing.
    """
    labels = arm_labels(records)
    arms: dict[str, dict[int, Record]] = defaultdict(dict)
    for record in records:
        arms[record.fingerprint][record.seed] = record

    def mean(fingerprint: str, metric: str) -> float:
        return 100 * statistics.fmean(run.metrics[metric] or 0.0 for run in arms[fingerprint].values())

    rows = [["arm", *HEAD]]
    for fingerprint in sorted(arms, key=lambda f: (-mean(f, "test/accuracy"), labels[f])):
        runs = list(arms[fingerprint].values())
        accuracies = [100 * (run.metrics["test/accuracy"] or 0.0) for run in runs]
        rows.append(
            [
                labels[fingerprint],
                str(len(runs)),
                f"{mean(fingerprint, 'test/accuracy'):.2f}",
                f"{statistics.stdev(accuracies):.2f}" if len(runs) > 1 else "",
                f"{mean(fingerprint, 'val/accuracy'):.2f}",
                f"{mean(fingerprint, 'train_eval/accuracy'):.2f}",
                str(sum(run.status == "diverged" for run in runs)),
                f"{statistics.fmean(run.wall_seconds for run in runs):.1f}",
            ]
        )
    return rows


def write_sweep(folder: Path, finished: Sequence[tuple[Path, Record]]) -> str:
    """Write table.md, table.csv and links for TensorBoard into `folder`; return the table for the terminal.

    Args:
        folder: made when it is not there.
        finished: the runs' folders and records, at least one; TensorBoard follows links named <arm>/seed-<s> to them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = arm_rows([record for _, record in finished])
    (folder / "table.md").write_text(markdown(rows) + "\n", encoding="utf-8")
    (folder / "table.csv").write_text(comma_separated(rows), encoding="utf-8")
    for run_folder, _ in finished:
        link = folder / "tensorboard" / run_folder.parent.name / run_folder.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(os.path.relpath(run_folder, link.parent), target_is_directory=True)
    return aligned(rows)
