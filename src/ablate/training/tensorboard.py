"""A run's output to TensorBoard.

| tag | meaning | when |
|---|---|---|
| accuracy/train, accuracy/val, accuracy/test | those below once more, so that the page opens on them | see there |
| train/batch_loss | loss of one batch | every `scalars_every` steps |
| train/loss, train/accuracy | running means over the epoch (training mode, augmented) | every epoch |
| train/cross_entropy | the same without label smoothing and penalties | every epoch |
| val/loss, val/accuracy | validation images, inference mode | every epoch |
| lr, images_per_second | of the epoch's last step; of its training steps | every epoch |
| weight_norm/<layer> | Euclidean norm | by `histograms_every` |
| weight/<layer>, gradient/<layer> | histograms, the gradient of an epoch's last step | by `histograms_every` |
| <measure>/<key> | diagnostics, see `ablate.diagnostics` | at the start, and by `diagnostics.every` |
| filters, mistakes | first convolution's weights; the test images most confidently misclassified | at the end |
| test/..., train_eval/... | final metrics | at the end |
| <split>/non_finite | fraction of images with non-finite outputs at inference, if there are any | at the end |
| config, layers | as text | at the start |

The x axis is the number of training steps. Hyperparameters are written with the arm as the group, so that the HParams
page shows one row per arm, the mean over its seeds.
"""

import io
import json
import math
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ablate.errors import UserError
from ablate.nets import format_layer_table, layer_table
from ablate.storage.integrity import replacing
from ablate.training.identity import as_typed
from ablate.training.loop import Callback, State
from ablate.training.scoring import answers

EVENTS = "events.out.tfevents."
KEPT_NAME = f"{EVENTS}0000000000.kept"  # read first: TensorBoard reads files in the order of their names
FINAL = ("test/", "train_eval/")
FIRST = {f"{split}/accuracy": f"accuracy/{split}" for split in ("train", "val", "test")}


