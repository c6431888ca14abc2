"""Nets of one's own and of libraries, by the command."""

import json

import pytest
import torch

from ablate.cli import planning
from ablate.cli.jobs import observers
from ablate.layers.activation import gain
from ablate.layers.initialization import VarianceScaling
from ablate.layers.native import NativeActivation, NativeDropout, NativeInitializer, NativeNormalization
from ablate.training.start import start
from builders.nets import BasicBlock, ClassesOfImageNet, SmallResNet
from builders.runs import TinyData, make_run

DATA = ["data=shapes", "data.num_train=60", "data.num_test=20", "data.val_size=20", "device=cpu"]
SMALL = [*DATA, "trainer.epochs=1", "trainer.batch_size=20", "trainer.threads=1", "tensorboard.enabled=false"]
OWN = "builders.nets"


@pytest.fixture
def run_of(compose, tmp_path):
    def run_of(*overrides):
        folders = [f"data.cache_dir={tmp_path}", f"output_dir={tmp_path}"]
        plan = planning.plan(*compose([*SMALL, *folders, *overrides]))
        return planning.make_run(plan), plan

    return run_of


def test_a_module_of_ones_own_trains_with_every_factor_and_is_recorded(run_of):
    run, plan = run_of(
        "net=module", f"net._target_={OWN}.SmallResNet", "+net.width=2", "activation=silu", "normalization=group",
        "normalization.num_groups=2", "dropout=hidden", "regularizer.l1_activation=0.01", "initializer=lsuv",
    )  # fmt: skip
    record, _ = start(run, plan.folder, observers(plan))
    assert record.status == "finished" and 0 <= record.metrics["test/accuracy"] <= 1
    assert {"dead_units/model.conv", "dead_units/model.block1.relu"} <= record.metrics.keys()
    assert json.loads((plan.folder / "record.json").read_text())["replaced"] == [
        "activation: InPlaceReLU -> SiLU: model.act",
        "activation: ReLU -> SiLU: model.block1.relu, model.block2.relu",
        "normalization: BatchNorm2d -> GroupNorm: model.bn, model.block1.bn1, model.block1.bn2, model.block2.bn1, "
        "model.block2.bn2",
        "dropout: Dropout -> Dropout(p=0.5, scaling=inverted): model.drop",
    ]
    assert OWN in [source["name"] for source in record.sources]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["net=resnet", "dropout=hidden"], "dropout=hidden finds no place in net=resnet: hidden=0.5"),
        (
            ["net=resnet", "normalization=weight_standardization"],
            "normalization=weight_standardization finds no place in net=resnet",
        ),
        (["net=micro", "activation=native"], "activation=native finds no place in net=micro"),
        (["net=micro", "dropout=native"], "dropout=native finds no place in net=micro"),
        (["net=micro", "normalization=native"], "normalization=native finds no place in net=micro"),
        (["net=resnet", "initializer=native"], "initializer=native finds no place in net=resnet"),
        (
            ["net=module", f"net._target_={OWN}.SmallResNet", "dropout=spatial"],
            "dropout=spatial finds no place in net=module: conv=0.2, but SmallResNet has no dropout on maps",
        ),
        (
            ["net=module", f"net._target_={OWN}.Functional", "normalization=none"],
            "activation=relu finds no place in net=module: tanh in the forward of Functional is a function",
        ),
        (
            [
                "net=module",
                f"net._target_={OWN}.Functional",
                *("normalization=none", "activation=native", "regularizer.l1_activation=1"),
            ],
            "regularizer=l2 finds no place in net=module: l1_activation does not reach model.relu, model.tanh",
        ),
    ],
)
def test_a_choice_without_a_place_is_refused_before_anything_is_written(run_of, overrides, words):
    run, plan = run_of(*overrides)
    with pytest.raises(ValueError, match=words):
        start(run, plan.folder)
    assert not plan.folder.exists()


def test_a_net_with_native_levels_alone_is_the_net_itself(run_of):
    natives = [f"{group}=native" for group in ("activation", "normalization", "dropout", "initializer")]
    run, plan = run_of("net=module", f"net._target_={OWN}.SmallResNet", *natives)
    record, _ = start(run, plan.folder)
    assert record.status == "finished" and record.replaced == []
    assert run.build(run.data.load()).model.drop.p == 0.3


def test_a_misspelt_argument_of_the_net_is_named(run_of):
    run, plan = run_of("net=module", f"net._target_={OWN}.SmallResNet", "+net.widht=3")
    with pytest.raises(ValueError, match="widht"):
        start(run, plan.folder)


@pytest.mark.parametrize("level", ["module", "micro"])
def test_a_target_without_net_module_gets_the_cure(run_of, level):
    if level == "module":
        with pytest.raises(ValueError, match=r"`net._target_` must be the import path"):
            run_of("net=module")
    else:
        with pytest.raises(ValueError, match=r"takes no 'widths', which the level sets.*net=module"):
            run_of("net._target_=torchvision.models.resnet18")


def test_a_level_that_names_a_module_without_partial_works_too(run_of):
    torch.manual_seed(0)
    run, _ = run_of("net=module", f"net._target_={OWN}.SmallResNet", "net._partial_=false")
    net = run.build(run.data.load())
    run, _ = run_of("net=module", f"net._target_={OWN}.SmallResNet")
    again = run.build(run.data.load())
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


def test_weights_are_keyed_by_the_paths_of_the_layers():
    """More channels in the second block change no weight of the first."""

    class Wider(SmallResNet):
        def __init__(self, num_classes=3):
            super().__init__(4, num_classes)
            self.block2, self.fc = BasicBlock(4, 12, 2), torch.nn.Linear(12, num_classes)

    choices = {"activation": torch.nn.ReLU, "dropout": NativeDropout(), "normalization": NativeNormalization()}
    nets = [make_run(net=make, **choices).build(TinyData().load()).model for make in (SmallResNet, Wider)]
    assert torch.equal(nets[0].block1.conv2.weight, nets[1].block1.conv2.weight)
    assert not torch.equal(nets[0].block1.conv1.weight, nets[0].block1.conv2.weight)


def test_native_weights_depend_on_the_seed_alone():
    choices = {"dropout": NativeDropout(), "normalization": NativeNormalization(), "initializer": NativeInitializer()}

    def weights(seed, global_seed, activation=torch.nn.ReLU):
        torch.manual_seed(global_seed)
        run = make_run(net=SmallResNet, seed=seed, activation=activation, **choices)
        return run.build(TinyData().load()).model.conv.weight

    assert torch.equal(weights(0, 0), weights(0, 1))
    assert torch.equal(weights(0, 0), weights(0, 0, torch.nn.Tanh))
    assert not torch.equal(weights(0, 0), weights(1, 0))


def test_the_gain_of_a_native_activation_is_that_of_the_nets_own():
    run = make_run(
        net=ClassesOfImageNet,
        activation=NativeActivation(),
        dropout=NativeDropout(),
        normalization=NativeNormalization(),
        initializer=VarianceScaling(gain="activation"),
    )
    weight = run.build(TinyData().load()).model.conv.weight
    assert weight.std().item() == pytest.approx(gain(torch.nn.GELU()) / (8 * 9) ** 0.5, rel=0.15)
