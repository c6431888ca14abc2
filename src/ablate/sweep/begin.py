"""Begin studies: their folders and registration, what may not change after the first run, and further looks."""

import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate.config.overrides import key_of
from ablate.errors import UserError
from ablate.screen import say
from ablate.storage.paths import named_folder, safe_name
from ablate.study.earlier import Found, earlier_studies, examine
from ablate.study.manifest import Manifest, PlannedArm, Variant, check_unchanged, read_manifest, write_manifest
from ablate.study.registration import Registration, registered
from ablate.study.results import collect, missing_runs
from ablate.study.study import Study
from ablate.study.verdict_file import looks_at
from ablate.training.directory import agree_on_folder
from ablate.training.identity import is_unscientific

# What decides the verdicts but not the runs: fixed before the first run.
DECIDING = ("claims", "controls", "alpha", "failure_share", "looks")
PROSE = ("source", "published", "note", "post_hoc", "explained_by", "teach", "figure", "file")
SENTENCE = "text"
# How long a run and the further looks take, and what is shown; decide nothing.
FREE = ("seconds_a_run", "minutes", "baseline")
Started = tuple[Manifest, Path]  # of a study, and its folder


def study_folder(output_dir: Path, study: Study, definition: dict[str, Any], overrides: Sequence[str]) -> Path:
    """Return a study's folder: its name and the hash of its content, without where data lie and the like.

    Args:
        output_dir: the program's output folder.
        study: gives the name.
        definition: the content of the study file.
        overrides: changes of every arm from the command line.

    >>> study_folder(Path("outputs"), Study(name="mine"), {"seeds": 3}, ["net=micro", "output_dir=x"]).name
    'mine-6649813a'
    >>> study_folder(Path("outputs"), Study(name="mine"), {"seeds": 3}, ["net=micro"]).name
    'mine-6649813a'
    """
    base = [override for override in definition.get("base", []) if not is_unscientific(key_of(override))]
    meant = sorted(override for override in overrides if not is_unscientific(key_of(override)))
    runs = {key: value for key, value in definition.items() if key not in (*DECIDING, *FREE)}
    content = {"definition": {**runs, "base": base}, "overrides": meant}
    name = safe_name(study.name, 80, repeat=False).strip("_,.")
    return output_dir / "studies" / named_folder(name, content)


def begin(manifest: Manifest, folder: Path, extra_seeds: int = 0, *, write: bool = True) -> Manifest:
    """Return the manifest to work with, the new one with the looks of the one in the folder, and write it.

    Args:
        manifest: of the study as it is asked for now.
        folder: of the study.
        extra_seeds: report seeds to add, which is a further look. If the last look added as many and is not finished,
            it is continued.
        write: whether to write the manifest; if not, everything is checked and nothing changed.

    Raises:
        UserError: an arm now means other runs; seeds are added to a study that is not finished, or more often than
            it declared.
    """
    known = read_manifest(folder)
    if known is not None:
        for key in DECIDING:
            free = () if known.registration else (SENTENCE,)  # earlier versions let sentences change
            if (now := deciding(manifest, key, free)) != (then := deciding(known, key, free)):
                raise UserError(
                    f"{folder} was begun with other {key} ({changes(then, now)}), and what is claimed is fixed "
                    "before the first run; undo the change, or copy the study under another name: its runs are shared, "
                    "and claims that are changed after these were judged are marked as post hoc"
                )
        check_unchanged(manifest.arms, known, folder)
        manifest = replace(manifest, looks=known.looks, registration=known.registration)
    if extra_seeds < 0:
        raise UserError(f"`extra_seeds` must be at least 0, got {extra_seeds}")
    manifest = register(manifest, folder)
    if extra_seeds:
        manifest = with_further_look(manifest, folder, extra_seeds, is_new=known is None)
    if write:
        write_manifest(manifest, folder)
    return manifest


