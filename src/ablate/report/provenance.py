"""Provenance of the verdicts: progress, failures, differences between configurations, environment, command."""

import itertools
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ablate.config.overrides import command_again, text
from ablate.report.phrases import percent, plural
from ablate.study.manifest import Variant, coinciding, same_runs
from ablate.study.results import ArmResult, Results
from ablate.study.study import TUNING_SEED
from ablate.study.tuned import Fixed, Tuning
from ablate.study.undeclared import undeclared as undeclared_settings
from ablate.training.record import Record

if TYPE_CHECKING:
    from ablate.judging import Judgement

Rows = list[list[str]]
NAMES = {
    "ablate_git_commit": "git commit of ablate",
    "own_repository": "your git repository",
    "own_git_commit": "git commit of your repository (+: with changes)",
}
REMADE = "the command that began the study sets it aside and repeats the run"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How much of the study is done.

    Args:
        done, planned: report runs.
        tuning_done, tuning_planned: tuning runs.
        failed: runs that raised an error and have not finished since.
        refused: runs whose record cannot be used; they count as missing.
        diverged: report runs whose loss became nan or infinite; they are done, and scored as guessing.
        non_finite: report runs with outputs that are not finite at inference; these images count as wrong.
    """

    done: int
    planned: int
    tuning_done: int
    tuning_planned: int
    failed: int
    diverged: int
    non_finite: int
    refused: int = 0

    @property
    def is_complete(self) -> bool:
        return self.done == self.planned and self.tuning_done == self.tuning_planned

    def sentence(self) -> str:
        """Return how much is done as a sentence."""
        parts = [f"{self.done:,} of {plural(self.planned, 'report run')}"]
        if self.tuning_planned:
            parts.append(f"{self.tuning_done:,} of {plural(self.tuning_planned, 'tuning run')}")
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{' and '.join(parts)} done{failed}" + (f", {self.refused} with a refused record" * bool(self.refused))


def progress(results: Results) -> Progress:
    """Return how much of the study is done; a run that arms share is counted once."""
    study, arms = results.study, results.arms
    tuned = [(variant, i, arm) for arm in arms for i, variant in enumerate(arm.planned.tuned)]
    return Progress(
        done=len({(arm.identity, seed) for arm in arms for seed in arm.records}),
        planned=len({(arm.identity, seed) for arm in arms for seed in results.seeds_of(arm)}),
        tuning_done=len({(v.fingerprint, seed) for v, i, arm in tuned if arm.tuning for seed in arm.tuning[i]}),
        tuning_planned=len({variant.fingerprint for variant, _, _ in tuned}) * len(study.tuning_seeds),
        failed=len({(arm.planned.identity, seed) for arm in arms for seed in arm.failures}),
        refused=len({directory for arm in arms for directory in arm.refused}),
        diverged=sum(record.status == "diverged" for record in records_of(results)),
        non_finite=sum(arm.num_non_finite for arm in results.arms),
    )


def records_of(results: Results) -> list[Record]:
    """Return the report runs' records in the study's order, those that arms share once."""
    records = (record for arm in results.arms for record in arm.records.values())
    return list({(record.fingerprint, record.seed): record for record in records}.values())


def setting(results: Results, judgements: "Sequence[Judgement]") -> list[tuple[str, str]]:
    """Return (what, value) of what all verdicts hold for: budget, seeds, tuning, error level."""
    study = results.study
    seeds = max((results.seeds_of(arm) for arm in results.arms), key=len, default=study.seeds)
    budgets = list(dict.fromkeys(judgement.budget for judgement in judgements if judgement.budget))
    consecutive = seeds == list(range(seeds[0], seeds[0] + len(seeds))) and len(seeds) > 2
    listed = f"{seeds[0]} to {seeds[-1]}" if consecutive else ", ".join(map(str, seeds))
    rows = [
        ("Budget", "; ".join(budgets) or budget(results)),
        ("Arms and seeds", f"{plural(len(results.arms), 'arm')} × {number_of_seeds(results)} ({listed})"),
    ]
    rows += [("Same runs", same_runs(labels)) for labels in coinciding(arm.planned for arm in results.arms)]
    if study.tuning:
        values = ", ".join(map(text, study.tuning.values))
        number = plural(study.tuning.seeds, "seed")
        own = f", with {', '.join(study.tuning.base)}" if study.tuning.base else ""
        rows.append(
            (
                "Tuning",
                f"{study.tuning.key} of every arm over {values} {tuned_by(results)}, {number} of its own"
                f"{own}; chosen: {rule_sentence(study.tuning)}",
            )
        )
    elif study.fixed:
        rows.append(("Tuning", as_tuned_before(study.fixed, [arm.label for arm in results.arms])))
    else:
        rows.append(("Tuning", "none: every arm runs with the settings it was given"))
    if study.only:
        rows.append(("Claims", f"only {', '.join(study.only)}; the study's other claims were not tested"))
    if judgements:
        rows.append(("Registered", registration_of(results)))
    if judgements and study.schedule:
        rows.append(("Error level", f"{study.alpha:g} a family of claims (Holm) over all looks"))
        rows.append(("Looks", looks_taken(study.schedule, judgements)))
    elif judgements:
        looks = f"look {results.look} of {study.looks}"
        rows.append(("Error level", f"{study.alpha:g} a family of claims (Holm) over all looks; this is {looks}"))
    return rows


def number_of_seeds(results: Results) -> str:
    """Return how many report seeds the arms have, e.g. "5 seeds", or "4 to 12 seeds" where they differ."""
    numbers = [len(results.seeds_of(arm)) for arm in results.arms] or [len(results.study.seeds)]
    least, most = min(numbers), max(numbers)
    return plural(most, "seed") if least == most else f"{least} to {most} seeds"


def looks_taken(schedule: Sequence[int], judgements: "Sequence[Judgement]") -> str:
    """Return the declared looks, at which of them the claims were decided, and which claims are open."""
    tested = [j for j in judgements if j.claim.is_tested]
    decided = Counter(j.look for j in tested if not j.next_look and j.outcome not in ("inconclusive", "incomplete"))
    parts = [f"{decided[look]} decided at look {look}" for look in range(1, len(schedule) + 1) if decided[look]]
    if ended := sum(j.outcome == "inconclusive" and not j.next_look for j in tested):
        parts.append(f"{ended} undecided after the last look")
    if names := [j.claim.name for j in tested if j.next_look]:
        parts.append(f"{len(names)} open: {', '.join(names)}")
    return f"declared at {', '.join(map(str, schedule))} seeds; {', '.join(parts) or 'no claim is tested'}"


def registration_of(results: Results) -> str:
    """Return when the study's plan was registered, and its hash."""
    registration = results.manifest.registration
    return registration.sentence() if registration else "no: an earlier version of ablate began this study"


