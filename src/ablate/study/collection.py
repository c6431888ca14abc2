"""A study that consists of others (`studies: [...]` in its file): what it is on disk, beside the studies' own folders.

Each of its studies has a manifest, a report and an error level of its own; the collection ties them to one first page.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

from ablate.errors import Unusable, UserError
from ablate.storage.integrity import read_json, write_json
from ablate.storage.paths import named_folder
from ablate.study.manifest import Manifest, read_manifest
from ablate.training.directory import replace_unusable

COLLECTION_NAME = "collection.json"
SCHEMA_VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Which studies belong together.

    Args:
        name, title, source: of the collection's file.
        profile: that all its studies were asked for with, "" for none.
        command: the command line that began it.
        folders: of its studies, in their order, beside its own.
    """

    schema: int = SCHEMA_VERSION
    name: str
    title: str
    source: str
    profile: str
    command: str
    folders: list[str]

    def folder_in(self, output_dir: Path) -> Path:
        """Return the collection's folder: its name, its profile and the hash of the studies that it ties together."""
        name = "-".join(part for part in (self.name, self.profile) if part)
        return output_dir / "studies" / named_folder(name, self.folders)

    def studies(self, folder: Path) -> list[tuple[Manifest, Path]]:
        """Return its studies' manifests and folders.

        Raises:
            UserError: a study's folder is no longer there.
        """
        found = []
        for name in self.folders:
            manifest = read_manifest(folder.parent / name)
            if manifest is None:
                raise UserError(f"{folder} ties together studies of which {folder.parent / name} is not there any more")
            found.append((manifest, folder.parent / name))
        return found


def write_collection(collection: Collection, folder: Path) -> None:
    """Write the collection in one atomic step; one that cannot be used is set aside first, with its reports."""
    try:
        read_collection(folder)
    except Unusable as error:
        replace_unusable(folder, error, "it is made again")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(asdict(collection), folder / COLLECTION_NAME)


def read_collection(folder: Path) -> Collection | None:
    """Return the collection in `folder`, None where there is none.

    Raises:
        Unusable: it is damaged, or of an earlier version.
        UserError: it is of a later version, or cannot be read.
    """
    return read_json(Collection, folder / COLLECTION_NAME, SCHEMA_VERSION)


def others(collection: Collection, folder: Path) -> tuple[list[Collection], list[str]]:
    """Return the collections of the same name that lie beside it, at other budgets, by folder name.

    Returns:
        Those, and why one could not be read, one line each: what another version left is in nobody's way.
    """
    found, unread = [], []
    for path in sorted(folder.parent.glob(f"{collection.name}-*/{COLLECTION_NAME}")):
        try:
            other = read_collection(path.parent)
        except UserError as error:
            unread.append(str(error))
            continue
        if path.parent != folder and other is not None and other.name == collection.name:
            found.append(other)
    return found, unread
