"""A study that consists of others (`studies: [...]` in its file): its folder, beside those of the studies.

Each of its studies has a manifest, a report and an error level of its own; the collection has one first page for all.
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
        profile: of all its studies, "" for none.
        command: the command line that began it.
        folders: names of its studies' folders, in order; they lie beside its own.
        remark: what the page says first, "" for nothing.

    >>> lecture = Collection(name="lecture", title="", source="", profile="quick", command="", folders=["a-1", "b-2"])
    >>> lecture.folder_in(Path("outputs")).as_posix()
    'outputs/studies/lecture-quick-e2615cfc'
    """

    schema: int = SCHEMA_VERSION
    name: str
    title: str
    source: str
    profile: str
    command: str
    folders: list[str]
    remark: str = ""

    def folder_in(self, output_dir: Path) -> Path:
        """Return the collection's folder: its name, its profile and the hash of its studies' folders."""
        name = "-".join(part for part in (self.name, self.profile) if part)
        return output_dir / "studies" / named_folder(name, self.folders)

    def studies(self, folder: Path) -> list[tuple[Manifest, Path]]:
        """Return its studies' manifests and folders.

        Raises:
            UserError: a study's folder does not exist any more.
        """
        found = []
        for name in self.folders:
            manifest = read_manifest(folder.parent / name)
            if manifest is None:
                raise UserError(f"{folder} names studies of which {folder.parent / name} does not exist any more")
            found.append((manifest, folder.parent / name))
        return found


def write_collection(collection: Collection, folder: Path) -> None:
    """Write the collection atomically; an unusable one is set aside first, with its reports."""
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
    """Return the collections of the same name in the folders beside it, at other budgets, sorted by folder name.

    Returns:
        Those, and why others could not be read, one line each: these are skipped.
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
