import dataclasses
import inspect
import zlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from torch import Tensor, nn

from ablate.config import catalog

CONF = [catalog.conf_dir()]
DEFAULT = {"activation": "relu", "initializer": "he_normal", "normalization": "batch", "dropout": "hidden"}
ALL = [(group, level) for group in DEFAULT for level in catalog.levels(CONF, group)]
OF_A_NET = [(group, level) for group, level in ALL if level != "native"]  # that makes layers
# inplace is excluded by contract, the others are no knobs of a net.
NO_KNOBS = {"inplace", "device", "dtype", "num_parameters", "args", "kwargs"}


def settings(group: str, level: str) -> dict[str, Any]:
    content = catalog.content_of(group, level, CONF)
    assert content is not None
    return content


def load(group: str, level: str) -> Any:
    return instantiate(settings(group, level), _convert_="all")


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


@pytest.mark.parametrize(("group", "level"), ALL)
def test_a_level_sets_every_argument(group: str, level: str) -> None:
    content = settings(group, level)
    for node in (content, content.get("layer")):
        if node is not None:
            arguments = set(inspect.signature(get_class(node["_target_"])).parameters) - NO_KNOBS
            arguments -= {"p"} if node is not content else set()
            assert arguments == node.keys() - {"_target_", "_partial_"}


@pytest.mark.parametrize(("group", "level"), [(group, level) for group, level in ALL if group != "activation"])
def test_a_level_that_is_no_factory_refuses_an_unknown_key_when_composed(group: str, level: str) -> None:
    with pytest.raises(InstantiationException, match="unknown"):
        instantiate({**settings(group, level), "unknown": 1}, _convert_="all")
    assert dataclasses.is_dataclass(load(group, level))


def make_net(group: str, level: str, images: Tensor) -> TinyNet:
    choice = {name: load(name, level if name == group else default) for name, default in DEFAULT.items()}
    net = TinyNet(choice["activation"], choice["normalization"], choice["dropout"]).train()
    choice["initializer"](net, images, make_generator)
    return net


@pytest.mark.parametrize(("group", "level"), OF_A_NET)
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


@pytest.mark.parametrize(("group", "level"), OF_A_NET)
def test_a_level_agrees_with_itself_under_bfloat16_autocast(group: str, level: str) -> None:
    images = torch.randn(16, 3, 8, 8)
    net = make_net(group, level, images).to(memory_format=torch.channels_last).eval()
    full = net(images)
    with torch.autocast("cpu", torch.bfloat16):
        half = net(images.to(memory_format=torch.channels_last))
    assert half.dtype == torch.bfloat16
    # Three matrix products with 8 significant bits each.
    torch.testing.assert_close(half.float(), full, rtol=0, atol=0.05 * max(full.abs().max().item(), 1e-6))
