"""Reads one DICOM file as the values that it stands for, with the window that its header states; needs pydicom."""

import warnings
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ablate.errors import UserError, notice

VERSION = 1
"""Raised whenever the same files give other values."""

SUFFIXES = (".dcm", ".dicom", ".ima", "")
"""Suffixes of the files that are read as DICOM, in lower case."""

INSTALL = "pip install 'pydicom>=3,<4'"


@dataclass(frozen=True, kw_only=True)
class DicomImage:
    """One grey image.

    Args:
        values: (H, W), int32: stored value x RescaleSlope + RescaleIntercept, to the nearest whole number; Hounsfield
            units for CT.
        window: (centre, width) in units of the values, the first that the header states; None if it states none.
        is_inverted: whether the smallest value is shown white (MONOCHROME1); the values are the same.
    """

    values: NDArray[np.int32]
    window: tuple[float, float] | None
    is_inverted: bool


class DicomReader:
    """Reads DICOM files one after the other as intensities 0 .. 2**bits - 1: value + zero, cut off at 0.

    Args:
        bits: 1 to 16.
        zero: the intensity of the value 0; None for 0, and then no value may be below 0.
    """

    def __init__(self, bits: int, zero: int | None) -> None:
        self.bits, self.zero = bits, zero
        self._first: dict[bool, Path] = {}  # the first file that is inverted, and the first that is not
        self._windows: Counter[tuple[float, float] | None] = Counter()

    def __call__(self, file: Path, content: bytes) -> NDArray[np.integer]:
        """Return (H, W, 1), uint8 up to 8 bits, uint16 above.

        Raises:
            UserError: see `read_dicom`; and if a value is out of range, or the files are shown inverted in part.
        """
        found = read_dicom(file, content)
        self._windows[found.window] += 1
        self._first.setdefault(found.is_inverted, file)
        if len(self._first) == 2:
            raise UserError(
                f"all images must be MONOCHROME2 or all MONOCHROME1, where small values are white, but "
                f"{self._first[False]} is MONOCHROME2 and {self._first[True]} MONOCHROME1; convert them"
            )
        lowest, highest = int(found.values.min()), int(found.values.max())
        if self.zero is None and lowest < 0:
            raise UserError(
                f"{file} holds the value {lowest}, which is below 0; give the intensity that the value 0 is to have: "
                "data.zero=1024 for CT (lower values, such as padding, become 0)"
            )
        if highest + (self.zero or 0) >= 2**self.bits:
            raise UserError(
                f"{file} holds the value {highest}, and with `data.zero={self.zero or 0}` the intensity "
                f"{highest + (self.zero or 0)} is above {2**self.bits - 1}, the largest of the declared "
                f"`data.bits={self.bits}`; declare more bits, such as data.bits=16"
            )
        intensities = np.maximum(found.values + (self.zero or 0), 0)[..., None]
        return intensities.astype(np.uint8) if self.bits <= 8 else intensities.astype(np.uint16)

    def report(self) -> None:
        """Give a notice of the windows in the headers, and of images that are shown inverted."""
        total = self._windows.total()
        missing = self._windows[None]
        stated = [(window, count) for window, count in self._windows.most_common() if window]
        if stated:
            (center, width), count = stated[0]
            others = f", {len(stated) - 1} other windows occur" if len(stated) > 1 else ""
            notice(
                f"the headers of {count:,} of {total:,} files state the window {center:g}/{width:g} (centre/width)"
                f"{others}{f', {missing:,} files state none' if missing else ''}; to use one: preprocessing=window "
                f"data.zero={self.zero or 0} data.window_center={center:g} data.window_width={width:g}"
            )
        else:
            notice(
                f"none of the {total:,} headers states a window; preprocessing=window needs data.zero, "
                "data.window_center and data.window_width of your own"
            )
        if True in self._first:
            notice("the images are MONOCHROME1: small values are shown white; the values are kept as they are")


def read_dicom(file: Path, content: bytes) -> DicomImage:
    """Return a single-frame grey image (DICOM PS3.3 C.7.6.3, C.11.1, C.11.2).

    Args:
        file: named in errors.
        content: of the file.

    Raises:
        UserError: if pydicom is not installed, if the content is damaged or no DICOM file, and if it is of a kind that
            is not read: several frames, colour, a lookup table in place of slope and intercept, or a slope below 1,
            with which whole numbers would merge stored values.
    """
    pydicom = import_pydicom(f"{file} is to be read as DICOM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about tags that are not used
        return _read(pydicom, file, content)


def _read(pydicom: Any, file: Path, content: bytes) -> DicomImage:
    try:
        header = pydicom.dcmread(BytesIO(content))
    except Exception as error:  # a damaged file may raise anything within pydicom
        reason = f"{_one_line(error).rstrip('.')}; replace or remove it"
        raise UserError(f"{file} cannot be read as DICOM: {reason}") from error
    try:
        slope, intercept = _check(file, header)
        stored = header.pixel_array
        window = _window(header)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"the pixels of {file} cannot be decoded ({header.file_meta.get('TransferSyntaxUID', 'no transfer syntax')}"
            f"): {_one_line(error)}"
        ) from error
    if stored.ndim != 2:
        raise UserError(f"{file} must hold one grey image, got an array of shape {stored.shape}")
    return DicomImage(
        values=np.rint(stored * slope + intercept).astype(np.int32),
        window=window,
        is_inverted=header.PhotometricInterpretation == "MONOCHROME1",
    )


def import_pydicom(why: str) -> Any:
    """Return the module pydicom; `why` begins the message of the UserError where it is not installed."""
    try:
        import pydicom
    except ImportError as error:
        raise UserError(f"{why}, which needs the package pydicom; install it: {INSTALL}") from error
    return pydicom


def _check(file: Path, header: Any) -> tuple[float, float]:
    """Return slope and intercept; refuse kinds that are not read."""
    if "PixelData" not in header:
        kind = "holds floats" if "FloatPixelData" in header or "DoubleFloatPixelData" in header else "holds no image"
        raise UserError(f"{file} {kind} ({header.get('Modality') or 'no modality'}); leave it out of the folder")
    frames = int(header.get("NumberOfFrames") or 1)
    if frames > 1:
        raise UserError(f"{file} holds {frames} frames; save the one that is meant as a file of its own")
    photometric = header.get("PhotometricInterpretation")
    if header.get("SamplesPerPixel", 1) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UserError(
            f"{file} must be grey (MONOCHROME1 or MONOCHROME2), got {photometric}; convert colour images to png and "
            "use data.format=images"
        )
    if header.get("ModalityLUTSequence"):
        raise UserError(f"{file} has a modality lookup table, which is not read; only RescaleSlope and Intercept are")
    given = header.get("RescaleSlope"), header.get("RescaleIntercept")
    slope, intercept = float(1 if given[0] is None else given[0]), float(given[1] or 0)
    if not 1 <= slope < 2**16:
        raise UserError(
            f"{file} has RescaleSlope {slope:g}, which must be at least 1, since values are kept as whole numbers and "
            "would be merged; convert the images to png of 16 bits and use data.format=images"
        )
    return slope, intercept


def _window(header: Any) -> tuple[float, float] | None:
    """Return the first window of a header; a header may state several, and the standard wants a width of at least 1."""
    ends = []
    for name in ("WindowCenter", "WindowWidth"):
        value = header.get(name)
        values = [value] if isinstance(value, int | float | str) else list(value or [])
        if not values:
            return None
        ends.append(float(values[0]))
    return ends[0], ends[1]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
