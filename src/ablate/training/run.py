"""The description of one run, and the run in memory; `ablate.training.start` does it in a directory."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ablate.data.dataset import Dataset
from ablate.data.own_augmentation import OwnAugmentation
from ablate.data.views import NUM_VIEWS
from ablate.errors import Notice, UserError, making
from ablate.layers.batch_norm import AnyBatchNorm, batch_norms_behind_dropout
from ablate.layers.native import is_native
from ablate.nets import Library, Module, Net, NoPlace, Shape
from ablate.nets.contract import Watch, check_initializer
from ablate.nets.net import in_memory_format
from ablate.optimization import for_device, parameter_groups, set_initial_lr
from ablate.regularization import Regularizer
from ablate.seeding import Streams, global_generators
from ablate.training.capture import is_captured, obstacle
from ablate.training.captured_step import on_own_stream
from ablate.training.evaluation import Examination
from ablate.training.hardware import prepare_device
from ablate.training.kept_data import fitted, on_device
from ablate.training.layer_pieces import check_initialized
from ablate.training.loop import Callback, Schedule, State, fit
from ablate.training.rule_pieces import make_loss
from ablate.training.sources import Source
from ablate.training.step import Augmentation

INITIALIZATION_IMAGES = 256  # how many training images a data-driven initializer sees


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that defines one run; nothing random has been drawn yet.

    Args:
        arm, fingerprint, levels, settings: the run's identity, see `record.Record`.
        data: has `load() -> Dataset`.
        preprocessing: unfitted; a copy is fitted on the training images.
        augmentation, initializer, normalization, dropout: see `layers` and `data`.
        net: a description with a method `build`, or what makes a module, see `ablate.nets`.
        activation: makes one activation.
        optimizer: called with parameter groups.
        bias_lr_factor: learning rate of the biases relative to that of all others, above 0.
        schedule: (epochs done, num_epochs) -> factor on lr.
        epochs: at least 1.
        batch_size: training images per step, at most the number of training images.
        eval_batch_size: images per step of inference; changes only the speed.
        precision: "fp32", "tf32" or "bf16".
        device: "cpu" or "cuda".
        gpu: which CUDA device, from 0; None: the first.
        compile: False, or the mode in which the training steps are compiled: see `step.compiled`.
        capture: whether the training steps are recorded as a CUDA graph: True, False, or "auto", see `capture`.
        threads: of torch on the CPU.
        seed: the replicate.
        checkpoint_every: epochs between two checkpoints, or "auto", see `callbacks.Checkpoint`.
        test_views: views of a validation or test image that the final evaluation averages: 1, 2 or 6.
        thresholds: accuracies in (0, 1) whose first epoch is recorded.
        sources: the code that the settings name outside the program.
        keep_weights: which weights are written beside the record: "last", "best" (of the epoch with the highest
            validation accuracy), or "" for none.
    """

    arm: str
    fingerprint: str
    levels: Mapping[str, str]
    settings: Mapping[str, Any]
    data: Any
    preprocessing: Any
    augmentation: Augmentation
    net: Any
    activation: Callable[[], nn.Module]
    initializer: Callable[[nn.Module, Tensor, Callable[[str], torch.Generator]], None]
    normalization: Any
    dropout: Any
    regularizer: Regularizer
    optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
    schedule: Schedule
    epochs: int
    batch_size: int
    eval_batch_size: int
    precision: str
    device: str
    threads: int
    seed: int
    bias_lr_factor: float = 1.0
    gpu: int | None = None
    compile: bool | str = False
    capture: bool | str = "auto"
    checkpoint_every: int | str = "auto"
    thresholds: Sequence[float] = field(default=(0.25, 0.5, 0.75, 0.9))
    test_views: int = 1
    sources: Sequence[Source] = ()
    keep_weights: str = ""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "eval_batch_size", "threads", "checkpoint_every"):
            value = getattr(self, name)
            if name == "checkpoint_every" and value == "auto":
                continue
            if not isinstance(value, int) or value < 1:
                raise UserError(f"`trainer.{name}` must be a whole number of at least 1, got {value!r}")
        if not isinstance(self.seed, int) or isinstance(self.seed, bool):
            raise UserError(f"`seed` must be a whole number, got {self.seed!r}")
        if not self.bias_lr_factor > 0:
            raise UserError(f"`optimizer.bias_lr_factor` must be above 0, got {self.bias_lr_factor}")
        if "weight_decay" in getattr(self.optimizer, "keywords", {}):
            raise UserError("`optimizer.weight_decay` has no effect here: set regularizer.l2 instead")
        # Call the factories now, so that a wrong keyword or value is reported before the data is loaded.
        if not is_native(self.activation):
            with making("activation", __file__):
                self.activation()
        with making("optimizer", __file__):
            self.optimizer([{"params": [nn.Parameter(torch.zeros(1))]}])
        if self.test_views not in NUM_VIEWS:
            raise UserError(f"`trainer.test_views` must be 1, 2 or 6, got {self.test_views!r}")
        if any(not 0 < t < 1 for t in self.thresholds):
            raise UserError(f"`trainer.thresholds` must lie between 0 and 1, got {list(self.thresholds)}")

    def build(self, dataset: Dataset) -> Net:
        """Return the initialized net, on the CPU, beginning with preprocessing fitted on the training images."""
        if self.batch_size > len(dataset.train.labels):
            raise UserError(
                f"`trainer.batch_size` must not exceed the number of training images, got {self.batch_size} for "
                f"{len(dataset.train.labels)} images; lower trainer.batch_size or raise data.train_size"
            )
        if isinstance(self.augmentation, OwnAugmentation):
            self.augmentation.try_on(dataset.train.images)
        with global_generators(Streams(self.seed).key("build")):
            return self._build(dataset)

    def _build(self, dataset: Dataset) -> Net:
        streams = Streams(self.seed)
        preprocessing = fitted(self.preprocessing, dataset)
        net = self.assemble(preprocessing, dataset.image_shape, dataset.num_classes)
        if behind := batch_norms_behind_dropout(net):
            warnings.warn(
                f"dropout stands before batch norm ({', '.join(behind)}): its running variance is that of training "
                "with dropped units, which is larger than at inference; put dropout behind the last batch norm, or "
                "take normalization=none (Li et al. 2019, arXiv:1801.05134; ablate figure dropout_before_batch_norm)",
                Notice,
                stacklevel=2,
            )
        if self.batch_size == 1 and any(isinstance(layer, AnyBatchNorm) for layer in net.modules()):
            raise UserError("`trainer.batch_size` must be at least 2 with batch normalization, got 1")
        first_images = dataset.train.images[:INITIALIZATION_IMAGES]
        with torch.no_grad():
            self.initializer(net, first_images, lambda path: streams.generator("init", path))
        check_initialized(net)
        in_memory_format(net)
        return net

    def assemble(self, preprocessing: nn.Module, image_shape: Shape, num_classes: int) -> Net:
        """Return the net with every choice in its place, its weights not yet initialized.

        Args:
            preprocessing: fitted.
            image_shape: (C, H, W) of the images that it gets.
            num_classes: number of logits.

        Raises:
            NoPlace: a choice finds no place in the net; both are named.
        """
        try:
            return self._assemble(preprocessing, image_shape, num_classes)
        except NoPlace as error:
            chosen, net_name = (f"{group}={self.levels.get(group, '?')}" for group in (error.group, "net"))
            level = chosen if error.group in self.levels else f"`{error.group}`"
            raise NoPlace(error.group, error.why, net_name, level) from error

    def _assemble(self, preprocessing: Any, image_shape: Shape, num_classes: int) -> Net:
        spec = self.net if hasattr(self.net, "build") else Module(make=self.net)
        front = [("preprocessing", preprocessing), *self.regularizer.front()]
        choices = {"activation": self.activation, "normalization": self.normalization, "dropout": self.dropout}
        is_own = not type(spec).__module__.startswith("ablate.nets")
        if is_own:
            for group, choice in choices.items():
                if is_native(choice):
                    raise NoPlace(group, "a net with `build` gets all choices; choose another level")
            watch = Watch(**choices)
            choices = {"activation": watch.activation, "normalization": watch.normalization, "dropout": watch.dropout}
        net: Net = spec.build(preprocessing.output_shape(image_shape), num_classes, **choices, front=front)
        if is_own:
            watch.check(net, front, image_shape, num_classes, type(spec).__name__)
            net.make_activation = self.activation
        if is_native(self.initializer) and not isinstance(spec, Module | Library):
            raise NoPlace("initializer", "its weights are not drawn when it is made; use torch_default")
        if not is_native(self.initializer) and type(self.initializer).__module__.startswith("ablate."):
            check_initializer(net, getattr(spec, "loads", ""))
        if self.regularizer.l1_activation and (functions := getattr(net, "functions", [])):
            raise NoPlace("regularizer", f"l1_activation does not reach {', '.join(functions)}, which is a function")
        return net


