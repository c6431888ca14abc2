"""`ablate verify FOLDER`: are the verdicts of studies what their records and registrations give?"""

import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ablate.config import catalog
from ablate.errors import UserError
from ablate.judging.verification import Checked, Verification, shortened, verify_study
from ablate.report.pages import PAGES_NAME, changed_pages
from ablate.report.phrases import plural
from ablate.report.verdict_rows import VERDICTS_TABLE, differing_rows, page_rows
from ablate.screen import say
from ablate.storage.archive import archives_in, is_archive, unpack
from ablate.study.collection import COLLECTION_NAME, read_collection
from ablate.study.manifest import MANIFEST_NAME, read_manifest
from ablate.study.study import Study
from ablate.study.verdict_file import VERDICTS_NAME
from ablate.sweep.request import named_studies

JUDGED = (VERDICTS_NAME, "report.html", "report.md")  # what a study's folder has once it was judged


def verify_command(words: Sequence[str], where: Sequence[Path]) -> bool:
    """Verify the studies in folders or archives, print a line for each claim, and return whether all is as stated.

    Args:
        words: folders of a study, of a collection, or with studies or archives in them; or archives.
        where: the conf folders.

    Raises:
        UserError: a folder holds neither.
    """
    if not words:
        raise UserError("`ablate verify` needs a folder with studies, e.g. outputs/studies/activation-1a2b3c4d")
    found = [verification for word in words for verification in verified(Path(word), where)]
    for verification in found:
        say("\n".join(lines(verification)))
    say(total(found))
    return all(verification.is_ok for verification in found)


def verified(folder: Path, where: Sequence[Path]) -> Iterator[Verification]:
    """Yield the verification of each study in a folder or an archive.

    Raises:
        UserError: there is none.
    """
    if is_archive(folder):
        with tempfile.TemporaryDirectory(prefix="ablate-verify-") as name:
            unpack(folder, Path(name))
            yield from verified(Path(name), where)
            if (pages := Path(name) / PAGES_NAME).exists():
                problems = changed_pages(folder.parent, pages)
                files = [Checked(what="pages", problems=problems)] if problems else []
                yield Verification(folder=folder, title=f"pages beside {folder.name}", files=files, is_study=False)
        return
    studies = studies_in(folder.resolve())
    found = {study: verify_study(study, *declared_study(study, where)) for study in studies}
    yield from found.values()
    lost = without_manifest(folder.resolve())
    for study in lost:
        why = "it is not there, so the verdicts of this folder cannot be computed again; restore it from a backup"
        files = [Checked(what=MANIFEST_NAME, problems=[why])]
        yield Verification(folder=study, title=study.name, files=files, is_study=False)
    for collection in collections_in(folder.resolve()):
        yield from verify_page(collection, found)
    archives = archives_in(folder) if not studies else []
    for archive in archives:
        yield from verified(archive, where)
    if not studies and not archives and not lost:
        raise UserError(no_study(folder))


def verify_page(folder: Path, found: Mapping[Path, Verification]) -> Iterator[Verification]:
    """Yield whether the verdicts and q values of a collection's page are those of its studies, computed again.

    Nothing is yielded where the page was not written yet, or where a study of it could not be judged.
    """
    collection = read_collection(folder)
    path = folder / VERDICTS_TABLE
    if collection is None or not path.exists():
        return
    verified = [found.get(folder.parent / name) for name in collection.folders]
    judged = [one.judged for one in verified if one and one.judged]
    if len(judged) < len(verified):
        return
    problems = shortened(differing_rows(path, page_rows(judged)))
    checked = [Checked(what=VERDICTS_TABLE, problems=problems)] if problems else []
    title = f"{folder.name}: verdicts and q values of its page"
    yield Verification(folder=folder, title=title, files=checked, is_study=False)


def no_study(folder: Path) -> str:
    """Return the message for a folder without studies."""
    what = "holds no study" if folder.is_dir() else "is not there" if not folder.exists() else "is no folder or archive"
    return (
        "`ablate verify` needs the folder of a study, or one with studies or with their records as .tar.gz, .tar.xz or "
        f".zip; {folder} {what}"
    )


