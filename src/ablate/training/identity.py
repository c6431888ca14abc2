"""Which settings make a run what it is, and where it lives: pure functions on plain data.

Two runs are the same run when their scientific settings, the content of their data, the version of the numerics and the
code that the settings name outside `ablate`, `torch` and `torchvision` (see `sources`) are equal. Where the data lies,
how much is logged, how many threads work on it, and the file in which a class of `ablate` lives are not part of it.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ablate.storage.paths import named_folder, safe_name

# Raise it when the same settings begin to mean other numbers; every run made before is then another run.
# 2: keys for global generators; no answer and shared answers in accuracies, counted exactly; steps of a schedule.
NUMERICS_VERSION = 2

# Keys (or prefixes ending in a dot) that say how and where a run is computed or shown, not what is computed.
UNSCIENTIFIC = (
    "seed",  # told beside the arm, so that the seeds of one arm share its fingerprint
    "output_dir",
    "device",
    "gpu",
    "workers_per_gpu",
    "rerun",
    "dry_run",
    "wait",
    "tensorboard.",
    "diagnostics.",
    "trainer.threads",
    "trainer.eval_batch_size",
    "trainer.checkpoint_every",
    "data.root",
    "data.download",
    "data.cache_dir",
)

# An option added after version 1 belongs here with the value that keeps the old behaviour: at that value it is left
# out of the fingerprint, so that a new option orphans no finished run.
ADDED_LATER: dict[str, Any] = {
    "optimizer.bias_lr_factor": 1.0,
    "trainer.compile": False,  # a compiled net rounds otherwise, so other values are other runs
    "preprocessing.steps.patch_whiten.activation": None,
}

# Where code of ablate's has moved: present import path of a module, class or function -> its former paths, the oldest
# first. The oldest is the name that fingerprints have, so a move orphans no run, and former paths can still be used.
MOVED: dict[str, tuple[str, ...]] = {
    "ablate.diagnostics.track": ("ablate.tracking",),
    "ablate.lecture.algebra": ("ablate.diagnostics.algebra",),
    "ablate.lecture.autoencoder": ("ablate.diagnostics.autoencoder",),
    "ablate.lecture.figures": ("ablate.figures",),
}


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of every leaf; a list is a leaf, and so is an empty mapping."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def is_unscientific(key: str) -> bool:
    """Return whether a setting says how or where, not what."""
    return any(key == name or (name.endswith(".") and key.startswith(name)) for name in UNSCIENTIFIC)


def scientific(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that decide the result, flat and in a fixed order."""
    return {
        key: canonical(value)
        for key, value in sorted(flatten(settings))
        if not is_unscientific(key) and not (key in ADDED_LATER and ADDED_LATER[key] == value)
    }


def measures(settings: Mapping[str, Any]) -> list[str]:
    """Return the names of the diagnostics that a run of these settings records."""
    diagnostics = settings.get("diagnostics", {})  # runs of before the diagnostics have none
    asked = diagnostics.get("measure", [])
    return list(diagnostics["known"]) if asked == "all" else [asked] if isinstance(asked, str) else list(asked)


def canonical(value: Any) -> Any:
    """Return a setting in the one form that 1, 1.0 and 1e0 share, and the present and the former paths of a class."""
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    if isinstance(value, Mapping):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, str):
        return canonical_name(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def canonical_name(name: str) -> str:
    """Return the import path of something of ablate's as fingerprints have it, its oldest; any other text as it is."""
    return _renamed(name, {path: former[0] for new, former in MOVED.items() for path in (new, *former)})


def present_name(name: str) -> str:
    """Return the import path at which something of ablate's is now, given a present or a former one."""
    return _renamed(name, {path: new for new, former in MOVED.items() for path in former})


def _renamed(name: str, table: Mapping[str, str]) -> str:
    """Return a dotted name with its longest beginning that the table has replaced."""
    if not table or not name.startswith("ablate."):
        return name
    parts = name.split(".")
    for length in range(len(parts), 1, -1):
        if (head := ".".join(parts[:length])) in table:
            return ".".join([table[head], *parts[length:]])
    return name


def at_present(settings: Any) -> Any:
    """Return settings in which every text that is a former import path of ablate's is the present one."""
    if isinstance(settings, Mapping):
        return {key: at_present(value) for key, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [at_present(value) for value in settings]
    return present_name(settings) if isinstance(settings, str) else settings


def fingerprint(settings: Mapping[str, Any], data_fingerprint: str, sources: Mapping[str, str] | None = None) -> str:
    """Return the hash, 64 hexadecimal digits, that all seeds of one arm share.

    Args:
        settings: the resolved configuration as plain data (no interpolation, `auto` already decided).
        data_fingerprint: hash of the content of the data set.
        sources: {module: hash of its text, or distribution: its version} of code outside the program that the settings
            name; where there is none, the hash is that without it.
    """
    content = {"settings": scientific(settings), "data": data_fingerprint, "numerics": NUMERICS_VERSION}
    if sources:
        content["sources"] = dict(sources)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def differences(mine: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return {key: (mine, other)} for every scientific setting that is not the same; an absent one is None."""
    a, b = scientific(mine), scientific(other)
    return {key: (a.get(key), b.get(key)) for key in sorted(a.keys() | b.keys()) if a.get(key) != b.get(key)}


def arm_name(levels: Mapping[str, str], default_levels: Mapping[str, str], changed: Mapping[str, Any]) -> str:
    """Return a readable name: what differs from the defaults, e.g. "activation=tanh,optimizer.lr=0.01".

    Args:
        levels: chosen level of each group.
        default_levels: the level that is chosen when nothing is said.
        changed: the settings that are not as these levels have them.
    """
    parts = [f"{group}={level}" for group, level in levels.items() if level != default_levels.get(group)]
    parts += [f"{key}={as_typed(mine)}" for key, mine in changed.items()]
    return ",".join(parts) or "default"


def run_folder(output_dir: Path, arm: str, fingerprint: str, seed: int) -> Path:
    """Return the home of a run, `output_dir`/runs/<arm>-<hash8>/seed-<s>; an existing home of the same hash is kept.

    The hash alone identifies the arm: when the defaults change, an arm's readable name may change too, and its
    finished runs must still be found.
    """
    runs = output_dir / "runs"
    known = sorted(runs.glob(f"*-{fingerprint[:8]}"))
    home = known[0] if known else runs / named_folder(safe_name(arm).rstrip(".,"), fingerprint)
    return home / f"seed-{seed}"


def as_typed(value: Any) -> str:
    """Return `value` as one would type it on the command line, without spaces and quotes."""
    text = value if isinstance(value, str) else json.dumps(value)
    return re.sub(r"[\s\"']", "", text)
