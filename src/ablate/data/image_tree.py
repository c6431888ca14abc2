"""Finds the images of classes in folders, train/<class>/**, test/<class>/** and perhaps val/<class>/**."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ablate.data.cache import BESIDE
from ablate.errors import UserError, explain, notice

SPLITS = ("train", "test")
SYNONYMS = {
    "train": ("training", "Train", "Training", "TRAIN"),
    "test": ("val", "valid", "validation", "testing", "eval", "Test", "Testing", "TEST", "Val"),
}
"""Other usual names of the folders `train` and `test`."""

VALIDATION = ("val", "valid", "validation")
"""Names of the folder of validation images, which need not be there."""

SYSTEM_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found", BESIDE)
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "zbthumbnail.info", "picasa.ini", "dicomdir")


@dataclass(frozen=True)
class Found:
    """Classes by number, and by split each image's name below the root (in NFC, with /), its file and its label."""

    class_names: tuple[str, ...]
    images: dict[str, list[tuple[str, Path, int]]]


def find_images(root: Path, suffixes: Sequence[str], read: str) -> Found:
    """Return the images below a root; give a notice of what is left out.

    Args:
        root: holds train/<class>/ and test/<class>/, and perhaps val/<class>/ (or valid/, validation/).
        suffixes: of the files that are read, in lower case; "" for files without one.
        read: the same in words, for errors.

    Raises:
        UserError: if the folders are not as `ImageFolder` describes them.
    """
    left_out: Counter[str] = Counter()
    classes = {split: _classes(root, split, split, left_out) for split in SPLITS}
    folders = {split: root / split for split in SPLITS}
    there = _folders(root)
    if len(validation := [name for name in VALIDATION if name in there]) > 1:
        raise UserError(
            f"{root} must hold one folder of validation images, got {validation}; rename or move the others"
        )
    if validation:
        folders["val"] = root / validation[0]
        classes["val"] = _classes(root, "val", validation[0], left_out)
    for split in classes:
        _check_same_classes(folders["train"], folders[split], set(classes["train"]), set(classes[split]))
    names = tuple(sorted(classes["train"]))
    if len(names) < 2:
        raise UserError(f"{root / 'train'} must hold at least 2 classes, one folder each, got {list(names)}")
    images: dict[str, list[tuple[str, Path, int]]] = {}
    for split in classes:
        images[split] = []
        for label, name in enumerate(names):
            before = left_out.copy()
            folder = classes[split][name]
            files = _walk(folder, left_out, (), suffixes)
            named = sorted((_composed(file.relative_to(root).as_posix()), file) for file in files)
            if not named:
                not_read = _count(left_out - before)
                raise UserError(
                    f"{folder} must hold at least one image ({read}), got "
                    f"{f'only what is not read: {not_read}; convert these' if not_read else 'none'}; or remove this "
                    f"class from {' and '.join(classes)}"
                )
            images[split] += [(below, file, label) for below, file in named]
    if left_out.total():
        notice(f"{root}: {left_out.total():,} files are left out: {_count(left_out)}")
    if unused := [name for name in there if root / name not in folders.values()]:
        notice(f"{root}: folders that are not used: {few(unused)}; validation images lie in val/<class>/")
    return Found(names, images)


def _check_same_classes(train: Path, other: Path, of_train: set[str], of_other: set[str]) -> None:
    """Refuse a folder whose classes are not those of the training images."""
    if of_train == of_other:
        return
    only = {train.name: sorted(of_train - of_other), other.name: sorted(of_other - of_train)}
    alike = {name.casefold() for name in only[train.name]} & {name.casefold() for name in only[other.name]}
    hint = f"; {sorted(alike)} differ in upper and lower case" if alike else ""
    surplus = ", and ".join(f"only {split} has {few(odd)}" for split, odd in only.items() if odd)
    raise UserError(
        f"{train} and {other} must hold the same classes, one folder each, but {surplus}{hint}; "
        "rename the folders, or move images of these classes to where they are missing"
    )


def _folders(root: Path) -> list[str]:
    """Return the names of the folders below a root that are not hidden."""
    return sorted(entry.name for entry in _entries(root) if os.path.isdir(entry) and not _is_hidden(entry.name))


def _classes(root: Path, split: str, name_of_split: str, left_out: Counter[str]) -> dict[str, Path]:
    """Return the folders of a split's classes by name."""
    folder = root / name_of_split
    if not folder.is_dir():
        raise UserError(
            f"an image folder needs `train/<class>/` and `test/<class>/` under `data.root={root}`; "
            f"{folder.absolute()} is no folder{_instead(root, split)}"
        )
    classes: dict[str, Path] = {}
    for entry in _entries(folder):
        name = _composed(entry.name)
        if not os.path.isdir(entry):
            left_out["outside the folders of the classes" if not _is_hidden(entry.name) else "hidden"] += 1
        elif not _is_hidden(entry.name):
            if name in classes:
                raise UserError(
                    f"{folder} has two folders for the class {name!r}, whose names differ only in how Unicode "
                    "composes them (macOS writes accents apart); move their images into one"
                )
            try:
                name.encode()
            except UnicodeEncodeError as error:
                raise UserError(f"the folder {entry} must have a name in UTF-8, got {os.fsencode(name)!r}") from error
            classes[name] = Path(entry.path)
    return classes


def _instead(root: Path, split: str) -> str:
    """Return a hint of what may serve as `train` or `test` where it is missing, "" for none."""
    if not root.is_dir():
        return ""
    there = _folders(root)
    for name in SYNONYMS[split]:
        if name in there:
            return f", but there is {name}; rename it, or link it: ln -s {name} '{root / split}'"
    return f", but there are the folders {few(there)}; move the images below train/ and test/" if there else ""


def _walk(folder: Path, left_out: Counter[str], above: tuple[str, ...], suffixes: Sequence[str]) -> Iterator[Path]:
    """Yield the images in a folder and in those below it; count the other files.

    Args:
        folder: to search.
        left_out: is added to.
        above: the folders that led here, resolved, for links that lead back.
        suffixes: see `find_images`.
    """
    here = os.path.realpath(folder)
    if here in above:
        return
    for entry in _entries(folder):
        suffix = os.path.splitext(entry.name)[1].lower()
        if _is_hidden(entry.name):
            left_out["hidden"] += not os.path.isdir(entry)
        elif os.path.isdir(entry):
            if suffix and suffix in suffixes and not _entries(Path(entry.path)):
                left_out[f"empty folder named {suffix}"] += 1
            yield from _walk(Path(entry.path), left_out, (*above, here), suffixes)
        elif suffix in suffixes and (
            os.path.isfile(entry) or os.path.islink(entry)
        ):  # a dangling link is named when it is read
            yield Path(entry.path)
        elif suffix in suffixes:
            left_out["pipe, socket or device"] += 1
        else:
            left_out[suffix if suffix.isascii() and suffix else "without suffix"] += 1


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"the image folder {explain(error)}") from error


def _is_hidden(name: str) -> bool:
    """Return whether an entry is hidden or made by an operating system: ._1.png, .DS_Store, Thumbs.db, __MACOSX."""
    return name.startswith(".") or name in SYSTEM_FOLDERS or name.lower() in SYSTEM_FILES


def _composed(name: str) -> str:
    """Return a name in NFC: macOS stores é as two characters, other systems as one."""
    return unicodedata.normalize("NFC", name)


def _count(kinds: Counter[str]) -> str:
    return ", ".join(f"{number:,} {kind}" for kind, number in kinds.most_common() if number)


def few(names: list[str]) -> str:
    """Return the first names of a list and how many more there are."""
    return f"{names[:5]}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")
