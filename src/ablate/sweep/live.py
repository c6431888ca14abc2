"""A page about a study that runs: what is decided, what is being trained, and when it ends; for `report --watch`."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ablate.judging import Judgement, collect, judge
from ablate.report.phrases import plural
from ablate.report.provenance import progress
from ablate.report.rendering import render
from ablate.report.table import write_text
from ablate.report.verdicts import verdict_table
from ablate.screen import say
from ablate.study.manifest import read_manifest
from ablate.study.results import Results, missing_runs
from ablate.sweep.forecast import runs_left
from ablate.sweep.loop import is_busy
from ablate.tables import clock

LIVE_NAME = "live.html"
EVERY_SECONDS = 15

Judged = Sequence[tuple[Results, Sequence[Judgement]]]


class State(NamedTuple):
    """How far studies are.

    Args:
        done, planned: runs, those for tuning included.
        running: a line for each run that a process on this file system is training.
        seconds: expected until the end with as many runs at once as now; None where it is not known.
    """

    done: int
    planned: int
    running: list[str]
    seconds: float | None

    @property
    def is_complete(self) -> bool:
        return self.done == self.planned

    def sentence(self) -> str:
        """Return how long the rest takes.

        >>> State(done=3, planned=3, running=[], seconds=None).sentence()
        'All runs are done.'
        """
        if self.is_complete:
            return "All runs are done."
        if not self.running:
            return "No run is being trained: the command that began the study goes on with the rest."
        if self.seconds is None:
            return "How long the rest takes is not known yet."
        end = time.strftime("%H:%M", time.localtime(time.time() + self.seconds))
        return f"The rest takes about {clock(self.seconds)}, until {end}, with {len(self.running)} at once."


def state_of(studies: Sequence[Results]) -> State:
    """Return how far the studies are; a run that is being trained holds a lock beside its folder."""
    found = [progress(results) for results in studies]
    jobs = {job.folder: job for results in studies for job in missing_runs(results)}
    output_dir = studies[0].output_dir
    running = [f"{job.label} seed {job.seed}" for folder, job in jobs.items() if is_busy_run(output_dir / folder)]
    left = runs_left(studies)
    known = left.timed == left.runs and bool(running)
    return State(
        done=sum(p.done + p.tuning_done for p in found),
        planned=sum(p.planned + p.tuning_planned for p in found),
        running=running,
        seconds=left.seconds / len(running) if known else None,
    )


def is_busy_run(folder: Path) -> bool:
    """Return whether a run is being trained; a run that has never begun has no lock, and none is made."""
    return (folder.parent / f".{folder.name}.lock").exists() and is_busy(folder)


def live_page(title: str, judged: Judged, state: State, refresh: int) -> str:
    """Return the page.

    Args:
        title: of the study or collection.
        judged: results and judgements of each study.
        state: see `state_of`.
        refresh: seconds after which a browser loads it again; 0 for never.
    """
    rows = [row for results, judgements in judged for row in verdict_table(results, judgements)]
    decided = [row for row in rows if row.judgement.outcome != "incomplete"]
    waiting = len(rows) - len(decided)
    verb = "Finished" if state.is_complete else "Running" if state.running else "Interrupted"
    return render(
        "live.html",
        title=title,
        state=verb,
        now=time.strftime("%H:%M:%S"),
        done=state.done,
        planned=state.planned,
        left=state.sentence(),
        running=state.running,
        decided=decided,
        waiting=f"{plural(waiting, 'claim')} still without all runs." if waiting else "",
        refresh=refresh,
    )


def watch(title: str, studies: Sequence[Path], folder: Path, every_seconds: int = EVERY_SECONDS) -> None:
    """Write `folder`/live.html again and again until all runs are done; print a line whenever the counts change.

    Args:
        title: of the page.
        studies: their folders; the manifests are read each time, since looks are added to them.
        folder: of the page.
        every_seconds: between two states.
    """
    shown = None
    while True:
        found = [collect(manifest, place) for place in studies if (manifest := read_manifest(place))]
        state = state_of(found)
        refresh = 0 if state.is_complete else every_seconds
        judged = [(results, judge(results)) for results in found]
        write_text(folder / LIVE_NAME, live_page(title, judged, state, refresh))
        if shown is None:
            say(f"open in a browser: {folder / LIVE_NAME}")
        if shown != (state.done, state.running):
            shown = (state.done, state.running)
            print(f"[{state.done}/{state.planned}] {state.sentence()}", flush=True)
        if state.is_complete:
            return
        time.sleep(every_seconds)