class TensorBoard(Callback):
    """Writes events into the run's folder.

    Args:
        folder: the run's folder.
        group: name shared by the seeds of one arm.
        levels, settings: see `record.Record`.
        changed: the settings that differ from the YAML file of their level; hyperparameters beside the levels.
        scalars_every: steps between two points of train/batch_loss, at least 1.
        histograms_every: epochs between two sets of norms and histograms; 0 for none; "auto": 1 on the CPU, and on a
            GPU, where they may take as long as an epoch's steps, after the last epoch alone.
        num_mistakes: how many misclassified test images are shown; 0 for none.
    """

    def __init__(
        self,
        folder: Path,
        *,
        group: str,
        levels: Mapping[str, str],
        settings: Mapping[str, Any],
        changed: Mapping[str, Any],
        scalars_every: int = 10,
        histograms_every: int | str = "auto",
        num_mistakes: int = 36,
    ) -> None:
        epochs = 1 if histograms_every == "auto" else histograms_every
        if scalars_every < 1 or not isinstance(epochs, int) or epochs < 0 or num_mistakes < 0:
            raise UserError(
                "`tensorboard.scalars_every` must be at least 1, histograms_every auto or at least 0, num_mistakes at "
                "least 0, got "
                f"{scalars_every}, {histograms_every} and {num_mistakes}"
            )
        self.folder, self.group = folder, group
        self.levels, self.settings, self.changed = levels, settings, changed
        self.scalars_every, self.histograms_every, self.num_mistakes = scalars_every, histograms_every, num_mistakes
        self.batch_losses: list[tuple[int, Tensor]] = []

    def on_fit_start(self, state: State) -> None:
        from torch.utils.tensorboard import SummaryWriter

        threading.excepthook = leave_writer_errors
        keep_until(self.folder, state.step)
        # An open page has read events written after the checkpoint: this makes it discard them.
        self.writer = SummaryWriter(str(self.folder), purge_step=state.step + 1)
        if state.step == 0:
            text = json.dumps(self.settings, indent=2)
            self.writer.add_text("config", f"```json\n{text}\n```")
            rows = layer_table(state.net, state.dataset.image_shape, state.dataset.test.images.device)
            self.writer.add_text("layers", f"```\n{format_layer_table(rows)}\n```")
            for path in sorted((self.folder / "sources").rglob("*.py")):
                name = path.relative_to(self.folder / "sources").as_posix()
                text = path.read_text(encoding="utf-8", errors="replace")
                self.writer.add_text(f"own_code/{name}", f"```python\n{text}\n```")
            self.write_hparams()
            for name, value in state.initial.items():
                self.writer.add_scalar(name, value, 0)

    def on_step_end(self, state: State) -> None:
        if state.step % self.scalars_every == 0:
            self.batch_losses.append((state.step, state.loss))

    def on_epoch_end(self, state: State) -> None:
        self.write_batch_losses()
        for name, value in state.history[-1].items():
            if name != "epoch" and value is not None:
                self.write_scalar(name, value, state.step)
        if self.histograms_are_due(state):
            self.write_layers(state)
        self.writer.flush()  # the checkpoint that follows must not be ahead of the event file

    def histograms_are_due(self, state: State) -> bool:
        """Return whether norms and histograms are written after this epoch."""
        if self.histograms_every == "auto":
            return state.device == "cpu" or state.epoch == state.num_epochs
        every = int(self.histograms_every)
        return every > 0 and state.epoch % every == 0

    def write_scalar(self, name: str, value: float, step: int) -> None:
        """Write a scalar; an accuracy also under `FIRST`, since the page sorts tags by name."""
        self.writer.add_scalar(name, value, step)
        if name in FIRST:
            self.writer.add_scalar(FIRST[name], value, step)

    def on_stop(self, state: State) -> None:
        self.write_batch_losses()
        self.writer.flush()

    def write_batch_losses(self) -> None:
        """Write the losses of the steps since the last call, read from the device at once."""
        if self.batch_losses:
            steps, losses = zip(*self.batch_losses, strict=True)
            for step, loss in zip(steps, torch.stack(losses).tolist(), strict=True):
                self.writer.add_scalar("train/batch_loss", loss, step)
            self.batch_losses.clear()

    def on_fit_end(self, state: State) -> None:
        for name, value in state.metrics.items():
            if name.endswith("/non_finite") and not value:
                continue
            if name.startswith(FINAL) and value is not None:
                self.write_scalar(name, value, state.step)
        filters = first_filters(state.net)
        if filters is not None:
            self.add_image("filters", filters, state.step)
        if self.num_mistakes and state.test_log_probs is not None:
            sheet = mistakes_sheet(state, self.num_mistakes)
            if sheet is not None:
                self.add_image("mistakes", sheet, state.step)
        self.write_session_end(success=not state.diverged)
        self.writer.flush()  # raises an error of the writer's thread; `close` does not
        self.writer.close()

    def write_layers(self, state: State) -> None:
        """Write norms and histograms of the weights and gradients of every affine layer."""
        for name, layer in state.net.named_modules():
            weight = getattr(layer, "weight", None)
            if not isinstance(layer, nn.Conv2d | nn.Linear) or not isinstance(weight, nn.Parameter):
                continue
            for tag, values in (("weight", weight.detach()), ("gradient", weight.grad)):
                if values is None:
                    continue
                values = values.float().cpu()
                if tag == "weight":
                    self.writer.add_scalar(f"weight_norm/{name}", values.norm().item(), state.step)
                if torch.stack(values.aminmax()).isfinite().all():  # a histogram has no bin for nan
                    # Equal bins take a quarter of the time of the writer's own, and the page shows 30 of them.
                    self.writer.add_histogram(f"{tag}/{name}", values, state.step, bins=64)

    def write_hparams(self) -> None:
        """Write the hyperparameters of the session, grouped by arm."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        changed = {  # a list as text, so that the page does not take it for a number
            key: value if isinstance(value, bool | int | float | str) else as_typed(value)
            for key, value in self.changed.items()
        }
        shown = {
            key: value for key, value in {**self.levels, **changed}.items() if key.partition(".")[0] != "diagnostics"
        }
        self.add_summary(hparams_pb(shown, trial_id=self.group))

    def write_session_end(self, *, success: bool) -> None:
        """Write that the session is over, so that the HParams page counts it."""
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import metadata
        from tensorboard.plugins.hparams.api_pb2 import Status
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo

        status = Status.STATUS_SUCCESS if success else Status.STATUS_FAILURE
        data = HParamsPluginData(session_end_info=SessionEndInfo(status=status))
        summary = Summary()
        summary.value.add(
            tag=metadata.SESSION_END_INFO_TAG,
            metadata=metadata.create_summary_metadata(data),
            tensor=metadata.NULL_TENSOR,
        )
        self.add_summary(summary)

    def add_image(self, tag: str, pixels: Any, step: int) -> None:
        """Write an image, HWC uint8; the writer's own method converts to floats, which takes twice the time."""
        from PIL import Image
        from tensorboard.compat.proto.summary_pb2 import Summary

        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", compress_level=1)
        height, width, channels = pixels.shape
        image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=file.getvalue())
        summary = Summary()
        summary.value.add(tag=tag, image=image)
        self.add_summary(summary, step)

    def add_summary(self, summary: Any, step: int | None = None) -> None:
        """Write a summary protocol buffer as it is."""
        writer = self.writer.file_writer
        assert writer is not None
        writer.add_summary(summary, step)


def leave_writer_errors(failed: threading.ExceptHookArgs) -> None:
    """Print the traceback of a thread that failed, unless it is the event writer's: its next call raises the error."""
    if not type(failed.thread).__module__.startswith("tensorboard."):
        threading.__excepthook__(failed)


