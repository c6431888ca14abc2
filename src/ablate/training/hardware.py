"""The machine: resolving `auto`, and settings before a run."""

import contextlib
import ctypes
import functools
import math
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from ablate.errors import UserError


def num_cores() -> int:
    """Return the number of cores this process may use.

    Example:
        >>> num_cores() >= 1
        True
    """
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resolve_device(device: str) -> str:
    """Return "cpu" or "cuda" for cpu, cuda or auto.

    Raises:
        UserError: an unknown name, or CUDA is asked for and torch sees none.

    Example:
        >>> resolve_device("cpu")
        'cpu'
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"`device` must be cpu, cuda or auto, got {device!r}")
    if device == "cuda" and not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        raise UserError(
            f"`device=cuda` was asked for, but torch {torch.__version__} ({built}) sees no usable GPU; "
            "use device=cpu or device=auto, or check nvidia-smi"
        )
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def num_gpus() -> int:
    """Return the number of CUDA devices that this process sees."""
    return torch.cuda.device_count()


def resolve_gpu(gpu: int | None, device: str) -> int | None:
    """Return the number of the CUDA device, checked; None means the first, and is the only value without CUDA.

    Raises:
        UserError: there is no such GPU.

    Example:
        >>> print(resolve_gpu(None, "cpu"))
        None
    """
    if gpu is None:
        return None
    available = num_gpus() if device == "cuda" else 0
    if not isinstance(gpu, int) or isinstance(gpu, bool) or not 0 <= gpu < available:
        valid = f"a whole number from 0 to {available - 1}" if available else f"null with device={device}"
        raise UserError(f"`gpu` must be {valid}, got {gpu!r}")
    return gpu


GIB_PER_WORKER = 4.0  # of a GPU's memory: each process has some 0.5 GiB of its own before a run begins
MOST_WORKERS = 16  # on one GPU, where their number is found; the Multi-Process Service takes 48


def share_gpus(num_workers: int, gpus: int, workers_per_gpu: int | str, gib: float = math.inf) -> int:
    """Return how many of `num_workers` jobs may run at once if each needs a GPU and `workers_per_gpu` share one.

    Args:
        num_workers: jobs that the launcher would run at once.
        gpus: number of GPUs, at least 1.
        workers_per_gpu: a whole number of at least 1; or "auto" for as many as have `GIB_PER_WORKER` of its memory, at
            most `MOST_WORKERS`.
        gib: memory of a GPU, in 2**30 bytes.

    Raises:
        UserError: `workers_per_gpu` is neither.

    Example:
        >>> share_gpus(8, gpus=2, workers_per_gpu=3), share_gpus(32, gpus=1, workers_per_gpu="auto", gib=24.0)
        (6, 6)
    """
    if workers_per_gpu == "auto":
        workers_per_gpu = max(1, int(min(gib / GIB_PER_WORKER, MOST_WORKERS)))
    if not isinstance(workers_per_gpu, int) or isinstance(workers_per_gpu, bool) or workers_per_gpu < 1:
        raise UserError(f"`workers_per_gpu` must be auto or a whole number of at least 1, got {workers_per_gpu!r}")
    return max(1, min(num_workers, gpus * workers_per_gpu))


def gpu_memory_gib(gpu: int) -> float:
    """Return the memory of a CUDA device, in 2**30 bytes."""
    return torch.cuda.get_device_properties(gpu).total_memory / 2**30


def resolve_compile(mode: bool | str) -> bool | str:
    """Return False, "default" or "reduce-overhead" for these or True, which means "default".

    Example:
        >>> resolve_compile(True)
        'default'
    """
    if not isinstance(mode, bool) and mode not in ("default", "reduce-overhead"):
        raise UserError(f"`trainer.compile` must be false, true, default or reduce-overhead, got {mode!r}")
    return "default" if mode is True else mode


def check_capture(capture: bool | str, device: str) -> None:
    """Refuse `trainer.capture=true` where there is no CUDA.

    Raises:
        UserError: it is asked for on the CPU.

    Example:
        >>> check_capture("auto", "cpu")
    """
    if capture is True and device != "cuda":
        raise UserError(
            "`trainer.capture=true` records training steps as a CUDA graph and needs device=cuda, got "
            f"device={device}; set trainer.capture=auto, which does it where it can"
        )


def resolve_precision(precision: str, device: str) -> str:
    """Return "fp32", "tf32" or "bf16" for these or auto: bf16 if `device` computes it in hardware.

    Raises:
        UserError: an unknown name, or `device` has no TF32 and it is asked for.

    Example:
        >>> resolve_precision("fp32", "cpu")
        'fp32'
    """
    if precision not in ("auto", "fp32", "tf32", "bf16"):
        raise UserError(f"`precision` must be fp32, tf32, bf16 or auto, got {precision!r}")
    if precision == "tf32" and device != "cuda":
        raise UserError(f"`precision=tf32` needs device=cuda, got {device}, which has no TF32; take fp32 or bf16")
    if precision == "tf32" and not torch.cuda.is_tf32_supported():
        raise UserError(
            f"`precision=tf32` needs a GPU with TF32 (compute capability 8.0 or more), got "
            f"{torch.cuda.get_device_name()}; take fp32"
        )
    return ("bf16" if has_bf16(device) else "fp32") if precision == "auto" else precision


def prepare_device(device: str, precision: str, gpu: int | None = None) -> None:
    """Make this process compute on `device` in `precision`; whatever builds a net on a device calls it first.

    In fp32 and bf16 no convolution or product of float32 tensors is rounded to TF32, which torch does in convolutions
    unless it is switched off; in tf32 both are. Only torch's older two flags are set: torch refuses to read one kind of
    flag after the other kind was set. cuDNN takes deterministic algorithms only, and does not try which is fastest, so
    that a run on CUDA has the same numbers each time on the same card (see docs/performance.md for what it costs).

    Args:
        device: "cpu" or "cuda".
        precision: "fp32", "tf32" or "bf16".
        gpu: which CUDA device, from 0; None: the first.

    Example:
        >>> prepare_device("cpu", "fp32")
        >>> torch.backends.cudnn.allow_tf32
        False
    """
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    if device == "cuda":
        torch.cuda.set_device(gpu or 0)


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Round nothing to TF32 inside the block; what `prepare_device` set is restored.

    Example:
        >>> with full_precision():
        ...     torch.backends.cuda.matmul.allow_tf32
        False
    """
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


