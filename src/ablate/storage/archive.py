"""Folders as compressed archives: .tar.gz, .tar.xz and .zip."""

import lzma
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

from ablate.errors import UserError
from ablate.storage.integrity import replacing

ENDINGS = (".tar.gz", ".tgz", ".tar.xz", ".zip")


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
            with tarfile.open(archive, "r:*") as content:
                content.extractall(target, filter="data")
    except (OSError, EOFError, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, ValueError) as error:
        raise UserError(f"{archive} cannot be unpacked ({error}); get it again from where it came from") from error


def pack(paths: Iterable[Path], root: Path, archive: Path) -> None:
    """Write files into a .tar.xz in one atomic step, the same bytes for the same files.

    xz finds what thousands of records have in common; gzip looks back 32 KiB, which is little more than one record.

    Args:
        paths: of the files.
        root: folder that the names in the archive are relative to.
        archive: ends in .tar.xz.
    """
    with (
        replacing(archive) as temporary,
        lzma.open(temporary, "wb", preset=9 | lzma.PRESET_EXTREME) as packed,
        tarfile.open(fileobj=packed, mode="w") as content,
    ):
        for path in sorted(set(paths)):
            info = content.gettarinfo(path, arcname=path.relative_to(root).as_posix())
            info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode = 0, 0, 0, "", "", 0o644
            with path.open("rb") as data:
                content.addfile(info, data)