def as_tuned_before(fixed: Fixed, labels: Sequence[str]) -> str:
    """Summarize the values tuned before: for how many arms, at which budget, the source, and what is shared."""
    known = sum(label in fixed.values for label in labels)
    number = "every arm" if known == len(labels) else f"{known} of {len(labels)} arms"
    at = f" at {fixed.budget}" if fixed.budget else ""
    source = f" ({fixed.source})" if fixed.source else ""
    if fixed.shared is None:
        others = "" if known == len(labels) else "; the others have the base's"
        return f"{fixed.key} of {number} as tuned before{at}{source}{others}"
    if not known:
        return f"none of its own: all arms share {fixed.key}={text(fixed.shared)}, as tuned before{at}{source}"
    others = "" if known == len(labels) else f"; the others share {text(fixed.shared)}"
    return f"{fixed.key} of {number} as tuned before{at}{source}{others}"


def tuned_by(results: Results) -> str:
    """Return on what the tuned setting is chosen: validation images, or the metric that a program's study names."""
    tuning = results.study.tuning
    assert tuning is not None
    if not results.study.foreign:
        return "on validation images"
    return f"by {'the smallest ' * tuning.minimize}{tuning.metric}"


def rule_sentence(tuning: Tuning) -> str:
    """Return which of the tuned values an arm gets."""
    if tuning.rule == "best":
        return "the best mean"
    return "the smallest value within one standard error of the best mean"


def budget(results: Results) -> str:
    """Return net, data and epochs where all arms share them."""
    if results.study.foreign:
        return f"runs of {results.study.foreign.name}"
    variants = [arm.planned.variants[0] for arm in results.arms]
    nets, data = ({variant.levels.get(group) for variant in variants} for group in ("net", "data"))
    epochs = {variant.settings.get("trainer", {}).get("epochs") for variant in variants}
    parts = [str(next(iter(found))) for found in (nets, data) if len(found) == 1 and None not in found]
    parts += [plural(int(next(iter(epochs))), "epoch")] if len(epochs) == 1 and None not in epochs else []
    return ", ".join(parts) or "differs between arms"


def failures(results: Results) -> Rows:
    """Return head and rows of runs that failed, diverged, gave no finite outputs or have an unusable record, and of
    arms without a value."""
    rows = [["arm", "seed", "what happened"]]
    for arm in results.arms:
        for directory, why in sorted(arm.refused.items()):
            rows.append([arm.label, directory.rpartition("-")[2], f"counts as missing: {why}; {REMADE}"])
        for seed, line in sorted(arm.failures.items()):
            kind = "tuning run failed" if seed >= TUNING_SEED else "failed"
            rows.append([arm.label, str(seed), f"{kind}: {line}"])
        diverged = [str(seed) for seed, record in sorted(arm.records.items()) if record.status == "diverged"]
        if diverged:
            rows.append([arm.label, ", ".join(diverged), diverged_as(results)])
        if arm.num_non_finite:
            seeds = [str(seed) for seed, record in sorted(arm.records.items()) if record.non_finite]
            rows.append([arm.label, ", ".join(seeds), f"{not_finite(arm)}; such an image counts as wrong"])
        if arm.is_untunable:
            rows.append([arm.label, "tuning", untunable(arm, results.study.nuisance)])
    return rows


