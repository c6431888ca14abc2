"""Pieces of the user's own: adapted, or refused in one line that names what is missing and shows what to add."""

from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import nn

from ablate.errors import UserError
from ablate.layers.dropout import Dropout, Positions
from ablate.regularization import Regularizer
from ablate.training.layer_pieces import (
    check_activation,
    check_dropout,
    check_initialized,
    check_initializer,
    check_normalization,
)
from ablate.training.loop import Callback
from ablate.training.pieces import check_callback, check_data, check_loaded, conform
from ablate.training.rule_pieces import check_optimizer, check_regularizer, check_schedule, make_loss
from ablate.training.start import start


class Leaky(nn.Module):
    def __init__(self, slope=0.1):
        super().__init__()
        self.slope = slope

    def forward(self, x):
        return torch.where(x > 0, x, self.slope * x)


class Needy(nn.Module):
    def __init__(self, slope):
        super().__init__()


class Silent(nn.Module):
    pass


class Two(nn.Module):
    def forward(self, x, y):
        return x


def giving(function):
    """Return a class of modules that return function(x)."""
    return type("Mine", (nn.Module,), {"forward": lambda self, x: function(x)})


def relu(x):
    return x.relu()


LAYERS = [
    (giving(lambda x: x.double()), r"must keep shape, type and device.*float64.*return x.float\(\)"),
    (giving(lambda x: x[:, ::2]), r"must keep shape.*got shape \(\d, \d, 3, 3\)"),
    (giving(lambda x: x.to("meta")), "on cpu, got .* on meta"),
    (giving(lambda x: (x, x)), "must return a tensor, got tuple"),
    (giving(lambda x: None), "must return a tensor, got None"),
    (Silent, "Silent has no method `forward`; add `def forward"),
    (Two, r"`forward` of .*Two must take one input, got \(x, y\); write `def forward"),
]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        *LAYERS,
        (Leaky(), "must make a module for each layer, got one .*Leaky; add `_partial_: true`"),
        (relu, r"got .*relu, a function of \(x\); write it as `class"),
        (lambda x: x, r"<lambda>, a function of \(x\); write it as `class"),
        (Needy, r"missing 1 required positional argument: 'slope'; give its arguments in its level \(slope: VALUE\)"),
        (nn.GLU, r"GLU must keep shape.*got shape \(2, 2\)"),
        (3, "must be a class or function, got int 3; write `class"),
        (lambda: 1.0, "must make a module, got float 1.0; make it a torch.nn.Module"),
    ],
)
def test_an_activation_that_does_not_fit_is_refused(make, words):
    with pytest.raises(UserError, match=words):
        check_activation(make)


@pytest.mark.parametrize(
    "make",
    [Leaky, partial(Leaky, slope=0.2), nn.RReLU, lambda: nn.ReLU(), partial(nn.PReLU, num_parameters=6), nn.Softmax2d],
)
def test_an_activation_that_fits_is_accepted(make):
    check_activation(make)  # softmax2d fails on (N, C): the net that it stands in shows that


def test_a_bug_within_a_piece_is_left_to_the_true_call():
    def fail(x):
        raise RuntimeError("a bug")

    check_activation(giving(fail))


class Norm(nn.Module):
    def __init__(self, num_features, ndim):
        super().__init__()

    def forward(self, x):
        return x / 2


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (partial(nn.BatchNorm2d), r"function of \(num_features, ndim\), got .*BatchNorm2d.*write `def mine"),
        (nn.BatchNorm2d(8), "makes a module for each place, got one .*BatchNorm2d; write `def mine"),
        (lambda num_features: nn.Identity(), r"got .*<lambda>\(num_features\); write `def mine"),
        (lambda num_features, ndim: "batch", "must make a module, or None for no layer, got str 'batch'"),
        *((partial(lambda made, n, ndim: made(), made), words) for made, words in LAYERS[:3]),
        ("batch", "must be a class or function, got str 'batch'"),
    ],
)
def test_a_normalization_that_does_not_fit_is_refused(made, words):
    with pytest.raises(UserError, match=words):
        check_normalization(made)


