"""Runs that are finished stay found: the fingerprints of these settings are what they were when they were pinned."""

import json
from pathlib import Path

import pytest

from ablate.cli import planning
from ablate.training.identity import NUMERICS_VERSION

PINNED = json.loads((Path(__file__).parents[1] / "golden" / "fingerprints.json").read_text())


@pytest.mark.parametrize("line", sorted(PINNED["fingerprints"]))
def test_a_fingerprint_is_what_it_was(line, compose):
    assert PINNED["numerics"] == NUMERICS_VERSION, "pin the fingerprints of the new version of the numerics"
    cfg, choices = compose(["data=shapes", "device=cpu", *line.split()])
    assert planning.plan(cfg, choices).fingerprint == PINNED["fingerprints"][line], (
        "every finished run of these settings is orphaned. Did a class move? Add it to MOVED in identity.py. Is there "
        "a new option? Add it to ADDED_LATER with the value that keeps the old behaviour"
    )
