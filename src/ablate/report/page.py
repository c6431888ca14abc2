"""The report of a study: one self-contained page, and the same as Markdown and CSV."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from ablate.report import arm_plots, effect_plots
from ablate.report.content import StudyContent, study_content
from ablate.report.contrasts import note
from ablate.report.controls import CONTROLS_RULE
from ablate.report.curves import band, pair_tables
from ablate.report.headline import headlines
from ablate.report.markdown import to_markdown
from ablate.report.page_level import apart_sentence
from ablate.report.provenance import Rows
from ablate.report.rendering import render
from ablate.report.slides import slides
from ablate.report.table import study_rows, write_text
from ablate.report.tensorboard import FOLDER, link_study, write_arm_board
from ablate.report.verdict_rows import VERDICTS_TABLE, csv_rows
from ablate.report.verdicts import count_outcomes
from ablate.study.results import Results
from ablate.study.verdict_file import write_verdicts
from ablate.tables import comma_separated

if TYPE_CHECKING:
    from ablate.judging import Judgement


def write_report(results: Results, judgements: "Sequence[Judgement]") -> Path:
    """Write report.html, report.md, table.csv, verdicts.csv, verdicts.json and the views for TensorBoard.

    They go into the study's folder.

    An unfinished study is reported with the runs that are done.

    Returns:
        The path of report.html.
    """
    content = study_content(results, judgements)
    path = results.folder / "report.html"
    write_text(results.folder / "table.csv", comma_separated(study_rows(results)))
    results.folder.mkdir(parents=True, exist_ok=True)
    write_verdicts(results, judgements)
    write_text(results.folder / VERDICTS_TABLE, comma_separated(csv_rows(judgements)))
    write_text(results.folder / "report.md", to_markdown(content))
    write_text(path, to_html(results, judgements, content))
    lock = results.folder / FOLDER / ".lock"
    lock.parent.mkdir(exist_ok=True)
    with FileLock(lock):  # plain processes that share a sweep may end at the same time
        link_study(results, results.folder)
        write_arm_board(results, judgements, results.folder)
    return path


def to_html(results: Results, judgements: "Sequence[Judgement]", content: StudyContent) -> str:
    """Return the page, figures inside."""
    from markupsafe import Markup

    verdicts = content.verdicts
    return render(
        "report.html",
        **vars(content),
        counts=count_outcomes(judgements),
        exact=apart_sentence(judgements),
        contrasts_note=note(content.contrasts),
        slides=slides(content.study.title or content.study.name, verdicts),
        controls_rule=CONTROLS_RULE,
        strips={v.number: Markup(effect_plots.strip(v)) for v in verdicts if v.judgement.differences},
        forest=Markup(effect_plots.forest(verdicts)),
        rails=arm_rails(results, content.arms),
        headline=headlines(results)[0],
        learning_curves=[Markup(svg) for svg in arm_plots.learning_curves(results)],
        tuning_curves=Markup(arm_plots.tuning_curves(results)),
        heat_maps=[(table, Markup(arm_plots.heat_map(table))) for table in pair_tables(results)],
        limits={"arms": arm_plots.ARMS_A_PANEL * arm_plots.MOST_PANELS, "tuning": arm_plots.MOST_TUNING_PANELS},
    )


def arm_rails(results: Results, rows: Rows) -> dict[str, Any]:
    """Return each arm's mean of the first metric and its 95 % t interval as positions on a rail, 0 to 100 %.

    Args:
        results: of the study.
        rows: head and one row per arm, its label first.

    Returns:
        left, right: the ends of every rail, the lowest and the highest end of all intervals; text: the same for
        people; spans: for each arm (mean, low, high), None where no run has finished.
    """
    import numpy as np

    headline = headlines(results)[0]
    by_label = {arm.label: arm for arm in results.arms}
    spans: list[tuple[float, float, float] | None] = []
    for row in rows[1:]:
        scores = headline.values(list(by_label[row[0]].records.values()))
        if not scores:
            spans.append(None)
            continue
        curve = band(np.array(scores)[:, None], headline.limits)
        mean, low, high = float(curve.mean[0]), float(curve.low[0]), float(curve.high[0])
        spans.append((mean, low, high) if low == low else (mean, mean, mean))
    known = [span for span in spans if span]
    left, right = min((s[1] for s in known), default=0.0), max((s[2] for s in known), default=1.0)
    width = max(right - left, 1e-9)
    rails = [tuple(round(100 * (end - left) / width, 2) for end in span) if span else None for span in spans]
    return {"spans": rails, "left": left, "right": right, "text": headline.span(left, right)}
