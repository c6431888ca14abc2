"""The directory of a run: ownership check and archiving."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml
from filelock import FileLock

from ablate.errors import Unusable, UserError
from ablate.screen import say
from ablate.storage.integrity import check_sealed, read_bytes, replacing, sealed
from ablate.storage.typed import as_dataclass
from ablate.training.identity import differences
from ablate.training.sources import Source

CONFIG_NAME = "config.yaml"
REASON_NAME = "reason.txt"  # why a folder was set aside, written into it
SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the faster one, if PyYAML was built with it


class Named(Protocol):
    """The identity of a run: see `record.Record`."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def levels(self) -> Mapping[str, str]: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    @property
    def sources(self) -> Sequence[Source | dict[str, Any]]: ...


@dataclass(frozen=True, kw_only=True)
class Config:
    """The content of config.yaml: see `record.Record`."""

    fingerprint: str
    levels: dict[str, str]
    settings: dict[str, Any]
    sources: list[dict[str, Any]] = field(default_factory=list)


def agree_on_folder(folder: Path, fingerprint: str) -> Path:
    """Make the folder of an arm's runs, runs/<arm>-<hash8>, and return it.

    If a folder with the same hash and another name exists, that one is returned: settings may be written in two ways
    and still mean the same runs, and two processes that start at the same time must use the same folder.

    Args:
        folder: the folder by the arm's name; if its name does not end with the hash, it is used as it is.
        fingerprint: of the arm.
    """
    ending = f"-{fingerprint[:8]}"
    if folder.is_dir() or not folder.name.endswith(ending):
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / ".folders.lock", mode=0o666):  # the umask decides who else may use it
        known = sorted(folder.parent.glob(f"*{ending}"))
        if not known:
            folder.mkdir(exist_ok=True)
        return known[0] if known else folder


def set_aside(folder: Path, reason: str) -> Path:
    """Move <output folder>/<kind>/<name> to the first free <output folder>/replaced/<name>.<n>, in one rename.

    Args:
        folder: a run's, runs/<arm>/seed-<s>, which goes to replaced/<arm>/seed-<s>.<n>; or a study's, studies/<name>.
        reason: written to reason.txt in the folder before the move.

    Returns:
        The new path.
    """
    of_a_run = folder.parent.name != "studies"
    output_dir = folder.parents[2 if of_a_run else 1]
    archive = output_dir / "replaced" / (folder.parent.name if of_a_run else "")
    archive.mkdir(parents=True, exist_ok=True)
    with replacing(folder / REASON_NAME) as temporary:
        temporary.write_text(reason + "\n", encoding="utf-8")
    n = 1
    while (archive / f"{folder.name}.{n}").exists():
        n += 1
    return folder.rename(archive / f"{folder.name}.{n}")  # the number is free: the caller holds the run's lock


def replace_unusable(folder: Path, error: Unusable, effect: str) -> None:
    """Set a folder aside, make an empty one in its place, and report it in one line on standard error.

    Args:
        folder: see `set_aside`.
        error: names the file that cannot be used, and the reason.
        effect: what happens instead, and what is lost.
    """
    target = set_aside(folder, str(error))
    folder.mkdir()
    say(f"ablate: {error}; {effect} ({folder.name} was moved to {target})", sys.stderr)


def write_or_check_config(run: Named, folder: Path) -> None:
    """Write the run's config.yaml, or check that an existing one belongs to the same run.

    Raises:
        Unusable: it is damaged.
        UserError: it belongs to another run; the settings that differ are named.
    """
    found = read_config(folder)
    if found is None:
        write_config(run, folder)
    else:
        check_same(run, found.fingerprint, found.settings, folder)


def write_config(run: Named, folder: Path) -> None:
    """Write the run's identity to config.yaml, in one atomic step."""
    content: dict[str, Any] = {
        "fingerprint": run.fingerprint,
        "levels": dict(run.levels),
        "settings": dict(run.settings),
    }
    if run.sources:
        content["sources"] = [source if isinstance(source, dict) else asdict(source) for source in run.sources]
    with replacing(folder / CONFIG_NAME) as temporary:
        temporary.write_text(yaml.safe_dump(sealed(content), sort_keys=False, allow_unicode=True), encoding="utf-8")


def read_config(folder: Path) -> Config | None:
    """Return the content of config.yaml, None if there is none.

    Raises:
        Unusable: it is damaged.
        UserError: it cannot be read.
    """
    path = folder / CONFIG_NAME
    data = read_bytes(path)
    if data is None:
        return None
    if not data.strip():
        raise Unusable(f"{path} is damaged: it is empty")
    try:
        content = yaml.load(data.decode("utf-8"), Loader=SafeLoader)
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Unusable(f"{path} is damaged: it is not valid YAML ({' '.join(str(error).split())})") from error
    config = as_dataclass(Config, content, path)
    check_sealed(content, path)
    return config


def mend_config(record: Named, folder: Path) -> None:
    """Restore the config.yaml of a finished run from its record if it is missing or damaged."""
    try:
        if read_config(folder) is not None:
            return
        reason = f"{folder / CONFIG_NAME} is missing"
    except Unusable as error:
        reason = str(error)
    path = folder / CONFIG_NAME
    if path.is_dir():
        path.rename(path.with_name(f"{CONFIG_NAME}.damaged"))
    write_config(record, folder)
    say(f"ablate: {reason}; it is written again from the record", sys.stderr)


def check_same(run: Named, fingerprint: str, settings: Mapping[str, Any], folder: Path) -> None:
    """Refuse a folder that holds another run, naming the settings that differ."""
    if fingerprint != run.fingerprint:
        pairs = differences(run.settings, settings).items()
        changed = "; ".join(f"{key} is {mine!r} here, {other!r} there" for key, (mine, other) in pairs)
        raise UserError(
            f"{folder} holds a run of another configuration ({changed or 'other data or numerics'}); "
            "move it away or choose another output_dir"
        )
