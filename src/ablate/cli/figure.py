"""`ablate figure NAME`: compute a figure's arrays unless they are stored, draw them, and print the paths.

See `ablate.cli.figure_file` for a figure's file.
"""

import contextlib
import importlib
import io
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ablate.cli.composition import checked
from ablate.cli.figure_file import FigureSpec, asked
from ablate.cli.grammar import plainly
from ablate.cli.hydra_version import of_composing
from ablate.cli.planning import make_run, plan
from ablate.config import catalog
from ablate.config.overrides import quoted
from ablate.errors import Unusable, UserError
from ablate.report import plotting
from ablate.screen import say
from ablate.storage.integrity import read_bytes, replacing
from ablate.storage.paths import named_folder
from ablate.training import sources
from ablate.training.identity import NUMERICS_VERSION, canonical, canonical_name, present_name, scientific
from ablate.training.lab import Arrays, Lab
from ablate.training.run import Run

CAPTION_SIZE = 8.5  # points
ARRAYS_NAME, CAPTION_NAME = "arrays.npz", "caption.txt"
Compose = Callable[[Sequence[str]], tuple[Any, dict[str, Any]]]  # overrides -> configuration, chosen levels
MARGIN, CAPTION_SIZE = 0.012, 8.5  # of a figure's caption: share of the width at both sides, and points


def figure_command(words: Sequence[str], where: Sequence[Path]) -> None:
    """`ablate figure NAME [KEY=VALUE ...]`: compute, draw and log a figure.

    Raises:
        UserError: see `asked`; or a value that the figure refuses.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    if (found := asked(words, where)) is None:
        return
    spec, overrides, rerun = found
    try:
        do_figure(spec, overrides, where, rerun=rerun)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(plainly(error, where, words)) from error


def do_figure(spec: FigureSpec, overrides: Sequence[str], where: Sequence[Path], *, rerun: bool) -> None:
    """Compute the arrays unless they are stored, draw them, and print the caption and the paths."""
    module = importlib.import_module(present_name(spec.module))
    with composing(where) as compose:
        settings, choices = compose([*spec.base, *overrides])
        folder = figure_folder(spec, checked(settings, choices, where)[0])
        path = folder / ARRAYS_NAME
        arrays = None if rerun else stored_arrays(path)
        if arrays is not None:
            say(f"the arrays are stored already; rerun=true computes them again and keeps these\n{path}")
        else:
            start = time.perf_counter()
            make = run_maker(compose, spec, overrides, where)
            lab = Lab(make, log=lambda line: say(f"  {line}"), folder=folder.parent, rerun=rerun)
            arrays = module.compute(lab, **spec.knobs)
            folder.mkdir(parents=True, exist_ok=True)
            if path.exists():
                path.rename(path.with_stem(f"arrays.{1 + len(list(folder.glob('arrays.*.npz')))}"))
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)
            print(f"computed in {time.perf_counter() - start:.1f} s")
    on = ", ".join(f"{group} {choices[group]}" for group in spec.uses)
    caption = f"{module.caption(arrays)} Made with {on}." if on else module.caption(arrays)
    for line in publish(module, arrays, caption, folder, spec.name):
        say(line)


def stored_arrays(path: Path) -> Arrays | None:
    """Return the arrays in a file; None if it does not exist, or is damaged, which is printed."""
    try:
        data = read_bytes(path)
        if data is None:
            return None
        with np.load(io.BytesIO(data)) as stored:
            return dict(stored)
    except (Unusable, OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        say(f"{path} cannot be read ({error}); it is kept under another name, and the arrays are computed again")
        return None


@contextlib.contextmanager
def composing(where: Sequence[Path]) -> Iterator[Compose]:
    """Return, for a `with` block, a function that composes a configuration and returns it with the chosen levels.

    >>> with composing(catalog.folders()) as compose:
    ...     cfg, levels = compose(["activation=tanh", "trainer.epochs=3"])
    >>> cfg.trainer.epochs, levels["activation"]
    (3, 'tanh')
    """
    from hydra import compose, initialize_config_dir
    from omegaconf import open_dict

    folders = [str(folder.resolve()) for folder in where[1:]]

    def go(overrides: Sequence[str]) -> tuple[Any, dict[str, Any]]:
        last = {word.split("=", 1)[0]: word for word in overrides}  # the last setting of a key counts
        found = [f"hydra.searchpath=[{','.join(map(quoted, folders))}]"] if folders else []
        cfg = compose("config", overrides=[*last.values(), *found], return_hydra_config=True)
        choices = dict(cfg.hydra.runtime.choices)
        with open_dict(cfg):
            del cfg["hydra"]
        return cfg, choices

    with initialize_config_dir(str(catalog.conf_dir()), **of_composing()):
        yield go


def run_maker(
    compose: Compose, spec: FigureSpec, overrides: Sequence[str], where: Sequence[Path] = ()
) -> Callable[[Sequence[str]], Run]:
    """Return the function that makes a figure's runs; it refuses a user's setting of a key that the figure sets."""
    taken = {word.split("=", 1)[0] for word in overrides}

    def make(own: Sequence[str]) -> Run:
        if clash := sorted(taken & {word.split("=", 1)[0] for word in own}):
            raise UserError(f"figure {spec.name} sets {clash[0]} itself; leave it out, or see its knobs")
        return make_run(plan(*compose([*spec.base, *overrides, *own]), where))

    return make


def figure_folder(spec: FigureSpec, settings: Mapping[str, Any]) -> Path:
    """Return outputs/figures/<name>-<hash8>, whose hash is of the knobs, settings and code."""
    where = {"device": settings["device"], "root": settings["data"].get("root")}
    knobs = {name: canonical(value) for name, value in spec.knobs.items()}
    meant = {"knobs": knobs, "settings": scientific(settings), "where": where, "module": canonical_name(spec.module)}
    content = {**meant, "numerics": NUMERICS_VERSION}
    code = sources.find({**settings, "figure": {"_target_": spec.module, "knobs": spec.knobs}})
    if identity := sources.as_identity(code):
        content["sources"] = identity
    return Path(settings["output_dir"]) / "figures" / named_folder(spec.name, content)


def publish(module: ModuleType, arrays: Arrays, caption: str, folder: Path, name: str) -> list[str]:
    """Draw the arrays as PNG, SVG and a TensorBoard image, the caption below; return the caption and the paths."""
    from torch.utils.tensorboard import SummaryWriter

    with plotting.style():
        figure = module.draw(arrays)
        lines = plotting.wrapped(caption, figure.get_figwidth() * (1 - 2 * MARGIN), CAPTION_SIZE)
        figure.supxlabel("\n".join(lines), x=MARGIN, ha="left", fontsize=CAPTION_SIZE, color=plotting.INK)
        for kind in ("png", "svg"):
            with replacing(folder / f"{name}.{kind}") as temporary:
                figure.savefig(
                    temporary,
                    format=kind,
                    dpi=150,
                    facecolor="white",
                    metadata={"Date": None} if kind == "svg" else None,
                )
        (folder / CAPTION_NAME).write_text(caption + "\n", encoding="utf-8")
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        with SummaryWriter(str(folder)) as writer:
            writer.add_figure(f"figure/{name}", figure)
            writer.add_text(f"figure/{name}", caption)
    return [caption, "", *(str(folder / f"{name}.{kind}") for kind in ("png", "svg")), str(folder / ARRAYS_NAME)]