@pytest.mark.parametrize("made", [Norm, lambda num_features, ndim: None, lambda n, ndim: nn.GroupNorm(16, n)])
def test_a_normalization_that_fits_is_accepted(made):
    check_normalization(made)


@pytest.mark.parametrize(
    ("layer", "num_samples", "words"),
    [
        (lambda p: 1.0, 0, "`dropout.layer` must make a module, got float 1.0"),
        (lambda p: giving(lambda x: x.double())(), 0, "`dropout.layer`: .*float64"),
        (nn.Dropout, 3, "num_samples=3` needs a layer that drops at inference.*no attribute `monte_carlo`"),
    ],
)
def test_a_dropout_layer_that_does_not_fit_is_refused(layer, num_samples, words):
    with pytest.raises(UserError, match=words):
        check_dropout(Positions(layer=layer, hidden=0.5, num_samples=num_samples))


def test_dropout_without_places_and_a_layer_that_is_made_already_are_refused():
    with pytest.raises(UserError, match=r"must say where units are dropped.*without at_input.*dropout.layer._target_="):
        check_dropout(nn.Dropout())
    with pytest.raises(UserError, match=r"`dropout.layer` must make a module.*add `_partial_: true`"):
        Positions(layer=nn.Dropout())
    check_dropout(Positions(layer=nn.Dropout, hidden=0.5))
    check_dropout(Positions(layer=Dropout, hidden=0.5, num_samples=2))


@pytest.mark.parametrize(
    ("initializer", "words"),
    [
        (lambda weight: None, r"make_generator\), got .*<lambda>\(weight\); write `def mine\(net, images"),
        (nn.init.kaiming_normal_, "got torch.nn.init.kaiming_normal_"),
        (None, "must be a class or function, got None"),
    ],
)
def test_an_initializer_that_does_not_fit_is_refused(initializer, words):
    with pytest.raises(UserError, match=words):
        check_initializer(initializer)


def test_an_own_initializer_may_write_in_place_and_must_keep_the_type(make_run, tmp_path):
    def ones(net, images, make_generator):
        net.classifier.weight.fill_(1.0)  # without torch.no_grad

    data = make_run().data.load()
    assert (make_run(initializer=ones).build(data).classifier.weight == 1).all()

    def doubled(net, images, make_generator):
        net.classifier.weight = nn.Parameter(net.classifier.weight.double())

    with pytest.raises(UserError, match=r"classifier.weight with torch.float64 on cpu.*`layer.weight.copy_\(values\)`"):
        make_run(initializer=doubled).build(data)
    check_initialized(nn.Linear(2, 1))


class Plain:
    l2 = 0.0


@dataclass(frozen=True, kw_only=True)
class Returning(Regularizer):
    function: object

    def make_loss(self, net):
        return self.function


@pytest.mark.parametrize(("piece", "words"), [(Plain(), "without front, make_loss; write"), (3, "without l2, front")])
def test_a_regularizer_without_its_methods_is_refused(piece, words):
    with pytest.raises(UserError, match=words):
        check_regularizer(piece)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (None, r"must return a function of \(logits, labels\), got None"),
        (lambda logits: logits, r"must return a function of \(logits, labels\)"),
        (lambda logits, labels: 1.0, "0-d tensor with a gradient, got float 1.0"),
        (lambda logits, labels: logits.mean(1), r"got a tensor of shape \(10,\)"),
        (lambda logits, labels: logits.detach().mean(), r"got a tensor of shape \(\) without a gradient"),
    ],
)
def test_a_loss_that_cannot_be_differentiated_is_refused(function, words, make_run, tmp_path):
    with pytest.raises(UserError, match=words):
        start(make_run(regularizer=Returning(function=function)), tmp_path)


def test_the_loss_of_the_package_is_not_wrapped():
    regularizer = Regularizer(l2=0.1)
    assert make_loss(regularizer, nn.Sequential()).__qualname__ == "Regularizer.make_loss.<locals>.loss"


