#!/usr/bin/env python
"""Set every key of a tiny run to invalid values, one at a time; train if a value is accepted; print each outcome.

    scripts/fuzz_input.py [KEY=VALUE ...]     e.g. optimizer=adam schedule=step; runs go to a temporary folder

A value is refused cleanly if a `UserError` names the key and the value, without a raw message of Python. Any other
exception would be a traceback for the user, and makes the exit status 1.
"""

import copy
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf, open_dict

from ablate.cli import jobs, planning
from ablate.cli.hydra_version import of_composing
from ablate.config.catalog import conf_dir
from ablate.config.overrides import text
from ablate.config.schema import HYDRA_KEYS, shown
from ablate.errors import UserError
from ablate.training.start import start

TINY = (
    "data=shapes net=micro data.train_size=200 data.val_size=50 data.test_size=50 data.num_train=300 data.num_test=60 "
    "trainer.epochs=1 trainer.threads=1 trainer.batch_size=50 diagnostics.num_images=16"
)
HOSTILE: list[Any] = ["abc", -1, 0, 1e30, None, [], {}, True, float("nan"), float("inf"), "", 0.5, 2]
RAW = re.compile(
    r"not supported between|object has no|unsupported operand|NoneType|not subscriptable|not iterable|TypeError|"
    r"must be real number|cannot be interpreted|expected str|unhashable|out of range for|positional argument"
)


def leaves(settings: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every value that is not a mapping, without Hydra's own keys."""
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        elif key not in HYDRA_KEYS:
            yield f"{prefix}{key}"


def changed(cfg: DictConfig, key: str, value: Any) -> DictConfig:
    """Return the configuration with another value at a dotted key."""
    cfg = copy.deepcopy(cfg)
    *parents, last = key.split(".")
    node = cfg
    for parent in parents:
        node = node[parent]
    with open_dict(node):
        node[last] = value
    return cfg


def outcome(cfg: DictConfig, choices: dict[str, Any], key: str, value: Any) -> tuple[str, str]:
    """Return the outcome of one value, and the message."""
    try:
        plan = planning.plan(changed(cfg, key, value), choices)
        run = planning.make_run(plan)
        observers = jobs.observers(plan)
    except UserError as error:
        message = str(error)
        if RAW.search(message):
            return "raw Python", message
        named = key.rpartition(".")[2] in message and shown(value) in message
        return "refused" if named else "refused without key or value", message
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    try:
        record, _ = start(run, plan.folder, observers, rerun=True)
    except UserError as error:
        return ("raw Python" if RAW.search(str(error)) else "refused when the run begins"), str(error)
    except Exception as error:
        return "traceback", f"in the run: {type(error).__name__}: {error}"
    return f"trained, {record.status}", ""


def main() -> None:
    """Print one line for each value that is not refused cleanly, and the counts."""
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(conf_dir()), **of_composing()):
        words = [*TINY.split(), *sys.argv[1:], f"output_dir={folder}", f"data.cache_dir={folder}/cache"]
        cfg = compose("config", overrides=words, return_hydra_config=True)
        choices = dict(cfg.hydra.runtime.choices)
        with open_dict(cfg):
            del cfg["hydra"]
        plain = OmegaConf.to_container(cfg, resolve=True)
        assert isinstance(plain, dict)
        keys = [key for key in leaves(plain) if key not in ("output_dir", "data.cache_dir")]  # folders
        for key in keys:
            for value in HOSTILE:
                what, message = outcome(cfg, choices, key, value)
                counts[what] += 1
                if what != "refused":
                    print(f"{what:<28} {key}={text(value)}  {' '.join(message.split())}", flush=True)
    print(f"\n{len(keys)} keys, {len(HOSTILE)} values each:")
    for what, count in counts.most_common():
        print(f"  {count:>5} {what}")
    sys.exit(1 if counts["traceback"] or counts["raw Python"] else 0)


if __name__ == "__main__":
    main()
