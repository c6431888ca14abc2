"""`ablate explain C16`: what a claim says, what is tested, which runs that takes, and how long; loads no torch."""

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ablate.cli.subcommand_help import HELP
from ablate.config import catalog
from ablate.config.overrides import text
from ablate.errors import UserError
from ablate.report.phrases import is_accuracy, plural, unit_of
from ablate.study.claim import Axes, Claim
from ablate.study.files import parts_of, read_study, with_claims, with_profile
from ablate.study.study import Study, parse
from ablate.tables import clock

WIDTH = 79
FIRST_PROFILES = (None, "quick")  # whose cost is shown


def explain_command(words: Sequence[str], where: Sequence[Path]) -> None:
    """`ablate explain CLAIM ...`: print each claim, by its name or by its source in the lecture (C16).

    Raises:
        UserError: no claim has this name or source.
    """
    if not words:
        print(HELP["explain"], end="")
        return
    known = list(every_claim(where))
    parts = []
    for word in words:
        found = [(study, claim) for study, claim in known if word == claim.name or word.upper() in sources(claim)]
        if not found:
            names = [name for _, claim in known for name in (claim.name, *sources(claim))]
            raise UserError(f"there is no claim {word!r}; {hint(word, names)}; `ablate list claim` shows all")
        parts += [explanation(study, claim, where) for study, claim in found]
    print("\n\n".join(parts))


def every_claim(where: Sequence[Path]) -> Iterator[tuple[Study, Claim]]:
    """Yield every claim of the study files, with its study."""
    files, claim_files = catalog.levels(where, "study"), catalog.levels(where, "claim")
    for name in files:
        if parts_of(name, files) == [name]:
            content = with_claims(name, with_profile(name, read_study(files[name]), None, files), claim_files)
            study = parse(name, content)
            yield from ((study, claim) for claim in study.claims)


def sources(claim: Claim) -> list[str]:
    """Return the parts of a claim's source, in capitals.

    >>> sources(Claim(name="c", text="t", form="identity", treatment={"a": 1}, value=0, source="C1, c5"))
    ['C1', 'C5']
    """
    return [part.strip().upper() for part in claim.source.split(",") if part.strip()]


def hint(word: str, names: Sequence[str]) -> str:
    """Return which names may be meant, a few of them where none is similar."""
    unique = list(dict.fromkeys(names))
    shown = catalog.nearest(word, unique)
    return shown if shown.startswith("did") else f"there are {', '.join(unique[:4])}, ..."


def explanation(study: Study, claim: Claim, where: Sequence[Path]) -> str:
    """Return the paragraphs on one claim of a study."""
    source = f" ({claim.source})" if claim.source else ""
    lines = textwrap.wrap(f"{claim.name}{source}, study {study.name}", WIDTH, subsequent_indent="  ")
    lines += wrapped("Claim", claim.text)
    lines += wrapped("Tested", hypothesis(claim, study))
    if claim.explained_by:
        lines += wrapped("Mechanism", f"{', '.join(claim.explained_by)} is shown beside the verdict")
    if claim.published:
        lines += wrapped("Published", claim.published)
    if claim.post_hoc:
        lines += wrapped("Post hoc", claim.post_hoc)
    for profile in FIRST_PROFILES:
        if cost := runs_of(study.name, claim, profile, where):
            lines += wrapped("Runs", cost)
    lines += ["  Command:   ablate " + " ".join([f"study={study.name}", f"'study.only=[{claim.name}]'"])]
    if claim.figure:
        lines += [f"  Figure:    ablate figure {claim.figure}"]
    return "\n".join(lines)


def hypothesis(claim: Claim, study: Study) -> str:
    """Return what is tested in one sentence: metric, sides, smallest effect, level."""
    unit = unit_of(claim)
    size = claim.smallest_effect * unit.scale
    least = f"a factor of {size:g}" if unit.is_factor else f"{size:g} {unit.name}".strip()
    metric = claim.metric
    at = f", all with {side(claim.at)}" if claim.at else ""
    treatment = side(claim.treatment)
    control = side(claim.control)
    if claim.value is not None:
        value = f"{100 * claim.value:g} %" if is_accuracy(metric) else f"{claim.value:g}"
        control = value
    if claim.form == "identity":
        other = control if claim.value is not None else f"that of {control}"
        return f"{metric} of {treatment} equals {other} within {claim.tolerance:g} in every seed{at}."
    match claim.form:
        case "equivalent":
            what = f"{metric} of {treatment} differs from {control} by less than {least}"
        case "trend":
            order = ", ".join(map(text, claim.order))
            what = f"{metric} gets {claim.direction} over {claim.factor} = {order}; {least} is the least that matters"
        case "interaction":
            first, second = map(text, claim.order)
            what = (
                f"the effect of {treatment} minus {control} on {metric} is {claim.direction} with "
                f"{claim.factor}={second} than with {claim.factor}={first}; {least} is the least that matters"
            )
        case _:
            direction = claim.direction or claim.form
            tested = f"by more than {least}" if claim.at_least else f"; {least} is the least that matters"
            joined = tested if tested.startswith(";") else f" {tested}"
            what = f"{metric} of {treatment} is {direction} than {control}{joined}"
    return f"{what}{at}. Paired by seed, {100 * (1 - study.alpha):g} %, shared by the {family(claim, study)}."


def family(claim: Claim, study: Study) -> str:
    """Return how many claims share the error level."""
    size = sum(other.family == claim.family and other.is_tested for other in study.claims)
    return "1 claim of its family" if size == 1 else f"{size} claims of its family"


def side(axes: Axes) -> str:
    """Return the values of axes as they are typed.

    >>> side({"activation": "relu", "net": "micro"})
    'activation=relu net=micro'
    """
    return " ".join(f"{key}={text(value)}" for key, value in axes.items())


def runs_of(name: str, claim: Claim, profile: str | None, where: Sequence[Path]) -> str:
    """Return the number of runs that a claim needs and how long they take, "" where the study lacks the profile."""
    files, claim_files = catalog.levels(where, "study"), catalog.levels(where, "claim")
    content = read_study(files[name])
    if profile and profile not in content.get("profiles", {}):
        return ""
    content = with_claims(name, with_profile(name, content, profile, files), claim_files)
    whole = parse(name, content)
    if claim.name not in [other.name for other in whole.claims]:
        return ""
    study = replace(whole, only=[claim.name])
    arms = study.arms()
    tuning = len(study.tuning.values) * study.tuning.seeds if study.tuning else 0
    count = len(arms) * (len(study.seeds) + tuning)
    of_tuning = (study.tuning.seconds_a_run if study.tuning else None) or study.seconds_a_run
    tuned = f", and {plural(tuning, 'tuning run')}{' each' * (len(arms) > 1)}" if tuning else ""
    each = study.seconds_a_run
    seconds = math.nan if each is None else len(arms) * (each * len(study.seeds) + (of_tuning or each) * tuning)
    time = f"about {clock(seconds)} on one core" if each else "how long is not known"
    which = f"profile={profile}: " if profile else ""
    seeds = f"{plural(len(study.seeds), 'seed')}{' each' * (len(arms) > 1)}"
    return f"{which}{count} ({plural(len(arms), 'arm')} with {seeds}{tuned}), {time}"


def wrapped(name: str, words: str) -> list[str]:
    """Return a paragraph with its name before it."""
    return textwrap.wrap(
        words, WIDTH, initial_indent=f"  {name + ':':<11}", subsequent_indent=" " * 13, break_on_hyphens=False
    )
