"""The hashes of committed pages, which are packed with the records that they are made from."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from ablate.storage.integrity import read_json, write_json

PAGES_NAME = "pages.json"
SCHEMA_VERSION = 1
KINDS = ("*.md", "*.csv", "*.html")


@dataclass(frozen=True, kw_only=True)
class Pages:
    """{name: SHA-256} of the pages and tables in a folder."""

    schema: int = SCHEMA_VERSION
    pages: dict[str, str]


def write_pages(folder: Path, path: Path) -> Path:
    """Write the hashes of the pages in `folder` to `path`, and return it."""
    names = sorted(page.name for kind in KINDS for page in folder.glob(kind))
    write_json(asdict(Pages(pages={name: _hash(folder / name) for name in names})), path)
    return path


def changed_pages(folder: Path, path: Path) -> list[str]:
    """Return a sentence for each page that is missing or is not the one whose hash was written to `path`.

    Raises:
        Unusable: the file at `path` is damaged.
    """
    found = read_json(Pages, path, SCHEMA_VERSION)
    problems = []
    for name, known in found.pages.items() if found else ():
        if not (folder / name).is_file():
            problems.append(f"{name} is missing")
        elif _hash(folder / name) != known:
            problems.append(f"{name} is not the page that was packed with these records")
    return problems


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
