"""The text of own code as it is kept beside runs and studies, and what was edited in it since."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ablate.training.identity import differences
from ablate.training.record import replacing
from ablate.training.sources.finding import Source
from ablate.training.sources.modules import contents

FOLDER_NAME = "sources"  # in the folder of a run or a study
MOST_LINES = 6  # of a change, shown


def keep(sources: Iterable[Source], folder: Path) -> None:
    """Write the text of each module to `folder`/sources/<path>, where this process has read it.

    A compiled module has no text: its hash alone is known.
    """
    for source in sources:
        if source.path is None or not source.path.endswith(".py") or source.sha256 not in contents:
            continue
        path = folder / FOLDER_NAME / source.path
        text = contents[source.sha256]
        if not path.exists() or path.read_bytes() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary:
                temporary.write_bytes(text)


def edited(then: Sequence[Source], now: Sequence[Source], folder: Path, *, scientific: bool = True) -> str:
    """Return which own code is not what it was, with the lines that changed; "" where all of it is.

    Args:
        then: the sources kept in `folder`.
        now: those that this process has read.
        folder: of a run or a study, in which `keep` wrote the earlier text.
        scientific: whether code that is part of the fingerprint is meant, or code of diagnostics alone.
    """
    before, after = ({s.name: s for s in sources if s.scientific is scientific} for sources in (then, now))
    told = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if old is None or new is None:
            told.append(f"{(old or new).path or name} is {'no longer' if new is None else 'now'} part of it")  # type: ignore[union-attr]
        elif old.version != new.version:
            told.append(f"{name} {new.version} is installed, it was {old.version}")
        else:
            lines = changed_lines(folder / FOLDER_NAME / (old.path or ""), contents.get(new.sha256 or "", b""))
            told.append(f"{new.path} was edited{f' ({lines})' if lines else ''}")
    return "; ".join(told)


def changed_lines(kept: Path, now: bytes) -> str:
    """Return the first lines that differ between a kept text and the present one; "" where none is kept."""
    if not kept.is_file() or not now:
        return ""
    old, new = (text.decode(errors="replace").splitlines() for text in (kept.read_bytes(), now))
    shown = []
    number = 0
    for line in list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]:
        if line.startswith("@@"):
            number = int(line.split("+")[1].split(" ")[0].split(",")[0])
        else:
            sign, text = line[0], " ".join(line[1:].split())
            shown.append(f"line {number}: {sign} {text}")
    more = len(shown) - MOST_LINES
    return ", ".join(shown[:MOST_LINES]) + (f", and {more} more lines" if more > 0 else "")


def earlier_run(settings: Mapping[str, Any], sources: Sequence[Source], arm_folder: Path) -> str:
    """Return a sentence on the latest run of the same settings with other code of the user's own; "" where none is.

    Args:
        settings, sources: of the run to do.
        arm_folder: runs/<arm>-<hash8> of the run to do; runs of an earlier text lie beside it.
    """
    arm = arm_folder.name[:-9]
    beside = [path for path in arm_folder.parent.glob(f"{arm}-????????/seed-*/config.yaml") if path.is_file()]
    for path in sorted(beside, key=lambda path: path.stat().st_mtime, reverse=True):
        if path.parent.parent == arm_folder:
            continue
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not isinstance(content.get("settings"), dict):
            continue
        then = [Source(**source) for source in content.get("sources") or []]
        if not differences(settings, content["settings"]) and (what := edited(then, sources, path.parent)):
            return f"{what} since the run in {path.parent}: this is another run, which is trained anew"
    return ""
