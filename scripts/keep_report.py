"""Copy the report of a collection of studies, as Markdown, into a folder that is committed.

Usage: python scripts/keep_report.py outputs/studies/lecture-quick-1a2b3c4d docs/lecture

Writes TARGET/README.md (the first page) and TARGET/<study>.md, with links between them instead of into outputs/, and a
line with the command and the commit that made them, without the paths of this computer, and a link to looked_into.md
where TARGET or the folder above has one. Refuses a collection that is not finished.
"""

import argparse
import re
from pathlib import Path

from ablate.judging import collect
from ablate.report import report_collection
from ablate.storage.portable import portable
from ablate.study.collection import Collection, read_collection
from ablate.study.manifest import Manifest
from ablate.study.results import Results, missing_runs

REMARKS = "looked_into.md"


def commits(results: list[Results]) -> list[str]:
    """Return the commits in the records, each once."""
    records = [record for found in results for arm in found.arms for record in arm.records.values()]
    return sorted({str(record.environment.get("ablate_git_commit") or "unknown") for record in records})


def relinked(page: str, studies: list[tuple[Manifest, Path]]) -> str:
    """Return a page whose links into the studies' folders lead to the copies."""
    for manifest, folder in studies:
        page = re.sub(rf"\.\./{re.escape(folder.name)}/report\.(md|html)(#[\w-]+)?", f"{manifest.name}.md", page)
    return page


def remarks(target: Path) -> str:
    """Return a line with a link to the remarks on a page, which are in its folder or the one above, "" without them."""
    for folder, path in ((target, REMARKS), (target.parent, f"../{REMARKS}")):
        if (folder / REMARKS).exists():
            return f"[What was contradicted or undecided, and why]({path})\n\n"
    return ""


def keep(collection: Collection, folder: Path, target: Path) -> None:
    """Write the pages.

    Raises:
        SystemExit: a study is not finished.
    """
    studies = collection.studies(folder)
    results = [collect(*study) for study in studies]
    if unfinished := [found.study.name for found in results if any(missing_runs(found))]:
        raise SystemExit(f"not finished: {', '.join(unfinished)}; to go on:\n  {collection.command}")
    made = (
        f"Made by `{collection.command}` at commit {', '.join(commits(results))}; copied by `scripts/keep_report.py`."
    )
    report_collection(collection, studies)  # the files there may be older than the records
    target.mkdir(parents=True, exist_ok=True)
    first = relinked((folder / "report.md").read_text(encoding="utf-8"), studies)
    (target / "README.md").write_text(portable(f"{remarks(target)}{first}\n{made}\n"), encoding="utf-8")
    for manifest, study_folder in studies:
        page = (study_folder / "report.md").read_text(encoding="utf-8")
        text = portable(f"[All verdicts](README.md)\n\n{page}")
        (target / f"{manifest.name}.md").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    folder = args.folder.resolve()
    collection = read_collection(folder)
    if collection is None:
        raise SystemExit(f"{args.folder} holds no collection of studies")
    keep(collection, folder, args.target)


if __name__ == "__main__":
    main()
