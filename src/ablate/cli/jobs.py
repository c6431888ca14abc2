"""A planned run: alone, with progress and result printed, or quietly as a job of a sweep."""

import contextlib
import shlex
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablate import stopping
from ablate.cli.cures import too_little_memory
from ablate.cli.planning import Plan, make, make_run
from ablate.errors import UserError
from ablate.nets import format_layer_table, layer_table
from ablate.report.phrases import plural
from ablate.screen import copyable, fitted, say, width
from ablate.storage.announced import announce
from ablate.sweep.machine import gpu_of_worker
from ablate.training.callbacks import Progress, left_out
from ablate.training.directory import CONFIG_NAME
from ablate.training.identity import measures
from ablate.training.loop import Callback
from ablate.training.pieces import check_callback
from ablate.training.record import FAILURE_NAME, RECORD_NAME, WEIGHTS_NAME, Record, is_finished
from ablate.training.run import Run
from ablate.training.sources import Source, earlier_run, edited
from ablate.training.start import Busy, start
from ablate.training.tensorboard import TensorBoard


def do_alone(plan: Plan) -> None:
    """Train a run, print its progress and result; for a dry run, print what it would be."""
    run = make_run(plan)
    if plan.settings["dry_run"]:
        show(run, plan.folder)
        return
    progress = Progress()
    if not (plan.folder / CONFIG_NAME).exists() and (
        message := earlier_run(plan.settings, plan.sources, plan.folder.parent)
    ):
        say(message)
    say(f"run {plan.folder}")
    try:
        record, fresh = start(
            run,
            plan.folder,
            [progress, *observers(plan)],
            rerun=plan.settings["rerun"],
            wait=plan.settings["wait"],
        )
    finally:
        progress.close()
    announce(plan.folder)
    print(conclusion(record, plan.folder, fresh=fresh), flush=True)
    if lacking := [name for name in measures(plan.settings) if name not in measures(record.settings)]:
        say(f"it was finished without measuring {', '.join(lacking)}; rerun=true measures them")
    if without_weights(plan.settings, record, plan.folder):
        say("it was finished without keeping its weights; rerun=true trains it again and keeps them")
    then = [Source(**source) for source in record.sources]
    if edits := edited(then, plan.sources, plan.folder, scientific=False):
        say(f"since it was finished, code of its diagnostics changed: {edits}; rerun=true measures again")


def without_weights(settings: Mapping[str, Any], record: Record, folder: Path) -> bool:
    """Return whether weights are asked for and a finished run has none, although it did not diverge."""
    asked = settings.get("keep_weights", False)
    return bool(asked) and record.status == "finished" and not (folder / WEIGHTS_NAME).is_file()


def do_in_sweep(plan: Plan) -> None:
    """Train a run quietly: the sweep reports on it. A failure is written into the run's folder, and raised.

    A run that another process is training is skipped; the sweep waits for it later. A worker that is asked to stop
    returns once the run is saved: its leader waits for all of them.
    """
    rerun, wait = plan.settings["rerun"], plan.settings["wait"]
    try:
        with stopping.deferred() if stopping.is_worker() else contextlib.nullcontext():
            run = make_run(plan)
            if run.device == "cuda" and run.gpu is None:
                run = replace(run, gpu=gpu_of_worker())
            start(run, plan.folder, observers(plan), rerun=rerun, wait=wait)
    except Busy:
        return
    except stopping.Stopped:
        if not stopping.is_worker():
            raise
    except Exception as error:
        shown = too_little_memory(error) or error
        with contextlib.suppress(OSError):
            plan.folder.mkdir(parents=True, exist_ok=True)
            name = "" if isinstance(shown, UserError) else f"{type(shown).__name__}: "
            lines = [traceback.format_exc(), name + " ".join(str(shown).split())]
            (plan.folder / FAILURE_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")
        if shown is error:
            raise
        raise shown from error


def observers(plan: Plan) -> list[Callback]:
    """Return the callbacks of the settings."""
    diagnostics = plan.settings["diagnostics"]
    names = measures(plan.settings)
    # A name with a dot that no measure has is the import path of a function.
    direct = {name: {"_target_": name, "_partial_": True} for name in names if "." in name}
    known = {**direct, **diagnostics["known"]}
    diagnostics = {**diagnostics, "known": known}
    asked = {name: known.get(name) for name in names}
    if None not in asked.values():  # making all of them would slow down short runs
        diagnostics = {**diagnostics, "known": asked}
    track: Callback = make("diagnostics", diagnostics)
    own = plan.settings.get("callbacks") or {}
    callbacks = [check_callback(f"callbacks.{name}", make(f"callbacks.{name}", piece)) for name, piece in own.items()]
    options = dict(plan.settings["tensorboard"])
    if not options.pop("enabled"):
        return [track, *callbacks]
    return [
        track,  # first, so that its measurements can be shown
        *callbacks,
        TensorBoard(
            plan.folder, group=plan.group, levels=plan.levels, settings=plan.settings, changed=plan.changed, **options
        ),
    ]


def show(run: Run, folder: Path) -> None:
    """Print the net's layers and the run's folder."""
    dataset = run.data.load()
    net = run.build(dataset)
    print(format_layer_table(layer_table(net, dataset.image_shape)))
    for line in getattr(net, "replaced", []):
        say(line)
    finished = " (finished)" if is_finished(folder) else ""
    num_images = len(dataset.train.labels)
    say(f"{plural(num_images, 'training image')}, {plural(run.epochs, 'epoch')}")
    if line := left_out(num_images % run.batch_size, num_images):
        say(line)
    say(f"run {folder}{finished}")


def conclusion(record: Record, folder: Path, *, fresh: bool) -> str:
    """Return the text that is printed at the end of a run."""
    metrics = record.metrics
    lines = [] if fresh else ["this run is finished already; rerun=true trains it again and keeps the old one"]
    if record.status == "diverged":
        lines.append(f"diverged in epoch {len(record.history)}: scored as guessing; a lower optimizer.lr may cure it")
    for split, name in (("train_eval", "train"), ("val", "val"), ("test", "test")):
        if f"{split}/accuracy" not in metrics:  # data.val_size=0
            continue
        loss = metrics[f"{split}/loss"]
        shown = "-" if loss is None else f"{loss:.4f}"
        line = f"{name:<6} accuracy {100 * (metrics[f'{split}/accuracy'] or 0):.2f} %  loss {shown}"
        if unknown := metrics.get(f"{split}/non_finite"):
            line += f"  not finite at inference: {100 * unknown:.2f} % of the images, counted as wrong"
        lines.append(line)
    speed = f"{record.wall_seconds:.1f} s, {record.images_per_second:.0f} images/s"
    made = f"{record.environment['device_name']}, {plural(record.environment['threads'], 'thread')}"
    lines.append(f"{speed}, {made}")
    lines = [fitted("\n".join([*lines, f"record {folder / RECORD_NAME}"]), width())]
    if any(folder.glob("events.out.tfevents.*")):
        lines.append(copyable(f"tensorboard --logdir {shlex.quote(str(folder))}", width()))
    return "\n".join(lines)
