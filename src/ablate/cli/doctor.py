"""`ablate doctor`: what this computer has for training: versions, device, threads, data, folders, launchers, fonts."""

import importlib.util
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from ablate.errors import UserError

WIDTH = 79
LAUNCHERS = {
    "hydra/launcher=joblib": ("hydra_plugins.hydra_joblib_launcher", "hydra-joblib-launcher>=1.2"),
    "hydra/launcher=submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "hydra-submitit-launcher>=1.2"),
    "hydra/launcher=dask": ("distributed", "distributed>=2025.1"),
}


class Check(NamedTuple):
    """A line of the report.

    Args:
        name: what is looked at.
        found: what was found.
        cure: what to do where something is wrong; "" where nothing is.
        needed: whether nothing can be trained without it.
    """

    name: str
    found: str
    cure: str = ""
    needed: bool = True


def doctor_command(words: Sequence[str], where: Sequence[Path]) -> bool:
    """`ablate doctor`: print the checks; return whether nothing that is needed is wrong.

    Raises:
        UserError: a word follows it.
    """
    if words:
        raise UserError(f"`ablate doctor` takes no words, got {words[0]!r}")
    sound = True
    for check in every_check():
        mark = "ok" if not check.cure else "!!" if check.needed else "--"
        lines = textwrap.wrap(check.found, WIDTH - 16, break_on_hyphens=False, break_long_words=False) or [""]
        print(f"{mark} {check.name:<12} {lines[0]}", *(f"{'':16}{line}" for line in lines[1:]), sep="\n")
        sound &= not (check.cure and check.needed)
        if check.cure:
            print(*textwrap.wrap(check.cure, WIDTH, initial_indent=f"{'':16}", subsequent_indent=f"{'':16}"), sep="\n")
    return sound


def every_check() -> Iterator[Check]:
    """Yield every check; torch is loaded for those of the device."""
    yield Check("python", f"{sys.version.split()[0]} ({sys.executable})")
    yield from versions()
    yield from device()
    yield data()
    yield from folders()
    yield from launchers()
    yield fonts()


def versions() -> Iterator[Check]:
    """Yield the versions of the packages that results depend on."""
    for name in ("ablate", "torch", "torchvision", "hydra-core"):
        try:
            yield Check(name, version(name))
        except PackageNotFoundError:
            # The package ablate in the index is another project.
            what = "'.' in the folder of its repository" if name == "ablate" else name
            yield Check(name, "missing", f"pip install {what}")


def device() -> Iterator[Check]:
    """Yield what `device=auto`, `trainer.threads=auto` and `precision=auto` mean here."""
    import torch

    from ablate.training import hardware
    from ablate.training.environment import cpu_name

    kind = hardware.resolve_device("auto")
    gpus = f"{torch.cuda.device_count()} of {torch.cuda.get_device_name()}" if kind == "cuda" else cpu_name()
    yield Check("device", f"device=auto is {kind}: {gpus}")
    limit = os.environ.get("OMP_NUM_THREADS")
    given = f", OMP_NUM_THREADS={limit}" if limit else ""
    yield Check(
        "threads", f"trainer.threads=auto is {hardware.resolve_threads('auto')} of {hardware.num_cores()} cores{given}"
    )
    has = "computed" if hardware.has_bf16(kind) else "not computed"
    yield Check("bf16", f"{has} in hardware: precision=auto is {hardware.resolve_precision('auto', kind)}")


def data() -> Check:
    """Return whether CIFAR-10 is found where `data=cifar10` looks, and has the right checksums."""
    from ablate.data.cifar10 import decode, find_batches

    root = Path(os.environ.get("ABLATE_DATA") or "data").expanduser()
    cure = "data=cifar10 downloads it; or set ABLATE_DATA to the folder that has it; data=shapes needs none"
    try:
        if (folder := find_batches(root)) is None:
            return Check("cifar10", f"not found in {root}", cure, needed=False)
        decode(folder)
    except (UserError, OSError) as error:
        return Check("cifar10", f"not usable in {root}: {' '.join(str(error).split())[:200]}", cure, needed=False)
    return Check("cifar10", f"found in {folder}, checksums are right")


def folders() -> Iterator[Check]:
    """Yield whether results and decoded images can be written."""
    from ablate.data.cache import user_cache_folder

    for name, folder in (("outputs", Path("outputs")), ("cache", user_cache_folder())):
        if folder is None:
            yield Check(name, "there is no home folder", "give data.cache_dir=FOLDER", needed=False)
            continue
        there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        writable = there.is_dir() and os.access(there, os.W_OK)
        key = "output_dir" if name == "outputs" else "data.cache_dir"
        yield Check(
            name,
            f"{folder} is {'' if writable else 'not '}writable",
            "" if writable else f"give {key}=FOLDER",
            name == "outputs",
        )


def launchers() -> Iterator[Check]:
    """Yield which launchers are installed; all are optional."""
    for name, (module, needed) in LAUNCHERS.items():
        there = is_installed(module)
        how = "installed" if there else f"not installed (optional): pip install '{needed}'"
        yield Check("launcher", f"{name}: {how}")


def is_installed(module: str) -> bool:
    """Return whether a module can be imported, without importing it.

    >>> is_installed("json"), is_installed("no.such.module")
    (True, False)
    """
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def fonts() -> Check:
    """Return the font that figures are drawn with."""
    from matplotlib import font_manager

    path = font_manager.findfont(font_manager.FontProperties(family=["sans-serif"]))
    return Check("font", f"{font_manager.get_font(path).family_name} ({path})")
