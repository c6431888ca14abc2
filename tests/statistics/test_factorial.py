"""Contrasts of factorial designs against hand-computed numbers and least squares."""

import numpy as np
import pytest

from ablate.statistics import difference, factorial_contrasts

TWO_BY_TWO = {"normalization": ["none", "batch"], "initializer": ["normal", "he_normal"]}


def test_two_by_two_by_hand() -> None:
    # Rows: none, batch; columns: normal, he_normal.
    scores = np.array([[[10.0, 30.0], [60.0, 64.0]], [[20.0, 30.0], [60.0, 66.0]]])
    norm, init, both = factorial_contrasts(scores, TWO_BY_TWO)
    np.testing.assert_allclose(norm.differences, [62 - 20, 63 - 25])
    np.testing.assert_allclose(init.differences, [47 - 35, 48 - 40])
    np.testing.assert_allclose(both.differences, [(64 - 30) - (60 - 10), (66 - 30) - (60 - 20)])
    assert norm.name == "normalization: none -> batch"
    assert both.name == "normalization: none -> batch x initializer: normal -> he_normal"
    assert both.effect == difference([-16.0, -4.0], [0.0, 0.0])


def test_two_to_the_k_agrees_with_least_squares() -> None:
    scores = np.random.default_rng(0).normal(size=(5, 2, 2, 2))
    factors = {name: ["off", "on"] for name in "abc"}
    contrasts = factorial_contrasts(scores, factors, max_order=3)
    assert len(contrasts) == 7
    codes = np.stack(np.meshgrid(*[[-0.5, 0.5]] * 3, indexing="ij")).reshape(3, 8)
    columns = [np.prod([codes["abc".index(change.factor)] for change in c.changes], axis=0) for c in contrasts]
    coefficients = np.linalg.lstsq(np.stack([np.ones(8), *columns], axis=1), scores.reshape(5, 8).T, rcond=None)[0]
    np.testing.assert_allclose([c.differences for c in contrasts], coefficients[1:], atol=1e-12)


def test_three_levels_against_the_reference() -> None:
    scores = np.random.default_rng(1).normal(size=(4, 3, 2))
    factors = {"activation": ["relu", "tanh", "elu"], "normalization": ["none", "batch"]}
    contrasts = {c.name: c.differences for c in factorial_contrasts(scores, factors)}
    assert len(contrasts) == 2 + 1 + 2
    np.testing.assert_allclose(
        contrasts["activation: relu -> elu"], scores[:, 2].mean(axis=1) - scores[:, 0].mean(axis=1)
    )
    np.testing.assert_allclose(
        contrasts["activation: relu -> tanh x normalization: none -> batch"],
        (scores[:, 1, 1] - scores[:, 0, 1]) - (scores[:, 1, 0] - scores[:, 0, 0]),
    )


def test_additive_scores_have_no_interaction_and_seeds_cancel() -> None:
    rng = np.random.default_rng(2)
    scores = rng.normal(size=(6, 1, 1)) + rng.normal(size=(1, 3, 1)) + rng.normal(size=(1, 1, 2))
    contrasts = factorial_contrasts(scores, {"a": ["0", "1", "2"], "b": ["0", "1"]})
    for contrast in contrasts:
        assert np.ptp(contrast.differences) < 1e-12
        if len(contrast.changes) == 2:
            np.testing.assert_allclose(contrast.differences, 0, atol=1e-12)


def test_one_factor_is_a_difference_and_orders_stop() -> None:
    scores = np.random.default_rng(3).normal(size=(5, 2))
    (contrast,) = factorial_contrasts(scores, {"a": ["0", "1"]})
    assert contrast.effect == difference(scores[:, 1], scores[:, 0])
    assert len(factorial_contrasts(np.zeros((5, 2, 2)), TWO_BY_TWO, max_order=1)) == 2


def test_a_missing_run_makes_its_seed_missing() -> None:
    scores = np.zeros((3, 2, 2))
    scores[1, 0, 0] = np.nan
    assert not any(c.effect.is_complete for c in factorial_contrasts(scores, TWO_BY_TWO))


def test_refuses_designs_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"shape \(num_seeds, 2, 2\), got \(3, 2, 3\)"):
        factorial_contrasts(np.zeros((3, 2, 3)), TWO_BY_TWO)
    for levels in (["x"], ["x", "x"]):
        with pytest.raises(ValueError, match="factor 'a' must have at least 2 different levels"):
            factorial_contrasts(np.zeros((3, len(levels))), {"a": levels})
    with pytest.raises(ValueError, match="`max_order` must be at least 1, got 0"):
        factorial_contrasts(np.zeros((3, 2, 2)), TWO_BY_TWO, max_order=0)
