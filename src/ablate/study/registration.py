"""The plan of a study, written down before its first run: what is claimed, over which runs, and how it is decided.

The plan is plain data in canonical form, so that its SHA-256 stands for it: who publishes the hash before the runs can
show the plan afterwards. It is stored in the manifest, with the date and with what was known at that time.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, Protocol

from ablate.installed import version_of
from ablate.storage.dates import minutes, utc_now
from ablate.storage.integrity import digest
from ablate.study.claim import Axes, Claim
from ablate.study.study import Study
from ablate.training.identity import NUMERICS_VERSION

# Not in the plan: for readers, a budget that decides no verdict, or replaced by the fingerprints of the arms.
NOT_PLANNED = ("title", "source", "base", "grids", "minutes", "seconds_a_run", "baseline")
FOR_READERS = (
    "name",
    "source",
    "published",
    "note",
    "post_hoc",
    "explained_by",
    "teach",
    "figure",
    "file",
    "seconds_a_run",
)
# In the plan even at their defaults; all other fields are left out there, so that a new option changes no plan.
ALWAYS = ("seeds", "alpha", "looks", "failure_share", "tuning", "text", "form", "metric", "smallest_effect", "family")
PROGRAM = "program"  # the version that registered the plan; another one may continue the study


class Planned(Protocol):
    """An arm of a manifest: see `manifest.PlannedArm`."""

    @property
    def axes(self) -> Axes: ...

    @property
    def variants(self) -> Sequence[Any]: ...


@dataclass(frozen=True, kw_only=True)
class Registration:
    """A plan with its hash and date, and what was known of its runs at that time.

    Args:
        plan: see `plan_of`.
        sha256: of the plan in canonical JSON.
        date: of the registration, see `storage.dates`.
        since: {claim: date} of claims that an earlier study had registered unchanged.
        finished: {claim: {fingerprint: seeds}} of its report runs that were finished before that.
        post_hoc: {claim: reason} of claims that do not count as made before their runs.
        explained_by: {claim or control: metrics} that it named as its mechanism when it was registered; None in
            registrations of earlier versions. It is not part of the plan, as it decides no verdict.
    """

    plan: dict[str, Any]
    sha256: str
    date: str
    since: dict[str, str] = field(default_factory=dict)
    finished: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    post_hoc: dict[str, str] = field(default_factory=dict)
    explained_by: dict[str, list[str]] | None = None

    def sentence(self) -> str:
        """Return date and hash.

        Example:
            >>> Registration(plan={}, sha256="ab12", date="2026-01-31T12:34:56.000000+00:00").sentence()
            '2026-01-31 12:34 UTC, SHA-256 of the plan ab12'
        """
        return f"{minutes(self.date)}, SHA-256 of the plan {self.sha256}"

    def was_finished(self, claim: str, fingerprint: str, seed: int, date: str) -> bool:
        """Return whether a run had finished before the claim was registered.

        Args:
            claim: name of the claim.
            fingerprint, seed, date: of the run's record; the date may be "".
        """
        known = seed in self.finished.get(claim, {}).get(fingerprint, [])
        return known or "" < date < self.since.get(claim, self.date)


def registered(plan: Mapping[str, Any], **known: Any) -> Registration:
    """Return the registration of a plan, now.

    Args:
        plan: see `plan_of`.
        known: `since`, `finished`, `post_hoc` and `explained_by`, see `Registration`.
    """
    return Registration(**{"plan": dict(plan), "sha256": digest(plan), "date": utc_now(), **known})


def plan_of(study: Study, arms: Sequence[Planned]) -> dict[str, Any]:
    """Return a study's plan as JSON data: arms, seeds, tuning, claims, error level, looks, data, version.

    Fields at their defaults are left out, but for the most important; so is what is for readers only, except for the
    sentences of the claims.

    Example:
        >>> sides = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
        >>> claim = Claim(name="it", text="ReLU wins.", form="greater", smallest_effect=0.02, **sides)
        >>> plan_of(Study(name="s", claims=[claim]), [])["claims"]["it"]["text"]
        'ReLU wins.'
    """
    own = {key: value for key, value in _given(study).items() if key not in NOT_PLANNED}
    planned = [
        {
            "axes": arm.axes,
            "variants": [{"value": v.value, "fingerprint": v.fingerprint, "data": v.data} for v in arm.variants],
        }
        for arm in arms
    ]
    program = {"ablate": version_of(), "numerics": NUMERICS_VERSION}
    plan = {"claims": {}, **own, "study": study.name, "arms": planned, PROGRAM: program}
    return dict(json.loads(json.dumps(plan)))


def claims_of(plan: Mapping[str, Any]) -> dict[str, Claim]:
    """Return the claims of a plan by name, without what is for readers only.

    A field that this version does not know is left out.
    """
    known = {f.name for f in fields(Claim)}
    return {
        name: Claim(**{"name": name, **{key: value for key, value in claim.items() if key in known}})
        for name, claim in plan["claims"].items()
    }


def differing(then: Any, now: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Return {dotted path: (then, now)} of what differs between two plans; what is absent is None.

    Example:
        >>> differing({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}})
        {'b.c': (2, 3)}
    """
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        keys = dict.fromkeys((*then, *now))
        parts = (differing(then.get(key), now.get(key), f"{path}.{key}".lstrip(".")) for key in keys)
        return {name: pair for part in parts for name, pair in part.items()}
    return {} if then == now else {path: (then, now)}


def _given(item: Any) -> dict[str, Any]:
    """Return the fields of a dataclass that are not at their defaults, or are in `ALWAYS`, as plain data."""
    found = {}
    for f in fields(item):
        value = getattr(item, f.name)
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        if (f.name in ALWAYS or value != default) and f.name not in FOR_READERS:
            found[f.name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return _given(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        if value and all(isinstance(item, Claim) for item in value):
            return {item.name: _given(item) for item in value}
        return [_plain(item) for item in value]
    return value
