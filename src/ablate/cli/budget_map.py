"""`ablate map study=NAME` or `ablate map FOLDER ...`: the verdicts at every budget that was run."""

from collections.abc import Sequence
from pathlib import Path

from ablate.cli.verify import studies_in
from ablate.config import catalog
from ablate.errors import UserError
from ablate.report.budget_map import BudgetMap, budget_map
from ablate.report.budget_pages import write_map
from ablate.study.collection import read_collection
from ablate.study.files import parts_of
from ablate.study.manifest import MANIFEST_NAME, read_manifest
from ablate.tables import printable

KEYS = ("study", "output_dir", "out")
EXAMPLE = "ablate map study=lecture, or ablate map outputs/studies/lecture-quick-1a2b3c4d FOLDER"


def map_command(words: Sequence[str], where: Sequence[Path]) -> None:
    """Write the map of a study, of a page, or of the studies in folders, and print each claim's line.

    Args:
        words: `study=NAME` with `output_dir=FOLDER` (default: outputs), or folders; and `out=FOLDER` for the map.
        where: the conf folders.

    Raises:
        UserError: neither or both are given, a key is unknown, or nothing that was judged is found.
    """
    given = dict(word.split("=", 1) for word in words if "=" in word and not Path(word).exists())
    places = [word for word in words if "=" not in word or Path(word).exists()]
    if unknown := [key for key in given if key not in KEYS]:
        raise UserError(f"`ablate map` knows {', '.join(f'{key}=' for key in KEYS)}, got {unknown[0]}=")
    if bool(given.get("study")) == bool(places):
        raise UserError(f"`ablate map` needs the name of a study or folders of studies, one of both: {EXAMPLE}")
    if places and "output_dir" in given:
        raise UserError("`ablate map` looks into output_dir= for study=; drop it where folders are given")
    if places:
        folders = list(dict.fromkeys(study for word in places for study in known_studies(Path(word))))
        first = Path(places[0]).resolve()
        collection = read_collection(first) if first.is_dir() else None
        manifest = read_manifest(folders[0])
        name = collection.name if collection else manifest.name if manifest and len(folders) == 1 else first.name
        home = folders[0].parent.parent
    else:
        name, home = given["study"], Path(given.get("output_dir", "outputs"))
        folders = studies_named(name, home, where)
    found = budget_map(name, folders)
    path = write_map(found, Path(given["out"]) if given.get("out") else home / "maps" / name)
    print(printable("\n".join(lines(found))))
    print(f"\n{path}")


def known_studies(folder: Path) -> list[Path]:
    """Return the folders of the studies that a folder is, names as a collection, or holds.

    Raises:
        UserError: there is none.
    """
    found = studies_in(folder.resolve()) if folder.is_dir() else []
    if not found:
        what = "holds no study" if folder.is_dir() else "is no folder"
        raise UserError(f"`ablate map` needs folders of studies, and {folder} {what}; an example: {EXAMPLE}")
    return found


def studies_named(name: str, home: Path, where: Sequence[Path]) -> list[Path]:
    """Return the folders of all studies of a name, or of a page's studies, in an output folder.

    Raises:
        UserError: there is none.
    """
    files = catalog.levels(where, "study")
    names = set(parts_of(name, files))
    found = []
    for path in sorted((home / "studies").glob(f"*/{MANIFEST_NAME}")):
        try:
            manifest = read_manifest(path.parent)
        except UserError as error:
            if any(path.parent.name.startswith(f"{known}-") for known in names):
                raise UserError(f"`ablate map` cannot read a study of {name}: {error}") from error
            continue
        if manifest is not None and manifest.name in names:
            found.append(path.parent)
    if not found:
        known = "" if name in files else f"; there is no study file {name} (`ablate list study` names all)"
        raise UserError(
            f"`ablate map` found no study {name} in {home / 'studies'}{known}; give output_dir= of its runs, or run it "
            f"with: ablate study={name} profile=quick"
        )
    return found


def lines(found: BudgetMap) -> list[str]:
    """Return a line for each claim that a test decides: its headline, and its verdicts over budgets."""
    shown = []
    for track in found.tracks:
        if not track.claim.is_tested:
            continue
        head = track.headline
        symbol = head.row.symbol if head else track.points[-1].row.symbol
        shown.append(f"{symbol} {track.claim.text}  {track.sentence}")
        if reason := track.why_open:
            shown.append(f"    open: {reason}")
    shown += [f"left out: {line}" for line in found.left_out]
    return shown or ["no claim that a test decides"]
