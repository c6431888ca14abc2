"""What the first page of a collection shows: one part a study, one entry per claim, with verdicts at other budgets."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.report.controls import control_lines
from ablate.report.notes import mechanism
from ablate.report.page_level import AGREEMENTS, CONTRADICTIONS, DIFFERENCES, SUPPORTS
from ablate.report.phrases import plural
from ablate.report.provenance import Progress, number_of_seeds, registration_of
from ablate.report.teaching import teach
from ablate.report.verdicts import VerdictRow, sides
from ablate.study.claim import depends_on_training
from ablate.study.results import Results

if TYPE_CHECKING:
    from ablate.judging import Judgement

DECIDED = (*DIFFERENCES, *AGREEMENTS)
POST_HOC = "* post hoc: chosen or changed after its runs had been judged; its error level does not hold"
UNTESTED = ("incomplete", "not comparable", "measured")  # outcomes of claims that no test was applied to


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """The verdict on a claim at another budget; `link` leads to its evidence."""

    verdict: VerdictRow
    link: str

    @property
    def budget(self) -> str:
        return self.verdict.judgement.budget

    @property
    def outcome(self) -> str:
        return self.verdict.judgement.outcome


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A claim on the first page.

    Args:
        verdict: the claim's row.
        anchor: unique on the page.
        link: to its evidence.
        elsewhere: verdicts at other budgets.
        q: q value over the whole page of the test behind the verdict; None where nothing is tested.
    """

    verdict: VerdictRow
    anchor: str
    link: str
    elsewhere: list[Elsewhere]
    q: float | None = None

    @property
    def identifier(self) -> str:
        """The number in the name of the claim's file, e.g. C05 of c05 and of c05_depth, "" where there is none."""
        found = re.match(r"[a-z]\d+", self.verdict.judgement.claim.file)
        return found[0].upper() if found else ""

    @property
    def metric(self) -> str:
        """The metric of the effect, "" where its unit already names it; of a ratio, also what is divided by what."""
        judgement, unit = self.verdict.judgement, self.verdict.unit
        if unit.name == "points":
            return ""
        compared = sides(judgement) if unit.is_factor else ""
        return f"{judgement.claim.metric}, {compared}" if compared else judgement.claim.metric

    @property
    def why(self) -> list[tuple[str, str]]:
        """(metric, "0.91 against 0.02") of the measurements that explain the verdict."""
        judgement = self.verdict.judgement
        parts = (mechanism(judgement.claim, found).partition(" ") for found in judgement.mechanisms)
        return [(metric, sides) for metric, _, sides in parts]

    @property
    def teach(self) -> str:
        """One sentence that says what to teach, "" where nothing was tested."""
        return teach(self.verdict.judgement)

    @property
    def warnings(self) -> list[str]:
        """What weakens the verdict."""
        return [note.text for note in self.verdict.notes if note.kind == "warning"]

    @property
    def remark(self) -> str:
        """At how many budgets a decided claim was tested, and where its verdict is the same, flips or is open.

        "" for an identity, and for a claim about the state before training that was tested once: these need no budget.
        """
        judgement = self.verdict.judgement
        if judgement.outcome not in DECIDED or judgement.claim.form == "identity":
            return ""
        budgets = dict.fromkeys(e.budget for e in self.elsewhere)
        if not budgets:
            return "at one budget only" if depends_on_training(judgement.claim.metric) else ""
        alike = dict.fromkeys(e.budget for e in self.elsewhere if same(e.outcome, judgement.outcome))
        open_at = dict.fromkeys(e.budget for e in self.elsewhere if e.outcome not in DECIDED)
        flips = [e for e in self.elsewhere if e.outcome in DECIDED and not same(e.outcome, judgement.outcome)]
        parts = [f"also at {'; '.join(alike)}"] if alike else []
        parts += [f"flips at {e.budget}: {e.outcome}" for e in flips]
        parts += [f"undecided at {'; '.join(open_at)}"] if open_at else []
        return f"tested at {len(budgets) + 1} budgets: {'; '.join(parts)}"

    @property
    def is_confirmed(self) -> bool:
        """Whether other budgets leave the verdict in the headline.

        A contradiction about trained nets needs a second budget that agrees. Any other verdict must not be the opposite
        at another budget: supported here and contradicted there.
        """
        judgement = self.verdict.judgement
        if judgement.outcome in CONTRADICTIONS:
            alike = any(same(e.outcome, judgement.outcome) for e in self.elsewhere)
            return alike or not depends_on_training(judgement.claim.metric)
        return not (judgement.outcome in SUPPORTS and any(e.outcome in CONTRADICTIONS for e in self.elsewhere))


@dataclass(frozen=True, kw_only=True)
class Part:
    """A study on the first page.

    Args:
        results: of the study.
        judgements: one a claim.
        folder: of the study's report, relative to the page.
        progress: how much of it is done.
        entries: one a claim.
    """

    results: Results
    judgements: "Sequence[Judgement]"
    folder: str
    progress: Progress
    entries: list[Entry]

    @property
    def title(self) -> str:
        return self.results.study.title or self.results.study.name

    @property
    def budget(self) -> str:
        """The budget of all verdicts, "" where they do not share one."""
        found = {judgement.budget for judgement in self.judgements}
        return found.pop() if len(found) == 1 else ""

    @property
    def registration(self) -> str:
        """When the study's plan was registered, and its hash; "" where nothing is claimed."""
        return registration_of(self.results) if self.entries else ""

    @property
    def controls(self) -> list[str]:
        """A line per positive control of the study."""
        return control_lines(self.judgements)

    @property
    def size(self) -> str:
        """How many arms and seeds it has."""
        return f"{plural(len(self.results.arms), 'arm')} × {number_of_seeds(self.results)}"


def same(one: str, other: str) -> bool:
    """Return whether two outcomes say the same, "if trained" or not."""
    return one.removesuffix(" if trained") == other.removesuffix(" if trained")
