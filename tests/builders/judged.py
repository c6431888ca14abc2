"""A small study that is registered, run and judged, with records and predictions as files."""

import hashlib
import io
from dataclasses import replace

import numpy as np

from ablate import report
from ablate.judging import judge
from ablate.study.manifest import read_manifest
from ablate.study.results import collect
from ablate.study.verdict_file import write_verdicts
from ablate.sweep.begin import begin
from ablate.training.record import PREDICTIONS_NAME, write_record
from builders.records import make_record
from builders.studies import manifest

CLAIM = {
    "text": "ReLU wins.",
    "form": "greater",
    "smallest_effect": 0.01,
    "treatment": {"activation": "relu"},
    "control": {"activation": "tanh"},
}
RIGHT = {"relu": 160, "tanh": 120}  # of 200 test images, in the first seed
NUM_IMAGES = 200


def planned(seeds=4, **changes):
    """The manifest of a study of two activations and one claim."""
    plan = manifest(looks=(seeds,))
    levels = {"net": "micro", "data": "shapes"}
    settings = {"data": {"train_size": 100}, "trainer": {"epochs": 1}}
    arms = [
        replace(
            arm,
            variants=[
                replace(v, levels={**v.levels, **levels}, settings={**v.settings, **settings}, data="images")
                for v in arm.variants
            ],
        )
        for arm in plan.arms
    ]
    definition = {**plan.definition, "seeds": seeds, "looks": 2, "claims": {"relu_wins": CLAIM}, **changes}
    return replace(plan, arms=arms, definition=definition)


def store(home, fingerprint, seed, num_right):
    """Write the record and the predictions of a run with so many right predictions."""
    home.mkdir(parents=True, exist_ok=True)
    content = io.BytesIO()
    hits = (np.arange(NUM_IMAGES) < num_right).astype(float)
    np.savez(content, hits=hits, labels=np.arange(NUM_IMAGES) % 10)
    (home / PREDICTIONS_NAME).write_bytes(content.getvalue())
    accuracy = num_right / NUM_IMAGES
    metrics = {"test/accuracy": accuracy, "val/accuracy": accuracy, "train_eval/accuracy": accuracy}
    checksum = hashlib.sha256(content.getvalue()).hexdigest()
    write_record(make_record(fingerprint=fingerprint, seed=seed, metrics=metrics, predictions=checksum), home)


def settled(output_dir, name="s-1", **changes):
    """Register, run and judge a study; return its folder."""
    folder = output_dir / "studies" / name
    begun = begin(planned(**changes), folder)
    for arm in begun.arms:
        for seed in begun.study().seeds:
            fingerprint = arm.variants[0].fingerprint
            store(output_dir / "runs" / fingerprint / f"seed-{seed}", fingerprint, seed, RIGHT[fingerprint] + 3 * seed)
    judge_again(folder)
    return folder


def judge_again(folder, *, with_report=False):
    """Write the verdicts of a study, and its report if asked for."""
    found = collect(read_manifest(folder), folder)
    judgements = judge(found)
    if with_report:
        report.write_report(found, judgements)
    else:
        write_verdicts(found, judgements)
