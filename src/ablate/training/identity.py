"""The identity of a run, its fingerprint and its folder: pure functions on plain data.

Two runs are the same run when their scientific settings, the content of their data, the version of the numerics and the
code that the settings name outside `ablate`, `torch` and `torchvision` (see `sources`) are equal. The path of the data,
logging, the number of threads, and the module in which a class of `ablate` is defined are not part of the identity.
"""

import functools
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from ablate.storage.paths import named_folder, safe_name

# Raise it when the same settings give other numbers; every earlier run is then another run.
# 2: keys for global generators; exact accuracies, with ties and outputs that are not finite; steps of a schedule.
NUMERICS_VERSION = 2

# Keys (or prefixes ending in a dot) for how and where a run is computed or shown, not for what is computed.
UNSCIENTIFIC = (
    "seed",  # recorded separately, so that the seeds of one arm share its fingerprint
    "output_dir",
    "device",
    "gpu",
    "workers_per_gpu",
    "runs_per_job",
    "leave",
    "rerun",
    "keep_weights",
    "dry_run",
    "wait",
    "tensorboard.",
    "diagnostics.",
    "callbacks",
    "callbacks.",
    "trainer.threads",
    "trainer.capture",  # the same numbers, see tests/training/test_capture.py
    "trainer.eval_batch_size",
    "trainer.checkpoint_every",
    "data.root",
    "data.path",
    "data.labels_path",
    "data.download",
    "data.cache_dir",
)

# Scientific settings that decide only what is recorded beside the scores: runs that differ in nothing else have the
# same scores. They stay in the fingerprint, so that finished runs are still found.
RECORDED_ONLY = ("trainer.thresholds",)

MOST_CHARACTERS = 50  # of an arm's name in a folder's, so that with the hash it stays below 60
SIZES = ("data.", "trainer.")  # settings that say how much is trained: the last to be named

# Options added after version 1, with the value that keeps the old behaviour: at that value they are left out of the
# fingerprint, so that finished runs are still found.
ADDED_LATER: dict[str, Any] = {
    "optimizer.bias_lr_factor": 1.0,
    "trainer.test_views": 1,
    "trainer.compile": False,  # a compiled net rounds differently, so other values are other runs
    "preprocessing.steps.patch_whiten.activation": None,
    "preprocessing.steps.window.zero": None,
}

# The same for options of one class: (group, oldest import path of the class) -> key in the group: value.
ADDED_TO: dict[tuple[str, str], dict[str, Any]] = {
    ("net", "ablate.nets.ConvNet"): {"pool_after": "activation"},
    ("data", "ablate.data.image_folder.ImageFolder"): {
        "format": "images",
        "zero": None,
        "window_center": 0.5,
        "window_width": 1.0,
    },
}

# Code of ablate that has moved: present import path of a module, class or function -> its former paths, the oldest
# first. Fingerprints use the oldest, so that runs made before the move are still found; former paths still work.
MOVED: dict[str, tuple[str, ...]] = {
    "ablate.diagnostics.track": ("ablate.tracking",),
    "ablate.lecture.algebra": ("ablate.diagnostics.algebra",),
    "ablate.lecture.autoencoder": ("ablate.diagnostics.autoencoder",),
    "ablate.lecture.figures": ("ablate.figures",),
}


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of every leaf; a list is a leaf, and so is an empty mapping.

    Example:
        >>> list(flatten({"optimizer": {"lr": 0.1}, "seed": 0}))
        [('optimizer.lr', 0.1), ('seed', 0)]
    """
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@functools.cache
def is_unscientific(key: str) -> bool:
    """Return whether a setting is about how or where a run is computed, not about what is computed.

    Example:
        >>> is_unscientific("trainer.threads"), is_unscientific("optimizer.lr")
        (True, False)
    """
    return any(key == name or (name.endswith(".") and key.startswith(name)) for name in UNSCIENTIFIC)


def scientific(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide the result, flat and in a fixed order.

    Example:
        >>> scientific({"optimizer": {"lr": 1.0}, "seed": 0})
        {'optimizer.lr': 1}
    """
    flat = dict(flatten(settings))
    later = dict(ADDED_LATER)
    for (group, target), options in ADDED_TO.items():
        if canonical(flat.get(f"{group}._target_")) == target:
            later |= {f"{group}.{key}": value for key, value in options.items()}
    return {
        key: canonical(value)
        for key, value in sorted(flat.items())
        if not is_unscientific(key) and not (key in later and later[key] == value)
    }


