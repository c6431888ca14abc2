"""Pack the records of a study, or of a collection of studies, beside its committed pages, for `ablate verify TARGET`.

Usage: python scripts/pack_records.py outputs/studies/lecture-quick-1a2b3c4d docs/lecture

Writes TARGET/records.tar.xz: manifests with their registrations, verdicts, the record of every finished run, the
predictions of those that are not of tuning, and the verdicts.csv of a collection, with its q values; and the SHA-256
of the Markdown pages and tables in TARGET, so run it after scripts/keep_report.py. Of absolute paths of this computer
(`output_dir`, `data.root`) the last part is kept.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ablate.judging.verification import verify_study
from ablate.report.pages import PAGES_NAME, write_pages
from ablate.report.verdict_rows import VERDICTS_TABLE
from ablate.storage.archive import pack
from ablate.storage.portable import portable_file
from ablate.study.collection import COLLECTION_NAME, read_collection
from ablate.study.manifest import MANIFEST_NAME, read_manifest
from ablate.study.results import collect
from ablate.study.verdict_file import VERDICTS_NAME
from ablate.training.record import PREDICTIONS_NAME, RECORD_NAME

ARCHIVE_NAME = "records.tar.xz"


def files_of(folder: Path) -> Iterator[Path]:
    """Yield the files that verify a study: its own, and those of its finished runs."""
    yield from (folder / MANIFEST_NAME, folder / VERDICTS_NAME)
    manifest = read_manifest(folder)
    assert manifest is not None
    results = collect(manifest, folder)
    for arm in results.arms:
        tuned = zip(arm.planned.tuned, arm.tuning, strict=True) if arm.tuning else ()
        chosen = [(arm.chosen, arm.records)] if arm.chosen else []
        both = (RECORD_NAME, PREDICTIONS_NAME)
        for kept, names in ((tuned, (RECORD_NAME,)), (chosen, both)):
            for variant, records in kept:
                for seed in records:
                    home = results.output_dir / variant.folder / f"seed-{seed}"
                    yield from (path for name in names if (path := home / name).exists())


def pack_studies(folder: Path, target: Path) -> Path:
    """Write the archive and return its path.

    Args:
        folder: of a study or a collection.
        target: of the committed pages.

    Raises:
        SystemExit: there is no study, or one of them does not verify.
    """
    collection = read_collection(folder)
    studies = [folder.parent / name for name in collection.folders] if collection else [folder]
    paths = [path for name in (COLLECTION_NAME, VERDICTS_TABLE) if collection and (path := folder / name).exists()]
    for study in studies:
        if not (study / MANIFEST_NAME).exists():
            raise SystemExit(f"{study} holds no study")
        if not verify_study(study).is_ok:
            raise SystemExit(f"{study} does not verify; what differs: ablate verify {study}")
        paths += files_of(study)
    target.mkdir(parents=True, exist_ok=True)
    root = folder.parent.parent
    with tempfile.TemporaryDirectory() as name:
        copies = [Path(name) / path.relative_to(root) for path in paths]
        for path, copy in zip(paths, copies, strict=True):
            portable_file(path, copy)
        for study in studies:
            if not verify_study(Path(name) / study.relative_to(root)).is_ok:
                raise SystemExit(f"the copy of {study} without the paths of this computer does not verify")
        pack([*copies, write_pages(target, Path(name) / PAGES_NAME)], Path(name), target / ARCHIVE_NAME)
    return target / ARCHIVE_NAME


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    archive = pack_studies(args.folder.resolve(), args.target)
    print(f"{archive}: {archive.stat().st_size / 2**20:.1f} MiB; to check it: ablate verify {args.target}")


if __name__ == "__main__":
    main()