def register(manifest: Manifest, folder: Path) -> Manifest:
    """Return the manifest with its plan registered, and with the looks that earlier studies have had at its runs.

    A plan that is registered stays so; marks "post hoc" that its claims have got since are added. Until its last look
    has been judged, it is compared again with the studies beside it, also with those that were registered later: one of
    them may have judged the same claim meanwhile.

    Args:
        manifest: of the study.
        folder: of the study.

    Raises:
        UserError: this would be a further look at the runs of an earlier study, which was not declared.
    """
    own = manifest.registration
    if own is not None and manifest.looks[-1] in [look.seeds for look in looks_at(folder, manifest.looks)]:
        return replace(manifest, registration=marked(own, manifest, {}))
    return compared(manifest, folder)


def compared(manifest: Manifest, folder: Path) -> Manifest:
    """Return the manifest compared with the studies beside it, and registered if it was not; see `register`."""
    own = manifest.registration
    earlier, unread = earlier_studies(manifest, folder) if manifest.study().asked else ([], [])
    for line in unread:
        say(line, sys.stderr)
    found = examine(manifest, earlier, folder.parent.parent, made=own.date if own else "")
    looks = sorted({*found.looks, *manifest.looks})
    check_looks(manifest, looks, found)
    if own is None:
        known = {key: getattr(found, key) for key in ("since", "finished", "post_hoc", "explained_by")}
        return replace(manifest, looks=looks, registration=registered(manifest.plan(), **known))
    return replace(manifest, looks=looks, registration=marked(own, manifest, found.post_hoc))


def marked(registration: Registration, manifest: Manifest, found: Mapping[str, str]) -> Registration:
    """Return a registration with the reasons that its claims give, and those found, for being post hoc."""
    given = {claim.name: claim.post_hoc for claim in manifest.study().claims if claim.post_hoc}
    return replace(registration, post_hoc={**given, **found, **registration.post_hoc})


def check_looks(manifest: Manifest, looks: Sequence[int], found: Found) -> None:
    """Refuse a look at the runs of an earlier study that was not declared.

    Raises:
        UserError: names the study, its looks, and what to do instead.
    """
    study = manifest.study()
    if len(looks) <= study.looks or not found.looks:
        return
    num_seeds, first = max(looks), max(study.seeds) + 1
    had = " and ".join(map(str, sorted(found.looks)))
    by = ", ".join(sorted(set(found.looks.values())))
    if study.foreign and study.foreign.judged:
        named = "name=NAME " if manifest.registration else ""  # the looks of a registered study are fixed
        cure = f"declare the look now, which marks the claims as post hoc: {named}looks={len(looks)}"
        raise UserError(
            f"{declared_looks(study)}, and its claims have been judged with {had} "
            f"of these units (in {by}), so {num_seeds} units would be look {len(looks)}; {cure}"
        )
    if study.schedule:
        ends = f"from: {study.schedule[0]}, to: {study.schedule[-1]}, looks: {study.looks}"
        cure = f"'study.seeds={{{ends}, first: {first}}}'"
    else:
        fresh = ",".join(map(str, range(first, first + num_seeds)))
        cure = f"'study.seeds=[{fresh}]'"
        if not manifest.registration:  # the looks of a registered study are fixed
            cure += f"; or declare the look now, which marks the claims as post hoc: study.looks={len(looks)}"
    raise UserError(
        f"{declared_looks(study)}, and its claims have been judged with {had} of "
        f"these seeds (in {by}), so {num_seeds} seeds would be look {len(looks)}; take seeds that no study has judged: "
        f"{cure}"
    )


def declared_looks(study: Study) -> str:
    """Return e.g. "study s declares 2 looks at its data"."""
    return f"study {study.name} declares {study.looks} look{'s' * (study.looks > 1)} at its data"