def diverged_as(results: Results) -> str:
    """Return how runs that diverged are scored."""
    if results.study.foreign is None:
        return "diverged: the loss was no longer finite; scored as guessing"
    known = results.study.foreign.guessing is not None
    return f"diverged: a metric is not finite; {'its accuracy is that of guessing' if known else 'it has no score'}"


def not_finite(arm: ArmResult) -> str:
    """Return in how many runs of an arm an output was not finite, "" where in none."""
    num, most = arm.num_non_finite, max((record.non_finite for record in arm.records.values()), default=0.0)
    of = f"{num} of {plural(len(arm.records), 'seed')}"
    return f"not finite at inference: {of} (up to {percent(most)} of the images)" if num else ""


def untunable(arm: ArmResult, key: str) -> str:
    """Return a sentence for an arm whose tuned setting `key` has no value at which every run trains."""
    assert arm.chosen is not None
    return (
        f"not tunable: at every value of {key} a tuning run diverged or was not finite at inference; "
        f"judged at {text(arm.chosen.value)}, where the fewest did"
    )


def unsound(results: Results) -> list[str]:
    """Return one line for each arm with outputs that are not finite at inference, or without a value that trains."""
    lines = [f"{arm.label}: {line}" for arm in results.arms if (line := not_finite(arm))]
    return lines + [
        f"{arm.label}: {untunable(arm, results.study.nuisance)}" for arm in results.arms if arm.is_untunable
    ]


def undeclared(results: Results) -> Rows:
    """Return head and rows of the settings that differ between arms, except axes, the tuned one and what follows."""
    declared = {axis for arm in results.arms for axis in arm.axes} | {results.study.nuisance} - {""}
    reference = results.arms[0] if results.arms else None
    rows = [["arm", "setting", "value", f"in {reference.label if reference else ''}"]]
    for arm in results.arms[1:]:
        assert reference is not None
        found = undeclared_settings(variant_of(arm), variant_of(reference), declared)
        rows += [[arm.label, key, text(mine), text(other)] for key, (mine, other) in found.items()]
    return rows


def own_code(results: Results) -> Rows:
    """Return head and rows of the code that runs name outside the program: file, hash or version, and which arms."""
    found: dict[tuple[str, str, bool], list[str]] = {}
    for arm in results.arms:
        planned = (arm.chosen or arm.planned.variants[0]).sources
        for source in [source for record in arm.records.values() for source in record.sources] or planned:
            state = source["sha256"] or f"version {source['version']}"
            arms = found.setdefault((source["path"] or source["name"], state, source["scientific"]), [])
            if arm.label not in arms:
                arms.append(arm.label)
    rows = [["code", "SHA-256 of the file, or version", "arms"]]
    for (name, state, scientific), arms in sorted(found.items()):
        shown = "all" if len(arms) == len(results.arms) else ", ".join(arms)
        rows.append([name, state, shown if scientific else f"{shown}, for diagnostics only: not part of the identity"])
    return rows


def variant_of(arm: ArmResult) -> Variant:
    """Return the variant an arm is judged with, the first one until one is chosen."""
    return arm.chosen or arm.planned.variants[0]


def environment(results: Results) -> Rows:
    """Return head and rows of the machine and the versions; what differs between runs is listed with counts."""
    records = records_of(results)
    found: dict[str, Counter[str]] = {}
    for record in records:
        for key, value in record.environment.items():
            for name, item in value.items() if isinstance(value, dict) else ((key, value),):
                found.setdefault(name, Counter())[str(item)] += 1
    rows = [["", "", ""]]
    for name, counts in found.items():
        if name.startswith("own_") and set(counts) == {"None"}:
            continue  # there is no such repository
        shown = "; ".join(
            value if len(counts) == 1 else f"{value} ({plural(count, 'run')})" for value, count in counts.most_common(5)
        )
        rows.append([NAMES.get(name, name.replace("_", " ")), shown, "differs between runs" if len(counts) > 1 else ""])
    return rows


def command_with(results: Results, *more: str) -> str:
    """Return the command line that began the study, with other seeds to add; it does the missing runs."""
    fallback = shlex.join(["ablate", f"study={results.study.name}", *results.manifest.overrides])
    try:
        return command_again(results.manifest.command or fallback, *more)
    except ValueError:  # an unclosed quotation mark: the words are not known
        return command_again(fallback, *more)


def commands_of_all_looks(results: Results) -> list[str]:
    """Return the commands that do all of the study again: the one that began it, and one for each look added to it."""
    if results.study.schedule:  # its further looks need no command
        return [command_with(results)]
    added = (b - a for a, b in itertools.pairwise(results.manifest.looks))
    return [command_with(results), *(command_with(results, f"extra_seeds={count}") for count in added)]
