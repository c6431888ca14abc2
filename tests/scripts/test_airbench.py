"""The bare loop of airbench94: its parts against formulas and numpy, and that both forms train."""

import importlib.util
import json
import statistics
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from ablate.cli import planning
from ablate.cli.arguments import expand
from ablate.config import catalog
from ablate.data.dataset import Dataset, Split
from ablate.muon import Muon

GROUPS = ("preprocessing", "net", "activation", "normalization", "dropout")
ROOT = Path(__file__).resolve().parents[2]


class Made:
    """Images of noise around the colour of their class."""

    def __init__(self, num_train: int, num_test: int) -> None:
        self.num_train, self.num_test = num_train, num_test

    def load(self) -> Dataset:
        generator = torch.Generator().manual_seed(0)
        colours = torch.randint(60, 196, (10, 3, 1, 1), generator=generator)

        def split(num: int) -> Split:
            labels = torch.arange(num) % 10
            images = colours[labels] + torch.randint(-60, 60, (num, 3, 32, 32), generator=generator)
            return Split(images=images.to(torch.uint8).contiguous(memory_format=torch.channels_last), labels=labels)

        names = tuple("abcdefghij")
        return Dataset(train=split(self.num_train), val=split(0), test=split(self.num_test), class_names=names, bits=8)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("airbench", ROOT / "scripts" / "airbench.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["airbench"] = module  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


def test_the_net_begins_with_identities_and_trains_two_million_weights(script):
    net = script.Airbench(script.PLAIN)
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    weights = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256) + 10 * 256
    biases = 24 + 2 * (64 + 256 + 256)
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == weights + biases
    maps = torch.randn(2, 24, 5, 5)
    torch.testing.assert_close(net.layers[1](maps)[:, :24], maps)
    assert script.Airbench(script.MUON).head.weight.std().item() == pytest.approx(1)


