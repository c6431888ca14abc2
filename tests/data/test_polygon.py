import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from ablate.cli import planning
from ablate.cli.jobs import observers
from ablate.data.dataset import Dataset
from ablate.data.polygon import CLASS_NAMES, Polygon, corners, inside
from ablate.training.start import start

DEFAULTS: dict[str, Any] = {
    "num_train": 5000,
    "num_test": 2000,
    "seed": 0,
    "num_edges": 5,
    "radius": 0.92,
    "val_size": 1000,
}
# One hidden layer with a unit an edge, and one more.
SMALL = "data=polygon net=mlp net.num_hidden=1 net.hidden_width=6 normalization=none augmentation=none regularizer=none"


def polygon(**changes: Any) -> Polygon:
    return Polygon(**(DEFAULTS | changes))


@pytest.fixture(scope="module")
def made() -> Dataset:
    return polygon().load()


def places(images: Tensor) -> Tensor:
    """The coordinates (N, 2) of the points in [-1, 1]^2."""
    return images.flatten(1).double() / 65535 * 2 - 1


@pytest.mark.parametrize("num_edges", [3, 5, 8])
def test_the_polygon_is_where_its_corners_are(num_edges: int) -> None:
    corner = corners(num_edges)
    torch.testing.assert_close(corner[0], torch.tensor([0.0, 1.0], dtype=torch.float64))
    middles = (corner + corner.roll(-1, 0)) / 2
    for points in (corner, middles):
        assert inside(0.999 * points, num_edges).all()
        assert not inside(1.001 * points, num_edges).any()


def test_shape_of_the_data_set(made: Dataset) -> None:
    assert (made.num_classes, made.image_shape, made.bits) == (2, (2, 1, 1), 16)
    assert made.class_names == CLASS_NAMES
    assert (len(made.train), len(made.val), len(made.test)) == (4000, 1000, 2000)
    assert made.train.images.dtype == torch.int32
    # Uniform: a mean of n coordinates has the standard error 1 / sqrt(3 n), a mean square sqrt(4 / 45 / n).
    points = places(made.train.images)
    assert (points.abs() <= 1).all()
    assert points.mean(0).abs().max() < 4 / math.sqrt(3 * 4000)
    assert (points.square().mean(0) - 1 / 3).abs().max() < 4 * math.sqrt(4 / 45 / 4000)


@pytest.mark.parametrize(("num_edges", "radius"), [(3, 1.0), (5, 0.92), (8, 0.5)])
def test_class_1_lies_left_of_every_edge(num_edges: int, radius: float) -> None:
    """Counterclockwise from corner to corner, the inside of a convex polygon is on the left."""
    data = polygon(num_edges=num_edges, radius=radius).load()
    corner = radius * 1j * np.exp(2j * np.pi * np.arange(num_edges) / num_edges)
    point = places(data.train.images).numpy() @ [1, 1j]
    to_next = np.roll(corner, -1) - corner
    is_left = np.imag(np.conj(to_next) * (point[:, None] - corner)) > 0
    np.testing.assert_array_equal(data.train.labels.numpy(), is_left.all(1))
    share = num_edges * math.sin(2 * math.pi / num_edges) * radius**2 / 8
    error = math.sqrt(share * (1 - share) / 5000)
    labels = torch.cat([data.train.labels, data.val.labels])
    assert labels.double().mean().item() == pytest.approx(share, abs=4 * error)


def test_by_default_the_classes_are_about_even_in_every_part(made: Dataset) -> None:
    shares = [split.labels.double().mean().item() for split in (made.train, made.val)]
    assert shares == pytest.approx([0.5, 0.5], abs=0.03)
    assert shares[0] == pytest.approx(shares[1], abs=1 / 1000)


def test_one_unit_an_edge_tells_the_classes(made: Dataset) -> None:
    corner = corners(5)
    normals = torch.nn.functional.normalize(corner + corner.roll(-1, 0), dim=1)
    units = (places(made.test.images) / 0.92 @ normals.T - math.cos(math.pi / 5)).relu()
    logit = 1 - 1e6 * units.sum(1)
    assert ((logit > 0) == made.test.labels).double().mean() > 0.999


