"""A small initialized net in front of 24 made images, as diagnostics see it."""

import torch
from torch import nn

from ablate.data.dataset import Split
from ablate.data.preprocessing import Chain, Standardize
from ablate.diagnostics.probe import Probe
from ablate.layers.dropout import Dropout, Positions
from ablate.layers.initialization import VarianceScaling
from ablate.layers.normalization import NoNormalization
from ablate.nets import ConvNet
from ablate.seeding import Streams


def make_probe(
    *,
    activation=nn.ReLU,
    normalization=None,
    initializer=None,
    dropout=0.0,
    front=(),
    num_images=24,
    seed=0,
    **spec,
):
    """Return a Probe of a net with layers conv1_1, conv2_1, fc1 and classifier; `spec` is of `ConvNet`."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (num_images, 3, 8, 8), generator=generator).to(torch.uint8)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.arange(num_images) % 3
    net = ConvNet(**{"widths": [4, 6], "convs_per_stage": 1, "hidden_width": 8, **spec}).build(
        (3, 8, 8),
        3,
        activation=activation,
        normalization=normalization or NoNormalization(),
        dropout=Positions(layer=Dropout, hidden=dropout),
        front=[("preprocessing", Chain({"standardize": Standardize()}).fit(images)), *front],
    )
    initializer = initializer or VarianceScaling(distribution="normal", mode="fan_in", gain="relu", bias=0.0)
    initializer(net, images, lambda path: Streams(seed).generator("init", path))
    return Probe(net=net, images=images, labels=labels, held_out=Split(images=images, labels=labels))
