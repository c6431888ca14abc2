"""The user's code: copies kept beside runs and studies, and edits made since."""

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
MOST_LINES = 6  # shown of a change


def keep(sources: Iterable[Source], folder: Path) -> None:
    """Write the text of each module that this process has read to `folder`/sources/<path>.

    A compiled module has no text: only its hash is known.
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
    """Return which of the user's code has changed, with the changed lines; "" if none has.

    Args:
        then: the sources kept in `folder`.
        now: the sources that this process has read.
        folder: of a run or a study, where `keep` wrote the earlier text.
        scientific: True for code that is part of the fingerprint, False for code of diagnostics only.
    """
    before, after = ({s.name: s for s in sources if s.scientific is scientific} for sources in (then, now))
    changes = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if old is None or new is None:
            changes.append(f"{(old or new).path or name} is {'no longer' if new is None else 'now'} used")  # type: ignore[union-attr]
        elif old.version != new.version:
            changes.append(f"{name} {new.version} is installed, before it was {old.version}")
        else:
            lines = changed_lines(folder / FOLDER_NAME / (old.path or ""), contents.get(new.sha256 or "", b""))
            changes.append(f"{new.path} was edited{f' ({lines})' if lines else ''}")
    return "; ".join(changes)


def changed_lines(kept: Path, now: bytes) -> str:
    """Return the first lines that differ between a kept text and the present one; "" if none is kept."""
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
    """Return a sentence on the latest run with the same settings and other user code; "" if there is none.

    Args:
        settings, sources: of the new run.
        arm_folder: runs/<arm>-<hash8> of the new run; runs with earlier code lie beside it.
    """
    arm = arm_folder.name[:-9]
    configs = [path for path in arm_folder.parent.glob(f"{arm}-????????/seed-*/config.yaml") if path.is_file()]
    for path in sorted(configs, key=lambda path: path.stat().st_mtime, reverse=True):
        if path.parent.parent == arm_folder:
            continue
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not isinstance(content.get("settings"), dict):
            continue
        then = [Source(**source) for source in content.get("sources") or []]
        if not differences(settings, content["settings"]) and (changes := edited(then, sources, path.parent)):
            return f"{changes} since the run in {path.parent}: this is a new run, which is trained from the start"
    return ""
