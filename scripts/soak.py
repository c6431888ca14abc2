#!/usr/bin/env python
"""Do N tiny runs in one process and print how memory, objects and file handles grow with their number.

    scripts/soak.py [N] [KEY=VALUE ...]     e.g. 1000; runs go to a temporary folder, which is removed

| column | meaning |
|---|---|
| runs | done so far |
| resident | MiB of memory that the system has given to the process |
| in use | MiB of malloc's main arena that are not freed (`mallinfo2`, glibc 2.33 or newer); tensors are there |
| held | MiB that malloc holds free: `ablate` tells it to keep them, see `training.hardware.keep_memory` |
| blocks | of memory that Python has allocated (`sys.getallocatedblocks`), after a collection |
| files, threads | open file handles and threads of the process |

What the program keeps shows in "in use" and in "blocks"; growth of "held" alone is the allocator's. The last lines
give the growth per run over the second half of the runs, and the types with the most new objects in that half. The exit
status is 1 if files or threads grew, "in use" by more than 20 KiB a run, or the blocks by more than 200 a run.
"""

import ctypes
import gc
import os
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from ablate.cli.figure import composing
from ablate.cli.jobs import do_in_sweep
from ablate.cli.planning import plan
from ablate.config import catalog

TINY = [
    *("data=shapes", "net=micro", "data.num_train=200", "data.num_test=60", "data.train_size=100", "data.val_size=50"),
    *("data.test_size=50", "trainer.epochs=1", "trainer.threads=1", "trainer.batch_size=50"),
    *("diagnostics.num_images=16", "tensorboard.num_mistakes=4"),
]
MOST_KIB_A_RUN = 20.0
MOST_BLOCKS_A_RUN = 200.0
HEAD = ("runs", "resident", "in use", "held", "blocks", "files", "threads")


class MallocInfo(ctypes.Structure):
    """The struct mallinfo2 of malloc.h."""

    NAMES = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    _fields_ = tuple((name, ctypes.c_size_t) for name in NAMES)


def malloc_mib() -> tuple[float, float]:
    """Return the MiB in use and held free by malloc; nan where the C library cannot say."""
    try:
        ask = ctypes.CDLL("libc.so.6").mallinfo2
    except (OSError, AttributeError):
        return float("nan"), float("nan")
    ask.restype = MallocInfo
    found = ask()
    return (found.uordblks + found.hblkhd) / 2**20, found.fordblks / 2**20


def measure(num_runs: int) -> tuple[float, ...]:
    """Return one row of the table, after a garbage collection."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    files = len(os.listdir("/proc/self/fd"))
    return num_runs, resident, *malloc_mib(), sys.getallocatedblocks(), files, threading.active_count()


def soak(num_runs: int, words: list[str], folder: Path) -> tuple[list[tuple[float, ...]], Counter[str]]:
    """Do the runs; return the rows that were printed, and how many objects of each type the second half added."""
    rows: list[tuple[float, ...]] = []
    before: Counter[str] = Counter()
    marks = {max(1, num_runs * i // 10) for i in range(11)}
    print("".join(f"{name:>10}" for name in HEAD))
    with composing(catalog.folders()) as compose:
        for seed in range(num_runs):
            places = [f"seed={seed}", f"output_dir={folder / 'out'}", f"data.cache_dir={folder / 'cache'}"]
            do_in_sweep(plan(*compose([*TINY, *words, *places])))
            if seed + 1 in marks:
                rows.append(measure(seed + 1))
                print("".join(f"{value:10.{int(value != int(value))}f}" for value in rows[-1]), flush=True)
            if seed + 1 == num_runs // 2:
                before = types()
    return rows, types() - before


def types() -> Counter[str]:
    """Return the number of tracked objects by type."""
    gc.collect()
    return Counter(f"{type(thing).__module__}.{type(thing).__qualname__}" for thing in gc.get_objects())


def main() -> int:
    words = sys.argv[1:]
    num_runs = int(words.pop(0)) if words and words[0].isdigit() else 100
    with tempfile.TemporaryDirectory() as folder:
        rows, more = soak(num_runs, words, Path(folder))
    middle, end = next(row for row in rows if row[0] >= num_runs / 2), rows[-1]
    if end[0] == middle[0]:
        return 0
    growth = [(b - a) / (end[0] - middle[0]) for a, b in zip(middle, end, strict=True)]
    named = ", ".join(f"{1024 * value:.1f} KiB {name}" for name, value in zip(HEAD[1:4], growth[1:4], strict=True))
    print(f"a run, second half: {named}, {growth[4]:.1f} blocks, {growth[5]:.3f} files, {growth[6]:.3f} threads")
    print("new objects: " + (", ".join(f"{count} {name}" for name, count in more.most_common(8)) or "none"))
    grew = growth[5] > 0 or growth[6] > 0 or 1024 * growth[2] > MOST_KIB_A_RUN or growth[4] > MOST_BLOCKS_A_RUN
    return int(grew)


if __name__ == "__main__":
    sys.exit(main())
