"""Read a folder of TensorBoard logs: one run for each folder with event files.

| of a run | is read from |
|---|---|
| metrics | its scalars, the value at the last step; of several there, the one written last |
| settings | its hyperparameters (the HParams page), Lightning's hparams.yaml, and `key=value` in the folders' names |
| seed | one of these, or a folder's name such as seed-3, seed_3 or seed=3 |

A folder inside a run's folder belongs to that run, and so do sibling folders called train, val, validation, test or
eval, whose scalars are then called test/NAME.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from ablate.config.overrides import from_yaml
from ablate.errors import UserError
from ablate.foreign.table import Row, Table

PARTS = ("train", "val", "valid", "validation", "test", "eval")
EVENTS = "*tfevents*"
HPARAMS = "hparams.yaml"
OF_HPARAMS = "_hparams_/"

Scalars = dict[str, tuple[int, float, float]]  # tag -> (step, wall time, value)


def has_events(folder: Path) -> bool:
    """Return whether a folder holds event files, at any depth."""
    return next(folder.rglob(EVENTS), None) is not None


def read_logs(folder: Path, pattern: str | None = None) -> Table:
    """Return the runs of a folder of TensorBoard logs.

    Args:
        folder: as for `tensorboard --logdir`.
        pattern: how the names of the runs' folders hold settings, e.g. "{activation}_s{seed}"; None for key=value.

    Raises:
        UserError: no event file can be read, or a folder's name does not have the pattern.
    """
    digest = hashlib.sha256()
    # TensorBoard follows links, and a study's tensorboard/ consists of them.
    folders = sorted({path.parent for path in links_followed(folder)})
    home = {path: owner(path, folders, folder) for path in folders}
    rows: list[Row] = []
    measured: set[str] = set()
    for run in sorted({place for place, _ in home.values()}):
        scalars: Scalars = {}
        settings: dict[str, Any] = {}
        for path, (place, prefix) in home.items():
            if place != run:
                continue
            own, hparams = read_events(path, digest)
            for tag, entry in own.items():
                name = f"{prefix}{tag}" if prefix and (prefix.rstrip("/") in PARTS or tag in scalars) else tag
                scalars[name] = max(entry, scalars.get(name, entry))
            settings |= {**hparams, **read_hparams(path / HPARAMS)}
        relative = run.relative_to(folder).as_posix()
        settings |= named(relative, pattern)
        if twice := sorted(settings.keys() & scalars.keys()):
            raise UserError(f"{run}: {twice[0]!r} is a setting and a scalar; log them under two names")
        rows.append(Row(where=f"run {relative}", cells={**settings, **{tag: v for tag, (_, _, v) in scalars.items()}}))
        measured |= scalars.keys()
    if not rows:
        raise UserError(f"{folder} holds no event file of TensorBoard (events.out.tfevents...)")
    return Table(
        name=folder.resolve().name,
        kind="TensorBoard logs",
        rows=rows,
        measured=frozenset(measured),
        sha256=digest.hexdigest(),
    )


def links_followed(folder: Path) -> Iterator[Path]:
    """Yield the event files below a folder, in linked folders too."""
    seen: set[Path] = set()
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        if (real := place.resolve()) in seen:
            continue
        seen.add(real)
        yield from (path for path in place.glob(EVENTS) if path.is_file())
        waiting += [path for path in place.iterdir() if path.is_dir()]


def owner(path: Path, folders: list[Path], root: Path) -> tuple[Path, str]:
    """Return the folder of the run that a folder with event files belongs to, and the prefix of its scalars."""
    above = [other for other in folders if other in path.parents and other != root]
    if above:
        return above[0], f"{path.relative_to(above[0]).as_posix()}/"
    if path.name in PARTS and path.parent != root:
        return path.parent, f"{path.name}/"
    return path, ""


def read_events(folder: Path, digest: Any) -> tuple[Scalars, dict[str, Any]]:
    """Return the last value of each scalar in a folder's event files, and its hyperparameters."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.plugins.hparams import plugin_data_pb2
    from tensorboard.util import tensor_util

    scalars: Scalars = {}
    settings: dict[str, Any] = {}
    for path in sorted(folder.glob(EVENTS)):
        try:
            digest.update(path.read_bytes())
            for event in EventFileLoader(str(path)).Load():
                for value in event.summary.value:
                    plugin = value.metadata.plugin_data
                    if plugin.plugin_name == "hparams":
                        data = plugin_data_pb2.HParamsPluginData.FromString(plugin.content)
                        for key, entry in data.session_start_info.hparams.items():
                            settings[key] = getattr(entry, entry.WhichOneof("kind") or "string_value")
                    elif value.WhichOneof("value") == "tensor" and plugin.plugin_name in ("scalars", ""):
                        array = tensor_util.make_ndarray(value.tensor)
                        if array.ndim == 0 and array.dtype.kind in "fiu":
                            entry = (event.step, event.wall_time, float(array))
                            if value.tag not in scalars or entry[:2] >= scalars[value.tag][:2]:
                                scalars[value.tag] = entry
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read as an event file: {error}") from error
    return {tag: entry for tag, entry in scalars.items() if not tag.startswith(OF_HPARAMS)}, settings


def read_hparams(path: Path) -> dict[str, Any]:
    """Return the scalar settings in Lightning's hparams.yaml; none where there is no such file."""
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}") from error
    found = content if isinstance(content, dict) else {}
    return {str(key): value for key, value in found.items() if value is None or isinstance(value, int | float | str)}


def named(relative: str, pattern: str | None) -> dict[str, Any]:
    """Return the settings in the name of a run's folder.

    Raises:
        UserError: it does not have the pattern.

    >>> named("activation=relu,lr=0.1/seed-3", None)
    {'activation': 'relu', 'lr': 0.1, 'seed': 3}
    >>> named("relu_s3", "{activation}_s{seed}")
    {'activation': 'relu', 'seed': 3}
    """
    if pattern is None:
        words = [word for part in relative.split("/") for word in re.split(r"[,;\s]+", part)]
        pairs = [re.fullmatch(r"([A-Za-z_][\w.-]*?)=(.*)|(seed)[-_]?(\d+)", word) for word in words]
        texts = {m[1] or m[3]: m[2] if m[1] else m[4] for m in pairs if m}
    else:
        keys = re.findall(r"\{([^{}]+)\}", pattern)
        literal = re.split(r"\{[^{}]+\}", pattern)
        regex = re.escape(literal[0]) + "".join(f"(.+?){re.escape(rest)}" for rest in literal[1:])
        match = re.fullmatch(regex, relative)
        if match is None:
            raise UserError(f"`pattern` must fit the names of all runs' folders; {relative!r} is not {pattern!r}")
        texts = dict(zip(keys, match.groups(), strict=True))
    return {key: scalar(text) for key, text in texts.items()}


def scalar(text: str) -> Any:
    """Return a text as YAML reads it, or as it is where it is no single value."""
    try:
        value = from_yaml(text)
    except yaml.YAMLError:
        return text
    return value if value is None or isinstance(value, bool | int | float | str) else text
