"""Study files: which studies one consists of, its profiles, changes from the command line, and the claims it names."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ablate.config.overrides import from_yaml, in_profile, over
from ablate.config.yaml_file import read_mapping
from ablate.errors import UserError

BUDGET = ("base", "seeds", "seconds_a_run")  # what a profile may take over from another study's


def parts_of(name: str, files: Mapping[str, Path]) -> list[str]:
    """Return the names of the studies that a study consists of: its own by default, else the `studies` of its file.

    Args:
        name: of the study.
        files: {name: path} of all study files.

    Raises:
        UserError: `studies` names something else than single studies, or has settings beside it.
    """
    content = read_study(files[name]) if name in files else {}
    if "studies" not in content:
        return [name]
    parts = content["studies"]
    if others := sorted(content.keys() - {"studies", "remarks"}):
        raise UserError(f"{files[name]} has `studies`, each with settings of its own; drop {others[0]}")
    for part in parts if isinstance(parts, list) else [parts]:
        if part not in files or "studies" in read_study(files[part]):
            raise UserError(f"{files[name]}: `studies` must name studies that do not consist of others, got {part!r}")
    return list(parts)


def remark_of(path: Path, profile: str | None) -> str:
    """Return what the file of a page says of a profile in `remarks`, "" where it says nothing.

    Raises:
        UserError: `remarks` is no mapping of profiles to sentences.
    """
    remarks = read_study(path).get("remarks") or {}
    if not isinstance(remarks, dict) or not all(isinstance(text, str) for text in remarks.values()):
        raise UserError(f"{path}: `remarks` must map names of profiles to sentences, got {remarks!r}")
    return str(remarks.get(profile, ""))


def without_idle(studies: Sequence[tuple[str, dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Return the studies of a collection that have a claim of `only`, each with its own of these; by default all.

    Raises:
        UserError: `only` names a claim that no study has.
    """
    only = next((content["only"] for _, content in studies if content.get("only")), None)
    if only is None:
        return list(studies)
    if not isinstance(only, list):
        raise UserError(f"`study.only` must be a list of claims, [{only}], got {only!r}")
    known = {claim for _, content in studies for claim in content.get("claims") or {}}
    if unknown := [claim for claim in only if claim not in known]:
        raise UserError(f"`study.only` names {unknown[0]!r}, which is a claim of none of these studies")
    kept = ((name, content, [c for c in only if c in (content.get("claims") or {})]) for name, content in studies)
    return [(name, {**content, "only": mine}) for name, content, mine in kept if mine]


def with_profile(
    name: str, content: Mapping[str, Any], profile: str | None, files: Mapping[str, Path] | None = None
) -> dict[str, Any]:
    """Return the content of a study file as one of its profiles has it, see `in_profile`.

    A profile that is `like: STUDY` has the budget of that name in the other study's file: base, seeds, seconds_a_run.

    Args:
        name: of the study.
        content: of its file.
        profile: name of the profile, None for none.
        files: {name: path} of all study files.

    Raises:
        UserError: the file has no such profile.

    >>> with_profile("s", {"seeds": 3, "profiles": {"full": {"seeds": 10}}}, "full")
    {'seeds': 10, 'base': [], 'profile': 'full'}
    """
    profiles = content.get("profiles", {})
    if profile is None or profile not in profiles:
        return in_profile(f"study {name}", content, profile)
    changed = dict(profiles[profile] or {})
    if other := changed.pop("like", None):
        if other == name or other not in (files or {}):
            raise UserError(
                f"study {name}, profile {profile}: `like` must name another study whose profile is like no other, "
                f"got {other!r}"
            )
        assert files is not None
        theirs = with_profile(other, {"profiles": read_study(files[other]).get("profiles", {})}, profile)
        budget = {key: theirs[key] for key in BUDGET if key in theirs}
        changed = {**budget, **changed, "base": over(theirs["base"], changed.get("base", []))}
    return {**in_profile(f"study {name}", {**content, "profiles": {profile: changed}}, profile), "profile": profile}


def patch(content: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Return the content of a study file changed by "key.key=value" assignments, whose values are YAML.

    Raises:
        UserError: an assignment goes through something that is not a mapping, or is no YAML.

    >>> patch({"tuning": {"key": "optimizer.lr", "seeds": 3}}, ["tuning.seeds=5", "alpha=0.01"])
    {'tuning': {'key': 'optimizer.lr', 'seeds': 5}, 'alpha': 0.01}
    """
    content = copy.deepcopy(content)
    for assignment in assignments:
        path, _, value = assignment.partition("=")
        *parents, last = path.split(".")
        node = content
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise UserError(f"study.{assignment}: {parent} is not a mapping; give it as a whole")
        try:
            node[last] = from_yaml(value)
        except yaml.YAMLError as error:
            raise UserError(
                f"study.{assignment} is no YAML ({' '.join(str(getattr(error, 'problem', error)).split())}); check its "
                "brackets and quotes, and put the whole word into quotes in the shell: 'study.KEY=[a,b]'"
            ) from error
    return content


def read_study(path: Path) -> dict[str, Any]:
    """Return the content of a study file.

    Raises:
        UserError: it is not a YAML mapping.
    """
    return read_mapping(path, "base, grids, seeds, claims, ...")


def with_claims(name: str, content: Mapping[str, Any], claim_files: Mapping[str, Path]) -> dict[str, Any]:
    """Return the content of a study in which the content of claim files takes the place of their names.

    Args:
        name: of the study.
        content: of its file, with profile and changes.
        claim_files: {stem: path} of the files in conf/claim.

    Raises:
        UserError: a claim file does not exist, or two claims have one name.
    """
    if not isinstance(content.get("claims"), list):
        return dict(content)
    claims: dict[str, Any] = {}
    for stem in content["claims"]:
        if stem not in claim_files:
            raise UserError(f"study {name} names the claim file {stem!r}, and there is no conf/claim/{stem}.yaml")
        found = read_mapping(claim_files[stem], "{name of a claim: {text, form, ...}}")
        if twice := found.keys() & claims.keys():
            raise UserError(f"{claim_files[stem]} has a claim {min(twice)!r}, which an earlier file of {name} has too")
        claims |= {claim: {"family": stem, **fields, "file": stem} for claim, fields in found.items()}
    return {**content, "claims": claims}
