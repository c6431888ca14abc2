"""Training in memory, as figures use it."""

from types import SimpleNamespace

import pytest

from ablate.training import hardware
from ablate.training.lab import Lab
from ablate.training.run import Run


@pytest.fixture
def lab(make_run):
    """A Lab whose overrides are recorded and do not change the run, except for the seed."""
    seen = []

    def compose(overrides):
        seen.append(overrides)
        return make_run(seed=int(overrides[-1].removeprefix("seed=")), epochs=1)

    made = Lab(compose=compose)
    return made, seen


def test_overrides_and_seed_reach_the_composition(lab):
    made, seen = lab
    run = made.run("net=tiny", seed=3)
    assert seen == [["net=tiny", "seed=3"]]
    assert run.seed == 3


def test_equal_data_are_loaded_once(lab):
    made, _ = lab
    assert made.dataset(made.run(seed=0)) is made.dataset(made.run(seed=1))


def test_training_in_memory_writes_nothing_and_depends_on_the_seed(lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made, _ = lab
    first, again, other = (made.train(made.run(seed=seed)).history[-1]["train/loss"] for seed in (0, 0, 1))
    assert first == again != other
    assert list(tmp_path.iterdir()) == []


def test_a_figure_computes_on_its_gpu_and_in_its_precision(make_run, monkeypatch):
    """Also where it builds a net by itself, after another run of other settings."""
    prepared, moved = [], []
    monkeypatch.setattr(hardware, "prepare_device", lambda *args: prepared.append(args))
    monkeypatch.setattr(Run, "build", lambda run, dataset: SimpleNamespace(to=moved.append))
    runs = iter([make_run(device="cuda", gpu=1), make_run()])
    made = Lab(compose=lambda overrides: next(runs))
    first, _ = made.run(), made.run()
    assert prepared == [("cuda", "fp32", 1), ("cpu", "fp32", None)]
    made.net(first)
    assert prepared[2:] == [("cuda", "fp32", 1)] and moved == ["cuda"]


def test_a_long_training_shows_the_time_left(lab, monkeypatch):
    made, _ = lab
    lines = []
    monkeypatch.setattr("ablate.training.lab.EVERY_SECONDS", 0.0)
    made = Lab(compose=made.compose, log=lines.append)
    state = made.train(made.run(seed=0))
    total = state.num_epochs * state.steps_per_epoch
    assert total > 1
    assert [line.rpartition(",")[0] for line in lines] == [f"  step {n} of {total}" for n in range(1, total)]
    assert all(line.endswith(" left") for line in lines)


def test_a_step_is_shown_with_its_number_and_the_time_left():
    lines = []
    lab = Lab(None, log=lines.append)
    lab.step("alone")
    lab.expect(3)
    for name in ("a", "b", "c"):
        lab.step(name)
    assert lines[:2] == ["alone", "[1/3] a"]
    assert lines[2:] == ["[2/3, 0:00 left] b", "[3/3, 0:00 left] c"]