def keep_until(folder: Path, step: int) -> None:
    """Keep only the events of an interrupted run up to its checkpoint, each tag and step once.

    They are sorted by step, since the files are named by the clock, which may have been set back. Events of the end of
    training are removed: they are written again.

    Args:
        folder: the run's.
        step: of the checkpoint; 0 keeps nothing.
    """
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    olds = sorted(folder.glob(f"*{EVENTS}*"))  # including files left by a killed write
    if not olds:
        return
    kept: dict[tuple[str, int], Event] = {}
    for path in olds if step else []:
        for raw in RawEventFileLoader(str(path)).Load():
            event = Event.FromString(raw)
            tags = [value.tag for value in event.summary.value if not is_final(value.tag)]
            if event.step <= step and tags:
                kept[tags[0], event.step] = event  # every event written here has one tag
    if kept:
        with replacing(folder / KEPT_NAME) as temporary, temporary.open("wb") as file:
            writer = RecordWriter(file)
            writer.write(Event(file_version="brain.Event:2").SerializeToString())
            for event in sorted(kept.values(), key=lambda event: event.step):
                writer.write(event.SerializeToString())
            writer.flush()
    for path in olds:
        if path.name != KEPT_NAME or not kept:
            path.unlink(missing_ok=True)


def is_final(tag: str) -> bool:
    """Return whether a tag is written at the end of training, by `on_fit_end`.

    Example:
        >>> is_final("test/accuracy"), is_final("train/loss")
        (True, False)
    """
    from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG

    return tag.startswith((*FINAL, FIRST["test/accuracy"])) or tag in ("filters", "mistakes", SESSION_END_INFO_TAG)


def first_filters(net: nn.Module) -> Any:
    """Return the first convolution's filters as one image, HWC uint8; None unless it has 3 input channels."""
    conv = next((layer for layer in net.modules() if isinstance(layer, nn.Conv2d)), None)
    if conv is None or conv.in_channels != 3 or not conv.weight.isfinite().all():
        return None
    weight = conv.weight.detach().float().cpu()
    low, high = weight.amin((1, 2, 3), keepdim=True), weight.amax((1, 2, 3), keepdim=True)
    tiles = ((weight - low) / (high - low).clamp_min(1e-12)).repeat_interleave(8, 2).repeat_interleave(8, 3)
    sheet = tile(nn.functional.pad(tiles, (1, 1, 1, 1), value=1.0))
    return (255 * sheet).round().byte().permute(1, 2, 0).numpy()


def tile(images: Tensor) -> Tensor:
    """Return (N, C, H, W) as one image (C, rows H, columns W); the rest of the last row is white.

    Example:
        >>> tile(torch.zeros(5, 3, 8, 8)).shape
        torch.Size([3, 16, 24])
    """
    num, channels, height, width = images.shape
    columns = math.ceil(math.sqrt(num))
    rows = math.ceil(num / columns)
    sheet = images.new_ones(rows * columns, channels, height, width)
    sheet[:num] = images
    sheet = sheet.reshape(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    return sheet.reshape(channels, rows * height, columns * width)


def mistakes_sheet(state: State, num: int) -> Any:
    """Return the `num` test images with the most probable wrong answers, each with a caption, as HWC uint8.

    None if there is none, or the images are neither grey nor RGB.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    test, names = state.dataset.test, state.dataset.class_names
    if test.images.shape[1] not in (1, 3):
        return None
    assert state.test_log_probs is not None
    predicted, confidence = answers(state.test_log_probs), state.test_log_probs.amax(1)
    wrong = ((predicted != test.labels) & (predicted >= 0)).nonzero().flatten()
    worst = wrong[confidence[wrong].argsort(descending=True)][:num]
    if len(worst) == 0:
        return None
    size, caption = 128, 28
    columns = math.ceil(math.sqrt(len(worst)))
    rows = math.ceil(len(worst) / columns)
    sheet = Image.new("RGB", (columns * (size + 4), rows * (size + caption)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, index in enumerate(worst.tolist()):
        pixels = test.images[index].permute(1, 2, 0).cpu().numpy() * (255 / (2**state.dataset.bits - 1))
        image = Image.fromarray(np.repeat(pixels.round(), 3 // pixels.shape[2], axis=2).astype(np.uint8))
        x, y = i % columns * (size + 4), i // columns * (size + caption)
        sheet.paste(image.resize((size, size), Image.Resampling.NEAREST), (x, y + caption - 2))
        draw.text((x + 2, y + 1), f"true: {names[test.labels[index]]}", fill="black")
        answer = f"net: {names[predicted[index]]} {100 * confidence[index].exp():.0f} %"
        draw.text((x + 2, y + 12), answer, fill="firebrick")
    return np.asarray(sheet)
