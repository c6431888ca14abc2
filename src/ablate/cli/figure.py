"""`ablate figure NAME`: compute a figure's arrays unless they are stored, draw them, and print the paths.

A figure is one module and one file figure/NAME.yaml in a conf folder; the lecture's are in `ablate.lecture.figures`:

    compute: package.NAME               module with compute(lab, **knobs) -> arrays, draw(arrays), caption(arrays)
    uses: [data, net]                   groups whose level the caption names
    base: [net=micro, ...]              settings of its nets
    knobs: {num_epochs: 4, ...}         arguments of compute; figure.num_epochs=8 changes one
    profiles:                           profile=full adds to base, and replaces these knobs
      full: {base: [...], knobs: {...}}
"""

import contextlib
import importlib
import io
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import yaml

from ablate.cli import arguments
from ablate.cli.composition import checked
from ablate.cli.grammar import parse, plainly
from ablate.cli.hydra_version import of_composing
from ablate.cli.planning import make_run, plan
from ablate.config import catalog, notation, schema
from ablate.config.overrides import in_profile, quoted, text
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
OWN = ("profile", "rerun")
MARGIN, CAPTION_SIZE = 0.012, 8.5  # of a figure's caption: share of the width at both sides, and points


@dataclass(frozen=True, kw_only=True)
class FigureSpec:
    """A figure, from its file and the command line.

    Args:
        name: the file's stem.
        module: the dotted name of its module.
        base: settings of its nets.
        knobs: arguments of its `compute`.
        uses: groups whose level its caption names.
    """

    name: str
    module: str
    base: list[str]
    knobs: dict[str, Any]
    uses: list[str]


def figure_command(words: Sequence[str], where: Sequence[Path]) -> None:
    """`ablate figure NAME [KEY=VALUE ...]`: compute, draw and log a figure.

    Raises:
        UserError: no or an unknown name, an unknown knob, profile or setting, or a value that the figure refuses.
    """
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    known = catalog.levels(where, "figure")
    if {"-h", "--help"} & set(words):
        print("usage: ablate figure NAME [figure.KNOB=VALUE ...] [KEY=VALUE ...]")
        print(catalog.describe_levels(where, ["figure"]))
        return
    if option := next((word for word in words if word.startswith("-")), None):
        raise UserError(f"`ablate figure` has no option {option!r}; settings are given as KEY=VALUE, without a dash")
    names = [word for word in words if "=" not in word and not word.startswith("~")]
    if len(names) != 1 or names[0] not in known:
        unknown = next((name for name in names if name not in known), "")
        problem = f"there is no figure {unknown!r}; {catalog.nearest(unknown, list(known))}" if unknown else ""
        got = " ".join(names) or "none"
        raise UserError(problem or f"`ablate figure NAME` needs one name, got {got}; there are {', '.join(known)}")
    others = [word for word in words if word not in names]
    knobs = yaml.safe_load(known[names[0]].read_text(encoding="utf-8")).get("knobs", {})
    for word in others:
        if (knob := word.partition("=")[0]) in knobs:
            raise UserError(f"{word!r}: {knob} is a knob of the figure; write figure.{word}")
        if knob.partition(".")[0] in ("study", "extra_seeds"):
            raise UserError(f"{word!r} is for a study, not for a figure; leave it out")
    own = [word for word in others if word.startswith("figure.") or word.split("=")[0] in OWN]
    overrides = [word for word in others if word not in own]
    if any(word.startswith("seed=") for word in overrides):
        raise UserError("`seed` cannot be set for a figure, which chooses its seeds itself; see its knobs")
    arguments.check(overrides, where, [], may_sweep=False)
    try:
        spec, rerun = read_figure(known[names[0]], own)
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


def read_figure(path: Path, own: Sequence[str]) -> tuple[FigureSpec, bool]:
    """Return the figure of a file with the user's profile and knobs, and whether to compute it again.

    Args:
        own: words such as figure.KNOB=VALUE, profile=NAME, rerun=true.

    Raises:
        UserError: an unknown profile or knob, or a value of another type than the knob's default.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    options: dict[str, Any] = {(found := parse(word)).key_or_group: found.value() for word in own}
    if (profile := options.pop("profile", None)) is not None:
        profile = schema.accept("profile", profile, notation.parse("text"))
    content = in_profile(f"figure {path.stem}", content, profile, merged=["knobs"])
    base, knobs = list(content.get("base", [])), dict(content.get("knobs", {}))
    rerun = schema.accept("rerun", options.pop("rerun", False), notation.parse("true or false"))
    rules = schema.read_rules((catalog.conf_dir(), path.parent.parent)).get(f"figure.{path.stem}", {})
    for key, value in options.items():
        knob = key.removeprefix("figure.")
        if knob not in knobs:
            raise UserError(f"figure {path.stem} has no knob {knob!r}; {catalog.nearest(knob, list(knobs))}")
        if knob in rules:
            default = f"the figure has {text(knobs[knob])}"
            value = schema.accept(key, value, rules[knob], {key: default}.__getitem__)
        elif not alike(value, knobs[knob]):
            raise UserError(f"`figure.{knob}` must be like its default {knobs[knob]!r}, got {value!r}")
        knobs[knob] = value
    uses = list(content.get("uses", []))
    return FigureSpec(name=path.stem, module=content["compute"], base=base, knobs=knobs, uses=uses), rerun


def alike(value: Any, default: Any) -> bool:
    """Return whether a value has the type of a default; an integer may replace a float, and lists hold such values.

    >>> alike(1, 0.5), alike(0.5, 1), alike([3], [1, 2]), alike("3", 1)
    (True, False, True, False)
    """
    if isinstance(default, list):
        kinds = default[:1]
        return isinstance(value, list) and all(alike(item, kind) for item in value for kind in kinds)
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return default is None or isinstance(value, type(default))


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