def measures(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the diagnostics that a run of these settings records.

    Example:
        >>> measures({"diagnostics": {"measure": "dead_units"}})
        ['dead_units']
    """
    diagnostics = settings.get("diagnostics", {})  # early records have none
    names = diagnostics.get("measure", []) if isinstance(diagnostics, Mapping) else []
    return list(diagnostics["known"]) if names == "all" else [names] if isinstance(names, str) else list(names)


def canonical(value: Any) -> Any:
    """Return a setting in canonical form: the same for 1, 1.0 and 1e0, and for present and former import paths.

    Example:
        >>> canonical([1.0, 0.5])
        [1, 0.5]
    """
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, Mapping):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, str):
        return canonical_name(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def canonical_name(name: str) -> str:
    """Return the oldest import path of something in ablate, which fingerprints use; other text is unchanged.

    Example:
        >>> canonical_name("ablate.diagnostics.track.Track")
        'ablate.tracking.Track'
    """
    return _renamed(name, {path: former[0] for new, former in MOVED.items() for path in (new, *former)})


def present_name(name: str) -> str:
    """Return the present import path of something in ablate, given a present or a former one.

    Example:
        >>> present_name("ablate.tracking.Track")
        'ablate.diagnostics.track.Track'
    """
    return _renamed(name, {path: new for new, former in MOVED.items() for path in former})


def _renamed(name: str, table: Mapping[str, str]) -> str:
    """Return a dotted name with its longest prefix that is in the table replaced."""
    if not table or not name.startswith("ablate."):
        return name
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        if (head := ".".join(parts[:length])) in table:
            return ".".join([table[head], *parts[length:]])
    return name


def at_present(settings: Any) -> Any:
    """Return settings with every former import path of ablate replaced by the present one.

    Example:
        >>> at_present({"_target_": "ablate.tracking.Track"})
        {'_target_': 'ablate.diagnostics.track.Track'}
    """
    if isinstance(settings, Mapping):
        return {key: at_present(value) for key, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [at_present(value) for value in settings]
    return present_name(settings) if isinstance(settings, str) else settings


def fingerprint(
    settings: Mapping[str, Any],
    data_fingerprint: str,
    sources: Mapping[str, str] | None = None,
    *,
    without: Collection[str] = (),
) -> str:
    """Return the hash, 64 hexadecimal digits, that all seeds of one arm share.

    Args:
        settings: the resolved configuration as plain data (no interpolation, `auto` already decided).
        data_fingerprint: hash of the content of the data set.
        sources: {module: hash of its text, or distribution: its version} of the code outside the program that the
            settings name; an empty mapping gives the same hash as None.
        without: keys of settings to leave out, such as `RECORDED_ONLY`; the fingerprint of a run leaves out none.

    Example:
        >>> one, two = ({"optimizer": {"lr": 1.0}, "seed": seed} for seed in (0, 1))
        >>> fingerprint(one, "data") == fingerprint(two, "data"), len(fingerprint(one, "data"))
        (True, 64)
    """
    kept = {key: value for key, value in scientific(settings).items() if key not in without}
    content = {"settings": kept, "data": data_fingerprint, "numerics": NUMERICS_VERSION}
    if sources:
        content["sources"] = dict(sources)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def differences(mine: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return {key: (mine, other)} for every scientific setting that differs; a missing one is None.

    Example:
        >>> differences({"optimizer": {"lr": 0.1}}, {"optimizer": {"lr": 0.2}})
        {'optimizer.lr': (0.1, 0.2)}
    """
    a, b = scientific(mine), scientific(other)
    return {key: (a.get(key), b.get(key)) for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)}


def arm_name(levels: Mapping[str, str], default_levels: Mapping[str, str], changed: Mapping[str, Any]) -> str:
    """Return a readable name: what differs from the defaults, e.g. "activation=tanh,optimizer.lr=0.01".

    Args:
        levels: chosen level of each group.
        default_levels: the level of each group that is used by default.
        changed: the settings that differ from the YAML files of these levels.

    Example:
        >>> arm_name({"activation": "tanh"}, {"activation": "relu"}, {"optimizer.lr": 0.01})
        'activation=tanh,optimizer.lr=0.01'
    """
    parts = [f"{group}={level}" for group, level in levels.items() if level != default_levels.get(group)]
    parts += [f"{key}={as_typed(mine)}" for key, mine in changed.items()]
    return ",".join(parts) or "default"


def run_folder(output_dir: Path, arm: str, fingerprint: str, seed: int) -> Path:
    """Return a run's folder, `output_dir`/runs/<arm>-<hash8>/seed-<s>; an existing one with the same hash is used.

    Only the hash identifies the arm: an arm's readable name may change with the defaults, and its finished runs must
    still be found.

    Example:
        >>> run_folder(Path("outputs"), "net=micro", "0123456789abcdef", seed=3).as_posix()
        'outputs/runs/net=micro-01234567/seed-3'
    """
    runs = output_dir / "runs"
    known = sorted(runs.glob(f"*-{fingerprint[:8]}"))
    arm_folder = known[0] if known else runs / named_folder(short_name(arm).rstrip(".,"), fingerprint)
    return arm_folder / f"seed-{seed}"


def short_name(arm: str) -> str:
    """Return an arm's name for a folder, of at most `MOST_CHARACTERS`.

    Of a longer one, the factors are named first, then settings other than sizes. What does not fit is left out; the
    folder's hash distinguishes arms.

    Example:
        >>> short_name("data=shapes,activation=tanh,data.train_size=200,trainer.batch_size=50,optimizer.lr=0.1")
        'data=shapes,activation=tanh,optimizer.lr=0.1'
    """
    if len(arm) <= MOST_CHARACTERS:
        return safe_name(arm)
    parts = re.split(r",(?=[\w.]+=)", arm)
    ranks = [1 if "." in part.partition("=")[0] else 0 for part in parts]
    ranks = [2 if part.startswith(SIZES) else rank for part, rank in zip(parts, ranks, strict=True)]
    kept: set[int] = set()
    left = MOST_CHARACTERS
    for place in sorted(range(len(parts)), key=lambda place: (ranks[place], place)):
        if ranks[place] < 2 and len(parts[place]) <= left:
            kept.add(place)
            left -= len(parts[place]) + 1
    shown = ",".join(part for place, part in enumerate(parts) if place in kept)
    return safe_name(shown or arm, MOST_CHARACTERS)


def as_typed(value: Any) -> str:
    """Return `value` as it is typed on the command line, without spaces and quotes.

    Example:
        >>> as_typed([1, 2])
        '[1,2]'
    """
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[\s\"']", "", text)