def studies_in(folder: Path) -> list[Path]:
    """Return the folders of the studies that a folder is, names as a collection, or holds.

    Raises:
        UserError: the collection names a study that is not there.
    """
    if (folder / MANIFEST_NAME).exists():
        return [folder]
    if (folder / COLLECTION_NAME).exists():
        collection = read_collection(folder)
        assert collection is not None
        if gone := [name for name in collection.folders if not (folder.parent / name / MANIFEST_NAME).exists()]:
            raise UserError(f"{folder} names studies of which {folder.parent / gone[0]} does not exist any more")
        return [folder.parent / name for name in collection.folders]
    found = sorted(path.parent for path in folder.glob(f"**/studies/*/{MANIFEST_NAME}"))
    found += sorted(path.parent for path in folder.glob(f"*/{MANIFEST_NAME}") if path.parent not in found)
    return [study for study in found if "replaced" not in study.relative_to(folder).parts]


def without_manifest(folder: Path) -> list[Path]:
    """Return the folders of studies, which a folder is or holds, that have verdicts or a report and no manifest."""
    inside = [*folder.glob("**/studies/*"), *(folder.glob("*") if folder.name == "studies" else ())]
    return [
        path
        for path in sorted({folder, *inside} if folder.parent.name == "studies" else set(inside))
        if any((path / name).is_file() for name in JUDGED)
        and not any((path / name).exists() for name in (MANIFEST_NAME, COLLECTION_NAME))
        and "replaced" not in path.relative_to(folder).parts
    ]


def collections_in(folder: Path) -> list[Path]:
    """Return the folders of the collections that a folder is or holds."""
    if (folder / COLLECTION_NAME).exists():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"**/studies/*/{COLLECTION_NAME}"))


def declared_study(folder: Path, where: Sequence[Path]) -> tuple[Study | None, str]:
    """Return the study that its file describes now, with the profile and the changes of the study's command.

    None where there is no such file, as for a sweep, or for a study in a folder that is not given as --config-dir; and
    where the file is refused, with the reason.
    """
    try:
        manifest = read_manifest(folder)
    except UserError:
        return None, ""  # `verify_study` names what is wrong with it
    if manifest is None or manifest.name not in catalog.levels(where, "study"):
        return None, ""
    try:
        words = shlex.split(manifest.command)
        changes = [word.removeprefix("study.") for word in words if word.startswith("study.")]
        if only := manifest.definition.get("only"):  # the command of a collection names claims of its other studies too
            changes = [*(word for word in changes if not word.startswith("only=")), f"only=[{','.join(only)}]"]
        profile = manifest.definition.get("profile") or None
        (request,) = named_studies(manifest.name, profile, changes, [], where)
    except (UserError, ValueError) as error:  # a ValueError is of a command with an open quotation mark
        return None, str(error)
    return request.study, ""


def lines(found: Verification) -> list[str]:
    """Return the title, and a line for each claim and for each file with a problem."""
    checked = [*found.files, *found.claims]
    return [found.title, *(f"  {line(item)}" for item in checked or [Checked(what="files", verdict="unchanged")])]


def line(item: Checked) -> str:
    """Return what was found of a claim or a file in one line.

    >>> line(Checked(what="relu_beats_tanh", verdict="supported"))
    'ok       relu_beats_tanh: supported'
    """
    parts = [item.verdict] if item.verdict else []
    return f"{'ok     ' if item.is_ok else 'DIFFERS'}  {item.what}: {'; '.join([*parts, *item.problems])}"


def total(found: Sequence[Verification]) -> str:
    """Return the counts of claims, records and problems in one sentence."""
    claims = [claim for verification in found for claim in verification.claims]
    num_wrong = sum(not claim.is_ok for claim in claims)
    num_files = sum(len(verification.files) for verification in found)
    records = sum(verification.num_records for verification in found)
    predictions = sum(verification.num_predictions for verification in found)
    checked = f"{plural(records, 'record')} and {plural(predictions, 'file')} of predictions checked"
    counts = f"{len(claims) - num_wrong} ok, {num_wrong} different"
    wrong = f", and {plural(num_files, 'file')} with a problem" if num_files else ""
    num_studies = sum(verification.is_study for verification in found)
    return f"{plural(num_studies, 'study', 'studies')}, {plural(len(claims), 'claim')}: {counts}{wrong}; {checked}"
