from pathlib import Path

import pytest
import torch

from ablate.cli import jobs, planning
from ablate.cli.ending import end_with
from ablate.cli.jobs import conclusion
from ablate.errors import UserError
from ablate.training.start import start
from builders.command import ALONE
from builders.records import make_record


def record(**changes):
    metrics = {
        f"{split}/{name}": value
        for split in ("train_eval", "test")
        for name, value in (("accuracy", 0.5), ("loss", 1.25))
    }
    environment = {"device_name": "a CPU", "threads": 2}
    return make_record(environment=environment, **{"metrics": metrics, **changes})


def test_the_result_of_a_run(tmp_path):
    lines = conclusion(record(), tmp_path, fresh=True).splitlines()
    assert lines[0] == "train  accuracy 50.00 %  loss 1.2500"
    assert lines[1] == "test   accuracy 50.00 %  loss 1.2500"  # no validation images, no line
    assert lines[2:] == ["1.5 s, 100 images/s, a CPU, 2 threads", f"record {tmp_path / 'record.json'}"]


def test_a_finished_and_a_diverged_run_say_so():
    metrics = {"test/accuracy": 0.1, "test/loss": None, "test/non_finite": 0.25}
    text = conclusion(record(status="diverged", metrics=metrics), Path("nowhere"), fresh=False)
    assert text.startswith("this run is finished already; rerun=true")
    assert "diverged in epoch 1: scored as guessing" in text
    assert "loss -  not finite at inference: 25.00 % of the images" in text


OBSERVING = """
from ablate.training.loop import Callback


class Count(Callback):
    def on_epoch_end(self, state):
        state.history[-1]["mine"] = 1.0


def share(net, images, labels):
    return 0.25
"""


def test_measures_by_import_path_and_callbacks_of_the_settings_observe_a_run(compose, cache, tmp_path, monkeypatch):
    (tmp_path / "observing.py").write_text(OBSERVING)
    monkeypatch.syspath_prepend(str(tmp_path))
    shown = [f"output_dir={tmp_path}", f"data.cache_dir={cache}", "tensorboard.enabled=false", "trainer.epochs=1"]
    measured = ["diagnostics.measure=[observing.share]", "+callbacks.count._target_=observing.Count"]
    plain = planning.plan(*compose([*ALONE.split(), *shown]))
    plan = planning.plan(*compose([*ALONE.split(), *shown, *measured]))
    assert plan.fingerprint == plain.fingerprint and [s.scientific for s in plan.sources] == [False]
    track, count = jobs.observers(plan)
    assert list(track.measures) == ["observing.share"]
    run, _ = start(planning.make_run(plan), plan.folder, [track, count])
    assert run.metrics["observing.share/value"] == 0.25 and run.history[0]["mine"] == 1.0
    assert not (plan.folder / "weights.safetensors").exists()


def test_a_callback_or_measure_that_does_not_fit_is_refused_before_the_run(compose, cache, tmp_path):
    shown = [f"output_dir={tmp_path}", f"data.cache_dir={cache}"]
    for word, message in (
        ("+callbacks.mine={_target_:torch.nn.ReLU}", "`callbacks.mine` must be an ablate.training.loop.Callback"),
        ("+callbacks.mine={_target_:torch.nn.RelU}", r"callbacks.mine: .*Did you mean torch.nn.ReLU\?"),
        ("diagnostics.measure=[torch.nn.functional.los]", r"diagnostics: .*import path"),
    ):
        plan = planning.plan(*compose([*ALONE.split(), *shown, word]))
        with pytest.raises(UserError, match=message):
            jobs.observers(plan)


FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
CURES = ("trainer.batch_size", "trainer.eval_batch_size", "precision=bf16", "workers_per_gpu", "allocate 2.00 GiB")


def test_a_full_gpu_is_no_bug_of_the_program(capsys):
    for error in (FULL, RuntimeError("CUDA error: out of memory, allocate 2.00 GiB")):
        with pytest.raises(SystemExit) as ended:
            end_with(error)
        shown = " ".join(capsys.readouterr().err.split())
        assert ended.value.code == 2
        assert "bug" not in shown
        assert all(cure in shown for cure in CURES)


@pytest.mark.parametrize(("error", "raised"), [(FULL, UserError), (RuntimeError("sizes differ"), RuntimeError)])
def test_a_sweep_names_the_cures_for_a_full_gpu(compose, cache, tmp_path, monkeypatch, error, raised):
    def fail(*args, **options):
        raise error

    monkeypatch.setattr(jobs, "start", fail)
    plan = planning.plan(*compose([*ALONE.split(), f"output_dir={tmp_path}"]))
    with pytest.raises(raised):
        jobs.do_in_sweep(plan)
    line = (plan.folder / "failure.txt").read_text().splitlines()[-1]
    if error is FULL:
        assert all(cure in line for cure in CURES)
    else:
        assert line == "RuntimeError: sizes differ"


@pytest.mark.parametrize(("where", "gpu", "expected"), [("cuda", None, 3), ("cuda", 1, 1), ("cpu", None, None)])
def test_a_job_computes_on_the_gpu_of_its_worker(compose, cache, tmp_path, monkeypatch, where, gpu, expected):
    seen = []
    monkeypatch.setattr(jobs, "start", lambda run, *args, **options: seen.append(run.gpu))
    monkeypatch.setattr(jobs, "gpu_of_worker", lambda: 3)
    make = jobs.make_run
    monkeypatch.setattr(jobs, "make_run", lambda plan: jobs.replace(make(plan), device=where, gpu=gpu))
    jobs.do_in_sweep(planning.plan(*compose([*ALONE.split(), f"output_dir={tmp_path}"])))
    assert seen == [expected]
