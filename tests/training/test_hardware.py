"""What `auto` and the like mean on this machine, and on machines with more GPUs than this one."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from ablate.errors import UserError
from ablate.training import hardware
from hydra_plugins.ablate_sweeper import AblateSweeper


@pytest.fixture
def four_gpus(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(hardware, "num_gpus", lambda: 4)
    monkeypatch.setattr(hardware, "num_cores", lambda: 16)
    monkeypatch.setattr(hardware, "gpu_memory_gib", lambda gpu: 8.0)
    monkeypatch.setattr(hardware, "resolve_device", lambda device: "cuda" if device == "auto" else device)


def test_a_gpu_is_one_that_is_there(four_gpus):
    assert [hardware.resolve_gpu(gpu, "cuda") for gpu in (None, 0, 3)] == [None, 0, 3]
    assert hardware.resolve_gpu(None, "cpu") is None
    for gpu in (4, -1, True, "0"):
        with pytest.raises(ValueError, match="`gpu` must be a whole number from 0 to 3, got"):
            hardware.resolve_gpu(gpu, "cuda")
    with pytest.raises(ValueError, match="`gpu` must be null with device=cpu, got 0"):
        hardware.resolve_gpu(0, "cpu")


def test_tf32_needs_a_gpu_that_has_it(monkeypatch):
    with pytest.raises(ValueError, match="`precision=tf32` needs device=cuda, got cpu, which has no TF32; take fp32"):
        hardware.resolve_precision("tf32", "cpu")
    monkeypatch.setattr(torch.cuda, "is_tf32_supported", lambda: True)
    assert hardware.resolve_precision("tf32", "cuda") == "tf32"
    monkeypatch.setattr(torch.cuda, "is_tf32_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla T4")
    with pytest.raises(ValueError, match=r"compute capability 8\.0 or more\), got Tesla T4"):
        hardware.resolve_precision("tf32", "cuda")


@pytest.fixture
def flags(monkeypatch):
    """A function -> TF32 in convolutions, TF32 in products, whether cuDNN may vary; restored later."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic
    yield lambda: (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark or not cudnn.deterministic)
    cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic = before


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_device_is_prepared_whatever_the_run_before_it_set(monkeypatch, flags, precision):
    chosen = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    is_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = not is_tf32
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = True, False
    hardware.prepare_device("cuda", precision, 1)
    hardware.prepare_device("cuda", precision)
    assert chosen == [1, 0]
    assert flags() == (is_tf32, is_tf32, False)
    # What torch 2.10 and later read instead must agree: torch refuses to read one kind of flag if both were set.
    kinds = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    assert [kind.fp32_precision == "tf32" for kind in kinds] == [is_tf32, is_tf32]
    hardware.prepare_device("cpu", "fp32")
    assert chosen == [1, 0]


def test_full_precision_ends_with_its_block(flags):
    hardware.prepare_device("cpu", "tf32")
    with contextlib.suppress(UserError), hardware.full_precision():
        assert flags() == (False, False, False)
        raise UserError("a measure refuses the net")
    assert flags() == (True, True, False)


def test_compile_has_three_values():
    assert [hardware.resolve_compile(mode) for mode in (False, True, "default")] == [False, "default", "default"]
    assert hardware.resolve_compile("reduce-overhead") == "reduce-overhead"
    for mode in ("fast", 1, None):
        with pytest.raises(ValueError, match=r"`trainer\.compile` must be false, true"):
            hardware.resolve_compile(mode)


