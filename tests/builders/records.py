"""Records without a run."""

from ablate.training.record import Record


def make_record(**changes):
    fields = {
        "arm": "activation=tanh",
        "fingerprint": "ab" * 32,
        "seed": 3,
        "status": "finished",
        "levels": {"activation": "tanh"},
        "settings": {"optimizer": {"lr": 0.1}},
        "metrics": {"test/accuracy": 0.5, "val/accuracy": 0.25, "train_eval/accuracy": 0.75},
        "history": [{"epoch": 1, "train/loss": 2.0}],
        "wall_seconds": 1.5,
        "images_per_second": 100.0,
        "peak_memory_mb": 10.0,
        "environment": {"device": "cpu"},
    }
    return Record(**{**fields, **changes})
