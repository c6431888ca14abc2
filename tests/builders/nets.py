"""Nets that are written as users write them: in place, with shared modules, branches and functions."""

import torch
from torch import nn
from torch.nn import functional as F


class InPlaceReLU(nn.Module):
    """Works in place without saying so."""

    ablate_role = "activation"

    def forward(self, x):
        return x.relu_()


class BasicBlock(nn.Module):
    """As torchvision writes it: one module for two activations, in place, and a sum between them."""

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = nn.Conv2d(channels_in, channels, 1, stride, bias=False)

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.downsample(x)
        return self.relu(out)


class SmallResNet(nn.Module):
    """A convolution, two blocks, dropout, classifier."""

    def __init__(self, width=4, num_classes=3):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.act = InPlaceReLU()
        self.block1 = BasicBlock(width, width, 1)
        self.block2 = BasicBlock(width, 2 * width, 2)
        self.drop = nn.Dropout(0.3)
        self.fc = nn.Linear(2 * width, num_classes)

    def forward(self, x):
        x = self.block2(self.block1(self.act(self.bn(self.conv(x)))))
        return self.fc(self.drop(x.mean((2, 3))))


UNITS = ["conv", "block1.conv1", "block1.relu", "block2.conv1", "block2.relu"]


def plain_forward(net, x, keep):
    """The pass of `SmallResNet` without modules that work in place; `keep(z)` gets what enters each activation."""

    def act(z):
        keep(z)
        return z.clamp(min=0)

    x = act(net.bn(net.conv(x)))
    for block in (net.block1, net.block2):
        y = act(block.bn1(block.conv1(x)))
        x = act(block.bn2(block.conv2(y)) + block.downsample(x))
    return net.fc(x.mean((2, 3)))


class Functional(nn.Module):
    """Activations as functions."""

    def __init__(self, num_classes=3):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x):
        x = F.relu(self.conv1(x), inplace=True)
        return self.fc(torch.tanh(self.conv2(x)).mean((2, 3)))


class ClassesOfImageNet(nn.Module):
    """Made for three channels and 1000 classes, and takes no arguments."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 7, 2, 3)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.act = nn.GELU()
        self.fc = nn.Linear(8, 1000)

    def forward(self, x):
        return self.fc(self.act(self.conv(self.pool(self.stem(x)))).mean((2, 3)))


class OwnBuild:
    """A description with `build`: a ResNet of one block. `uses` are the choices that it puts into the net."""

    def __init__(self, uses=("activation", "normalization", "dropout", "front")):
        self.uses = uses

    def build(self, image_shape, num_classes, *, activation, normalization, dropout, front):
        net = nn.Sequential()
        if "front" in self.uses:
            for name, layer in front:
                net.add_module(name, layer)
        net.add_module("conv0", nn.Conv2d(image_shape[0], 4, 3, padding=1))
        if "normalization" in self.uses and (norm := normalization(4, 4)) is not None:
            net.add_module("norm0", norm)
        net.add_module("act0", activation() if "activation" in self.uses else nn.ReLU())
        net.add_module("mean", nn.AdaptiveAvgPool2d(1))
        net.add_module("flatten", nn.Flatten())
        if "dropout" in self.uses and (drop := dropout.after_hidden(0, 1)) is not None:
            net.add_module("dropout", drop)
        net.add_module("fc", nn.Linear(4, num_classes))
        return net


def named(name, num_classes, pretrained=False):
    """Return a net as a library of models does, with trained weights if asked for."""
    net = SmallResNet(num_classes=num_classes)
    if pretrained:
        nn.init.constant_(net.fc.weight, 7.0)
    return net


def small_transformer() -> nn.Module:
    """Return torchvision's vision transformer with two blocks of width 8, for images of 8 x 8 and 3 classes."""
    from torchvision.models.vision_transformer import VisionTransformer

    sizes = {"image_size": 8, "patch_size": 4, "num_layers": 2, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 16}
    return VisionTransformer(**sizes, num_classes=3)