@pytest.mark.parametrize(
    ("settings", "base", "num_jobs", "gpus"),
    [
        ({"n_jobs": -1}, [], 4, [0, 1, 2, 3]),  # one a GPU, although there are 16 cores
        ({"n_jobs": -1, "workers_per_gpu": 3}, [], 12, [0, 1, 2, 3]),
        ({"n_jobs": -1, "workers_per_gpu": 9}, [], 16, [0, 1, 2, 3]),
        ({"n_jobs": -1, "workers_per_gpu": "auto"}, [], 8, [0, 1, 2, 3]),  # each of 8 GiB
        ({"n_jobs": 2}, [], 2, [0, 1, 2, 3]),
        ({"n_jobs": -1, "workers_per_gpu": 2, "gpu": 3}, [], 2, [3]),
        ({"n_jobs": -1, "device": "cpu"}, [], 16, []),
        ({"n_jobs": -1}, ["device=cpu"], 16, []),
        ({"n_jobs": 5, "kind": "BasicLauncher"}, [], 1, []),
    ],
)
def test_a_sweep_has_so_many_workers_a_gpu(four_gpus, settings, base, num_jobs, gpus):
    kind = settings.pop("kind", "JoblibLauncher")
    launcher = SimpleNamespace(_target_=f"x.{kind}", n_jobs=settings.pop("n_jobs"))
    sweeper = AblateSweeper.__new__(AblateSweeper)
    options = {"device": "auto", "precision": "fp32", "gpu": None, "workers_per_gpu": 1, **settings}
    hydra, trainer = SimpleNamespace(launcher=launcher), SimpleNamespace(threads="auto")
    sweeper.config = SimpleNamespace(hydra=hydra, trainer=trainer, **options)
    sweeper.launcher = SimpleNamespace(joblib={"n_jobs": launcher.n_jobs})
    decided, found, given, here, _ = sweeper.decide([SimpleNamespace(base=base)])
    assert (found, list(given), here) == (num_jobs, gpus, True)
    assert decided["trainer.threads"] == 16 // num_jobs
    if gpus:
        assert sweeper.launcher.joblib["n_jobs"] == num_jobs


def decide(kind, num_jobs):
    """Where the jobs of a launcher run, as the sweeper decides it."""
    launcher = SimpleNamespace(_target_=f"x.{kind}", n_jobs=num_jobs, get=lambda key: num_jobs)
    sweeper = AblateSweeper.__new__(AblateSweeper)
    options = {"device": "cpu", "precision": "fp32", "gpu": None, "workers_per_gpu": 1}
    hydra, trainer = SimpleNamespace(launcher=launcher), SimpleNamespace(threads=1)
    sweeper.config = SimpleNamespace(hydra=hydra, trainer=trainer, **options)
    sweeper.launcher = SimpleNamespace(joblib={"n_jobs": num_jobs})
    return sweeper.decide([SimpleNamespace(base=[])])


@pytest.mark.parametrize(
    ("kind", "num_jobs", "given", "expected"),
    [
        ("JoblibLauncher", 2, None, "1"),
        ("JoblibLauncher", 2, "4", "4"),
        ("JoblibLauncher", 1, None, None),
        ("BasicLauncher", 1, None, None),
        ("SlurmLauncher", 8, None, None),
    ],
)
def test_several_workers_compile_in_one_process_each(monkeypatch, kind, num_jobs, given, expected):
    name = "TORCHINDUCTOR_COMPILE_THREADS"
    monkeypatch.setenv(name, "")  # so that monkeypatch removes what is set
    monkeypatch.delenv(name)
    if given:
        monkeypatch.setenv(name, given)
    decide(kind, num_jobs)
    assert os.environ.get(name) == expected


def test_a_gpu_has_a_worker_at_least(four_gpus):
    with pytest.raises(ValueError, match="`workers_per_gpu` must be auto or a whole number of at least 1, got 0"):
        hardware.share_gpus(16, 4, 0)


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists() or not Path("/proc/self/smaps").exists(),
    reason="this kernel has no huge pages on request",
)
@pytest.mark.parametrize(("asked", "marked"), [(None, True), ("0", False)])
def test_large_tensors_ask_for_huge_pages_unless_the_user_says_otherwise(asked, marked):
    environment = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    environment |= {} if asked is None else {"THP_MEM_ALLOC_ENABLE": asked}
    code = "import ablate.training.loop, torch; x = torch.ones(4_000_000); print(open('/proc/self/smaps').read())"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    flags = [line.split() for line in done.stdout.splitlines() if line.startswith("VmFlags:")]
    assert any("hg" in line for line in flags) == marked  # of a mapping: advised to be on huge pages


@pytest.mark.parametrize(
    ("limit", "threads"), [("3", 3), ("2,4", 2), ("64", 16), ("", 16), ("0", 16), ("many", 16), (None, 16)]
)
def test_auto_threads_are_at_most_those_of_openmp(monkeypatch, limit, threads):
    monkeypatch.setattr(hardware, "num_cores", lambda: 16)
    monkeypatch.setattr(hardware, "gpu_memory_gib", lambda gpu: 8.0)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if limit is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert hardware.resolve_threads("auto") == threads
    assert hardware.resolve_threads(5) == 5  # what is asked for is used


def test_capturing_needs_cuda():
    hardware.check_capture(True, "cuda")
    with pytest.raises(ValueError, match=r"trainer\.capture=true.*device=cuda, got device=cpu.*trainer\.capture=auto"):
        hardware.check_capture(True, "cpu")
