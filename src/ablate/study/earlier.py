"""Earlier studies over the same runs: which claims they make post hoc, and which looks they have had.

A claim is post hoc if it was chosen or changed when its runs had been judged: then its error level does not hold. An
earlier study is one beside it whose arms share fingerprints and seeds with those of the claim.

- The same claim, at the same error level, in the same family and with the same tuning: judged there with fewer seeds,
  it is a further look; with others, the seeds were chosen after their results, and it is post hoc. This holds in
  whatever order the two were registered: what counts is which was judged first. A claim that differs only in the looks
  and the seeds at them is post hoc as soon as the other is judged.
- A claim that differs in anything else that decides it, or in its sentence: post hoc, if it was registered when the
  other had been judged.
- A claim that the earlier study does not have: post hoc if the comparison could be seen there, so if two of the
  claim's cells were (one, if the claim is about a value).

A claim counts as made when the first study that has it unchanged was registered, with no seeds that this study lacks:
whoever takes fewer seeds than were planned may have seen the results of some.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ablate.errors import UserError
from ablate.storage.dates import utc_now
from ablate.study.claim import Claim
from ablate.study.manifest import MANIFEST_NAME, Manifest, read_manifest
from ablate.study.registration import FOR_READERS, PROGRAM, Registration, claims_of, differing
from ablate.study.verdict_file import Looked, looks_at
from ablate.training.record import RECORD_NAME

# Parts of a plan that decide no verdict, or that are compared in another way.
COMPARED_OTHERWISE = ("study", "profile", "arms", "seeds", "claims", "only", PROGRAM)
SENTENCE = "text"
LOOKS = ("looks", "schedule")  # parts of a plan that say when the results are judged


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """An earlier study that shares runs.

    Args:
        name: of its folder.
        plan, registration: see `registration`; the plan of one that was not registered is that of its manifest.
        identities: of all its runs, see `Variant.identities`.
        seeds: of its report runs, in order; of judged results the names of the units.
        looks: at its results, in order.
    """

    name: str
    plan: Mapping[str, Any]
    registration: Registration | None
    identities: frozenset[str]
    seeds: Sequence[int | str]
    looks: Sequence[Looked]

    @property
    def date(self) -> str:
        """When it was registered, "" where it was not."""
        return self.registration.date if self.registration else ""

    def __str__(self) -> str:
        return f"study {self.name}{f' of {self.date[:10]}' if self.date else ''}"

    def judged(self, before: str) -> list[int | str]:
        """Return the report seeds whose results had been shown before a date."""
        numbers = [look.seeds for look in self.looks if look.date < before]
        return list(self.seeds[: max(numbers, default=0)])


@dataclass(frozen=True, kw_only=True)
class Found:
    """What earlier studies mean for a study.

    Args:
        since, finished, post_hoc: by claim, see `Registration`.
        explained_by: by claim and control, see `Registration`; without what an earlier study with the same claim did
            not name.
        looks: {number of report seeds: study} of earlier looks at tested claims that are not post hoc.
    """

    since: dict[str, str] = field(default_factory=dict)
    finished: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    post_hoc: dict[str, str] = field(default_factory=dict)
    explained_by: dict[str, list[str]] = field(default_factory=dict)
    looks: dict[int, str] = field(default_factory=dict)


def earlier_studies(manifest: Manifest, folder: Path) -> tuple[list[Earlier], list[str]]:
    """Return the studies beside a study that share its runs, in the order of their dates.

    Args:
        manifest: of the study.
        folder: of the study.

    Returns:
        Those, and a line for each manifest that names a run or the data of the study and cannot be read.
    """
    variants = [variant for arm in manifest.arms for variant in arm.variants]
    mine = frozenset().union(*(variant.identities for variant in variants))
    named = mine | {variant.data for variant in variants if variant.data}
    found, unread = [], []
    for path in sorted(folder.parent.glob(f"*/{MANIFEST_NAME}")):
        if path.parent.resolve() == folder.resolve():
            continue
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
            other = read_manifest(path.parent) if any(name in text for name in named) else None
            if other is not None and not mine.isdisjoint(identities_of(other)):
                found.append(_earlier(other, path.parent))
        except (OSError, UserError) as error:
            unread.append(f"{path} cannot be read, so what it has judged is not known: {error}")
    return sorted(found, key=lambda study: (study.date, study.name)), unread


def identities_of(manifest: Manifest) -> frozenset[str]:
    """Return `Variant.identities` of all report runs of a study."""
    return frozenset().union(*(variant.identities for arm in manifest.arms for variant in arm.variants))


def _earlier(manifest: Manifest, folder: Path) -> Earlier:
    return Earlier(
        name=folder.name,
        plan=manifest.registration.plan if manifest.registration else manifest.plan(),
        registration=manifest.registration,
        identities=identities_of(manifest),
        seeds=manifest.units(),
        looks=looks_at(folder, manifest.looks),
    )


def examine(
    manifest: Manifest, studies: Sequence[Earlier], output_dir: Path, *, made: str = "", until: str | None = None
) -> Found:
    """Return what earlier studies mean for a study.

    Args:
        manifest: of the study.
        studies: see `earlier_studies`.
        output_dir: where the finished runs are looked up.
        made: when the study was registered; by default now. A claim that differs counts as seen if it was judged
            before, and a registration only if it is of an earlier date.
        until: verdicts of the same claim count if they were given before this date; by default all.
    """
    made = made or utc_now()
    until = utc_now() if until is None else until
    marks = manifest.registration.post_hoc if manifest.registration else {}
    found = Found(explained_by={item.name: list(item.explained_by) for item in manifest.study().statements})
    plan = manifest.plan()
    study = manifest.study()
    for claim in study.asked:
        cells = runs_of(claim, manifest)
        mine = set(manifest.units())
        sharing = [other for other in studies if mine & set(other.seeds) and any(c & other.identities for c in cells)]
        whole = [other for other in sharing if all(c & other.identities for c in cells)]
        same = [other for other in whole if changes(plan, other.plan, claim.name) == []]
        before = [other for other in same if other.date < made and other.registration]
        kept = [s for s in before if claim.name not in _marks(s) and set(s.seeds) <= mine]
        since = min((other.date for other in kept), default=made)
        if since < made:
            found.since[claim.name] = since
        if finished := _finished(manifest, kept, claim, output_dir):
            found.finished[claim.name] = finished
        reasons = [claim.post_hoc, marks.get(claim.name, "")]
        reasons += [_marks(other).get(claim.name, "") for other in before]
        for named in (_mechanisms(other, claim.name) for other in before):
            if named is not None:
                found.explained_by[claim.name] = [m for m in found.explained_by[claim.name] if m in named]
        had: dict[int, str] = {}  # number of seeds of an earlier look -> study
        seen: list[list[str] | None] = []  # what differs in earlier studies; the first of several is named
        for other in sharing:
            if other not in same:
                what = changes(plan, other.plan, claim.name)
                only_looks = all(line.startswith(tuple(f"{key} " for key in LOOKS)) for line in what or [""])
                seen_at = since if other.date < made else ""
                shown = other.judged(max(seen_at, until) if only_looks else seen_at)
                if set(shown) & mine and what not in seen:
                    seen.append(what)
                    reasons.append(_why(what, other, cells))
                continue
            judged = other.judged(until)
            if set(judged) <= mine:
                had |= {look.seeds: other.name for look in other.looks if look.date < until and look.seeds < len(mine)}
            elif kept_here := mine & set(judged):
                reasons.append(f"judged with {len(judged)} seeds in {other}, with {len(kept_here)} of them here")
        if reason := "; ".join(dict.fromkeys(filter(None, reasons))):
            found.post_hoc[claim.name] = reason
        elif claim.is_tested:
            found.looks.update(had)
    return found


def runs_of(claim: Claim, manifest: Manifest) -> list[frozenset[str]]:
    """Return `Variant.identities` of the runs of each cell of a claim, at every value of the tuned setting."""
    return [
        frozenset().union(
            *(v.identities for arm in manifest.arms if cell.items() <= arm.axes.items() for v in arm.variants)
        )
        for cell in claim.cells()
    ]


def _marks(study: Earlier) -> Mapping[str, str]:
    return study.registration.post_hoc if study.registration else {}


def _mechanisms(study: Earlier, claim: str) -> Sequence[str] | None:
    """Return what a claim named in `explained_by` when the study was registered; None where that is not known."""
    known = study.registration.explained_by if study.registration else None
    return None if known is None else known.get(claim, [])


def changes(mine: Mapping[str, Any], other: Mapping[str, Any], name: str) -> list[str] | None:
    """Return what decides a claim, or its sentence, and differs in another plan; None if the plan has no such claim.

    Args:
        mine, other: plans.
        name: of the claim in `mine`.

    Returns:
        Of each both values, with a place for the name of the study: "alpha 0.05 in {}, 0.2 here".
    """
    claims, others = claims_of(mine), claims_of(other)
    claim = claims[name]
    there = _counterpart(claim, others, same_study=mine["study"] == other["study"])
    if there is None:
        return None
    own, theirs = _content(claim), _content(there)
    pairs = {key: (theirs[key], own[key]) for key in own if theirs[key] != own[key]}
    keys = (mine.keys() | other.keys()) - set(COMPARED_OTHERWISE)
    pairs |= differing({key: other.get(key) for key in sorted(keys)}, {key: mine.get(key) for key in sorted(keys)})
    found = [f"{_named(key)} {_shown(then)} in {{}}, {_shown(now)} here" for key, (then, now) in pairs.items()]
    mates, theirs_mates = _mates(claims, claim), _mates(others, there)
    if mates != theirs_mates:
        sizes = len(theirs_mates) + 1, len(mates) + 1
        same_size = "other claims in its family in {} than here"
        found.append(same_size if len(set(sizes)) == 1 else "family of {} claims in {{}}, of {} here".format(*sizes))
    return found


def _counterpart(claim: Claim, others: Mapping[str, Claim], *, same_study: bool) -> Claim | None:
    """Return the claim of another plan that is the same, or was before it was changed."""
    named = others.get(claim.name)
    if named is not None and (same_study or named.cells() == claim.cells() or named.text == claim.text):
        return named
    return next((other for other in others.values() if _content(other) == _content(claim)), None)


def _content(claim: Claim) -> dict[str, Any]:
    left_out = ("family", *FOR_READERS)
    return {key: value for key, value in vars(claim).items() if key not in left_out}


def _mates(claims: Mapping[str, Claim], claim: Claim) -> list[str]:
    """Return the other tested claims that share the error level of a claim, in a form that can be compared."""
    members = (o for o in claims.values() if o.family == claim.family and o.is_tested and o.name != claim.name)
    return sorted(str(sorted(_content(member).items())) for member in members)


def _named(key: str) -> str:
    return "sentence" if key == SENTENCE else key


def _shown(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) and " " in value else str(value)
    return "none" if value is None else text.replace("{", "{{").replace("}", "}}")


def _why(what: Sequence[str] | None, other: Earlier, cells: Sequence[frozenset[str]]) -> str:
    """Return why a claim is post hoc of which `other` had judged runs, "" if it is not.

    Args:
        what: differs, see `changes`.
        other: the earlier study.
        cells: see `runs_of`.
    """
    if what:
        first, *more = what
        return "; ".join([first.format(other), *(line.replace("in {}", "there").format() for line in more)])
    seen = sum(bool(cell & other.identities) for cell in cells)
    return f"a new claim over runs that {other} had judged" if seen >= min(2, len(cells)) else ""


def _finished(manifest: Manifest, kept: Sequence[Earlier], claim: Claim, output_dir: Path) -> dict[str, list[int]]:
    """Return {fingerprint: seeds} of the claim's report runs that were finished before it was registered anywhere."""
    seeds = manifest.study().seeds
    runs = frozenset().union(*runs_of(claim, manifest))
    variants = [variant for arm in manifest.arms for variant in arm.variants if variant.fingerprint in runs]
    folders = {variant.fingerprint: variant.folder for variant in variants}
    found = {}
    for fingerprint in sorted(folders):

        def planned(seed: int, fingerprint: str = fingerprint) -> bool:
            return any(
                fingerprint in other.identities
                and seed in other.seeds
                and other.registration is not None
                and seed not in other.registration.finished.get(claim.name, {}).get(fingerprint, [])
                for other in kept
            )

        home = output_dir / folders[fingerprint]
        done = [s for s in seeds if (home / f"seed-{s}" / RECORD_NAME).exists() and not planned(s)]
        if done:
            found[fingerprint] = done
    return found
