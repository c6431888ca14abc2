import numpy as np
import pytest
import torch

from ablate.lecture.figures import one_sign_gradients as figure

KNOBS = {
    "num_samples": 64,
    "solution": [1.0, -1.0],
    "start": [-0.6, 0.2],
    "num_steps": 20,
    "batch_sizes": [1, 4, 64],
    "num_draws": 4000,
    "seed": 3,
}


@pytest.fixture(scope="module")
def arrays():
    return figure.compute(None, **KNOBS)


def test_inputs_are_positive_or_centred(arrays):
    raw, centred = arrays["inputs"]
    assert (raw >= 0).all()
    assert np.allclose(centred.mean(0), 0, atol=1e-15)
    assert np.allclose(raw - centred, raw.mean(0))


def test_gradients_and_hessian_are_those_of_autograd(arrays):
    solution = torch.tensor(KNOBS["solution"], dtype=torch.float64)
    for inputs, gradients, hessian in zip(arrays["inputs"], arrays["gradients"], arrays["hessians"], strict=True):
        x = torch.from_numpy(inputs)

        def loss(w, x=x):
            return ((x @ (w - solution)) ** 2 / 2).mean()

        start = torch.tensor(KNOBS["start"], dtype=torch.float64)
        assert np.allclose(torch.autograd.functional.hessian(loss, start).numpy(), hessian)
        assert np.allclose(torch.autograd.functional.jacobian(loss, start).numpy(), gradients.mean(0))
        for i in (0, 7):
            one = torch.autograd.functional.jacobian(lambda w, i=i, loss=loss, x=x: loss(w, x[i : i + 1]), start)
            assert np.allclose(one.numpy(), gradients[i])


def test_positive_inputs_give_every_single_sample_a_gradient_of_one_sign(arrays):
    assert (arrays["gradients"][0].prod(1) > 0).all()
    assert arrays["one_sign"][0, 0] == 1
    assert (arrays["gradients"][1].prod(1) > 0).mean() < 1


def test_share_of_one_sign_of_all_samples_is_what_directions_say(arrays):
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 20_000)
    directions = np.stack([np.cos(angle), np.sin(angle)])
    for hessian, share in zip(arrays["hessians"], arrays["one_sign_all"], strict=True):
        counted = ((hessian @ directions).prod(0) > 0).mean()
        assert counted == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / angle.size))
    assert figure.one_sign_share_of_all(np.diag([2.0, 5.0])) == pytest.approx(0.5)


def test_large_batches_have_the_share_of_all_samples(arrays):
    shares = figure.one_sign_share(arrays["inputs"][0], 1024, 2000, seed=1)
    # Five standard errors of 2000 draws, and what is left of the noise of a batch.
    assert shares == pytest.approx(arrays["one_sign_all"][0], abs=5 * np.sqrt(0.1 * 0.9 / 2000))


def test_descent_contracts_along_the_eigenvectors_as_theory_says(arrays):
    solution = arrays["solution"]
    for hessian, path in zip(arrays["hessians"], arrays["descent"], strict=True):
        values, vectors = np.linalg.eigh(hessian)
        along = (path - solution) @ vectors
        rate = (values[1] - values[0]) / values.sum()  # (κ - 1) / (κ + 1)
        assert np.allclose(along[1:], along[:-1] * [rate, -rate], atol=1e-12)


def test_a_step_on_one_sample_never_leads_away(arrays):
    distance = np.linalg.norm(arrays["stochastic"] - arrays["solution"], axis=2)
    assert (np.diff(distance, axis=1) <= 1e-12).all()
    steps = np.diff(arrays["stochastic"][0], axis=0)
    assert (steps.prod(1) >= 0).all()  # raw: each step into the quadrant of two positive components, or its opposite


def test_steps_to():
    path = np.array([[2.0, 0], [1, 0], [0.1, 0]])
    assert figure.steps_to(path, np.zeros(2), 0.5) == 1
    assert figure.steps_to(path, np.zeros(2), 0.01) is None


def test_picture_and_caption(arrays):
    assert len(figure.draw(arrays).axes) == 8
    caption = figure.caption(arrays)
    assert "100 % of the raw" in caption
    assert f"{np.linalg.cond(arrays['hessians'][0]):.2f} raw" in caption


@pytest.mark.parametrize("wrong", [{"num_samples": 2}, {"start": [1.0, -1.0]}, {"batch_sizes": [0]}])
def test_refusals(wrong):
    with pytest.raises(ValueError, match=f"figure.{'num_steps' if 'batch_sizes' in wrong else next(iter(wrong))}"):
        figure.compute(None, **{**KNOBS, **wrong})
