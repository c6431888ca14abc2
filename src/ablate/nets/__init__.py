"""Nets, and the contract between a net and a run.

A net maps preprocessed images (N, C, H, W) to logits (N, num_classes). `net` of a run is one of:

- A description with a method `build`, as `ConvNet` and `ResNet` have:

      build(image_shape, num_classes, *, activation, normalization, dropout, front) -> torch.nn.Module

  It must call `activation()` for each activation and `normalization(num_features, ndim)` for each place of a
  normalization (None: no layer); it reads `normalization.position`, and `.wrap` where there is one. It asks
  `dropout.at_input()`, `.after_stage(i, num_stages)` and `.after_hidden(i, num_hidden)` for the layers, or None, of the
  places that it has. The layers of `front` (preprocessing, input noise) come first, under their names.
- A class or function that returns a `torch.nn.Module` (`net=module`), or the name of a net in a library of models
  (`net=torchvision`, `net=timm`). The choices then replace the modules that are there, see `library` and
  `substitution`; the levels `native` leave them.

What a net must offer: its affine layers, normalizations and activations are modules, each under a path. Their kind
follows from the type, or from a class attribute, see `roles`; their order from a forward pass, see `tracing`, so that
shared modules, modules that work in place and branches are measured as they run. An activation that is a function
(`F.relu(x)`) is measured as well, but cannot be replaced, and L1 on activations does not reach it.

What it may offer: places for dropout, a normalization, activations. A choice that finds no place in the net is refused,
with the names of both (`NoPlace`), when the run is built; `contract` holds the checks.
"""

from ablate.nets.grammar import ConvNet as ConvNet
from ablate.nets.grammar import output_size as output_size
from ablate.nets.library import Library as Library
from ablate.nets.library import Module as Module
from ablate.nets.net import Net as Net
from ablate.nets.net import NoPlace as NoPlace
from ablate.nets.net import Scale as Scale
from ablate.nets.net import Shape as Shape
from ablate.nets.residual import ResNet as ResNet
from ablate.nets.table import LayerRow as LayerRow
from ablate.nets.table import format_layer_table as format_layer_table
from ablate.nets.table import layer_table as layer_table