def prepare(run: Run, dataset: Dataset, net: Net) -> tuple[State, Examination]:
    """Return a run's state before its first step, on the run's device, and the evaluation of its net.

    Args:
        run: its description.
        dataset: the run's data, on the CPU.
        net: `run.build(dataset)`.
    """
    prepare_device(run.device, run.precision, run.gpu)
    device = torch.device(run.device)
    if run.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    net.to(device)
    dataset = on_device(dataset, device)
    optimizer = for_device(run.optimizer, run.device)(parameter_groups(net, run.regularizer.l2, run.bias_lr_factor))
    set_initial_lr(optimizer)
    state = State(
        net=net,
        optimizer=optimizer,
        dataset=dataset,
        num_epochs=run.epochs,
        steps_per_epoch=len(dataset.train.labels) // run.batch_size,
        seed=run.seed,
        num_left_out=len(dataset.train.labels) % run.batch_size,
    )
    examine = Examination(
        dataset=dataset,
        preprocessing=run.preprocessing,
        batch_size=run.batch_size,
        eval_batch_size=run.eval_batch_size,
        precision=run.precision,
        num_samples=run.dropout.num_samples,
        num_views=run.test_views,
        streams=Streams(run.seed),
    )
    return state, examine


def train(run: Run, state: State, examine: Examination, callbacks: Sequence[Callback] = ()) -> None:
    """Train for the epochs that `state` has left.

    Raises:
        UserError: `trainer.capture=true`, and the steps of the run cannot be captured.
    """
    captured = captures(run, state)
    compiling = compiling_all(state.net) if run.compile else contextlib.nullcontext()
    with compiling, on_own_stream(torch.device(run.device)) if captured else contextlib.nullcontext():
        fit(
            state,
            batch_size=run.batch_size,
            augmentation=run.augmentation,
            loss=make_loss(run.regularizer, state.net),
            schedule=run.schedule,
            streams=Streams(run.seed),
            precision=run.precision,
            compile_mode=str(run.compile) if run.compile else None,
            capture=run.capture if captured else False,
            validate=examine.validate,
            callbacks=callbacks,
        )


@contextlib.contextmanager
def compiling_all(net: Net) -> Iterator[None]:
    """Have every part of `net` compiled inside the block, whatever was compiled before in this process.

    Torch compiles a function anew for each module that it is called with, and from the ninth on it runs it uncompiled
    without an error. All parts of all nets of a process count together, since they share one function.

    Args:
        net: has at most as many parts as modules (see `step.compiled`).
    """
    from torch._dynamo import config

    torch.compiler.reset()
    with config.patch(recompile_limit=max(config.recompile_limit, len(list(net.modules())))):
        yield


def captures(run: Run, state: State) -> bool:
    """Return whether the training steps of a run are recorded as a CUDA graph, see `trainer.capture`.

    Raises:
        UserError: it is asked for and cannot be.
    """
    mode = str(run.compile) if run.compile else None
    parts = (state.net, state.optimizer, run.augmentation, run.regularizer)
    return is_captured(run.capture, obstacle(*parts, device=run.device, compile_mode=mode))
