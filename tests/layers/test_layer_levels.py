import dataclasses
import inspect
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

CONF = Path(__file__).parents[2] / "conf"
LEVELS = {
    "activation": "sigmoid tanh lecun_tanh relu leaky_relu prelu elu maxout maxout_equal_parameters selu gelu silu "
    "mish softplus identity",
    "initializer": "zeros constant normal xavier_normal xavier_uniform he_normal he_uniform orthogonal lsuv dirac "
    "torch_default xavier_as_printed",
    "normalization": "none batch batch_after batch_after_no_affine batch_no_affine batch_frozen_scale "
    "batch_population batch_mean_std layer "
    "group instance weight_standardization",
    "dropout": "none hidden hidden_fifth lecture everywhere spatial alpha monte_carlo",
}
DEFAULT = {"activation": "relu", "initializer": "he_normal", "normalization": "batch", "dropout": "hidden"}
ALL = [(group, level) for group, levels in LEVELS.items() for level in levels.split()]
# inplace is excluded by contract, the others are no knobs of a net.
NO_KNOBS = {"inplace", "device", "dtype", "num_parameters", "args", "kwargs"}


def load(group: str, level: str) -> Any:
    return instantiate(OmegaConf.load(CONF / group / f"{level}.yaml"), _convert_="all")


def make_generator(path: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(path.encode()))


class TinyNet(nn.Module):
    """One conv stage, one hidden layer and a classifier, built from the four choices as any net is."""

    def __init__(self, activation: Any, normalization: Any, dropout: Any) -> None:
        super().__init__()
        self.make_activation = activation
        self.normalization = normalization
        self.conv = nn.Sequential(*self.block(nn.Conv2d, 3, 8, 4, kernel_size=3), nn.MaxPool2d(2))
        self.hidden = nn.Sequential(*self.block(nn.Linear, 72, 16, 2))
        self.dropouts = nn.ModuleList(
            module or nn.Identity()
            for module in (dropout.at_input(), dropout.after_stage(0, 1), dropout.after_hidden(0, 1))
        )
        self.classifier = nn.Linear(16, 10)

    def block(self, make: Any, num_in: int, num_out: int, ndim: int, **kwargs: int) -> list[nn.Module]:
        activation, normalization = self.make_activation(), self.normalization
        pieces = getattr(activation, "num_pieces", 1)
        before = getattr(normalization, "position", "before") == "before"
        layer = make(num_in, pieces * num_out, bias=not getattr(normalization, "removes_bias", False), **kwargs)
        layer = getattr(normalization, "wrap", lambda layer: layer)(layer)
        norm = normalization(pieces * num_out if before else num_out, ndim)
        modules = (layer, norm, activation) if before else (layer, activation, norm)
        return [module for module in modules if module is not None]

    def forward(self, images: Tensor) -> Tensor:
        x = self.dropouts[1](self.conv(self.dropouts[0](images)))
        return self.classifier(self.dropouts[2](self.hidden(x.flatten(1))))


@pytest.mark.parametrize(("group", "levels"), LEVELS.items())
def test_the_folder_holds_the_levels(group: str, levels: str) -> None:
    assert {path.stem for path in (CONF / group).glob("*.yaml")} == set(levels.split())


@pytest.mark.parametrize(("group", "level"), ALL)
def test_a_level_says_what_it_is_and_where_it_comes_from(group: str, level: str) -> None:
    lines = (CONF / group / f"{level}.yaml").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert lines[0].endswith(".")
    assert lines[1].startswith("# Source: ")
    assert all(len(line) <= 120 for line in lines)


@pytest.mark.parametrize(("group", "level"), ALL)
def test_a_level_spells_out_every_knob(group: str, level: str) -> None:
    config = OmegaConf.load(CONF / group / f"{level}.yaml")
    for node in (config, config.get("layer")):
        if node is not None:
            arguments = set(inspect.signature(get_class(node._target_)).parameters) - NO_KNOBS
            arguments -= {"p"} if node is not config else set()
            assert arguments == node.keys() - {"_target_", "_partial_"}


@pytest.mark.parametrize(("group", "level"), [(group, level) for group, level in ALL if group != "activation"])
def test_a_level_that_is_no_factory_refuses_an_unknown_key_when_composed(group: str, level: str) -> None:
    config = OmegaConf.load(CONF / group / f"{level}.yaml")
    config["unknown"] = 1
    with pytest.raises(InstantiationException, match="unknown"):
        instantiate(config, _convert_="all")
    assert dataclasses.is_dataclass(load(group, level))


def make_net(group: str, level: str, images: Tensor) -> TinyNet:
    choice = {name: load(name, level if name == group else default) for name, default in DEFAULT.items()}
    net = TinyNet(choice["activation"], choice["normalization"], choice["dropout"]).train()
    choice["initializer"](net, images, make_generator)
    return net


@pytest.mark.parametrize(("group", "level"), ALL)
def test_a_level_trains(group: str, level: str) -> None:
    images, labels = torch.randn(16, 3, 8, 8), torch.arange(16) % 10
    net = make_net(group, level, images)
    before = [p.detach().clone() for p in net.parameters()]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
    # A constant classifier passes no gradient on: its weights times the sum of (probability - label) over classes.
    changed = [not torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True)]
    assert changed[-1]
    assert level in ("zeros", "constant") or all(changed)
    net.eval()
    assert torch.equal(net(images), net(images))


@pytest.mark.parametrize(("group", "level"), ALL)
def test_a_level_agrees_with_itself_under_bfloat16_autocast(group: str, level: str) -> None:
    images = torch.randn(16, 3, 8, 8)
    net = make_net(group, level, images).to(memory_format=torch.channels_last).eval()
    full = net(images)
    with torch.autocast("cpu", torch.bfloat16):
        half = net(images.to(memory_format=torch.channels_last))
    assert half.dtype == torch.bfloat16
    # Three matrix products with 8 significant bits each.
    torch.testing.assert_close(half.float(), full, rtol=0, atol=0.05 * max(full.abs().max().item(), 1e-6))
