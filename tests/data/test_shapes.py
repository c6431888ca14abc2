import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ablate.data.dataset import Dataset
from ablate.data.drawing import FIGURES, TEXTURES, coverage, pink_noise
from ablate.data.shapes import CLASS_NAMES, Shapes

DEFAULTS: dict[str, Any] = {
    "num_train": 700,
    "num_test": 600,
    "seed": 0,
    "contrast": 0.4,
    "noise": 0.045,
    "min_radius": 0.5,
    "max_radius": 0.8,
    "window_center": 0.3,
    "window_width": 0.0625,
    "val_size": 50,
}


def shapes(cache_dir: Path, **changes: Any) -> Shapes:
    return Shapes(**(DEFAULTS | {"cache_dir": str(cache_dir)} | changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return shapes(tmp_path_factory.mktemp("shapes")).load()


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return shapes(tmp_path_factory.mktemp("wide"), bits=16).load()


def test_shape_of_the_data_set(made: Dataset) -> None:
    assert (made.num_classes, made.image_shape, made.bits) == (10, (3, 32, 32), 8)
    assert made.class_names == CLASS_NAMES
    assert made.train.images.dtype == torch.uint8
    assert made.train.labels.bincount().tolist() == [65] * 10
    assert (len(made.train), len(made.val), len(made.test)) == (650, 50, 600)


def test_made_twice_they_are_equal_bit_for_bit(made: Dataset, tmp_path: Path) -> None:
    again = shapes(tmp_path).load()
    assert torch.equal(again.train.images, made.train.images)
    assert torch.equal(again.test.images, made.test.images)


def test_another_seed_makes_others(made: Dataset, tmp_path: Path) -> None:
    other = shapes(tmp_path, seed=1).load()
    assert (other.test.images != made.test.images).float().mean() > 0.9


def test_training_and_test_images_differ(made: Dataset) -> None:
    train = {image.numpy().tobytes() for image in made.train.images}
    assert not any(image.numpy().tobytes() in train for image in made.test.images)
    assert len(train) == 650


def test_first_images_do_not_depend_on_the_number(tmp_path: Path) -> None:
    few, many = shapes(tmp_path, num_train=60)._make(), shapes(tmp_path, num_train=700)._make()
    np.testing.assert_array_equal(few["train_images"], many["train_images"][:60])
    np.testing.assert_array_equal(few["train_labels"], many["train_labels"][:60])


def test_fingerprint_is_of_the_images_and_not_of_the_split(tmp_path: Path) -> None:
    one = shapes(tmp_path).fingerprint()
    assert shapes(tmp_path / "other").fingerprint() == one
    same = {"val_size": 99, "train_size": 10, "test_size": 20, "split_seed": 4, "window_center": 0.5}
    for name, value in same.items():
        assert shapes(tmp_path, **{name: value}).fingerprint() == one
    others = {"num_train": 800, "num_test": 800, "seed": 1, "contrast": 0.5, "noise": 0.1, "min_radius": 0.4, "bits": 9}
    others |= {"min_contrast": 0.05}
    prints = {shapes(tmp_path, **{name: value}).fingerprint() for name, value in others.items()}
    assert len(prints | {one}) == len(others) + 1
    assert shapes(tmp_path, bits=9).fingerprint() != shapes(tmp_path, bits=9, window_center=0.5).fingerprint()


@pytest.mark.parametrize(
    ("bits", "fingerprint", "digest"),
    [
        (8, "9987f96e3ace3cd2", "630b0f4ba07703ba"),
        (16, "ff22c0ab86f81368", "39af4301aeac0f02"),
    ],
)
def test_images_are_those_of_version_1(tmp_path: Path, bits: int, fingerprint: str, digest: str) -> None:
    """Of a hash of every eighth row and column, in 8 bits: another processor may round single pixels otherwise."""
    data = shapes(tmp_path, bits=bits)
    assert data.fingerprint().startswith(fingerprint)
    arrays = data._make()
    sample = (arrays["train_images"][:20, 4::8, 4::8] >> (bits - 8)).astype(np.uint8)
    labels = arrays["train_labels"].astype(np.uint8)
    assert hashlib.sha256(sample.tobytes() + labels.tobytes()).hexdigest().startswith(digest)


def test_range_is_used_and_hardly_clipped(made: Dataset) -> None:
    images = made.train.images
    assert ((images == 0) | (images == 255)).float().mean() < 0.005
    assert images.float().std() > 20


def test_no_class_is_told_by_its_mean_colour(made: Dataset) -> None:
    """Mean colours of a class differ from those of all by less than 5 standard errors."""
    colours = made.train.images.double().mean((2, 3))
    spread = colours.std(0)
    for label in range(10):
        members = colours[made.train.labels == label]
        assert ((members.mean(0) - colours.mean(0)).abs() < 5 * spread / len(members) ** 0.5).all()


def test_figures_have_one_colour_and_textures_two_opposite_ones(tmp_path: Path) -> None:
    """Without noise, an image is its background plus a multiple, in [-1, 1] or [0, 1], of one direction of colour."""
    data = shapes(tmp_path, noise=0, contrast=0.3).load()
    images = data.train.images.double().flatten(2) / 255
    deviations = images - images.median(2, keepdim=True).values
    lengths, places = deviations.norm(dim=1).max(1)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 0.3), atol=0.01, rtol=0)
    directions = deviations.gather(2, places[:, None, None].expand(-1, 3, 1)) / lengths[:, None, None]
    amounts = (deviations * directions).sum(1) / 0.3
    torch.testing.assert_close(deviations, 0.3 * amounts[:, None] * directions, atol=0.01, rtol=0)
    is_figure = data.train.labels < len(FIGURES)
    assert amounts[is_figure].min() > -0.05
    assert amounts[~is_figure].min(1).values.max() < -0.8
    # No more than a part of a figure lies outside: its area in pixels is that of its radius, or somewhat less.
    area = amounts[is_figure].sum(1) / 16**2
    assert (area < 2 * 0.8**2 * 1.02).all()
    assert (area > 2 * 0.5**2 * 0.5).all()


