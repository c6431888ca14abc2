"""The content of a study's report, gathered once; the page and its Markdown render it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.report import provenance
from ablate.report.contrasts import contrasts
from ablate.report.controls import control_rows
from ablate.report.provenance import Progress, Rows
from ablate.report.table import shown_rows, without_idle_columns
from ablate.report.verdicts import VerdictRow, answer, verdict_table
from ablate.study.results import Results
from ablate.study.study import Study

if TYPE_CHECKING:
    from ablate.judging import Judgement

DECISION_RULE = (  # see ablate.statistics.decide
    "Supported or contradicted: the whole interval (paired t, at the level that Holm's correction leaves) lies on one "
    "side of 0, and the estimate is at least the smallest effect of interest, on the claimed or on the other side; "
    'where a claim names a number ("at least"), the whole interval lies beyond it, or short of it. No difference: the '
    "interval of the equivalence test (two one-sided tests), which is narrower, lies within plus and minus the "
    "smallest effect of interest, with three seeds or more. Inconclusive: neither, also where the effect is clearly "
    "not 0 but may be too small to matter."
)


@dataclass(frozen=True, kw_only=True)
class StudyContent:
    """The texts and tables of a study's report; every table has its head as first row.

    Args:
        study: the declared study.
        answer: the counts of outcomes in one sentence.
        progress: how much of the study is done.
        setting: (what, value) of what all verdicts hold for.
        verdicts: one row per claim, in the study's order.
        controls: see `controls.control_rows`.
        rule: how a verdict follows from the intervals, and when it holds without "if trained".
        arms: one row per arm, best first.
        contrasts: see `contrasts.contrasts`; empty where there are claims.
        failures, undeclared, own_code, environment: see `provenance`.
        command: the command line that continues the study.
        commands: the command lines that do all of it again, one for each look that was added to it.
    """

    study: Study
    answer: str
    progress: Progress
    setting: list[tuple[str, str]]
    verdicts: list[VerdictRow]
    controls: Rows
    rule: str
    arms: Rows
    contrasts: Rows
    failures: Rows
    undeclared: Rows
    own_code: Rows
    environment: Rows
    command: str
    commands: list[str]


def study_content(results: Results, judgements: "Sequence[Judgement]") -> StudyContent:
    """Return the content of a study's report."""
    return StudyContent(
        study=results.study,
        answer=answer(judgements),
        progress=provenance.progress(results),
        setting=provenance.setting(results, judgements),
        verdicts=verdict_table(results, judgements),
        controls=control_rows(judgements),
        rule=f"{DECISION_RULE} {failure_rule(results.study)}",
        arms=without_idle_columns(shown_rows(results)),
        contrasts=contrasts(results),
        failures=provenance.failures(results),
        undeclared=provenance.undeclared(results),
        own_code=provenance.own_code(results),
        environment=provenance.environment(results),
        command=provenance.command_with(results),
        commands=provenance.commands_of_all_looks(results),
    )


def failure_rule(study: Study) -> str:
    """Return the share of failing runs under which every verdict has to hold."""
    return (
        f"A verdict has to hold even if {100 * study.failure_share:g} % of the runs failed to train, unless the seeds "
        'exclude so many failures; otherwise it says "if trained".'
    )
