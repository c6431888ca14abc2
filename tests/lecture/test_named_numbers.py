"""Claims of the committed studies whose sentences name a number are tested against it."""

import re

import pytest

from ablate.config import catalog
from ablate.config.overrides import from_yaml
from ablate.study.files import read_study

NAMED = re.compile(r"\b(at least|at most|times (less|more|as)|lower by|higher by|half as|twice as)\b")


def committed_claims():
    for path in catalog.levels(catalog.folders(), "claim").values():
        yield from from_yaml(path.read_text(encoding="utf-8")).items()
    for path in catalog.levels(catalog.folders(), "study").values():
        claims = read_study(path).get("claims") or {}
        yield from claims.items() if isinstance(claims, dict) else ()


CLAIMS = dict(committed_claims())


@pytest.mark.parametrize("name", CLAIMS)
def test_a_named_number_is_tested(name: str) -> None:
    claim = CLAIMS[name]
    if "value" in claim:  # it takes the place of the control: a claim may be tested against that value as it is
        assert not claim.get("at_least") or NAMED.search(claim["text"])
        return
    compares = claim["form"] not in ("identity", "equivalent")
    named = compares and (claim["form"] == "ratio" or NAMED.search(claim["text"]) is not None)
    # "Eight times as many units" is how the arms differ, not by how much they do.
    named &= name != "more_capacity_finds_it"
    assert claim.get("at_least", False) == named
