"""Write docs/lecture/pilot.md: which controls of the lecture came out at which budget of the study `pilot`.

Usage: python scripts/pilot.py OUTPUT_DIR [--to FILE]

OUTPUT_DIR holds the finished studies of these commands (two cores: about 20 minutes together):
    ablate study=pilot profile=quick hydra/launcher=joblib hydra.launcher.n_jobs=2 output_dir=OUTPUT_DIR
    ablate study=pilot profile=half hydra/launcher=joblib hydra.launcher.n_jobs=2 output_dir=OUTPUT_DIR
    ablate study=pilot profile=standard hydra/launcher=joblib hydra.launcher.n_jobs=2 output_dir=OUTPUT_DIR
"""

import argparse
from pathlib import Path

from ablate.cli.budget_map import studies_named
from ablate.config import catalog
from ablate.errors import UserError
from ablate.report.budget_map import BudgetMap, budget_map
from ablate.report.markdown import escaped
from ablate.report.table import write_text
from ablate.tables import markdown

TARGET = Path(__file__).parents[1] / "docs" / "lecture" / "pilot.md"


def page(found: BudgetMap) -> str:
    """Return the pilot as Markdown: a row a statement, a column a budget, and the least budget at which all hold."""
    budgets = {point.work: point.budget for track in found.tracks for point in track.points}
    works = sorted(budgets)
    rows = [["statement", *(budgets[work] for work in works)]]
    for track in found.tracks:
        cells = {p.work: f"{p.row.marked}: {p.row.effect} {p.row.interval}".rstrip() for p in track.points}
        rows.append([track.claim.text, *(cells.get(work, "not run") for work in works)])
    num_seeds = {point.judgement.num_seeds for track in found.tracks for point in track.points}
    hold = [
        work
        for work in works
        if all(any(p.work == work and p.outcome == "supported" for p in track.points) for track in found.tracks)
    ]
    if hold:
        answer = f"All statements hold from {budgets[hold[0]]} on."
    else:
        answer = "At none of these budgets do all statements hold."
    return "\n\n".join(
        [
            "# The pilot of the standard budget",
            "What has to come out before a verdict on activations, batch norm or depth means anything, at several "
            f"budgets: study `pilot`, {' or '.join(map(str, sorted(num_seeds)))} seeds from 900, which no page of the "
            "lecture uses. The width is the mean of the stages' channels (8, 16 and 32).",
            markdown(escaped(rows)),
            answer,
            "Made by `scripts/pilot.py`.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output_dir", type=Path)
    parser.add_argument("--to", type=Path, default=TARGET)
    args = parser.parse_args()
    try:
        found = budget_map("pilot", studies_named("pilot", args.output_dir, catalog.folders()))
    except UserError as error:
        raise SystemExit(str(error)) from error
    write_text(args.to, page(found) + "\n")
    print(args.to)


if __name__ == "__main__":
    main()
