"""The weights of a run: a safetensors file with the run's identity and a checksum in its metadata.

Any reader of safetensors opens it; `ablate.load_net` returns the net. The metadata holds "fingerprint", "seed", "kept"
(last or best), "epoch", "image_shape" and "num_classes" of the raw images, and "sha256": the SHA-256 of the whole file
with 64 zeros in the place of this checksum.
"""

import copy
import hashlib
import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor, nn

from ablate.data.dataset import Dataset
from ablate.errors import Unusable, UserError, notice
from ablate.nets import Net
from ablate.nets.net import in_memory_format
from ablate.seeding import global_generators
from ablate.storage.integrity import read_bytes, replacing
from ablate.training.callbacks import different_entries
from ablate.training.loop import Callback, State
from ablate.training.record import WEIGHTS_NAME
from ablate.training.run import Run
from ablate.training.unsaved import attributes, same

EXTRA_STATE = "_extra_state"  # the last part of the key that torch gives to what `get_extra_state` returns
CHECKSUM = re.compile(rb'"sha256":"([0-9a-f]{64})"')


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Everything that a net is made of, except its configuration.

    Args:
        tensors: the net's parameters and buffers by name, preprocessing included.
        fingerprint, seed: of the run.
        kept: "last", or "best": of the epoch with the highest validation accuracy.
        epoch: after which they were kept, from 1.
        image_shape: (C, H, W) of the raw images.
        num_classes: number of logits.
    """

    tensors: Mapping[str, Any]
    fingerprint: str
    seed: int
    kept: str
    epoch: int
    image_shape: tuple[int, int, int]
    num_classes: int

    def as_bytes(self) -> bytes:
        """Return the content of the file."""
        metadata = {
            "fingerprint": self.fingerprint,
            "seed": str(self.seed),
            "kept": self.kept,
            "epoch": str(self.epoch),
            "image_shape": json.dumps(self.image_shape),
            "num_classes": str(self.num_classes),
            "sha256": "0" * 64,
        }
        tensors = {name: _as_tensor(name, value) for name, value in self.tensors.items()}
        data = bytes_of(tensors, metadata)
        start, end = _place_of_checksum(data)
        return data[:start] + hashlib.sha256(data).hexdigest().encode() + data[end:]


class KeepBest(Callback):
    """Keeps, in the state, a copy of the weights after the epoch with the highest validation accuracy."""

    def on_epoch_end(self, state: State) -> None:
        *earlier, last = [value if value is not None else -math.inf for value in _validation(state)]
        if not state.diverged and last > max(earlier, default=-math.inf):
            state.best = {"epoch": state.epoch, "net": copy_of(state.net)}


def copy_of(net: nn.Module) -> dict[str, Any]:
    """Return copies of the parameters and buffers of a net, on the CPU.

    Example:
        >>> list(copy_of(nn.Linear(2, 1)))
        ['weight', 'bias']
    """
    return {
        name: value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else copy.deepcopy(value)
        for name, value in net.state_dict().items()
    }


def write_weights(run: Run, state: State, folder: Path) -> None:
    """Write the weights that the run is asked to keep, in one atomic step; remove an earlier file if it keeps none.

    A diverged run keeps none. Nor does `keep_weights=best` if the best epoch was trained before weights were kept: this
    is shown as a notice.
    """
    path = folder / WEIGHTS_NAME
    epoch, tensors = state.epoch, copy_of(state.net)
    if run.keep_weights == "best":
        epoch, tensors = state.best.get("epoch", 0), state.best.get("net", {})
    reason = ""
    if state.diverged:
        reason = "the run diverged"
    elif run.keep_weights == "best" and epoch != (best := _best_epoch(state)):
        reason = f"the best epoch, {best}, was trained before keep_weights was set (rerun=true keeps them)"
    elif run.keep_weights and not gives_the_outputs(run, state, tensors):
        reason = (
            "the net made from them gives other outputs, since training changed a plain attribute of the net; keep it "
            "in a buffer (register_buffer)"
        )
    if not run.keep_weights or reason:
        path.unlink(missing_ok=True)
        if reason and run.keep_weights:
            notice(f"no weights are kept: {reason}")
        return
    with replacing(path) as temporary:
        temporary.write_bytes(weights_of(run, state.dataset, tensors, epoch).as_bytes())


def gives_the_outputs(run: Run, state: State, tensors: Mapping[str, Any]) -> bool:
    """Return whether a net made from the weights gives the outputs of the trained net with these weights."""
    images = state.dataset.train.images[:2].cpu()
    trained = copy.deepcopy(state.net).cpu().eval()
    trained.load_state_dict(dict(tensors))
    again = restored(run, weights_of(run, state.dataset, tensors, epoch=0))
    outputs = []
    with torch.no_grad():
        for net in (trained, again):
            with global_generators(0):
                outputs.append(net(images))
    return torch.allclose(outputs[0], outputs[1], rtol=1e-4, atol=1e-5, equal_nan=True)


def weights_of(run: Run, dataset: Dataset, tensors: Mapping[str, Any], epoch: int) -> Weights:
    """Return tensors with the identity of their run."""
    return Weights(
        tensors=tensors,
        fingerprint=run.fingerprint,
        seed=run.seed,
        kept=run.keep_weights,
        epoch=epoch,
        image_shape=dataset.image_shape,
        num_classes=dataset.num_classes,
    )


def read_weights(folder: Path) -> Weights | None:
    """Return the weights in the folder of a run, None if there is no file.

    Raises:
        Unusable: the file is damaged.
        UserError: it cannot be read.

    Example:
        >>> print(read_weights(Path("no/such/run")))
        None
    """
    path = folder / WEIGHTS_NAME
    data = read_bytes(path)
    if data is None:
        return None
    try:
        start, end = _place_of_checksum(data)
    except ValueError as error:
        raise Unusable(f"{path} is damaged: {error}") from error
    if hashlib.sha256(data[:start] + b"0" * 64 + data[end:]).hexdigest().encode() != data[start:end]:
        raise Unusable(f"{path} is damaged: its content does not agree with its checksum")
    content = json.loads(_header(data))["__metadata__"]
    channels, height, width = json.loads(content["image_shape"])
    return Weights(
        tensors={name: _from_tensor(name, tensor) for name, tensor in tensors_of(data).items()},
        fingerprint=content["fingerprint"],
        seed=int(content["seed"]),
        kept=content["kept"],
        epoch=int(content["epoch"]),
        image_shape=(channels, height, width),
        num_classes=int(content["num_classes"]),
    )


@global_generators()
def restored(run: Run, weights: Weights) -> Net:
    """Return the net of a run with these weights, in eval mode, on the CPU; no data is needed.

    Raises:
        UserError: the run's configuration makes another net.
    """
    preprocessing = copy.deepcopy(run.preprocessing)
    prefix = "preprocessing."
    own = {name.removeprefix(prefix): value for name, value in weights.tensors.items() if name.startswith(prefix)}
    _load(preprocessing, own)
    net = run.assemble(preprocessing, weights.image_shape, weights.num_classes)
    _load(net, weights.tensors)
    in_memory_format(net)
    return net.eval()


def check_restorable(run: Run, net: Net, dataset: Dataset) -> None:
    """Check, before the training, that a net made from the weights gives the outputs of the net itself.

    Args:
        run: keeps weights.
        net: `run.build(dataset)`; it is left as it is.
        dataset: the run's.

    Raises:
        UserError: part of the net is kept in plain attributes; or `best` is asked for without validation images.
    """
    if run.keep_weights == "best" and not len(dataset.val):
        raise UserError("`keep_weights=best` needs validation images, got data.val_size=0; use keep_weights=last")
    images = dataset.train.images[:2]
    original, again = copy.deepcopy(net).eval(), restored(run, weights_of(run, dataset, copy_of(net), epoch=0))
    with torch.no_grad():
        with global_generators(0):
            expected = original(images)
        try:
            with global_generators(0):
                found = again(images)
        except Exception as error:
            raise UserError(
                _not_in_buffers(run, original, again, f"fails ({type(error).__name__}: {error})")
            ) from error
    if not same(expected, found):
        raise UserError(_not_in_buffers(run, original, again, "gives other outputs"))


def _not_in_buffers(run: Run, net: nn.Module, again: nn.Module, effect: str) -> str:
    kept, fresh = attributes(net), attributes(again)
    names = [
        f"{path}.{name}"
        for path, values in kept.items()
        for name, value in values.items()
        if not same(fresh.get(path, {}).get(name), value)
    ]
    return (
        f"`keep_weights={run.keep_weights}` keeps parameters and buffers, but the net made from them {effect}: "
        f"{', '.join(names) or 'something'} is kept in a plain attribute; keep it in a buffer "
        "(self.register_buffer('mean_', None) in __init__, self.mean_ = ... in fit), or leave out keep_weights"
    )


def _load(module: nn.Module, tensors: Mapping[str, Any]) -> None:
    """Load a state dictionary; what `fit` learns, or a buffer of another shape, gets its place first."""
    owners = dict(module.named_modules())
    for name, value in tensors.items():
        path, _, last = name.rpartition(".")
        if last == EXTRA_STATE or (owner := owners.get(path)) is None or last in owner._parameters:
            continue
        if last not in owner._buffers and hasattr(owner, last):
            delattr(owner, last)
        if last not in owner._buffers:
            owner.register_buffer(last, torch.empty_like(value))
        elif (there := owner._buffers[last]) is None or there.shape != value.shape:
            owner._buffers[last] = torch.empty_like(value)
    if other := different_entries(module.state_dict(), dict(tensors)):
        raise UserError(
            f"the weights are not those of the net that the settings describe: {other}; `fit` must not add modules"
        )
    module.load_state_dict(dict(tensors))


def _validation(state: State) -> list[float | None]:
    return [row.get("val/accuracy") for row in state.history]


def _best_epoch(state: State) -> int:
    values = [value if value is not None else -math.inf for value in _validation(state)]
    return values.index(max(values)) + 1


def _header(data: bytes) -> bytes:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise ValueError("it was cut, or is not a safetensors file")
    return data[8 : 8 + length]


def _place_of_checksum(data: bytes) -> tuple[int, int]:
    """Return where the checksum starts and ends in the file; raise ValueError if it has none."""
    found = CHECKSUM.search(_header(data))
    if found is None:
        raise ValueError("it has no checksum, so it is not a file of ablate")
    return found.start(1) + 8, found.end(1) + 8


def _as_tensor(name: str, value: Any) -> Tensor:
    """Return what the file holds: a tensor of its own memory; for extra state, the bytes of `torch.save`."""
    if name.rpartition(".")[2] != EXTRA_STATE:
        return value.detach().cpu().contiguous().clone()
    file = io.BytesIO()
    torch.save(value, file)
    return torch.frombuffer(bytearray(file.getvalue()), dtype=torch.uint8)


def _from_tensor(name: str, tensor: Tensor) -> Any:
    if name.rpartition(".")[2] != EXTRA_STATE:
        return tensor
    return torch.load(io.BytesIO(tensor.numpy().tobytes()), weights_only=True)