class NoRate(torch.optim.Optimizer):
    def __init__(self, params):
        super().__init__(params, {})

    def step(self):
        return None


@pytest.mark.parametrize(
    ("make", "l2", "words"),
    [
        (torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1), 0.0, "groups, got one .*SGD; add `_partial_"),
        (NoRate, 0.0, r"must have a learning rate.*got .*NoRate.*`super\(\).__init__\(params, {'lr': lr}\)`"),
        (partial(torch.optim.Rprop, lr=0.1), 0.1, r"`regularizer.l2=0.1` reaches.*Rprop has none; set regula"),
        (torch.optim.LBFGS, 0.0, "LBFGS.*parameter"),
        (lambda groups: None, 0.0, "makes None; derive it"),
        (partial(torch.optim.Adam, lr=0.1, beta=1), 0.0, "unexpected keyword argument 'beta'; remove beta"),
    ],
)
def test_an_optimizer_that_does_not_fit_is_refused(make, l2, words):
    with pytest.raises(UserError, match=words):
        check_optimizer(make, l2)


def test_an_optimizer_that_fits_is_accepted():
    check_optimizer(partial(torch.optim.Rprop, lr=0.1), 0.0)
    check_optimizer(partial(torch.optim.AdamW, lr=0.1), 0.1)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (lambda epoch: 1.0, r"function of \(epoch, num_epochs\), got .*\(epoch\); write `def mine"),
        (lambda epoch, num_epochs: "1", "must return a number.*got str '1' at epoch 0"),
        (lambda epoch, num_epochs: torch.tensor(1.0), r"got torch.Tensor at epoch 0.*return float\(factor\)"),
        (lambda epoch, num_epochs: float("nan") if epoch else 1.0, "got float nan at epoch 2"),
        (lambda epoch, num_epochs: None, "got None at epoch 0"),
        (torch.optim.lr_scheduler.StepLR, "function of .epoch, num_epochs., got .*StepLR"),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused(schedule, words):
    with pytest.raises(UserError, match=words):
        check_schedule(schedule, 4)


class NoText:
    def load(self):
        return 3

    def fingerprint(self):
        return 3


def test_data_that_do_not_fit_are_refused(make_run, tmp_path):
    with pytest.raises(UserError, match=r"methods load and fingerprint, got .*Plain without load and finger"):
        check_data(Plain())
    with pytest.raises(UserError, match=r"`fingerprint` of .*NoText must return text.*got 3"):
        check_data(NoText())
    with pytest.raises(UserError, match=r"`load` of .*NoText must return an ablate.data.Dataset, got int 3"):
        start(make_run(data=NoText()), tmp_path)
    check_loaded(make_run().data.load(), None)


class Misspelt(Callback):
    def on_epoch_ends(self, state):
        return None


class NoState(Callback):
    def on_epoch_end(self):
        return None


class Fits(Callback):
    def on_epoch_end(self, state):
        return None


@pytest.mark.parametrize(
    ("piece", "words"),
    [
        (Plain(), "must be an ablate.training.loop.Callback, got .*Plain; write `class Mine"),
        (Fits, "must be an ablate.training.loop.Callback, got .*Fits"),
        (Misspelt(), "Misspelt.on_epoch_ends is never called; did you mean on_epoch_end?"),
        (NoState(), r"`on_epoch_end` of .*NoState must take the state, got \(\); write `def on_epoch"),
    ],
)
def test_a_callback_that_does_not_fit_is_refused(piece, words):
    with pytest.raises(UserError, match=words):
        check_callback("callbacks.mine", piece)
    assert isinstance(check_callback("callbacks.mine", Fits()), Fits)


def test_pieces_of_the_package_are_left_as_they_are(make_run):
    run = make_run()
    groups = ("activation", "normalization", "dropout", "initializer", "regularizer", "optimizer", "schedule")
    parts = {group: getattr(run, group) for group in (*groups, "preprocessing", "augmentation")}
    assert all(piece is parts[group] for group, piece in conform(parts, run.epochs).items())
