"""Verification of a study: every verdict computed again from records and registration, every checksum checked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.errors import Unusable, UserError
from ablate.judging.declared import against_file, claim_against_file
from ablate.judging.image_interval import read_predictions
from ablate.judging.judge import judge
from ablate.judging.judgement import Judgement
from ablate.judging.looks import collect
from ablate.storage.integrity import digest
from ablate.study.claim import Claim
from ablate.study.earlier import earlier_studies, examine
from ablate.study.manifest import MANIFEST_NAME, Manifest, read_manifest
from ablate.study.registration import PROGRAM, Registration, differing
from ablate.study.results import ArmResult, Results
from ablate.study.study import Study, parse
from ablate.study.verdict_file import VERDICTS_NAME, VerdictFile, as_plain, looks_at, read_verdicts
from ablate.training.record import PREDICTIONS_NAME, Record

REL_TOLERANCE = 1e-6  # other versions of numpy and other processors differ in the last digits
ABS_TOLERANCE = 1e-9
MOST_SHOWN = 4  # differences of one claim


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What one part of a study was found to be.

    Args:
        what: a claim, or a file.
        verdict: the recomputed outcome of a claim, "" for a file.
        problems: what differs, one sentence each; none if all is as it should be.
    """

    what: str
    verdict: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True, kw_only=True)
class Verification:
    """A study, verified.

    Args:
        folder: of the study.
        title: the study's name and its registration.
        claims: one a claim, in the study's order.
        files: those files with problems, the manifest and the registration among them.
        num_records: records whose checksum was checked.
        num_predictions: files of predictions that were compared with their records.
        is_study: false where it is about the pages of studies.
        judged: the study's results and its verdicts, computed again; None where they could not be.
    """

    folder: Path
    title: str
    claims: list[Checked] = field(default_factory=list)
    files: list[Checked] = field(default_factory=list)
    num_records: int = 0
    num_predictions: int = 0
    is_study: bool = True
    judged: tuple[Results, list[Judgement]] | None = None

    @property
    def is_ok(self) -> bool:
        return all(checked.is_ok for checked in (*self.files, *self.claims))


def verify_study(folder: Path, declared: Study | None = None, refused: str = "") -> Verification:
    """Return what differs between a study's files, its records and its registration.

    Args:
        folder: of the study, <output folder>/studies/<name>; its runs lie in <output folder>/runs.
        declared: the study as its file describes it now, to be compared with the registered one; None where the file
            is not known.
        refused: why that file, which is there, cannot be read; "" otherwise.

    Raises:
        UserError: there is no manifest.
    """
    try:
        manifest = read_manifest(folder)
        if manifest is None:
            raise UserError(f"{folder} has no {MANIFEST_NAME}")
        if _looks(manifest):  # no verdict is defined at such a look
            return Verification(folder=folder, title=folder.name, files=[check_registration(manifest, folder)])
        results = collect(manifest, folder)
        judgements = judge(results)
    except Unusable as error:
        return _unreadable(folder, error)
    except UserError as error:
        if not (folder / MANIFEST_NAME).is_file():
            raise
        return _unreadable(folder, error)
    registration = manifest.registration
    files = [check_registration(manifest, folder)]
    records, num_records, num_predictions = check_runs(results)
    stored, unread = _stored(results)
    files += [*records, *unread]
    own = manifest_claims(manifest)
    claims = []
    if refused:
        files.append(Checked(what="the study's file", problems=[f"not compared with its file: {refused}"]))
    if declared is not None:
        problems = against_file(parse(manifest.name, manifest.definition), declared)
        files.append(Checked(what="the study's file", problems=problems))
    for judgement in judgements:
        problems = [] if stored is None else against_stored(judgement, stored)
        if declared is not None:
            problems += claim_against_file(own[judgement.claim.name], declared.claims)
        verdict = judgement.outcome + (", post hoc" if judgement.post_hoc else "")
        claims.append(Checked(what=judgement.claim.name, verdict=verdict, problems=problems))
    if stored and (gone := [v["claim"] for v in stored.verdicts if v.get("claim") not in own]):
        files.append(
            Checked(what=VERDICTS_NAME, problems=[f"it has claims that the manifest lacks: {', '.join(gone)}"])
        )
    sentence = f"registered {registration.sentence()}" if registration else "not registered"
    if declared is None and not refused:
        sentence += " (not compared with a file: none of this name)"
    return Verification(
        folder=folder,
        title=f"{folder.name}: {sentence}",
        claims=claims,
        files=[checked for checked in files if not checked.is_ok],
        num_records=num_records,
        num_predictions=num_predictions,
        judged=(results, judgements),
    )


def _unreadable(folder: Path, error: UserError) -> Verification:
    return Verification(folder=folder, title=folder.name, files=[Checked(what=MANIFEST_NAME, problems=[str(error)])])


def manifest_claims(manifest: Manifest) -> dict[str, Claim]:
    """Return the claims of a manifest by name."""
    return {claim.name: claim for claim in manifest.study().claims}


def check_registration(manifest: Manifest, folder: Path) -> Checked:
    """Compare the registration with its hash, with the manifest, and with earlier studies beside it."""
    found = manifest.registration
    if found is None:
        why = (
            "the plan is not registered: an earlier version of ablate began this study, or the registration was removed"
        )
        return Checked(what="registration", problems=[why])
    problems = []
    if digest(found.plan) != found.sha256:
        problems.append("the registered plan does not agree with its SHA-256")
    now = {key: value for key, value in manifest.plan().items() if key != PROGRAM}
    then = {key: value for key, value in found.plan.items() if key != PROGRAM}
    problems += [
        f"{key} was registered as {a!r}, the manifest has {b!r}" for key, (a, b) in differing(then, now).items()
    ]
    problems += _looks(manifest)
    if not problems:  # a plan that was changed cannot be compared with those of other studies
        problems += _undeclared(manifest, found, folder)
    return Checked(what="registration", problems=problems)


