"""A made study with all that a report may have to show: tuning, each outcome, a diverged and a failed run."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ablate.judging import AtValue, Judgement
from ablate.statistics import describe, improvement, mean_effect
from ablate.study.manifest import Manifest, PlannedArm, Variant
from ablate.study.results import ArmResult, Results
from ablate.study.study import parse
from ablate.training.record import Record

ENVIRONMENT = {
    "device": "cpu",
    "device_name": "A processor",
    "precision": "fp32",
    "threads": 1,
    "host": "node1",
    "python": "3.11.2",
    "versions": {"ablate": "0.1.0", "torch": "2.6.0"},
    "ablate_git_commit": "0123456789abcdef",
}
NUM_EPOCHS = 10


def make_record(variant, seed, accuracy, rng, status="finished", num_epochs=NUM_EPOCHS, **changes):
    """A record whose validation accuracy climbs to `accuracy`."""
    rise = 1 - np.exp(-np.arange(1, num_epochs + 1) / 3)
    curve = 0.1 + (accuracy - 0.1) * rise / rise[-1] + 0.008 * rng.standard_normal(num_epochs)
    if status == "diverged":
        curve, accuracy = curve[:2], 0.1
    loss = 2.4 - 2 * curve
    history = [
        {"epoch": i + 1, "lr": 0.1, "train/loss": x - 0.1, "train/accuracy": a + 0.03, "val/loss": x, "val/accuracy": a}
        for i, (a, x) in enumerate(zip(curve.tolist(), loss.tolist(), strict=True))
    ]
    fields = {
        "arm": variant.arm,
        "fingerprint": variant.fingerprint,
        "seed": seed,
        "status": status,
        "levels": variant.levels,
        "settings": variant.settings,
        "metrics": {
            "test/accuracy": accuracy,
            "val/accuracy": accuracy + 0.004,
            "train_eval/accuracy": accuracy + 0.05,
            "test/loss": None if status == "diverged" else float(loss[-1]),
            "epochs_to/val/accuracy/0.5": float(next((i + 1 for i, a in enumerate(curve) if a >= 0.5), 0)) or None,
        },
        "history": history,
        "wall_seconds": 7.5 + rng.random(),
        "images_per_second": 1000.0,
        "peak_memory_mb": 400.0,
        "environment": ENVIRONMENT,
    }
    return Record(**{**fields, **changes})


def plan(axes, values, arm_number, num_epochs=NUM_EPOCHS, lr=0.05):
    label = " ".join(f"{key}={value}" for key, value in axes.items()) or "default"
    variants = []
    for i, value in enumerate(values):
        settings = {"optimizer": {"lr": lr if value is None else value}, "trainer": {"epochs": num_epochs}}
        settings["data"] = {"train_size": 2000}
        settings |= {axis: {"_target_": f"ablate.{level}"} for axis, level in axes.items() if "." not in axis}
        fingerprint = f"{num_epochs:03d}{arm_number:03d}{i:02d}" + "0" * 56
        levels = {"data": "cifar10", "net": "micro", "activation": "relu", "normalization": "none"}
        levels |= {axis: str(level) for axis, level in axes.items() if axis in levels}
        fields = {
            "value": value,
            "overrides": [f"{axis}={level}" for axis, level in axes.items()],
            "arm": label.replace(" ", ","),
            "fingerprint": fingerprint,
            "levels": levels,
            "settings": settings,
            "folder": f"runs/{label.replace(' ', ',')}-{fingerprint[:8]}",
        }
        known = Variant.__dataclass_fields__
        variants.append(Variant(**{key: value for key, value in fields.items() if key in known}))
    return PlannedArm(axes=axes, label=label, variants=variants)


def make_results(
    folder,
    definition,
    mean_of,
    num_seeds=None,
    name="activation",
    spread=0.012,
    num_epochs=NUM_EPOCHS,
    digest="12345678",
):
    """Results of a study whose arms have the mean accuracies `mean_of(axes, value)`.

    Args:
        folder: output folder.
        definition: content of the study file.
        mean_of: (axes, value of the tuned setting or None) -> accuracy.
        num_seeds: how many report seeds are done; all by default.
        name: of the study.
        spread: standard deviation over seeds beside the luck that all arms share.
        num_epochs: of every run.
        digest: end of the name of the study's folder.
    """
    rng = np.random.default_rng(0)
    study = parse(name, definition, title="Which activation function trains best?", source="Source: a lecture")
    values = study.tuning.values if study.tuning else [None]
    lrs = study.fixed.values if study.fixed else {}
    planned = [plan(arm.axes, values, i, num_epochs, lrs.get(arm.label, 0.05)) for i, arm in enumerate(study.arms())]
    manifest = Manifest(
        name=name,
        title=study.title,
        source=study.source,
        definition=definition,
        overrides=[],
        command=f"ablate study={name}",
        arms=planned,
        looks=[len(study.seeds)],
    )
    luck = 0.01 * rng.standard_normal(1000)
    arms = []
    for arm in planned:
        tuning = [
            {
                s: make_record(v, s, mean_of(arm.axes, v.value) + 0.01 * rng.standard_normal(), rng)
                for s in study.tuning_seeds
            }
            for v in (arm.variants if study.tuning else [])
        ]
        scores = [np.mean([r.metrics["val/accuracy"] for r in records.values()]) for records in tuning]
        chosen = arm.variants[int(np.argmax(scores)) if scores else 0]
        level = mean_of(arm.axes, chosen.value)
        records = {
            seed: make_record(
                chosen, seed, level + luck[seed] + spread * rng.standard_normal(), rng, num_epochs=num_epochs
            )
            for seed in study.seeds[:num_seeds]
        }
        arms.append(ArmResult(planned=arm, chosen=chosen, records=records, tuning=tuning))
    output = folder / "outputs"
    for arm in arms:
        for seed in arm.records:
            (output / arm.chosen.folder / f"seed-{seed}").mkdir(parents=True, exist_ok=True)
    return Results(
        study=study, manifest=manifest, output_dir=output, folder=output / "studies" / f"{name}-{digest}", arms=arms
    )


def make_judgement(results, claim, outcome, **changes):
    """A judgement of a difference or a ratio with the numbers that its records give."""

    def arm(axes):
        return next(arm for arm in results.arms if axes.items() <= arm.axes.items())

    treatment, control = arm(claim.treatment), arm(claim.control)
    t, c = (np.array(a.scores(claim.metric, results.study.seeds)) for a in (treatment, control))
    known = np.isfinite(t) & np.isfinite(c)
    is_ratio = claim.form == "ratio"
    d = np.log(t[known] / c[known]) if is_ratio else (t - c)[known]
    fields = {"claim": claim, "outcome": outcome, "treatment": treatment.label, "control": control.label}
    if d.size:
        shown = math.exp if is_ratio else float
        effect, described = mean_effect(d), describe(d, np.random.default_rng(0))
        interval = effect.interval(0.0125)
        fields |= {
            "treatment_mean": float(t[known].mean()),
            "control_mean": float(c[known].mean()),
            "estimate": shown(effect.estimate),
            "low": shown(interval.lower),
            "high": shown(interval.upper),
            "level": 0.9875,
            "p": effect.p_value(),
            "p_adjusted": min(1.0, 4 * effect.p_value()),
            "num_seeds": int(known.sum()),
            "differences": d.tolist(),
            "bootstrap": (shown(described.bca_interval.lower), shown(described.bca_interval.upper)),
            "sign_flip_p": described.sign_flip.p,
            "sign_flip_smallest_p": described.sign_flip.smallest_p,
            "improvement": improvement(-d if claim.direction == "smaller" else d).probability,
            "budget": "micro, 2,000 images, 10 epochs",
        }
    return Judgement(**{**fields, **changes})


CLAIMS = {
    "relu_beats_sigmoid": {
        "text": "ReLU trains to a higher accuracy than sigmoid",
        "form": "greater",
        "treatment": {"activation": "relu"},
        "control": {"activation": "sigmoid"},
        "smallest_effect": 0.01,
        "source": "slide 31",
        "published": "a published number (A. Author 2000)",
    },
    "lecun_beats_tanh": {
        "text": "LeCun's scaled tanh is better than tanh",
        "form": "greater",
        "treatment": {"activation": "lecun_tanh"},
        "control": {"activation": "tanh"},
        "smallest_effect": 0.01,
        "source": "slide 28",
    },
    "leaky_equals_relu": {
        "text": "Leaky ReLU and ReLU are equally good",
        "form": "equivalent",
        "treatment": {"activation": "leaky_relu"},
        "control": {"activation": "relu"},
        "smallest_effect": 0.02,
    },
    "elu_beats_relu": {
        "text": "ELU reaches a higher accuracy than ReLU",
        "form": "greater",
        "treatment": {"activation": "elu"},
        "control": {"activation": "relu"},
        "smallest_effect": 0.01,
        "note": "At this budget the order of the two depends on the width of the net.",
    },
    "relu_is_faster": {
        "text": "ReLU reaches 50 % validation accuracy at least 1.2 times sooner than LeCun's tanh",
        "form": "ratio",
        "metric": "epochs_to/val/accuracy/0.5",
        "direction": "smaller",
        "treatment": {"activation": "relu"},
        "control": {"activation": "lecun_tanh"},
        "smallest_effect": 1.2,
    },
}
MEANS = {"relu": 0.61, "leaky_relu": 0.613, "elu": 0.622, "tanh": 0.56, "lecun_tanh": 0.53, "sigmoid": 0.41}


def tuned_mean(axes, lr):
    """An accuracy that is best at 0.1 (sigmoid: at the largest rate)."""
    best = 1.0 if axes["activation"] == "sigmoid" else 0.1
    return MEANS[axes["activation"]] - 0.06 * math.log10(lr / best) ** 2


@pytest.fixture
def tuned_study():
    """A function (folder) -> (results, judgements): 6 arms x 6 seeds, tuned, 5 claims of different outcomes."""
    return make_tuned_study


def make_tuned_study(folder):
    definition = {
        "grids": [{"product": {"activation": list(MEANS)}}],
        "seeds": 6,
        "tuning": {"key": "optimizer.lr", "values": [0.01, 0.03, 0.1, 0.3, 1.0], "seeds": 3},
        "looks": 2,
        "claims": CLAIMS,
    }
    results = make_results(folder, definition, tuned_mean)
    sigmoid = results.arms[-1]
    rng = np.random.default_rng(1)
    sigmoid.records[4] = make_record(sigmoid.chosen, 4, 0.1, rng, status="diverged")
    results.arms[3].failures[1_000_002] = "RuntimeError: <out of memory>"
    first, second, third, fourth, fifth = results.study.claims
    at_values = [
        AtValue(value=lr, estimate=0.05 - i * 0.02, low=0.01 - i * 0.02, high=0.09 - i * 0.02, num_seeds=3)
        for i, lr in enumerate(results.study.tuning.values)
    ]
    judgements = [
        make_judgement(
            results,
            first,
            "supported",
            edges=[sigmoid.label],
            item_interval=(0.15, 0.22),
            at_values=at_values,
            value_sensitive=False,
        ),
        make_judgement(results, second, "contradicted", value_sensitive=True, at_values=at_values),
        make_judgement(results, third, "no difference", equivalence_p_adjusted=0.004),
        make_judgement(results, fourth, "inconclusive", further_seeds=7),
        make_judgement(results, fifth, "supported"),
    ]
    return results, judgements


@pytest.fixture
def grid_study():
    """A function (folder, num_seeds) -> results of a 3 x 2 grid without tuning or claims, `num_seeds` of 3 done."""

    def make(folder, num_seeds=None):
        definition = {
            "grids": [{"product": {"activation": ["relu", "tanh", "sigmoid"], "normalization": ["none", "batch"]}}],
            "seeds": 3,
        }
        return make_results(
            folder,
            definition,
            lambda axes, _: MEANS[axes["activation"]] + 0.1 * (axes["normalization"] == "batch"),
            num_seeds,
            name="grid",
        )

    return make


@pytest.fixture
def undone():
    """A function (results) -> the same study before its first run."""

    def make(results):
        arms = [replace(arm, records={}, tuning=[{} for _ in arm.tuning], failures={}) for arm in results.arms]
        return replace(results, arms=[replace(arm, chosen=None) if arm.tuning else arm for arm in arms])

    return make


@pytest.fixture
def fixed_study():
    """A function (folder) -> results of 2 arms x 3 seeds at learning rates that were tuned before."""

    def make(folder):
        definition = {
            "grids": [{"product": {"activation": ["relu", "tanh"]}}],
            "seeds": 3,
            "fixed": {
                "key": "optimizer.lr",
                "values": {"activation=relu": 0.3, "activation=tanh": 0.01},
                "source": "study tune",
            },
        }
        return make_results(folder, definition, lambda axes, _: MEANS[axes["activation"]], name="fixed")

    return make


PAIR = {
    "grids": [{"product": {"activation": ["relu", "tanh"]}}],
    "seeds": 6,
    "claims": {
        "relu_beats_tanh": {
            "text": "ReLU is better than tanh",
            "form": "greater",
            "treatment": {"activation": "relu"},
            "control": {"activation": "tanh"},
            "smallest_effect": 0.02,
            "file": "c05",
            "figure": "activation_zoo",
            "note": "At tiny widths tanh has been seen to win.",
            "explained_by": ["saturation/mean"],
        },
        "relu_halves_the_loss": {
            "text": "ReLU has half the loss of tanh",
            "form": "ratio",
            "metric": "test/loss",
            "direction": "smaller",
            "treatment": {"activation": "relu"},
            "control": {"activation": "tanh"},
            "smallest_effect": 2,
        },
    },
}


@pytest.fixture
def small_study():
    """A function (folder, {activation: mean accuracy}) -> results of relu and tanh with 6 seeds and two claims."""

    def make(folder, means, **changes):
        return make_results(folder, PAIR, lambda axes, _: means[axes["activation"]], name="small", **changes)

    return make


@pytest.fixture
def judgement_of():
    """`make_judgement`."""
    return make_judgement


@pytest.fixture
def renamed_study():
    """A function (folder, name of relu, name of tanh, changes of every claim) -> results of `PAIR` with other names."""

    def make(folder, first, second, **claim):
        axes = {"treatment": {"activation": first}, "control": {"activation": second}}
        claims = {key: {**known, **axes, **claim} for key, known in PAIR["claims"].items()}
        definition = {**PAIR, "grids": [{"product": {"activation": [first, second]}}], "claims": claims}
        return make_results(folder, definition, lambda axes, _: 0.5, name="small")

    return make
