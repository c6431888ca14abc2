"""Runs of one claim on a CPU and on a GPU: said beside the verdict, since equal seeds are not matched across them."""

from dataclasses import replace

import pytest

from ablate.judging import judge
from ablate.report.notes import notes
from ablate.study.verdict_file import as_plain

CLAIM = {
    "text": "ReLU is better.",
    "form": "greater",
    "smallest_effect": 0.01,
    "treatment": {"activation": "relu"},
    "control": {"activation": "tanh"},
}
STUDY = {"seeds": 4, "grids": [{"product": {"activation": ["relu", "tanh"]}}], "claims": {"it": CLAIM}}


@pytest.fixture
def judged(make_results):
    """A function (device of axes and seed) -> results of a study of two arms, and its one judgement."""

    def judged(device_of):
        results = make_results(STUDY, lambda axes, seed, value: 0.5 + seed / 100)
        arms = [
            replace(
                arm,
                records={
                    seed: replace(record, environment={"device": device} if (device := device_of(arm, seed)) else {})
                    for seed, record in arm.records.items()
                },
            )
            for arm in results.arms
        ]
        results = replace(results, arms=arms)
        (judgement,) = judge(results)
        return results, judgement

    return judged


def test_two_types_of_device_are_said_beside_the_verdict(judged):
    results, judgement = judged(lambda arm, seed: "cuda" if seed == 3 else "cpu")
    assert as_plain(judgement)["devices"] == {"cpu": 6, "cuda": 2}
    (note,) = [note for note in notes(results, judgement) if "type of device" in note.text]
    assert note.kind == "warning"
    assert "6 runs on cpu, 2 runs on cuda" in note.text


@pytest.mark.parametrize("device", ["cpu", "cuda", None])
def test_one_type_needs_no_remark(judged, device):
    """Runs of other programs and of early versions name no device."""
    results, judgement = judged(lambda arm, seed: device if seed else None)
    assert judgement.devices == {}
    assert not any("type of device" in note.text for note in notes(results, judgement))
