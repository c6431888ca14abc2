"""Small studies whose runs are made by hand."""

from ablate.study.manifest import Manifest, PlannedArm, Variant
from ablate.training.record import write_record
from builders.records import make_record

TUNING = {"key": "lr", "values": [0.1, 0.2], "seeds": 3}


BEST = {("relu", 0.1): 0.5, ("relu", 0.2): 0.6, ("tanh", 0.1): 0.7, ("tanh", 0.2): 0.7}


def variant(activation, value=None, **settings):
    lr = "" if value is None else f"-{value}"
    return Variant(
        value=value,
        overrides=[f"activation={activation}", f"lr={value}"],
        arm=f"activation={activation}",
        fingerprint=f"{activation}{lr}",
        levels={"activation": activation},
        settings={"activation": {"_target_": activation}, "lr": value, **settings},
        folder=f"runs/{activation}{lr}",
    )


def manifest(tuning=None, looks=(2,), **definition):
    values = tuning["values"] if tuning else [None]
    arms = [
        PlannedArm(axes={"activation": a}, label=f"activation={a}", variants=[variant(a, value) for value in values])
        for a in ("relu", "tanh")
    ]
    content = {"grids": [{"product": {"activation": ["relu", "tanh"]}}], "seeds": 2, "tuning": tuning, **definition}
    return Manifest(
        name="s", title="", source="", definition=content, overrides=[], command="ablate", arms=arms, looks=list(looks)
    )


def finish(folder, job, accuracy=0.5):
    home = folder.parent.parent / job.folder
    home.mkdir(parents=True, exist_ok=True)
    metrics = {"test/accuracy": accuracy, "val/accuracy": accuracy, "train_eval/accuracy": accuracy, "none": None}
    write_record(make_record(fingerprint=job.variant.fingerprint, seed=job.seed, metrics=metrics), home)


def names(jobs):
    return [(job.variant.fingerprint, job.seed) for job in jobs]
