"""`ablate -m ...`: every combination on whichever launcher is chosen, and a table of the arms at the end."""

import hashlib
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus


@dataclass
class AblateSweeperConf:
    """Selected by `hydra/sweeper=ablate`, which is the default."""

    _target_: str = "hydra_plugins.ablate_sweeper.AblateSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="ablate", node=AblateSweeperConf, provider="ablate")


class AblateSweeper(BasicSweeper):
    """Expands like Hydra's basic sweeper, decides every `auto` once for all jobs, and reports what came of them."""

    def __init__(self) -> None:
        super().__init__(max_batch_size=None)

    def sweep(self, arguments: list[str]) -> Any:
        """Launch all jobs, print the table of arms and where TensorBoard finds them.

        A failed job does not stop the others; the process then ends with status 1 and says what failed.
        """
        from ablate.record import read_record
        from ablate.report import write_sweep

        assert self.config is not None and self.launcher is not None and self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        overrides = parser.parse_overrides(list(arguments))
        (jobs,) = self.split_arguments(overrides, None)
        decided = self.decide(overrides, len(jobs))
        print(f"{len(jobs)} runs{', ' if decided else ''}{', '.join(decided)}", flush=True)
        results = self.launcher.launch([[*job, *decided] for job in jobs], initial_job_idx=0)
        folders = [Path(str(r.return_value)) for r in results if r.status == JobStatus.COMPLETED and r.return_value]
        finished = [(folder, record) for folder in folders if (record := read_record(folder)) is not None]
        if finished:
            swept = [str(o.input_line) for o in overrides if o.is_sweep_override()]
            home = Path(self.config.output_dir) / "sweeps" / sweep_name(swept, jobs)
            print("\n" + write_sweep(home, finished))
            print(f"\n{home / 'table.md'}\ntensorboard --logdir {shlex.quote(str(home / 'tensorboard'))}")
        failed = [(job, r) for job, r in zip(jobs, results, strict=True) if r.status == JobStatus.FAILED]
        if failed:
            print(f"\n{len(failed)} of {len(jobs)} runs failed:", file=sys.stderr)
            for job, result in failed:
                print(f"  {' '.join(job)}: {reason(result)}", file=sys.stderr)
            print("the same command does what is left", file=sys.stderr)
            sys.exit(1)
        return results

    def decide(self, overrides: Sequence[Override], num_jobs: int) -> list[str]:
        """Return overrides that replace `auto`, so that all jobs of a sweep on this machine compute alike.

        A job of a cluster decides for itself: its node is not this one.
        """
        from ablate import hardware

        assert self.config is not None
        launcher = self.config.hydra.launcher
        kind = str(launcher._target_).rpartition(".")[2]
        if kind not in ("BasicLauncher", "JoblibLauncher"):
            return []
        num_workers = launcher.n_jobs if kind == "JoblibLauncher" else 1
        if num_workers < 1:  # joblib counts from the end: -1 is all cores, -2 all but one
            num_workers = max(1, hardware.num_cores() + 1 + num_workers)
        values: dict[str, Any] = {}
        device = self.config.device
        if device == "auto":
            values["device"] = device = hardware.resolve_device(device)
        if self.config.precision == "auto":
            values["precision"] = hardware.resolve_precision("auto", device)
        if self.config.trainer.threads == "auto":
            values["trainer.threads"] = hardware.resolve_threads("auto", min(num_workers, num_jobs))
        swept = {override.key_or_group for override in overrides if override.is_sweep_override()}
        return [f"{key}={value}" for key, value in values.items() if key not in swept]


def sweep_name(swept: Sequence[str], jobs: Sequence[Sequence[str]]) -> str:
    """Return a folder name for a sweep: readable, safe, and the same for the same jobs."""
    digest = hashlib.sha256("\n".join(sorted(" ".join(job) for job in jobs)).encode()).hexdigest()[:8]
    readable = re.sub(r"[^A-Za-z0-9_.,=+-]+", "_", ",".join(swept))[:80].strip("_,.")
    return f"{readable}-{digest}"


def reason(result: JobReturn) -> str:
    """Return why a job failed, in one line."""
    error = result._return_value
    name = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    return name + " ".join(str(error).split())