def ridge_accuracy(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], penalty: float = 1e4) -> float:
    """Test accuracy of a linear classifier on standardized pixels, in the dual: (n, n) instead of (D, D)."""
    mean, std = train[0].double().mean(), train[0].double().std()
    x, z = ((images.double() - mean).flatten(1) / std for images in (train[0], test[0]))
    targets = torch.nn.functional.one_hot(train[1], 10).double() - 0.1
    weights = torch.linalg.solve(x @ x.T + penalty * torch.eye(len(x)).double(), targets)
    return (z @ x.T @ weights).argmax(1).eq(test[1]).double().mean().item()


def test_linear_classifier_on_pixels_is_near_chance(made: Dataset) -> None:
    accuracy = ridge_accuracy((made.train.images, made.train.labels), (made.test.images, made.test.labels))
    assert accuracy < 0.25
    # The same classifier does learn what is linear in the pixels: which quarter of the colours' mean an image is in.
    mean = made.train.images.double().mean((1, 2, 3))
    halves = (mean > mean.median()).long()
    assert ridge_accuracy((made.train.images, halves), (made.train.images, halves), penalty=1.0) > 0.95


def test_wide_images_hide_their_class_in_a_narrow_window(wide: Dataset, made: Dataset) -> None:
    assert wide.train.images.dtype == torch.int32
    fractions = wide.train.images.double() / 65535
    inside = (fractions - 0.3).abs() <= 0.0625 / 2
    assert 0.6 < inside.double().mean() < 0.95
    assert fractions[~inside].std() > 0.2
    assert fractions[inside].std() < 0.02
    assert (fractions > 0.6).any(dim=(1, 2, 3)).double().mean() > 0.5
    assert (fractions < 0.15).any(dim=(1, 2, 3)).double().mean() > 0.5
    # Within the window lie the images of 8 bits: no generator is drawn from for the disks before them.
    window = ((fractions - 0.3) / 0.0625 + 0.5) * 255
    close = (window - made.train.images).abs() <= 0.6
    assert (close == inside).double().mean() > 0.95


def test_the_class_is_the_contrast_of_a_disk(tmp_path: Path) -> None:
    """Without noise, an image is mid-grey plus coverage times a vector whose length is geometric in the class."""
    data = shapes(tmp_path, min_contrast=0.05, noise=0).load()
    deviations = data.train.images.double().flatten(2) / 255 - 0.5
    lengths, places = deviations.norm(dim=1).max(1)
    expected = 0.05 * 8 ** (data.train.labels.double() / 9)
    torch.testing.assert_close(lengths, expected, atol=0.5 * 3**0.5 / 255, rtol=0)
    directions = deviations.gather(2, places[:, None, None].expand(-1, 3, 1)) / lengths[:, None, None]
    amounts = (deviations * directions).sum(1) / expected[:, None]
    strong = data.train.labels >= 5
    area = amounts[strong].sum(1) / 16**2
    assert (area < 2 * 0.8**2 * 1.05).all()  # of a disk of radius 0.8 at most, part of which may lie outside
    assert (area > 2 * 0.5**2 * 0.5).all()
    assert data.class_names[0] == "contrast 0.050"
    assert data.class_names[9] == "contrast 0.400"


