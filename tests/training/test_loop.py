import math

import pytest
import torch
from torch.nn import functional as F

from ablate.layers.dropout import Dropout, Positions
from ablate.optimization import Constant, Geometric
from ablate.regularization import Regularizer
from ablate.seeding import Streams
from ablate.training.callbacks import Checkpoint, Progress
from ablate.training.loop import Callback, loss_and_accuracy, predict
from ablate.training.step import take
from ablate.training.tensorboard import TensorBoard


class Spy(Callback):
    """Keeps what the run showed."""

    def __init__(self):
        self.events = []
        self.lrs = []

    def on_fit_start(self, state):
        self.events.append("start")

    def on_step_end(self, state):
        self.events.append("step")
        self.lrs.append(state.lr)
        assert all(p.grad is not None for p in state.net.parameters())

    def on_epoch_end(self, state):
        self.events.append("epoch")
        assert state.history[-1]["epoch"] == state.epoch

    def on_fit_end(self, state):
        self.events.append("end")
        self.weights = {name: value.clone() for name, value in state.net.state_dict().items()}
        self.metrics = state.metrics


@pytest.fixture
def train(tmp_path):
    """(run, *callbacks) -> spy, in a fresh folder."""
    from ablate.training.start import start

    counter = iter(range(100))

    def go(run, *callbacks, folder=None):
        spy = Spy()
        start(run, folder or tmp_path / str(next(counter)) / "seed-0", [spy, *callbacks])
        return spy

    return go


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_hooks_come_in_the_documented_order(train, make_run):
    spy = train(make_run(epochs=2))
    assert spy.events == ["start", *(["step"] * 4 + ["epoch"]) * 2, "end"]


def test_fit_is_stochastic_gradient_descent(train, make_run):
    """Against a loop written by hand from the same order, without dropout, noise and augmentation."""
    run = make_run(
        augmentation=lambda images, generator: images,
        dropout=Positions(layer=Dropout),
        regularizer=Regularizer(),
        schedule=Geometric(growth=0.5),
        optimizer=lambda groups: torch.optim.SGD(groups, lr=0.2),
    )
    spy = train(run)
    dataset = run.data.load()
    net = run.build(dataset)
    for epoch in range(3):
        order = torch.randperm(48, generator=Streams(0).generator("order", epoch))
        for i in range(4):
            batch = order[10 * i : 10 * i + 10]
            loss = F.cross_entropy(net(dataset.train.images[batch]), dataset.train.labels[batch])
            net.zero_grad()
            loss.backward()
            with torch.no_grad():
                for p in net.parameters():
                    p -= 0.2 * 0.5**epoch * p.grad
    for name, value in net.state_dict().items():
        torch.testing.assert_close(spy.weights[name], value, msg=name)
    assert spy.lrs == pytest.approx([0.2] * 4 + [0.1] * 4 + [0.05] * 4)


def test_every_epoch_is_a_new_order_of_all_images(train, make_run):
    seen = []

    def remember(images, generator):
        seen.append(images.flatten(1).double().sum(1))
        return images

    train(make_run(augmentation=remember, batch_size=12, epochs=2))
    first, second = torch.cat(seen[:4]), torch.cat(seen[4:])
    assert torch.equal(first.sort().values, second.sort().values)
    assert not torch.equal(first, second)


def test_a_choice_does_not_change_the_draws_of_others(train, make_run):
    """Dropout, noise and another net leave order and augmentation as they were: pairing by seed holds."""
    batches = {}
    for name, changes in {
        "plain": {"dropout": Positions(layer=Dropout), "regularizer": Regularizer()},
        "dropout": {"dropout": Positions(layer=Dropout, input=0.2, hidden=0.5)},
    }.items():
        run = make_run(**changes)
        seen = batches[name] = []

        def remember(images, generator, seen=seen, augmentation=run.augmentation):
            seen.append(augmentation(images, generator))
            return seen[-1]

        train(make_run(**changes, augmentation=remember))
    assert all(torch.equal(a, b) for a, b in zip(*batches.values(), strict=True))


def test_callbacks_change_nothing(train, make_run, tmp_path):
    run = make_run()
    alone = train(run)
    folder = tmp_path / "watched" / "seed-0"
    board = TensorBoard(folder, group="g", levels={}, settings={}, changed={}, scalars_every=1, num_mistakes=4)
    watched = train(run, Progress(), board, Checkpoint(folder, 1, run.fingerprint), folder=folder)
    assert equal(alone.weights, watched.weights)
    assert alone.metrics == watched.metrics


def test_equal_runs_are_bitwise_equal_and_seeds_differ(train, make_run):
    first, again, other = train(make_run()), train(make_run()), train(make_run(seed=1))
    assert equal(first.weights, again.weights)
    assert first.metrics == again.metrics
    assert not equal(first.weights, other.weights)


def test_bf16_trains_and_keeps_weights_in_fp32(train, make_run):
    spy = train(make_run(precision="bf16"))
    assert all(value.dtype == torch.float32 for value in spy.weights.values() if value.is_floating_point())
    assert math.isfinite(spy.metrics["test/loss"])
    assert not equal(spy.weights, train(make_run()).weights)


def test_take_keeps_channels_last(make_run):
    train_split = make_run().data.load().train
    images, labels = take(train_split, torch.tensor([5, 3]))
    assert torch.equal(images, train_split.images[[5, 3]])
    assert torch.equal(labels, train_split.labels[[5, 3]])
    assert images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("batch_size", [5, 24, 100])
def test_predict_does_not_depend_on_the_batch(make_run, batch_size):
    run = make_run()
    dataset = run.data.load()
    net = run.build(dataset)
    log_probs = predict(net, dataset.test.images, batch_size=batch_size, precision="fp32", streams=Streams(0))
    expected = net.eval()(dataset.test.images).double().log_softmax(1)
    torch.testing.assert_close(log_probs, expected)
    assert log_probs.exp().sum(1).sub(1).abs().max() < 1e-5


def test_monte_carlo_averages_probabilities(make_run):
    run = make_run()
    dataset = run.data.load()
    net = run.build(dataset)
    images = dataset.test.images

    def sample(num_samples):
        return predict(
            net, images, batch_size=24, precision="fp32", num_samples=num_samples, streams=Streams(0)
        ).double()

    first = sample(1).exp()
    net.fc_dropout1.monte_carlo = True
    net.fc_dropout1.reseed(Streams(0).key("monte_carlo", "fc_dropout1", 0, 1))
    second = net.eval()(images).double().softmax(1)
    net.fc_dropout1.monte_carlo = False
    torch.testing.assert_close(sample(2).exp(), (first + second) / 2, atol=1e-6, rtol=1e-5)
    assert torch.equal(sample(2), sample(2))
    assert not net.fc_dropout1.monte_carlo


def test_score_is_cross_entropy_and_accuracy():
    log_probs = torch.tensor([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]]).log()
    metrics = loss_and_accuracy(log_probs, torch.tensor([0, 0, 1]), "val")
    assert metrics["val/accuracy"] == pytest.approx(1 / 3)
    assert metrics["val/loss"] == pytest.approx(-(math.log(0.7) + math.log(0.4) + math.log(0.1)) / 3)


def test_constant_schedule_and_adam(train, make_run):
    spy = train(make_run(schedule=Constant(), optimizer=lambda groups: torch.optim.Adam(groups, lr=0.01)))
    assert set(spy.lrs) == {0.01}