def _looks(manifest: Manifest) -> list[str]:
    declared = manifest.study().looks
    many = f"{len(manifest.looks)} looks were taken, and {declared} registered"
    return [many] if len(manifest.looks) > declared else []


def _undeclared(manifest: Manifest, registration: Registration, folder: Path) -> list[str]:
    """Return the claims that other studies make post hoc and that are not marked, and looks that were not declared."""
    earlier, _ = earlier_studies(manifest, folder)
    until = max((look.date for look in looks_at(folder, manifest.looks)), default="")  # "": not judged
    found = examine(manifest, earlier, folder.parent.parent, made=registration.date, until=until)
    problems = [
        f"claim {name} is not marked as post hoc: {reason}"
        for name, reason in found.post_hoc.items()
        if name not in registration.post_hoc
    ]
    looks, declared = {*found.looks, *manifest.looks}, manifest.study().looks
    if len(looks) > declared:
        had = ", ".join(f"{number} seeds in {name}" for number, name in sorted(found.looks.items()))
        problems.append(
            f"{len(looks)} looks were taken, with those of other studies ({had}), and {declared} registered"
        )
    return problems


def check_runs(results: Results) -> tuple[list[Checked], int, int]:
    """Check every record and file of predictions of a study.

    Returns:
        The runs with a problem, and how many records and files of predictions were checked.
    """
    found, seen, num_predictions = [], set(), 0
    for arm in results.arms:
        found += [Checked(what=folder, problems=[why]) for folder, why in arm.refused.items()]
        for folder, record, is_reported in _records(arm):
            if folder in seen:
                continue
            seen.add(folder)
            path = results.output_dir / folder
            if not is_reported and not (path / PREDICTIONS_NAME).exists():
                continue  # a rate is chosen by validation accuracy, which the record has
            if problem := check_predictions(record, path):
                found.append(Checked(what=folder, problems=[problem]))
            num_predictions += bool(record.predictions)
    return list({checked.what: checked for checked in found}.values()), len(seen), num_predictions


def _records(arm: ArmResult) -> Iterator[tuple[str, Record, bool]]:
    """Yield (folder, record, whether a verdict rests on it); the others are of tuning."""
    reported = [(arm.chosen, arm.records, True)] if arm.chosen else []
    tuned = [(*pair, False) for pair in zip(arm.planned.tuned, arm.tuning, strict=True)] if arm.tuning else []
    for variant, records, is_reported in [*reported, *tuned]:
        for seed, record in records.items():
            yield f"{variant.folder}/seed-{seed}", record, is_reported


def check_predictions(record: Record, folder: Path) -> str:
    """Return what is wrong with a run's predictions, "" if nothing is or the record names none."""
    if not record.predictions:
        return ""
    try:
        hits, _ = read_predictions(folder, record.predictions)
    except Unusable as error:
        return str(error)
    accuracy = record.metrics.get("test/accuracy")
    if record.status != "finished" or not hits.size or alike(accuracy, float(hits.mean())):
        return ""
    return f"test/accuracy is {accuracy!r} in the record, {float(hits.mean())!r} in its predictions"


def _stored(results: Results) -> tuple[VerdictFile | None, list[Checked]]:
    """Return the stored verdicts, and what is wrong with the file as a whole."""
    try:
        found = read_verdicts(results.folder)
    except UserError as error:
        return None, [Checked(what=VERDICTS_NAME, problems=[str(error)])]
    if found is None:
        if not results.study.asked:
            return None, []
        why = f"the study has not been judged by this version: `ablate report {results.folder}` writes the file"
        return None, [Checked(what=VERDICTS_NAME, problems=[why])]
    problems = []
    registration = results.manifest.registration
    if registration and found.registration != registration.sha256:
        problems.append(
            f"it is of the plan {found.registration[:8] or '(none)'}, registered is {registration.sha256[:8]}"
        )
    if found.seeds != list(results.study.seeds):
        problems.append(f"it is of seeds {found.seeds}, the manifest has {list(results.study.seeds)}")
    return found, [Checked(what=VERDICTS_NAME, problems=problems)]


def against_stored(judgement: Any, stored: VerdictFile) -> list[str]:
    """Return in what a judgement differs from the stored one, a sentence a number."""
    known = {verdict.get("claim"): verdict for verdict in stored.verdicts}
    there = known.get(judgement.claim.name)
    if there is None:
        return [f"{VERDICTS_NAME} has no such claim"]
    now = as_plain(judgement)
    found = [
        f"{key} is {_short(there[key])} in {VERDICTS_NAME}, {_short(now[key])} recomputed"
        for key in now
        if key in there and not alike(there[key], now[key])
    ]
    return shortened(found)


def shortened(problems: Sequence[str]) -> list[str]:
    """Return the first problems, and how many more there are."""
    more = len(problems) - MOST_SHOWN
    return [*problems[:MOST_SHOWN], f"{more} more values differ"] if more > 1 else list(problems)


def alike(one: Any, other: Any) -> bool:
    """Return whether two values of JSON are equal, numbers but for the last digits.

    Example:
        >>> alike({"p": [0.1 + 0.2]}, {"p": [0.3]}), alike(0.5, 0.501), alike(1, True)
        (True, False, False)
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, Sequence) and isinstance(other, Sequence) and not isinstance(one, str):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, float | int) and isinstance(other, float | int) and bool not in (type(one), type(other)):
        return abs(one - other) <= max(ABS_TOLERANCE, REL_TOLERANCE * max(abs(one), abs(other)))
    return type(one) is type(other) and bool(one == other)


def _short(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
