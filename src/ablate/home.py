"""The home of a run on disk: whose it is, and how it is set aside."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import yaml

from ablate.errors import UserError
from ablate.identity import differences
from ablate.record import replacing
from ablate.sources import Source

CONFIG_NAME = "config.yaml"


class Named(Protocol):
    """Who a run is: see `record.Record`."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def levels(self) -> Mapping[str, str]: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def sources(self) -> Sequence[Source]: ...


def set_aside(folder: Path) -> Path:
    """Move runs/<arm>/seed-<s> to the first free replaced/<arm>/seed-<s>.<n> and return where it went."""
    home = folder.parent.parent.parent / "replaced" / folder.parent.name
    home.mkdir(parents=True, exist_ok=True)
    n = 1
    while (home / f"{folder.name}.{n}").exists():
        n += 1
    return folder.rename(home / f"{folder.name}.{n}")


def claim_folder(run: Named, folder: Path) -> None:
    """Write the run's config.yaml, or check that the one that is there is of the same run.

    Raises:
        UserError: it is of another run; the settings that differ are named.
    """
    path = folder / CONFIG_NAME
    if path.exists():
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        check_same(run, found["fingerprint"], found["settings"], folder)
        return
    content: dict[str, Any] = {
        "fingerprint": run.fingerprint,
        "levels": dict(run.levels),
        "settings": dict(run.settings),
    }
    if run.sources:
        content["sources"] = [asdict(source) for source in run.sources]
    with replacing(path) as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def check_same(run: Named, fingerprint: str, settings: Mapping[str, Any], folder: Path) -> None:
    """Refuse what another run left in the folder, naming the settings that differ."""
    if fingerprint != run.fingerprint:
        pairs = differences(run.settings, settings).items()
        changed = "; ".join(f"{key} is {mine!r} here, {other!r} there" for key, (mine, other) in pairs)
        raise UserError(
            f"{folder} holds a run of another configuration ({changed or 'other data or numerics'}); "
            "move it away or choose another output_dir"
        )
