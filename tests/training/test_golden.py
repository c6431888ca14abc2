"""Four small runs come to what they came to when this version of the numerics began: see scripts/golden.py."""

import importlib.util
import json
from pathlib import Path

import pytest

from ablate.training.identity import NUMERICS_VERSION

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("plain", "batch_norm", "dropout", "bits_12")
WRITE = "start `python scripts/golden.py`"
CHANGED = (
    f"is not what it is in version {NUMERICS_VERSION} of the numerics. If that is meant, equal settings mean other "
    f"runs now: raise NUMERICS_VERSION in src/ablate/training/identity.py, and {WRITE}. It was:"
)


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("golden", ROOT / "scripts" / "golden.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def golden():
    path = ROOT / "tests" / "golden" / f"numerics-{NUMERICS_VERSION}.json"
    assert path.exists(), f"there is no {path.name} for the present NUMERICS_VERSION: {WRITE}"
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def measured(script, tmp_path_factory):
    return script.measure(tmp_path_factory.mktemp("golden"))


def test_the_golden_file_is_of_these_runs(script, golden):
    assert golden["numerics"] == NUMERICS_VERSION
    assert tuple(script.CONFIGURATIONS) == NAMES == tuple(golden["kernels"])
    assert len(golden["kernels"]["plain"]["losses"]) == 8


@pytest.mark.parametrize("name", ["train", "val", "test"])
def test_the_split_is_the_same_everywhere(script, golden, name):
    then = golden["everywhere"]["split"][name]
    assert script.split_digests()[name] == then, f"which images are the {name} images {CHANGED} {then}"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", ["data", "batches"])
def test_what_is_integer_is_the_same_everywhere(golden, measured, name, what):
    then = golden["everywhere"][name][what]
    assert measured["everywhere"][name][what] == then, f"the hash of the {what} of {name!r} {CHANGED} {then}"


@pytest.mark.parametrize("name", NAMES)
def test_initial_weights(golden, measured, name):
    now, then = measured["weights"][name], golden["weights"][name]
    assert now["norm"] == pytest.approx(then["norm"], rel=1e-7), (
        f"the initial weights' norm of {name!r} {CHANGED} {then}"
    )
    if has_vectors(measured["machine"]) and has_vectors(golden["machine"]):
        assert now["sha256"] == then["sha256"], f"the hash of the initial weights of {name!r} {CHANGED} {then}"


@pytest.mark.parametrize("name", NAMES)
def test_losses_and_metrics(golden, measured, name):
    now, then = measured["kernels"][name], golden["kernels"][name]
    assert now["metrics"].keys() == then["metrics"].keys(), f"what a record of {name!r} holds {CHANGED} {then}"
    if measured["machine"] == golden["machine"]:
        assert now == then, f"the losses and metrics of {name!r} {CHANGED} {then}"
    assert now["losses"][0] == pytest.approx(then["losses"][0], rel=1e-5), (
        f"the first loss of {name!r} {CHANGED} {then}"
    )
    assert now["losses"] == pytest.approx(then["losses"], rel=1e-3), f"the losses of {name!r} {CHANGED} {then}"
    for key, value in then["metrics"].items():
        tolerance = {"abs": 0.021} if key.endswith("accuracy") else {"rel": 1e-3}  # one of 50 images
        assert now["metrics"][key] == pytest.approx(value, **tolerance), f"{key} of {name!r} {CHANGED} {value}"


def has_vectors(machine):
    return machine["capability"] in ("AVX2", "AVX512")


def test_a_file_of_the_present_version_is_not_overwritten(script, golden):
    with pytest.raises(SystemExit, match="raise NUMERICS_VERSION"):
        script.main([])
