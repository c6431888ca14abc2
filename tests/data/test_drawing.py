import numpy as np
import pytest

from ablate.data.drawing import FIGURES, TEXTURES, coverage, pink_noise


def grid(side: int, half: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Coordinates of the centres of side x side pixels in [-half, half]^2, and the side of a pixel."""
    pixel = 2 * half / side
    centers = (np.arange(side) + 0.5) * pixel - half
    x, y = np.meshgrid(centers, centers)
    return x, y, pixel


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.__name__)
def test_every_figure_has_the_area_2(figure):
    x, y, pixel = grid(600, 1.5)
    assert coverage(figure(x, y), pixel).mean() * 9 == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize("pattern", [*FIGURES, *TEXTURES], ids=lambda pattern: pattern.__name__)
def test_a_distance_grows_by_the_way_at_most(pattern):
    """Where it grows faster, the edge would be drawn too sharply; textures are exact to first order at edges only."""
    x, y, _ = grid(400, 1)
    step = 1e-4
    at_edge = (np.abs(pattern(x, y)) < 0.01) & (np.hypot(x, y) > 0.1)
    slope = np.hypot(
        (pattern(x + step, y) - pattern(x - step, y)) / (2 * step),
        (pattern(x, y + step) - pattern(x, y - step)) / (2 * step),
    )[at_edge]
    assert np.median(slope) == pytest.approx(1, abs=0.02)
    assert slope.max() < 1.1


def test_coverage_is_linear_across_a_pixel():
    assert coverage(np.array([-1.0, -0.25, 0.0, 0.25, 1.0]), 1.0).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert coverage(np.array([0.25, 0.25]), np.array([1.0, 0.5])).tolist() == [0.75, 1]


def test_the_amplitude_of_the_noise_falls_as_1_over_frequency():
    noise = pink_noise(200, 3, 32, np.random.default_rng(0))
    assert np.abs(noise.mean((2, 3))).max() < 1e-5
    assert noise.std((2, 3)) == pytest.approx(1, abs=1e-5)
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean((0, 1))
    # Along one axis: half the amplitude, a quarter of the power at twice the frequency.
    assert power[0, 2] / power[0, 4] == pytest.approx(4, rel=0.3)
    assert power[2, 0] / power[8, 0] == pytest.approx(16, rel=0.3)
