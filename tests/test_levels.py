"""Every level of every group, two by two: each pair of levels of any two groups trains a few steps in some row, unless
it is one of the pairs that are declared to make no sense."""

import math
from collections import OrderedDict
from itertools import combinations, product

import numpy as np
import pytest
from allpairspy import AllPairs
from PIL import Image

from ablate.cli import planning
from ablate.config import catalog
from ablate.errors import UserError
from ablate.training.start import start

# Nets that others wrote, and what is left in them: see tests/nets/test_library.py and tests/cli/test_any_net.py.
OF_OTHERS = {"native", "module", "torchvision", "timm"}
GROUPS = OrderedDict(
    (group, [level for level in catalog.levels(catalog.folders(), group) if level not in OF_OTHERS])
    for group in catalog.default_levels()
    if group not in ("data", "trainer")
)
ROWS = [row._asdict() if hasattr(row, "_asdict") else dict(zip(GROUPS, row, strict=True)) for row in AllPairs(GROUPS)]

DEEP_POOLING = ("myrtle", "speedrun")  # nets that need images of 32 x 32, and have no hidden layer
NO_HIDDEN = (*DEEP_POOLING, "resnet")

# What makes no sense together, and the words by which it is refused.
REFUSED = {
    frozenset({("initializer", "dirac"), ("net", "mlp")}): "dirac",
    frozenset({("initializer", "lsuv"), ("normalization", "weight_standardization")}): "(?i)lsuv.*weight",
    frozenset({("normalization", "instance"), ("net", "mlp")}): "Instance acts on the maps",
    frozenset({("dropout", "spatial"), ("net", "mlp")}): "finds no place",
    frozenset({("dropout", "everywhere"), ("net", "mlp")}): "finds no place",
    **{
        frozenset({("dropout", dropout), ("net", net)}): "finds no place"
        for dropout in ("hidden", "hidden_fifth", "lecture", "everywhere", "alpha", "monte_carlo")
        for net in NO_HIDDEN
    },
    **{
        frozenset({("net", "resnet"), pair}): "finds no place in net=resnet"
        for pair in (
            ("activation", "maxout"),
            ("activation", "maxout_equal_parameters"),
            ("normalization", "weight_standardization"),
        )
    },
    frozenset({("net", "myrtle"), ("preprocessing", "patch_whiten")}): "pool4 would shrink",
    # Fitting these two in D dimensions costs D^3: their rows have 8 x 8 images, too small for nets that pool so often.
    **{
        frozenset({("net", net), ("preprocessing", step)}): "would shrink|positions"
        for net in DEEP_POOLING
        for step in ("whiten", "decorrelate")
    },
}


@pytest.fixture(scope="session")
def small_images(tmp_path_factory):
    """A function (side) -> a folder of square colour images of that side in 3 classes."""
    root = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for size, (split, num), name in product((8, 16), (("train", 20), ("test", 6)), "abc"):
        folder = root / str(size) / split / name
        folder.mkdir(parents=True)
        for i in range(num):
            Image.fromarray(rng.integers(0, 256, (size, size, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return lambda size: root / str(size)


def test_every_pair_of_levels_is_in_some_row():
    for (group, levels), (other, other_levels) in combinations(GROUPS.items(), 2):
        assert {(row[group], row[other]) for row in ROWS} == {(a, b) for a in levels for b in other_levels}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(row.values()))
def test_pairs_of_levels_train_or_are_refused(row, compose, device, tmp_path, small_images):
    whole = row["preprocessing"] in ("whiten", "decorrelate")
    data = ["data=image_folder", f"data.root={small_images(8 if whole else 16)}", "data.val_size=15"]
    if row["net"] in DEEP_POOLING and not whole:
        data = ["data=shapes", "data.num_train=60", "data.num_test=20", "data.val_size=20"]
    if row["preprocessing"] == "whiten":
        data.append("preprocessing.steps.whiten.allow_rank_deficient=true")
    if row["dropout"] == "monte_carlo":
        data.append("dropout.num_samples=2")
    overrides = [f"{group}={level}" for group, level in row.items()]
    settings = [
        "trainer.epochs=1",
        "trainer.batch_size=16",
        "trainer.threads=1",
        "tensorboard.enabled=false",
        f"device={device}",
    ]
    cfg, choices = compose([*overrides, *data, *settings, f"data.cache_dir={tmp_path}", f"output_dir={tmp_path}"])
    expected = [words for pair, words in REFUSED.items() if pair <= set(row.items())]
    plan = planning.plan(cfg, choices)
    if expected:
        with pytest.raises(ValueError, match="|".join(expected)):
            start(planning.make_run(plan), plan.folder)
        assert not plan.folder.exists()
        return
    try:
        record, _ = start(planning.make_run(plan), plan.folder)
    except UserError as error:
        pytest.fail(f"{error}\nif two of these levels make no sense together, add the pair to REFUSED in {__file__}")
    assert record.levels == {**record.levels, **row}
    assert record.environment["device"] == device
    assert 0 <= record.metrics["test/accuracy"] <= 1
    if record.status == "finished":
        assert math.isfinite(record.metrics["train/loss"])
    else:
        assert record.status == "diverged"
        assert record.metrics["test/loss"] is None
