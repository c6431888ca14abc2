"""What is measured while a net trains, when, and that measuring changes nothing."""

import math

import pytest
import torch
import yaml
from hydra.utils import instantiate

from ablate.config import catalog
from ablate.diagnostics.track import Track
from ablate.training import hardware
from ablate.training.loop import Callback
from ablate.training.record import read_record
from ablate.training.run import prepare
from ablate.training.start import start

SETTINGS = yaml.safe_load((catalog.conf_dir() / "diagnostics" / "default.yaml").read_text(encoding="utf-8"))
SETTINGS["known"]["landscape"]["lr"] = 0.1  # in the file it follows the optimizer's
SETTINGS["known"]["gradient_noise"]["batch_size"] = 4
SETTINGS["known"]["shift"]["shifts"] = [1, 2]
SETTINGS["known"]["autoencoder"] |= {"rate": 0.5, "epochs": 2}  # in the file the rate follows the dropout's


def count(probe):
    return {
        "images": torch.tensor(float(len(probe.images))),
        "weights": torch.tensor(float(len(probe.weights_before_step))),
    }


def track(**changes):
    return Track(**{"measure": ["count"], "num_images": 16, "every": 2, "known": {"count": count}, **changes})


class Weights(Callback):
    def on_fit_end(self, state):
        self.net = state.net
        self.state = {name: value.clone() for name, value in state.net.state_dict().items()}
        self.grads = [p.grad.clone() for p in state.net.parameters()]


@pytest.mark.parametrize("name", ["all", *SETTINGS["known"]])
@pytest.mark.parametrize("normalized", [True, False])
def test_measuring_changes_no_bit_of_the_training(name, normalized, make_run, tmp_path):
    changes = {} if normalized else {"normalization": type("No", (), {"__call__": lambda *_: None})()}
    plain, watched = Weights(), Weights()
    start(make_run(**changes), tmp_path / "plain", [plain])
    measuring = instantiate({**SETTINGS, "measure": name, "num_images": 16, "every": 1}, _convert_="all")
    record, _ = start(make_run(**changes), tmp_path / "watched", [measuring, watched])
    assert plain.state.keys() == watched.state.keys()
    for key, value in plain.state.items():
        assert torch.equal(value, watched.state[key]), key
    assert all(torch.equal(a, b) for a, b in zip(plain.grads, watched.grads, strict=True))
    assert all(p.grad is not None for p in watched.net.parameters())
    asked = SETTINGS["known"] if name == "all" else [name]
    for measure in asked:
        keys = [key for key in record.metrics if key.startswith(f"{measure}/")]
        assert keys, measure
        assert all(record.metrics[key] is None or math.isfinite(record.metrics[key]) for key in keys)
        assert all(key in record.history[0] for key in keys)


def test_schedule_keys_and_the_weights_before_the_step(make_run, tmp_path):
    record, _ = start(make_run(epochs=5), tmp_path, [track()])
    assert [row["epoch"] for row in record.history if "count/images" in row] == [2, 4, 5]
    assert record.metrics["count/images"] == record.metrics["initial/count/images"] == 16
    assert record.metrics["initial/count/weights"] == 0
    assert record.metrics["count/weights"] > 0
    assert read_record(tmp_path) == record


@pytest.mark.parametrize("batch_size", [48, 24, 10])
def test_the_kept_weights_are_one_step_old(batch_size, make_run, tmp_path):
    seen = []

    class OutcomeStyle(Callback):
        def on_step_end(self, state):
            seen.append(state.net.classifier.weight.detach().clone())

        def on_fit_start(self, state):
            self.on_step_end(state)

    def old(probe):
        kept = probe.weights_before_step.get("classifier.weight")
        if kept is not None:
            assert torch.equal(kept, seen[-2])
            assert not torch.equal(kept, seen[-1])
        return {"known": torch.tensor(float(kept is not None))}

    measuring = track(known={"count": old}, every=1)
    record, _ = start(make_run(batch_size=batch_size), tmp_path, [OutcomeStyle(), measuring])
    assert [row["count/known"] for row in record.history] == [1, 1, 1]


def test_a_resumed_run_has_what_was_measured_before(make_run, tmp_path):
    class Stop(Callback):
        def on_epoch_end(self, state):
            if state.epoch == 3:
                raise KeyboardInterrupt

    whole, _ = start(make_run(epochs=5), tmp_path / "whole", [track()])
    with pytest.raises(KeyboardInterrupt):
        start(make_run(epochs=5), tmp_path / "cut", [track(), Stop()])
    record, _ = start(make_run(epochs=5), tmp_path / "cut", [track()])
    assert record.metrics == whole.metrics


def test_a_net_that_diverged_is_not_measured(make_run, tmp_path):
    from functools import partial

    record, _ = start(make_run(optimizer=partial(torch.optim.SGD, lr=1e20)), tmp_path, [track()])
    assert record.status == "diverged"
    assert "count/images" not in record.metrics
    assert record.metrics["initial/count/images"] == 16


def test_a_probe_knows_the_seed_of_its_run(make_run, tmp_path):
    measuring = track(known={"count": lambda probe: {"seed": torch.tensor(float(probe.seed))}})
    record, _ = start(make_run(seed=7), tmp_path, [measuring])
    assert record.metrics["count/seed"] == record.metrics["initial/count/seed"] == 7


def test_auto_measures_one_image_in_two_hundred(make_run, tmp_path):
    # 48 training images: 16 probed every 67 epochs are 16 / (67 * 48) < 0.5 %, every 66 would be more.
    measuring = track(every="auto")
    state = type("State", (), {"dataset": make_run().data.load(), "num_epochs": 150})()
    assert [epoch for epoch in range(1, 151) if measuring.is_due(state, epoch)] == [67, 134, 150]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"measure": ["cuont"]}, "count, or be all, got 'cuont'"),
        ({"num_images": 1}, "`num_images`.*got 1"),
        ({"every": 0}, "`every`.*got 0"),
        ({"every": "often"}, "`every`.*got 'often'"),
    ],
)
def test_bad_settings_are_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        track(**changes)


def test_an_unknown_measure_is_refused_with_all_that_there_are(compose, tmp_path):
    from ablate.cli import jobs, planning

    words = ["data=shapes", f"data.cache_dir={tmp_path}", f"output_dir={tmp_path}", "tensorboard.enabled=false"]
    plan = planning.plan(*compose([*words, "diagnostics.measure=saturation"]))
    (track,) = jobs.observers(plan)
    assert list(track.measures) == ["saturation"]
    with pytest.raises(ValueError, match=r"must name gradient_norm, .*curvature.*got 'curvatur'"):
        jobs.observers(planning.plan(*compose([*words, "diagnostics.measure=[saturation,curvatur]"])))


def test_a_run_in_tf32_is_measured_in_fp32(make_run):
    """As one in bf16 is; training goes on in TF32."""
    seen = []

    def rounds(probe):
        seen.append(torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32)
        return {"it": torch.zeros(())}

    run = make_run(epochs=1)
    dataset = run.data.load()
    state, _ = prepare(run, dataset, run.build(dataset))
    try:
        hardware.prepare_device("cpu", "tf32")
        track(known={"count": rounds}).measure(state)
        assert torch.backends.cuda.matmul.allow_tf32 and torch.backends.cudnn.allow_tf32
    finally:
        hardware.prepare_device("cpu", "fp32")
    assert seen == [False]
