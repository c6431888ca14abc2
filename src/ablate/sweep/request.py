"""From the command line to studies: one of conf/study, the several that a collection names, or a plain sweep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ablate.config import catalog, notation, schema
from ablate.config.overrides import key_of, text
from ablate.errors import UserError
from ablate.study.collection import Collection
from ablate.study.files import parts_of, patch, read_study, remark_of, with_claims, with_profile, without_idle
from ablate.study.study import TUNING_SEED, Arm, Study, parse
from ablate.training.identity import is_unscientific

NOT_IN_BASE = ("output_dir", "rerun", "dry_run", "wait", "keep_weights", "seed")  # a study's own, or the command line's


class Request(NamedTuple):
    """A study as it is asked for.

    Args:
        study: with the overrides in its base.
        definition: the content of its file, changes from the command line included.
        overrides: changes of every arm from the command line.
    """

    study: Study
    definition: dict[str, Any]
    overrides: list[str]


def named_studies(
    name: str, profile: str | None, changes: Sequence[str], overrides: Sequence[str], where: Sequence[Path]
) -> list[Request]:
    """Return the study of a file, or each of those that it consists of.

    Args:
        name: of the file in conf/study.
        profile: of that file, None for none.
        changes: "key=value" changes of its content.
        overrides: changes of every arm.
        where: the conf folders.

    Raises:
        UserError: a file has in its base what belongs to the command line.

    >>> from ablate.config.catalog import folders
    >>> (request,) = named_studies("activation", None, ["seeds=3"], ["net=micro"], folders())
    >>> request.study.seeds, request.overrides
    ([0, 1, 2], ['net=micro'])
    """
    files, claim_files = catalog.levels(where, "study"), catalog.levels(where, "claim")
    names = parts_of(name, files)
    found = []
    for part in names:
        content = patch(with_profile(part, read_study(files[part]), profile, files), changes)
        content = with_looks_of_seeds(content, changes)
        found.append((part, with_claims(part, content, claim_files)))
    if names != [name]:
        found = without_idle(found)
    requests = []
    for part, definition in found:
        for override in definition.get("base") or []:
            if key_of(override) in NOT_IN_BASE:
                cure = "give study.seeds" if key_of(override) == "seed" else "say it on the command line"
                raise UserError(f"{override} has no place in the base of study {part}; {cure}")
            if is_of_hydra(override):
                raise UserError(f"{override} has no place in the base of study {part}; say it on the command line")
        study = parse(part, definition, *catalog.caption(files[part])).with_overrides(overrides)
        axes = [key for grid in study.grids for keys in grid.values() for key in keys]
        if swept := next(filter(is_of_hydra, axes), ""):
            raise UserError(
                f"{swept} has no place in the grids of study {part}, for it says how runs are done; say it on the "
                "command line"
            )
        requests.append(Request(study, definition, list(overrides)))
    return requests


def is_of_hydra(override: str) -> bool:
    """Return whether a setting is one of Hydra's own.

    >>> is_of_hydra("hydra.job.chdir=true"), is_of_hydra("hydra/launcher=joblib"), is_of_hydra("seed=0")
    (True, True, False)
    """
    return key_of(override).replace("/", ".").partition(".")[0] == "hydra"


def with_looks_of_seeds(content: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """Return the content of a study file without its `looks` where a change declares them with the seeds.

    >>> with_looks_of_seeds({"seeds": {"from": 4, "to": 8, "looks": 3}, "looks": 2}, ["seeds={from: 4, ...}"])
    {'seeds': {'from': 4, 'to': 8, 'looks': 3}}
    """
    given = {change.partition("=")[0] for change in changes}
    if "seeds" not in given or "looks" in given or not isinstance(content.get("seeds"), dict):
        return content
    return {key: value for key, value in content.items() if key != "looks"}


def collection_of(name: str, profile: str | None, command: str, where: Sequence[Path]) -> Collection | None:
    """Return the collection that a study file describes, its folders not known yet; None where it is a single study.

    Args:
        name, profile, where: see `named_studies`.
        command: the command line.

    >>> from ablate.config.catalog import folders
    >>> collection_of("activation", None, "ablate study=activation", folders()) is None
    True
    """
    files = catalog.levels(where, "study")
    if parts_of(name, files) == [name]:
        return None
    title, source = catalog.caption(files[name])
    return Collection(
        name=name,
        title=title,
        source=source,
        profile=profile or "",
        command=command,
        folders=[],
        remark=remark_of(files[name], profile),
    )


def check_swept(key: str, override: str) -> None:
    """Check that a swept key makes different runs.

    Raises:
        UserError: it says how or where runs are done.

    >>> check_swept("activation", "activation=relu,tanh")
    """
    if is_unscientific(key) and key not in (
        "seed",
        "data.root",
        "data.path",
    ):  # the data's content is a part of the run
        raise UserError(
            f"{key} says how or where runs are done and is no part of what they are, so all of {override} would be the "
            "same runs; give one command for each value, each with an output_dir of its own"
        )


def plain_sweep(
    swept: str,
    axes: Mapping[str, Sequence[Any]],
    overrides: Sequence[str],
    seed: Any,
    *,
    name: str = "",
    baseline: str = "",
) -> Request:
    """Return a plain sweep as a study: one grid, no tuning, no claims.

    Args:
        swept: what is swept, as typed.
        axes: {swept key: its values}.
        overrides: changes of every arm.
        seed: of every arm where `seed` is not swept.
        name: of the sweep; "" for what is swept.
        baseline: of the arm that the others are compared with, see `arm_named`; "" for the first.

    Raises:
        UserError: a seed is refused, or the baseline is no arm.

    >>> study = plain_sweep("activation=relu,tanh", {"activation": ["relu", "tanh"]}, ["net=micro"], seed=0).study
    >>> [arm.label for arm in study.arms()], study.seeds
    (['activation=relu', 'activation=tanh'], [0])
    """
    product = {key: list(values) for key, values in axes.items() if key != "seed"}
    rule = notation.parse("whole in [0, 2147483647]")  # that of a single run, in conf/schema/config.yaml
    seeds = [schema.accept("seed", one, rule) for one in axes.get("seed", [seed])]
    if max(seeds) >= TUNING_SEED:
        raise UserError(f"`seed` must lie below {TUNING_SEED} in a sweep, where tuning seeds begin, got {max(seeds)}")
    base = [line for line in overrides if not line.startswith(("seed=", "rerun=", "dry_run=", "wait="))]
    definition: dict[str, Any] = {"base": base, "grids": [{"product": product}], "seeds": seeds}
    if baseline:
        definition["baseline"] = arm_named(baseline, parse("sweep", definition).arms()).axes
    varied = "; ".join(f"{key}: {', '.join(map(text, values))}" for key, values in product.items())
    title = ": ".join(filter(None, [name, varied or "seeds"]))
    return Request(parse(name or swept or "sweep", definition, title), definition, [])


def arm_named(words: str, arms: Sequence[Arm]) -> Arm:
    """Return the arm that has all of the settings or values in `words`.

    Args:
        words: such as "activation=tanh normalization=none", or values alone: "tanh none".
        arms: to choose from.

    Raises:
        UserError: no arm has them, or several have.

    >>> arms = [Arm(axes={"activation": name}, overrides=()) for name in ("relu", "tanh")]
    >>> arm_named("tanh", arms).label
    'activation=tanh'
    """
    found = []
    for arm in arms:
        has = {part for key, value in arm.axes.items() for part in (f"{key}={text(value)}", text(value))}
        if set(words.split()) <= has:
            found.append(arm)
    if len(found) != 1:
        there = ", ".join(repr(arm.label) for arm in arms)
        what = f"fits {len(found)} arms" if found else "fits no arm"
        raise UserError(f"`baseline` must name one arm of the sweep, and {words!r} {what}; there are {there}")
    return found[0]