def test_points_depend_on_the_seed_and_not_on_their_number(made: Dataset) -> None:
    many = polygon()._make(0, 700)
    for few, part in zip(polygon()._make(0, 60), many, strict=True):
        np.testing.assert_array_equal(few, part[:60])
    assert (polygon()._make(1, 700)[0] != many[0]).mean() > 0.9
    assert (polygon(seed=1)._make(0, 700)[0] != many[0]).mean() > 0.9
    again = polygon().load()
    assert torch.equal(again.train.images, made.train.images)
    assert torch.equal(again.test.labels, made.test.labels)


def test_fingerprint_is_of_the_points_and_not_of_the_split() -> None:
    one = polygon().fingerprint()
    for name, value in {"val_size": 99, "train_size": 10, "test_size": 20, "split_seed": 4}.items():
        assert polygon(**{name: value}).fingerprint() == one
    others = {"num_train": 6000, "num_test": 800, "seed": 1, "num_edges": 6, "radius": 0.9}
    assert len({polygon(**{name: value}).fingerprint() for name, value in others.items()} | {one}) == len(others) + 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_train": 1}, "`data.num_train` must be at least 2, got 1"),
        ({"seed": -1}, "`data.seed` must be at least 0, got -1"),
        ({"num_edges": 2}, "`data.num_edges` must be at least 3, got 2"),
        ({"radius": 0}, r"`data.radius` must lie in \(0, 1\], got 0"),
        ({"radius": 1.1}, r"`data.radius` must lie in \(0, 1\], got 1.1"),
        ({"bits": 8}, "`data.bits` must be 16 for polygon, got 8"),
    ],
)
def test_bad_values_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        polygon(**changes)


@pytest.mark.parametrize(
    ("levels", "least", "most"),
    [
        ("activation=relu", 0.9, 1),
        ("activation=tanh", 0.9, 1),
        ("initializer=constant", 0.4, 0.75),  # its units stay equal: no more than one edge
    ],
)
def test_a_small_net_trains_and_all_that_is_on_by_default_works(
    compose: Any, tmp_path: Path, levels: str, least: float, most: float
) -> None:
    settings = f"{SMALL} {levels} trainer.threads=1 device=cpu output_dir={tmp_path}"
    plan = planning.plan(*compose(settings.split()))
    record, _ = start(planning.make_run(plan), plan.folder, observers(plan))
    assert record.status == "finished"
    accuracy = record.metrics["test/accuracy"]
    assert accuracy is not None
    assert least < accuracy < most
    for name in ("gradient_norm/fc1", "update_ratio/mean", "pre_activation/std", "dead_units/mean", "saturation/mean"):
        assert record.metrics[name] is not None
        assert name.startswith("update_ratio") or record.metrics[f"initial/{name}"] is not None
    events = EventAccumulator(str(plan.folder))
    events.Reload()
    tags = events.Tags()
    assert {"test/accuracy", "weight_norm/fc1"} <= set(tags["scalars"])
    assert tags["images"] == []  # there is nothing to be seen in images of one pixel


@pytest.mark.parametrize(
    ("level", "words"),
    [
        ("net=micro", "pool1 would shrink its 1x1 input"),
        ("augmentation=crop_flip", "`augmentation.padding` must be below the image size 1x1"),
    ],
)
def test_what_needs_an_image_is_refused(compose: Any, tmp_path: Path, level: str, words: str) -> None:
    settings = [*SMALL.split(), "trainer.threads=1", "device=cpu", f"output_dir={tmp_path}"]
    if level.startswith("net"):
        settings = [word for word in settings if not word.startswith("net")]
    group = level.partition("=")[0]
    plan = planning.plan(*compose([word for word in settings if not word.startswith(f"{group}=")] + [level]))
    with pytest.raises(ValueError, match=words):
        start(planning.make_run(plan), plan.folder)