@pytest.mark.parametrize("training", [True, False])
def test_the_net_of_the_recipe_is_this_one(script, training, compose):
    """With equal weights the logits are equal: layers, their order, eps and momentum are the same."""
    cfg, _ = compose(expand(["recipe=speedrun", "data.root=x"], [catalog.conf_dir()]))
    made = {group: planning.make(group, OmegaConf.to_container(cfg[group], resolve=True)) for group in GROUPS}
    images = torch.randn(16, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    whiten = made.pop("preprocessing").steps["patch_whiten"].fit(images)
    mine = script.Airbench(script.PLAIN)
    mine.whiten.weight.data.copy_(whiten.weight_)
    net = made.pop("net").build((24, 31, 31), 10, front=[("patch_whiten", whiten)], **made)
    theirs = [p for p in net.parameters() if p.requires_grad]
    ours = [p for name, p in mine.named_parameters() if p.requires_grad and name != "whiten.bias"]
    for a, b in zip(theirs, ours, strict=True):
        a.data.copy_(b)
    net.train(), mine.train()
    torch.testing.assert_close(net(images), mine(images))
    torch.testing.assert_close(net.train(training)(images), mine.train(training)(images))


def test_images_are_shifted_anew_and_flipped_in_turn(script):
    """Oracle: each image that it makes is one of the 2 x 5 x 5 that numpy makes of the original."""
    torch.manual_seed(0)
    images = torch.randn(40, 3, 6, 7)
    augmented = script.Images(images)
    found = []
    for epoch in range(3):
        made = augmented.of_epoch(epoch).permute(0, 3, 1, 2).numpy()
        places = []
        for image, original in zip(made, images.numpy(), strict=True):
            both = [np.pad(x, ((0, 0), (2, 2), (2, 2)), mode="reflect") for x in (original, original[:, :, ::-1])]
            places += [
                (flipped, y, x)
                for flipped, padded in enumerate(both)
                for y in range(5)
                for x in range(5)
                if (padded[:, y : y + 6, x : x + 7] == image).all()
            ]
        assert len(places) == 40
        found.append(places)
    flips = [[flipped for flipped, *_ in places] for places in found]
    assert flips[0] == [1 - flipped for flipped in flips[1]] == flips[2]
    assert len(set(flips[0])) == 2
    assert len({place[1:] for places in found for place in places}) == 25
    assert [place[1:] for place in found[0]] != [place[1:] for place in found[2]]


def test_six_views_have_the_weights_that_are_stated(script):
    class Corner(nn.Module):
        def forward(self, x):
            return x[:, :, 1, 0] ** 2

    images = torch.randn(3, 3, 6, 6)
    padded = np.pad(images.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    views = [(images.numpy(), 0.25), (padded[:, :, :6, :6], 0.125), (padded[:, :, 2:, 2:], 0.125)]
    expected = sum(weight * (view[:, :, 1, 0] ** 2 + view[:, :, :, ::-1][:, :, 1, 0] ** 2) for view, weight in views)
    np.testing.assert_allclose(script.logits_of(Corner(), images, views=True).numpy(), expected, rtol=1e-5)
    torch.testing.assert_close(script.logits_of(Corner(), images, views=False), images[:, :, 1, 0] ** 2)


def test_the_learning_rates_are_those_of_the_recipes(script):
    """A loss that is summed over the batch has batch_size times the gradient of its mean; see conf/recipe."""
    net = script.make_net(script.PLAIN, torch.device("cpu"), torch.float32)
    weights, biases, whiten = script.make_optimizer(net, script.PLAIN, 1024).param_groups
    assert weights["lr"] * 1024 == pytest.approx(1.5)
    assert biases["lr"] * 1024 == pytest.approx(96)
    assert whiten["lr"] == weights["lr"]
    decays = [g["lr"] * g["weight_decay"] for g in (weights, biases, whiten)]
    assert decays == pytest.approx([0.0153 * 1.5 / 11.5] * 3)
    net = script.make_net(script.MUON, torch.device("cpu"), torch.float32)
    optimizer = script.make_optimizer(net, script.MUON, 2000)
    assert isinstance(optimizer, Muon)
    assert [(g["orthogonal"], g["lr"]) for g in optimizer.param_groups] == [
        (True, 0.24), (False, 0.67), (False, 0.053), (False, 0.053)
    ]  # fmt: skip
    assert [round(script.lr_factor(script.PLAIN, step, 100), 4) for step in (0, 23, 100)] == [0.2, 1, 0.07]
    assert [script.lr_factor(script.MUON, step, 100) for step in (0, 25, 100)] == [1, 0.75, 0]


def test_lookahead_sets_the_net_to_its_slow_copy(script):
    net = nn.BatchNorm2d(2)
    lookahead = script.Lookahead(net)
    net.bias.data.fill_(1.0)
    net.running_mean.fill_(2.0)
    lookahead.update(0.75)
    assert net.bias.tolist() == [0.25, 0.25]
    assert net.running_mean.tolist() == [0.5, 0.5]
    net.bias.data.fill_(9.0)
    lookahead.update(1.0)
    assert net.bias.tolist() == [0.25, 0.25]


@pytest.mark.parametrize("options", [[], ["--muon"]], ids=["plain", "muon"])
def test_both_forms_train_and_print_what_they_write(script, options, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(script, "Cifar10", lambda **_: Made(200, 40))
    monkeypatch.setattr(script, "WIDTHS", (8, 16, 16))
    words = ["--data", "x", "--device", "cpu", "--runs", "2", "--epochs", "3.5", "--batch-size", "20"]
    monkeypatch.setattr(sys, "argv", ["airbench.py", *words, *options, "--json", str(tmp_path / "r.jsonl")])
    script.main()
    script.main()
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [row["seed"] for row in rows] == [0, 1, 0, 1]
    assert [row["test_accuracy"] for row in rows[:2]] == [row["test_accuracy"] for row in rows[2:]]
    mean = statistics.fmean(row["test_accuracy"] for row in rows[:2])
    assert mean > 0.5
    out = capsys.readouterr().out
    assert f"test accuracy {100 * mean:.2f} % ±" in out
    assert f"3.5 epochs, {rows[1]['seconds']:.2f} s for training and test; first run {rows[0]['seconds']:.2f} s" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--runs", "0"], "must be at least 1"),
        (["--epochs", "0"], "--epochs above 0"),
        (["--train-size", "30"], "--batch-size must not exceed the 30 training images, got 1024"),
        (["--device", "tpu"], "must be cpu, cuda or auto, got 'tpu'"),
    ],
)
def test_what_cannot_be_done_is_refused(script, words, message, monkeypatch, capsys):
    monkeypatch.setattr(script, "Cifar10", lambda **_: Made(30, 10))
    monkeypatch.setattr(sys, "argv", ["airbench.py", "--data", "x", *words])
    with pytest.raises(SystemExit):
        script.main()
    assert message in capsys.readouterr().err
