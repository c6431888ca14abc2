"""Which runs trained, and the verdicts on arms whose runs may fail."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ablate.judging import judge
from ablate.judging.trained import guessing, which_trained
from ablate.statistics import mean_effect, seeds_to_exclude
from ablate.training.record import PREDICTIONS_NAME, Record

NUM_IMAGES = 2000
SIDES = {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
CLAIM = {"text": "A claim.", "form": "greater", "smallest_effect": 0.02, **SIDES}
NOISE = [0.0, 0.01, -0.01, 0.02, -0.02, 0.0]


def record(seed: int, accuracy: float | None, status: str = "finished", **metrics: Any) -> Record:
    return Record(
        arm="a",
        fingerprint="f",
        seed=seed,
        status=status,
        levels={},
        settings={},
        metrics={"test/accuracy": accuracy, **metrics},
        history=[],
        wall_seconds=1.0,
        images_per_second=1.0,
        peak_memory_mb=1.0,
        environment={},
    )


def trained(accuracies: list[float | None], labels: Any = None) -> list[bool]:
    return list(which_trained({s: record(s, a) for s, a in enumerate(accuracies)}, labels).values())


TEN_CLASSES = np.arange(NUM_IMAGES) % 10


def test_guessing_is_the_most_frequent_class() -> None:
    assert guessing(TEN_CLASSES) == 0.1
    assert guessing(np.array([0, 1, 1, 1])) == 0.75
    assert guessing(None) == 0.1


@pytest.mark.parametrize("labels", [TEN_CLASSES, None])
def test_a_net_near_guessing_has_not_trained(labels: Any) -> None:
    # 10 % is guessing, and a twentieth of the way to 100 % is 14.5 %.
    assert trained([0.1, 0.12, 0.144], labels) == [False] * 3
    assert trained([0.146, 0.15, 0.16], labels) == [True] * 3


def test_few_images_need_more_than_chance() -> None:
    # Three standard deviations of guessing on 100 images are 9 points.
    labels = np.arange(100) % 10
    assert trained([0.18, 0.18], labels) == [False, False]
    assert trained([0.20, 0.20], labels) == [True, True]


def test_two_classes_are_guessed_half_right() -> None:
    assert trained([0.5, 0.52], np.arange(NUM_IMAGES) % 2) == [False, False]
    assert trained([0.97, 0.99], np.arange(NUM_IMAGES) % 2) == [True, True]


def test_a_run_stuck_far_below_its_arm_has_failed() -> None:
    assert trained([0.60, 0.61, 0.25, 0.59], TEN_CLASSES) == [True, True, False, True]
    assert trained([0.60, 0.61, 0.40, 0.59], TEN_CLASSES) == [True] * 4


def test_a_run_that_diverged_or_has_no_score_has_failed() -> None:
    runs = {0: record(0, 0.6), 1: record(1, 0.6, "diverged"), 2: record(2, None)}
    assert which_trained(runs, TEN_CLASSES) == {0: True, 1: False, 2: False}


def of(make_results: Any, relu: Any, tanh: Any, claim: dict[str, Any] | None = None, metric="test/accuracy", **options):
    seeds = len(relu)
    definition = {"grids": [{"product": {"activation": ["relu", "tanh"]}}], "seeds": seeds, **options}
    definition["claims"] = {"it": {**CLAIM, "metric": metric, **(claim or {})}}

    def metrics(axes: dict[str, Any], seed: int, value: Any) -> dict[str, float]:
        score = (relu if axes["activation"] == "relu" else tanh)[seed]
        return score if isinstance(score, dict) else {metric: score}

    def change(axes: dict[str, Any], settings: dict[str, Any]) -> None:
        settings["data"]["test_size"] = NUM_IMAGES

    (found,) = judge(make_results(definition, metrics, change=change))
    return found


@pytest.mark.parametrize("form", ["greater", "smaller", "equivalent"])
@pytest.mark.parametrize("scores", [([0.1] * 6, [0.1] * 6), ([0.10, 0.12, 0.11], [0.11, 0.10, 0.10])])
def test_two_arms_that_guess_are_not_compared(make_results, form: str, scores: Any) -> None:
    found = of(make_results, *scores, {"form": form})
    assert found.outcome == "neither trains"
    assert [(t.failed, t.total) for t in found.trained] == [(len(scores[0]), len(scores[0]))] * 2


def test_one_arm_that_does_not_train_is_worse(make_results) -> None:
    found = of(make_results, [0.6 + e for e in NOISE], [0.1] * 6)
    assert found.outcome == "supported"
    assert [(t.failed, t.total) for t in found.trained] == [(0, 6), (6, 6)]
    assert found.trained[0].at_most == pytest.approx(1 - 0.05 ** (1 / 6))


def test_a_claim_may_be_that_a_net_guesses(make_results) -> None:
    found = of(make_results, [0.1, 0.101, 0.1], [0.6] * 3, {"form": "equivalent", "value": 0.1, "control": {}})
    assert found.outcome == "supported"


@pytest.mark.parametrize("seeds", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("one_image", [0, 1 / NUM_IMAGES])
def test_thirty_points_in_every_seed_are_decided(make_results, seeds: int, one_image: float) -> None:
    relu = [0.7] * (seeds - 1) + [0.7 + one_image]
    assert of(make_results, relu, [0.4] * seeds).outcome == "supported"


def test_one_image_decides_nothing(make_results) -> None:
    found = of(make_results, [0.7005] * 40, [0.7] * 40, {"smallest_effect": 0.0004})
    assert found.outcome == "inconclusive"


@pytest.mark.parametrize(("seeds", "outcome"), [(2, "inconclusive"), (3, "no difference if trained")])
def test_equivalence_needs_three_seeds(make_results, seeds: int, outcome: str) -> None:
    found = of(make_results, [0.7, 0.7005, 0.7][:seeds], [0.7] * seeds, {"form": "equivalent"})
    assert found.outcome == outcome


def test_no_difference_needs_seeds_that_exclude_failures(make_results) -> None:
    enough = seeds_to_exclude(0.1)
    noise = (NOISE * enough)[:enough]
    equal = [0.6 + e / 10 for e in noise]
    assert of(make_results, equal, [0.6] * enough).outcome == "no difference"
    assert of(make_results, equal[:-1], [0.6] * (enough - 1)).outcome == "no difference if trained"
    # A study declares which share is relevant to it.
    found = of(make_results, equal[:6], [0.6] * 6, failure_share=0.4)
    assert (found.outcome, found.failure_share) == ("no difference", 0.4)


def test_a_wide_margin_holds_with_a_tenth_of_failures(make_results) -> None:
    # A tenth of failing runs costs 0.1 * (0.3 - 0.1) = 0.02.
    equal = [0.3 + e / 10 for e in NOISE]
    assert of(make_results, equal, [0.3] * 6, {"smallest_effect": 0.05}).outcome == "no difference"


def test_a_small_gain_does_not_hold_with_a_tenth_of_failures(make_results) -> None:
    gain = [0.633 + e / 10 for e in NOISE]
    assert of(make_results, gain, [0.6] * 6).outcome == "supported if trained"
    assert of(make_results, [0.6] * 6, gain).outcome == "contradicted if trained"
    assert of(make_results, [0.7 + e / 10 for e in NOISE], [0.6] * 6).outcome == "supported"


def test_up_to_which_share_of_failures_a_difference_holds(make_results) -> None:
    gain = [0.7 + e / 10 for e in NOISE]
    found = of(make_results, gain, [0.6] * 6)
    # Each failing run of the treatment costs what it is above guessing.
    assert found.stands_to == pytest.approx(found.low / (np.mean(gain) - 0.1))
    assert 0.1 < found.stands_to < found.trained[0].at_most
    lost = of(make_results, [0.6] * 6, gain)
    assert lost.stands_to == pytest.approx(found.stands_to)
    assert of(make_results, [0.633 + e / 10 for e in NOISE], [0.6] * 6).stands_to is None


def test_what_is_measured_before_training_cannot_fail(make_results) -> None:
    metric = "initial/saturation/mean"
    found = of(make_results, [0.5 + e / 10 for e in NOISE], [0.5] * 6, metric=metric)
    assert (found.outcome, found.trained, found.failure_share) == ("no difference", [], None)


def test_other_metrics_have_no_known_value_of_a_failed_run(make_results) -> None:
    metric = "dead_units/mean"
    assert of(make_results, [0.5 + e for e in NOISE], [0.1] * 6, metric=metric).outcome == "supported"
    assert (
        of(make_results, [0.1 + e / 10 for e in NOISE], [0.1] * 6, metric=metric).outcome == "no difference if trained"
    )


def test_a_seen_mixture_is_not_judged_by_t_alone(make_results) -> None:
    # Five seeds of 60 % and one that fails: neither t nor the sign flips decide.
    mixed = [0.6 + e / 10 for e in NOISE]
    mixed[2] = 0.1
    found = of(make_results, mixed, [0.6] * 6)
    assert (found.outcome, found.trained[0].failed) == ("inconclusive", 1)
    # Four seeds, one of which fails, and another metric that t alone would decide.
    pairs = [
        {"test/accuracy": a, "dead_units/mean": 0.5 + e} for a, e in zip([0.6, 0.6, 0.1, 0.6], NOISE, strict=False)
    ]
    control = [{"test/accuracy": 0.6, "dead_units/mean": 0.1}] * 4
    found = of(make_results, pairs, control, metric="dead_units/mean")
    assert (found.outcome, found.p) == ("inconclusive", 2 / 2**4)
    assert mean_effect(found.differences).p_value() < 0.01
    assert found.low <= 0 <= found.high


def test_whole_epochs_are_rounded_numbers(make_results) -> None:
    claim = {"form": "ratio", "direction": "smaller", "smallest_effect": 1.5}
    metric = "epochs_to/train/accuracy/0.25"
    for relu, tanh, outcome in (([1] * 6, [3] * 6, "supported"), ([2] * 6, [3] * 6, "inconclusive")):
        found = of(make_results, relu, tanh, claim, metric=metric)
        assert found.outcome == outcome
    one_other = of(make_results, [1] * 6, [3] * 5 + [4], claim, metric=metric)
    assert one_other.outcome == "supported"
    by_difference = of(make_results, [1] * 6, [3] * 6, {"form": "smaller", "smallest_effect": 1.0}, metric=metric)
    # 2 epochs against sqrt(2 / 12), t with 5 degrees.
    assert by_difference.outcome == "supported"
    assert by_difference.low == pytest.approx(-2 - 2.5705818 * (2 / 12) ** 0.5)


def test_a_named_number_is_what_is_tested(make_results) -> None:
    relu = [0.71, 0.74, 0.70, 0.73, 0.69, 0.72]
    claim = {"smallest_effect": 0.1}
    assert of(make_results, relu, [0.6] * 6, claim).outcome == "supported"
    assert of(make_results, relu, [0.6] * 6, {**claim, "at_least": True}).outcome == "inconclusive"
    assert of(make_results, [r + 0.2 for r in relu], [0.6] * 6, {**claim, "at_least": True}).outcome == "supported"
    assert of(make_results, [r - 0.1 for r in relu], [0.6] * 6, {**claim, "at_least": True}).outcome == "contradicted"


def test_seconds_get_no_verdict_and_no_share_of_the_error_level(make_results) -> None:
    claims = {
        "cost": {**CLAIM, "metric": "activation_cost/forward", "value": 1.0, "control": {}, "smallest_effect": 0.5},
        "accuracy": CLAIM,
    }
    definition = {"grids": [{"product": {"activation": ["relu", "tanh"]}}], "seeds": 4, "claims": claims}

    def metrics(axes: dict[str, Any], seed: int, value: Any) -> dict[str, float]:
        better = 0.2 * (axes["activation"] == "relu")
        return {"activation_cost/forward": 3.0 + seed / 10, "test/accuracy": 0.5 + better + seed / 100}

    cost, accuracy = judge(make_results(definition, metrics))
    assert (cost.outcome, cost.p, cost.low, cost.high) == ("measured", None, None, None)
    assert cost.spread == pytest.approx((2.0, 2.3))
    assert (cost.estimate, cost.num_machines) == (pytest.approx(2.15), 1)
    assert accuracy.level == pytest.approx(0.95)


INFERENCE = {"normalization.inference": ["running", "population"]}


@pytest.fixture
def same_nets(make_results, tmp_path) -> Any:
    """A function (number of images answered otherwise, ...) -> judgement of two arms with one training history.

    `axis` has the two values in which the arms differ, by default statistics that batch norm uses at inference.
    """

    def make(
        changed: int,
        seeds: int = 4,
        other_training: bool = False,
        files: bool = True,
        accuracy: float = 0.6,
        axis: dict[str, list[Any]] = INFERENCE,
        target: str = "ablate.layers.normalization.Batch",
        named: bool = False,
        lost: tuple[int, ...] = (),
    ) -> Any:
        ((key, (one, two)),) = axis.items()
        definition = {
            "grids": [{"product": axis}],
            "seeds": seeds,
            "claims": {
                "it": {
                    "text": "",
                    "form": "equivalent",
                    "smallest_effect": 0.01,
                    "treatment": {key: one},
                    "control": {key: two},
                }
            },
        }
        labels = (np.arange(NUM_IMAGES) % 10).astype(np.int16)
        rng = np.random.default_rng(0)
        right = rng.random((seeds, NUM_IMAGES)) < accuracy
        predictions = {one: np.where(right, labels, -labels % 7 + 20)}
        predictions[two] = predictions[one].copy()
        for seed in range(seeds):
            wrong = np.flatnonzero(right[seed])[:changed]
            predictions[two][seed, wrong] = 30

        def metrics(axes: dict[str, Any], seed: int, value: Any) -> float:
            return float((predictions[axes[key]][seed] == labels).mean())

        def change(axes: dict[str, Any], settings: dict[str, Any]) -> None:
            settings.setdefault("normalization", {})["_target_"] = target

        results = make_results(definition, metrics, output_dir=tmp_path, change=change)
        for arm in results.arms:
            for seed, found in arm.records.items():
                shift = 0.1 * (other_training and arm.axes[key] == two)
                found.history.extend({"epoch": e, "train/loss": 2.0 - seed / 10 - e / 7 + shift} for e in (1, 2))
                folder = Path(tmp_path) / arm.chosen.folder / f"seed-{seed}"
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / PREDICTIONS_NAME
                if files:
                    answers = predictions[arm.axes[key]][seed]
                    np.savez(path, predictions=answers, labels=labels, hits=answers == labels)
                    if named:
                        arm.records[seed] = replace(found, predictions=hashlib.sha256(path.read_bytes()).hexdigest())
                    if seed in lost:
                        path.unlink()
        return judge(results)[0]

    return make


def test_images_are_the_replicates_of_nets_that_are_evaluated_anew(same_nets) -> None:
    found = same_nets(0)
    assert (found.outcome, found.num_images, found.estimate) == ("supported", NUM_IMAGES, 0.0)
    found = same_nets(60)
    # 3 % of the images, all to the worse: t over images, as in `accuracy_difference`.
    assert (found.outcome, found.num_images) == ("contradicted", NUM_IMAGES)
    assert (found.low, found.high) == pytest.approx(found.item_interval)
    assert found.further_seeds is None


@pytest.mark.parametrize(
    "axis",
    [
        {"dropout.num_samples": [0, 50]},
        {"normalization.momentum": [0, 1]},
        {"preprocessing.fit": ["train", "test"]},
        {"trainer.test_views": [1, 6]},
    ],
)
def test_settings_that_act_at_inference_alone_leave_the_nets_the_same(same_nets, axis) -> None:
    assert same_nets(0, axis=axis).num_images == NUM_IMAGES


@pytest.mark.parametrize(
    "axis",
    [
        {"optimizer.lr": ["1e-5", "1e-3"]},
        {"schedule.warmup": [0, 1]},
        {"regularizer.l2": [0, 1]},
        {"trainer.epochs": [1, 2]},
        {"activation": ["relu", "tanh"]},
        {"normalization.eps": [1, 2]},
    ],
)
def test_equal_losses_are_not_the_same_nets_where_an_update_may_differ(same_nets, axis) -> None:
    # The loss of the last batch is measured before its update, so that equal losses do not show that update.
    assert same_nets(60, seeds=1, axis=axis).num_images is None


def test_settings_of_the_users_own_class_may_act_in_training(same_nets) -> None:
    assert same_nets(60, seeds=1, target="mine.Renorm").num_images is None


def test_nets_that_guess_are_not_compared_over_images_either(same_nets) -> None:
    assert same_nets(0, accuracy=0.1).outcome == "neither trains"


def test_few_images_that_differ_are_decided_by_exact_flips(same_nets) -> None:
    found = same_nets(1, seeds=1)
    assert (found.outcome, found.p) == ("supported", 1.0)


def test_other_trainings_are_decided_over_seeds(same_nets) -> None:
    assert same_nets(0, files=False).num_images is None
    found = same_nets(0, other_training=True)
    assert (found.num_images, found.outcome) == (None, "no difference if trained")


def test_a_lost_file_does_not_make_seeds_the_replicates_of_the_same_nets(same_nets) -> None:
    found = same_nets(0, named=True, lost=(2,))
    assert (found.outcome, found.num_images) == ("incomplete", None)
    assert "seed-2/predictions.npz is missing; rerun=true for this run makes them again" in found.reason


@pytest.mark.parametrize("accuracy", [0.115, 0.6])
def test_without_its_predictions_a_claim_is_incomplete(same_nets, accuracy) -> None:
    # 0.115 of 2,000 images is guessing; without the labels the rule of three deviations cannot be applied.
    axis = {"activation": ["relu", "tanh"]}
    assert same_nets(0, axis=axis, named=True, accuracy=accuracy).outcome != "incomplete"
    found = same_nets(0, axis=axis, named=True, accuracy=accuracy, lost=(0, 1, 2, 3))
    assert (found.outcome, found.p, found.trained) == ("incomplete", None, [])
    assert found.reason.startswith("which runs trained is not known without the test images' true classes: ")
    assert "seed-0/predictions.npz is missing; rerun=true for this run makes them again" in found.reason


def test_one_readable_file_is_enough_to_know_which_runs_trained(same_nets) -> None:
    found = same_nets(0, axis={"activation": ["relu", "tanh"]}, named=True, lost=(0, 1, 2))
    assert found.outcome == "no difference if trained"
    assert len(found.trained) == 2
