"""Which runs are in the queue of a cluster, remembered in the output folder between two commands."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from ablate.errors import Unusable
from ablate.storage.integrity import read_json, write_json

SCHEMA = 1
NAME = "queued.json"


@dataclass(frozen=True, kw_only=True)
class Content:
    """The content of queued.json: {name of a run: id of the cluster's job}."""

    schema: int = SCHEMA
    jobs: dict[str, str]


class Queued:
    """The jobs that commands with one output folder have submitted.

    Args:
        output_dir: the program's output folder.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     queued = Queued(Path(folder))
        ...     queued.write({"seed=0": "12_0", "seed=1": "12_1"})
        ...     queued.write({"seed=0": "13"}, over=["seed=1"])
        ...     print(queued.read())
        {'seed=0': '13'}
    """

    def __init__(self, output_dir: Path) -> None:
        self.path = output_dir / NAME

    def read(self) -> dict[str, str]:
        """Return {name of a run: id of its job}; {} if the file is missing or damaged, which costs only idle jobs."""
        try:
            found = read_json(Content, self.path, SCHEMA)
        except Unusable:
            return {}
        return {} if found is None else found.jobs

    def write(self, jobs: Mapping[str, str], over: Sequence[str] = ()) -> None:
        """Remember jobs, and forget the earlier ones of the runs in `over`."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_name(f".{NAME}.lock"), mode=0o666):
            kept = {name: job_id for name, job_id in self.read().items() if name not in over}
            write_json(asdict(Content(jobs={**kept, **jobs})), self.path)
