"""Every class of ablate's that conf/ names keeps the name that fingerprints have, wherever it moves."""

import importlib
import re
from pathlib import Path

import pytest

from ablate.cli import planning
from ablate.training import identity
from ablate.training.identity import canonical_name, present_name

CONF = Path(__file__).resolve().parents[2] / "conf"
PINNED = Path(__file__).parents[1] / "golden" / "names.txt"


def named_in_conf():
    texts = (path.read_text() for path in CONF.rglob("*.yaml"))
    return {name for text in texts for name in re.findall(r"_target_: *(ablate(?:\.\w+)+)", text)}


def test_every_name_in_conf_is_pinned_under_its_oldest_path():
    pinned = set(PINNED.read_text().split())
    unknown = sorted(canonical_name(name) for name in named_in_conf() if canonical_name(name) not in pinned)
    assert not unknown, (
        f"conf/ names {', '.join(unknown)}, which {PINNED.name} does not have. Did it move? Then add its present and "
        "its former path to MOVED in ablate/training/identity.py, or every finished run that uses it is orphaned. Is "
        f"it new? Then add it to {PINNED}."
    )


@pytest.mark.parametrize("name", sorted(PINNED.read_text().split()))
def test_every_pinned_name_can_still_be_made(name):
    """A YAML file of a user's may have it."""
    module, _, attribute = present_name(name).rpartition(".")
    try:
        assert callable(getattr(importlib.import_module(module), attribute))
    except (ImportError, AttributeError) as error:
        raise AssertionError(
            f"{name} is gone from there: add its new path to MOVED in src/ablate/training/identity.py"
        ) from error


def test_a_former_path_is_instantiated(monkeypatch):
    monkeypatch.setitem(identity.MOVED, "ablate.optimization.Cosine", ("ablate.annealing.HalfCosine",))
    made = planning.make("schedule", {"_target_": "ablate.annealing.HalfCosine"})
    assert type(made).__name__ == "Cosine"


def test_a_plan_of_a_moved_class_is_the_same_run(compose, monkeypatch):
    cfg, choices = compose(["data=shapes", "net=micro"])
    before = planning.plan(cfg, choices)
    monkeypatch.setitem(identity.MOVED, "ablate.models.ConvNet", ("ablate.nets.ConvNet",))
    cfg.net._target_ = "ablate.models.ConvNet"
    after = planning.plan(cfg, choices)
    assert (after.fingerprint, after.arm, after.changed) == (before.fingerprint, before.arm, before.changed)
