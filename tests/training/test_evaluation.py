"""Inference with a run's settings, and the final metrics of all splits."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch

from ablate.cli.jobs import conclusion
from ablate.data.dataset import Split
from ablate.data.preprocessing import Chain, Standardize
from ablate.data.views import views
from ablate.layers.batch_norm import estimate_population_statistics
from ablate.layers.normalization import Batch, NoNormalization
from ablate.training.callbacks import Progress
from ablate.training.evaluation import best, epochs_to
from ablate.training.loop import Callback
from ablate.training.run import prepare, train
from ablate.training.start import start


class Keep(Callback):
    """Keeps the final weights."""

    def on_fit_end(self, state):
        self.weights = {name: value.clone() for name, value in state.net.state_dict().items()}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "arm-00000000" / "seed-0"


def test_fit_test_is_the_deliberate_mistake(make_run, folder, tmp_path):
    """Statistics of the evaluated images themselves: other predictions, the same training."""
    right, wrong = Keep(), Keep()
    a, _ = start(make_run(), folder, [right])
    mistaken = make_run(preprocessing=Chain({"standardize": Standardize()}, fit="test"))
    b, _ = start(mistaken, tmp_path / "runs" / "other" / "seed-0", [wrong])
    assert all(torch.equal(right.weights[name], value) for name, value in wrong.weights.items())
    assert a.metrics["train_eval/loss"] == b.metrics["train_eval/loss"]
    assert a.metrics["test/loss"] != b.metrics["test/loss"]


def test_population_statistics_are_used_at_inference_and_leave_training_alone(make_run, folder, tmp_path):
    class Recheck(Callback):
        """Estimate again from the final weights: the mean of batch means does not depend on who is in which batch."""

        def on_fit_end(self, state):
            self.before = state.net.norm1_1.running_mean.clone()
            images = state.dataset.train.images
            estimate_population_statistics(state.net, [images[i : i + 12] for i in range(0, 48, 12)])
            self.after = state.net.norm1_1.running_mean.clone()

    running, population, recheck = Keep(), Keep(), Recheck()
    start(make_run(batch_size=12), folder, [running])
    run = make_run(batch_size=12, normalization=Batch(inference="population"))
    start(run, tmp_path / "p" / "a" / "seed-0", [population, recheck])
    for name, value in running.weights.items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(population.weights[name], value), name
    assert not torch.equal(population.weights["norm1_1.running_mean"], running.weights["norm1_1.running_mean"])
    torch.testing.assert_close(recheck.before, recheck.after, rtol=1e-4, atol=1e-6)


def test_epochs_to_is_the_first_epoch_that_reaches_the_threshold():
    history = [
        {"epoch": 1, "train/accuracy": 0.2, "val/accuracy": 0.5},
        {"epoch": 2, "train/accuracy": 0.6, "val/accuracy": 0.4},
        {"epoch": 3, "train/accuracy": math.nan},
    ]
    assert epochs_to(history, [0.5, 0.75]) == {
        "epochs_to/train/accuracy/0.5": 2,
        "epochs_to/train/accuracy/0.75": None,
        "epochs_to/val/accuracy/0.5": 1,
        "epochs_to/val/accuracy/0.75": None,
    }


@dataclass(frozen=True)
class NoValidation:
    """Data without validation images."""

    data: Any

    def load(self):
        found = self.data.load()
        return replace(found, val=Split(images=found.val.images[:0], labels=found.val.labels[:0]))


@pytest.mark.parametrize("inference", ["running", "population"])
def test_without_validation_images_there_are_no_validation_metrics(make_run, folder, tmp_path, capsys, inference):
    """Training and the other metrics are those of a run that has them."""
    changes = {"normalization": Batch(inference=inference)}
    usual, _ = start(make_run(**changes), tmp_path / "runs" / "usual" / "seed-0")
    record, _ = start(make_run(**changes, data=NoValidation(make_run().data)), folder, [Progress()])
    assert "train loss" in capsys.readouterr().out
    for mine, other in ((record.metrics, usual.metrics), *zip(record.history, usual.history, strict=True)):
        assert [key for key in mine if key.startswith("val/")] == []
        kept = {k: v for k, v in other.items() if not k.startswith("val/") and k != "images_per_second"}
        assert {key: mine[key] for key in kept if "/val/" not in key} == {
            key: value for key, value in kept.items() if "/val/" not in key
        }
    assert {v for key, v in record.metrics.items() if key.startswith("epochs_to/val/")} == {None}
    assert "val " not in conclusion(record, folder, fresh=True)
    assert "test " in conclusion(record, folder, fresh=True)


def test_a_diverged_run_without_validation_images_is_scored_on_the_others(make_run, folder):
    run = make_run(
        data=NoValidation(make_run().data),
        optimizer=partial(torch.optim.SGD, lr=1e30),
        normalization=NoNormalization(),
    )
    record, _ = start(run, folder)
    assert record.status == "diverged"
    assert record.metrics["test/accuracy"] == pytest.approx(1 / 3)
    assert "val/accuracy" not in record.metrics


def test_best_is_the_highest_finite_accuracy():
    history = [{"train/accuracy": 0.2, "val/accuracy": None}, {"train/accuracy": 0.6}, {"train/accuracy": math.nan}]
    assert best(history) == {"best/train/accuracy": 0.6}


@pytest.mark.parametrize("num_views", [2, 6])
def test_the_final_scores_are_those_of_the_mean_logits_of_the_views(make_run, num_views):
    """Training, its metrics and the scores of training images are those of a run without views."""
    found = {}
    for number in (1, num_views):
        run = make_run(epochs=1, test_views=number)
        dataset = run.data.load()
        state, examine = prepare(run, dataset, run.build(dataset))
        train(run, state, examine)
        metrics, log_probs = examine.conclude(state.net)
        found[number] = metrics, state.history[-1], log_probs
        with torch.no_grad():
            logits = sum(w * state.net.eval()(v).double() for w, v in views(state.dataset.test.images, number))
        torch.testing.assert_close(log_probs, logits.log_softmax(1), rtol=1e-5, atol=1e-6)
    assert found[1][1]["val/loss"] == found[num_views][1]["val/loss"] == found[1][0]["val/loss"]
    assert found[1][0]["train_eval/loss"] == found[num_views][0]["train_eval/loss"]
    for split in ("val", "test"):
        assert found[1][0][f"{split}/loss"] != found[num_views][0][f"{split}/loss"]


def test_an_output_that_is_not_finite_in_one_view_is_unknown(make_run):
    run = make_run(test_views=2)
    dataset = run.data.load()
    state, examine = prepare(run, dataset, run.build(dataset))
    calls = []

    def spoil(module, args, output):
        calls.append(None)
        output[0, 0] = math.inf if len(calls) == 1 else 0.0
        return output

    state.net.register_forward_hook(spoil)
    log_probs = examine.final(state.net, state.dataset.test)
    assert log_probs[0].isnan().all()
    assert log_probs[1:].isfinite().all()
