"""Folders as compressed archives: .tar.gz and .zip."""

import gzip
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from ablate.errors import UserError
from ablate.storage.integrity import replacing

ENDINGS = (".tar.gz", ".tgz", ".zip")


def is_archive(path: Path) -> bool:
    """Return whether a path is a file that is named like an archive.

    Example:
        >>> is_archive(Path("no/such/file.zip"))
        False
    """
    return path.name.endswith(ENDINGS) and path.is_file()


def archives_in(folder: Path) -> list[Path]:
    """Return the archives in a folder, sorted by name."""
    return sorted(path for path in folder.iterdir() if is_archive(path)) if folder.is_dir() else []


def unpack(archive: Path, target: Path) -> None:
    """Unpack an archive into an existing folder; nothing is written outside it.

    Raises:
        UserError: the archive is damaged, or a name in it leads outside the folder.
    """
    try:
        if archive.name.endswith(".zip"):
            with zipfile.ZipFile(archive) as content:
                content.extractall(target)  # drops ".." and absolute paths
        else:
            with tarfile.open(archive, "r:gz") as content:
                content.extractall(target, filter="data")
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
        raise UserError(f"{archive} cannot be unpacked ({error}); get it again from where it came from") from error


def pack(paths: Iterable[Path], root: Path, archive: Path) -> None:
    """Write files into a .tar.gz in one atomic step, the same bytes for the same files.

    Args:
        paths: of the files.
        root: folder that the names in the archive are relative to.
        archive: ends in .tar.gz.
    """
    with (
        replacing(archive) as temporary,
        temporary.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as content,
    ):
        for path in sorted(set(paths)):
            info = content.gettarinfo(path, arcname=path.relative_to(root).as_posix())
            info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode = 0, 0, 0, "", "", 0o644
            with path.open("rb") as data:
                content.addfile(info, data)