def resolve_threads(threads: str | int, num_workers: int = 1) -> int:
    """Return the number of threads per process if `num_workers` processes share this machine's cores.

    With "auto" it is at most $OMP_NUM_THREADS, as in other programs that use OpenMP.

    Example:
        >>> resolve_threads(4)
        4
    """
    if threads == "auto":
        share = max(1, num_cores() // max(1, num_workers))
        limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # of the outermost level
        return min(share, int(limit)) if limit.isdecimal() and int(limit) else share
    if not isinstance(threads, int) or threads < 1:
        raise UserError(f"`trainer.threads` must be auto or at least 1, got {threads!r}")
    return threads


def has_bf16(device: str) -> bool:
    """Return whether `device` multiplies bfloat16 numbers in hardware (emulation is slower than fp32)."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return False
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


@functools.cache
def keep_memory() -> None:
    """Make glibc keep freed memory instead of returning it to the system; done once per process.

    Activations have the same size in every step; returning their memory costs page faults. Without glibc this does
    nothing.
    """
    if platform.libc_ver()[0] == "glibc":
        m_trim_threshold, m_mmap_max = -1, -4
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, 2**31 - 1)


def peak_memory_mb(device: str) -> float:
    """Return the peak of resident memory of this process so far, in 2**20 bytes.

    On CUDA: of allocated device memory since the run began; the data set that the process keeps for its next run and
    the workspaces of cuBLAS are in it.
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    try:
        import resource
    except ImportError:  # Windows has no such module
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
