"""The home of a run on disk: whose it is, and how it is set aside."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import yaml
from filelock import FileLock

from ablate.errors import UserError
from ablate.identity import differences
from ablate.record import replacing

CONFIG_NAME = "config.yaml"


class Named(Protocol):
    """Who a run is: see `record.Record`."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def levels(self) -> Mapping[str, str]: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...


def settle(home: Path, fingerprint: str) -> Path:
    """Make the folder of an arm's runs, runs/<arm>-<hash8>, and return it.

    Where there is a folder of the same hash under another name, it is that one: settings that are spelled in two ways
    are the same runs, and two processes that plan them at one moment must agree on where these lie.

    Args:
        home: the folder as the arm's name has it; one that is not named by the hash is taken as it is.
        fingerprint: of the arm.
    """
    ending = f"-{fingerprint[:8]}"
    if home.is_dir() or not home.name.endswith(ending):
        home.mkdir(parents=True, exist_ok=True)
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(home.parent / ".homes.lock", mode=0o666):  # the umask decides who else may use it
        known = sorted(home.parent.glob(f"*{ending}"))
        if not known:
            home.mkdir(exist_ok=True)
        return known[0] if known else home


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
    content = {"fingerprint": run.fingerprint, "levels": dict(run.levels), "settings": dict(run.settings)}
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