def with_further_look(manifest: Manifest, folder: Path, extra_seeds: int, *, is_new: bool) -> Manifest:
    """Return the manifest with more seeds, as its next declared look; see `begin`.

    Raises:
        UserError: the last look is not finished, or there is none left.
    """
    study = manifest.study()
    if study.schedule:
        raise UserError(
            f"`extra_seeds` is for a fixed number of seeds, and study {study.name} declares all its looks "
            f"({', '.join(map(str, study.schedule))} seeds); leave it out"
        )
    unfinished = is_new or next(missing_runs(collect(manifest, folder)), None) is not None
    added = [b - a for a, b in itertools.pairwise(manifest.looks)]
    if unfinished and added[-1:] == [extra_seeds]:
        return manifest
    if unfinished:
        raise UserError("`extra_seeds` adds to a finished study, and runs are missing; finish it without first")
    if len(manifest.looks) >= study.looks:
        raise UserError(
            f"{declared_looks(study)} and has had them all, so more seeds "
            "would raise the error level; declare more with study.looks=... before the first run"
        )
    return compared(replace(manifest, looks=[*manifest.looks, manifest.looks[-1] + extra_seeds]), folder)


def begin_all(planned: "Sequence[Started]", extra_seeds: int = 0, *, write: bool = True) -> "list[Started]":
    """Begin several studies as `begin` does one: all are checked before anything is written.

    A study without a claim that needs a test (its claims are identities) gets no further seeds: it takes no looks.
    """
    found = []
    for manifest, folder in share_folders(planned, lambda folder, _: folder):
        tested = len(planned) == 1 or any(claim.form != "identity" for claim in manifest.study().claims)
        found.append((begin(manifest, folder, extra_seeds * tested, write=False), folder))
    if write:
        found = share_folders(found, agree_on_folder)
        for manifest, folder in found:
            write_manifest(manifest, folder)
    return found


def share_folders(planned: "Sequence[Started]", place: Callable[[Path, str], Path]) -> "list[Started]":
    """Return the studies with one folder for all variants of one fingerprint, whatever the names of their arms.

    Args:
        planned: manifests and the studies' folders.
        place: (folder that a variant would have, its fingerprint) -> the folder that it has.
    """
    folders: dict[str, str] = {}

    def placed(variant: Variant, output_dir: Path) -> Variant:
        if variant.fingerprint not in folders:
            found = place(output_dir / variant.folder, variant.fingerprint)
            folders[variant.fingerprint] = found.relative_to(output_dir).as_posix()
        return replace(variant, folder=folders[variant.fingerprint])

    found = []
    for manifest, folder in planned:
        arms = [
            replace(
                arm,
                variants=[placed(variant, folder.parent.parent) for variant in arm.variants],
                trials=[placed(variant, folder.parent.parent) for variant in arm.trials],
            )
            for arm in manifest.arms
        ]
        found.append((replace(manifest, arms=arms), folder))
    return found


def deciding(manifest: Manifest, key: str, free: Sequence[str] = ()) -> Any:
    """Return a part of a study's definition without the text for readers (`PROSE`) and the fields in `free`."""
    value = manifest.definition.get(key)
    if key not in ("claims", "controls") or not value:
        return value
    return {name: {k: v for k, v in claim.items() if k not in (*PROSE, *free)} for name, claim in value.items()}


def changes(then: Any, now: Any) -> str:
    """Return what differs, the entries of a mapping one by one.

    >>> changes({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}})
    'b: c: 3 now, 2 then'
    """
    if not isinstance(then, dict) or not isinstance(now, dict):
        return f"{now!r} now, {then!r} then"
    differing = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    return "; ".join(f"{key}: {changes(then.get(key), now.get(key))}" for key in differing)


def begin_manifest(
    study: Study, definition: dict[str, Any], overrides: Sequence[str], command: str, arms: list[PlannedArm]
) -> Manifest:
    """Return the manifest of a study that has had no look yet."""
    return Manifest(
        name=study.name,
        title=study.title,
        source=study.source,
        definition=definition,
        overrides=list(overrides),
        command=command,
        arms=arms,
        looks=study.schedule or [len(study.seeds)],
    )