def test_all_deviations_are_in_proportion_to_the_contrast(tmp_path: Path) -> None:
    """So a normalization of each image by itself leaves nothing that depends on the class but the rounding."""
    one = shapes(tmp_path, min_contrast=0.1, contrast=0.3, noise=0.1).load()
    half = shapes(tmp_path, min_contrast=0.05, contrast=0.15, noise=0.1).load()
    assert torch.equal(one.train.labels, half.train.labels)
    difference = (one.train.images - 127.5) - 2 * (half.train.images - 127.5)
    assert difference.abs().max() <= 1.5 + 1e-3


def test_contrasts_can_be_told_but_not_by_a_linear_classifier(tmp_path: Path) -> None:
    data = shapes(tmp_path, min_contrast=0.05, noise=0.1).load()
    accuracy = ridge_accuracy((data.train.images, data.train.labels), (data.test.images, data.test.labels))
    assert accuracy < 0.25
    # The length of the mean deviation within half a figure's radius of where it is largest is the contrast.
    deviations = data.test.images.double() / 255 - 0.5
    smooth = torch.nn.functional.avg_pool2d(deviations, 7, stride=1)
    lengths = smooth.norm(dim=1).flatten(1).max(1).values
    predicted = (9 * (lengths / 0.05).log() / math.log(8)).round().clamp(0, 9)
    assert (predicted == data.test.labels).double().mean() > 0.8


def test_figures_have_equal_area_and_fit_their_frame() -> None:
    axis = ((np.arange(2000) + 0.5) / 1000 - 1) * 1.5
    x, y = np.meshgrid(axis, axis)
    for figure in FIGURES:
        inside = figure(x, y) > 0
        assert inside.mean() * 9 == pytest.approx(2, abs=0.01), figure.__name__
        assert np.hypot(x[inside], y[inside]).max() < 1.4


@pytest.mark.parametrize("pattern", [*FIGURES, *TEXTURES], ids=lambda pattern: pattern.__name__)
def test_distances_have_slope_1_at_edges(pattern: Any) -> None:
    """|grad d| = 1 where d = 0, away from corners: the median over the edge pixels of a fine grid."""
    axis = (np.arange(1200) + 0.5) / 600 - 1
    x, y = np.meshgrid(axis, axis)
    distance = pattern(x, y)
    slope = np.hypot(*np.gradient(distance, axis, axis))
    edge = np.abs(distance) < 0.005
    assert edge.sum() > 1000
    assert np.median(slope[edge]) == pytest.approx(1, abs=0.02)


def test_coverage_is_that_of_a_half_plane() -> None:
    distance = np.array([-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0])
    np.testing.assert_allclose(coverage(distance, 1.0), [0, 0, 0.25, 0.5, 0.75, 1, 1])


def test_pink_noise_has_unit_variance_and_falls_with_frequency() -> None:
    noise = pink_noise(400, 2, 32, np.random.default_rng(0))
    np.testing.assert_allclose(noise.mean((2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(noise.std((2, 3)), 1, atol=1e-5)
    power = (np.abs(np.fft.rfft2(noise.astype(np.float64))) ** 2).mean((0, 1))
    # Power falls as 1 / f**2: two octaves apart it differs by a factor of 16.
    for low, high in [((0, 2), (0, 8)), ((3, 0), (12, 0))]:
        assert power[low] / power[high] == pytest.approx(16, rel=0.2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_train": 9}, "`data.num_train` must be at least 10, got 9"),
        ({"seed": -1}, "`data.seed` must be at least 0, got -1"),
        ({"contrast": 0}, "`data.contrast` must be above 0, got 0"),
        ({"noise": -0.1}, "`data.noise` must be at least 0, got -0.1"),
        ({"min_radius": 0.9}, r"in \(0, 1\], in this order, got 0.9 and 0.8"),
        ({"window_center": 0.99}, r"within \[0, 1\], got \[0.95875, 1.02125\]"),
        ({"bits": 7}, r"\[8, 16\] for shapes, got 7"),
        ({"min_contrast": 0}, "`data.min_contrast` must be above 0 and below `data.contrast`, got 0 for 0.4"),
        ({"min_contrast": 0.4}, "`data.min_contrast` must be above 0 and below `data.contrast`, got 0.4 for 0.4"),
    ],
)
def test_bad_values_are_refused(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=words):
        shapes(tmp_path, **changes)
