"""Read a folder of TensorBoard logs: one run for each folder with event files.

| of a run | is read from |
|---|---|
| metrics | its scalars, the value at the last step; of several there, the one written last |
| settings | its hyperparameters (the HParams page), Lightning's hparams.yaml, and `key=value` in the folders' names |
| seed | one of these, or a folder's name such as seed-3, seed_3 or seed=3 |

A folder inside a run's folder belongs to that run, and so do sibling folders called train, val, validation, test or
eval, whose scalars are then called test/NAME. A scalar of another inner folder keeps its name where it can only be one:
`add_scalars("accuracy", {"train": ..., "val": ...})` writes `accuracy` twice, which become accuracy_train/accuracy and
accuracy_val/accuracy in all runs.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from ablate.config.overrides import from_yaml, text
from ablate.errors import UserError
from ablate.foreign.table import Row, Table
from ablate.training.identity import canonical

PARTS = ("train", "val", "valid", "validation", "test", "eval")
EVENTS = "*tfevents*"
HPARAMS = "hparams.yaml"
OF_HPARAMS = "_hparams_/"
TIME = re.compile(r"\d+\.\d+/")  # the folder that SummaryWriter.add_hparams makes

Entry = tuple[int, float, float]  # step, wall time, value
Scalars = dict[str, Entry]  # by tag


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
    parts: dict[Path, dict[str, Scalars]] = {}  # of each run, the scalars of its folders by their prefixes
    settings: dict[Path, dict[str, Any]] = {}
    remarks: list[str] = []
    for run in sorted({place for place, _ in home.values()}):
        parts[run], settings[run] = {}, {}
        for path, (place, prefix) in home.items():
            if place != run:
                continue
            parts[run][prefix], hparams, gone_back = read_events(path, digest)
            remarks += gone_back
            for found in (hparams, read_hparams(path / HPARAMS)):
                add_settings(settings[run], found, run)
        add_settings(settings[run], named(run.relative_to(folder).as_posix(), pattern), run)
    several = in_several_folders(parts.values())
    rows: list[Row] = []
    for run, scalars_of in parts.items():
        scalars: Scalars = {}
        for prefix, own in scalars_of.items():
            for tag, entry in own.items():
                name = f"{prefix}{tag}" if is_part(prefix) or tag in several else tag
                if name in scalars:
                    raise UserError(f"{run}: two scalars in its folders are called {name!r}; log them under two names")
                scalars[name] = entry
        if twice := sorted(settings[run].keys() & scalars.keys()):
            raise UserError(f"{run}: {twice[0]!r} is a setting and a scalar; log them under two names")
        rows.append(
            Row(
                where=f"run {run.relative_to(folder).as_posix()}",
                cells={**settings[run], **{tag: value for tag, (_, _, value) in scalars.items()}},
                steps={tag: step for tag, (step, _, _) in scalars.items()},
            )
        )
    if not rows:
        raise UserError(f"{folder} holds no event file of TensorBoard (events.out.tfevents...)")
    return Table(
        name=folder.resolve().name,
        kind="TensorBoard logs",
        rows=rows,
        measured=frozenset(tag for row in rows for tag in row.steps),
        remarks=remarks,
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


def is_part(prefix: str) -> bool:
    return prefix.rstrip("/") in PARTS


def in_several_folders(runs: Iterable[dict[str, Scalars]]) -> set[str]:
    """Return the tags that do not say alone which scalar is meant, since folders of different names hold them.

    It counts over all runs: a tag that one run has in `a/` and another in `b/` is not one metric.

    >>> entry = (1, 0.0, 0.9)
    >>> in_several_folders([{"": {"loss": entry}, "acc_train/": {"acc": entry}, "acc_val/": {"acc": entry}}])
    {'acc'}
    """
    places: dict[str, set[str]] = {}
    several: set[str] = set()
    for scalars_of in runs:
        timed: Counter[str] = Counter()  # the folders of add_hparams have another name in every run
        for prefix, own in scalars_of.items():
            for tag in () if is_part(prefix) else own:
                is_timed = bool(TIME.fullmatch(prefix))
                places.setdefault(tag, set()).add("TIME/" if is_timed else prefix)
                timed[tag] += is_timed
        several |= {tag for tag, count in timed.items() if count > 1}
    return several | {tag for tag, prefixes in places.items() if len(prefixes) > 1}


def add_settings(settings: dict[str, Any], found: dict[str, Any], run: Path) -> None:
    """Add settings of a run to those that are known.

    Raises:
        UserError: one of them has two values.
    """
    for key, value in found.items():
        old = settings.setdefault(key, value)
        if str(old) != str(value) and text(canonical(old)) != text(canonical(value)):
            raise UserError(
                f"{run}: {key} must be the same in its hyperparameters and in the folder's name, got {old!r} and "
                f"{value!r}; correct one of them, or give what the name holds another name with pattern="
            )


def read_events(folder: Path, digest: Any) -> tuple[Scalars, dict[str, Any], list[str]]:
    """Return the value at the last step of each scalar in a folder's event files, its hyperparameters, and remarks.

    Where a resumed run says from which step it goes on (`purge_step`), what was written before from there on does not
    count, as in TensorBoard.
    """
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.compat.proto.event_pb2 import SessionLog
    from tensorboard.plugins.hparams import plugin_data_pb2
    from tensorboard.util import tensor_util

    entries: dict[str, list[Entry]] = {}
    settings: dict[str, Any] = {}
    for path in sorted(folder.glob(EVENTS)):
        try:
            digest.update(path.read_bytes())
            for event in EventFileLoader(str(path)).Load():
                if event.HasField("session_log") and event.session_log.status == SessionLog.START:
                    entries = {tag: [one for one in found if one[0] < event.step] for tag, found in entries.items()}
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
                            entries.setdefault(value.tag, []).append(entry)
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read as an event file: {error}") from error
    scalars: Scalars = {}
    remarks: list[str] = []
    for tag, found in entries.items():
        if tag.startswith(OF_HPARAMS) or not found:
            continue
        scalars[tag] = last = max(reversed(found), key=lambda entry: entry[:2])  # of equal ones, that written last
        newest = max(found, key=lambda entry: entry[1])
        if newest[1] > last[1] and not remarks:
            remarks.append(
                f"{folder}: {tag} was written for step {newest[0]} after it had been written for step {last[0]}, which "
                "counts; is it a run that was begun again in the same folder? Keep the event files of one of them"
            )
    return scalars, settings, remarks


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
        UserError: it does not have the pattern, or gives a setting two values.

    >>> named("activation=relu,lr=0.1/seed-3", None)
    {'activation': 'relu', 'lr': 0.1, 'seed': 3}
    >>> named("relu_s3", "{activation}_s{seed}")
    {'activation': 'relu', 'seed': 3}
    """
    if pattern is None:
        words = [word for part in relative.split("/") for word in re.split(r"[,;\s]+", part)]
        pairs = [re.fullmatch(r"([A-Za-z_][\w.-]*?)=(.*)|(seed)[-_]?(\d+)", word) for word in words]
        found = [(m[1] or m[3], m[2] if m[1] else m[4]) for m in pairs if m]
    else:
        keys = re.findall(r"\{([^{}]+)\}", pattern)
        literal = re.split(r"\{[^{}]+\}", pattern)
        regex = re.escape(literal[0]) + "".join(f"(.+?){re.escape(rest)}" for rest in literal[1:])
        match = re.fullmatch(regex, relative)
        if match is None:
            raise UserError(f"`pattern` must fit the names of all runs' folders; {relative!r} is not {pattern!r}")
        found = list(zip(keys, match.groups(), strict=True))
    texts = dict(found)
    if twice := next(((key, value) for key, value in found if texts[key] != value), None):
        raise UserError(f"the folder's name {relative!r} gives {twice[0]} two values, {twice[1]} and {texts[twice[0]]}")
    return {key: scalar(value) for key, value in texts.items()}


def scalar(text: str) -> Any:
    """Return a text as YAML reads it, or as it is where it is no single value."""
    try:
        value = from_yaml(text)
    except yaml.YAMLError:
        return text
    return value if value is None or isinstance(value, bool | int | float | str) else text
