import numpy as np
import pytest
import torch

from ablate.data.dataset import Dataset, Source, split_source, stratified_order

NAMES = ("a", "b", "c")


def make_source(counts: tuple[int, ...] = (30, 30, 30), dtype: type = np.uint8) -> Source:
    """Every image is its own number, so that a split can be traced back."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.broadcast_to(np.arange(len(labels)).astype(dtype)[:, None, None, None], (len(labels), 2, 2, 3))
    return Source(train_images=images, train_labels=labels, test_images=images, test_labels=labels)


def split(source: Source | None = None, **changes: int | None) -> Dataset:
    sizes: dict[str, int | None] = {"train_size": None, "val_size": 9, "test_size": None, "split_seed": 0}
    return split_source(source or make_source(), class_names=NAMES, bits=8, **(sizes | changes))  # type: ignore[arg-type]


def numbers(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()


def test_every_prefix_is_as_even_as_its_length_allows() -> None:
    labels = np.repeat(np.arange(3), 30)
    order = stratified_order(labels, np.random.default_rng(0))
    assert sorted(order) == list(range(90))
    for length in range(1, 91):
        counts = np.bincount(labels[order[:length]], minlength=3)
        assert counts.max() - counts.min() <= (length % 3 != 0)


@pytest.mark.parametrize("counts", [(50, 30, 10), (7, 11, 13), (97, 2, 1)])
def test_prefixes_follow_websters_rule_where_classes_are_uneven(counts: tuple[int, ...]) -> None:
    """Oracle: one place after the other goes to the class with the largest n / (2 * places + 1)."""
    labels = np.repeat(np.arange(3), counts)
    order = stratified_order(labels, np.random.default_rng(1))
    places = np.zeros(3, int)
    for index in order:
        quotients = np.array(counts) / (2 * places + 1)
        assert quotients[labels[index]] == pytest.approx(quotients.max())
        places[labels[index]] += 1


def test_order_is_not_that_of_the_labels() -> None:
    labels = np.repeat(np.arange(10), 100)
    firsts = labels[stratified_order(labels, np.random.default_rng(0))].reshape(100, 10)
    assert len({tuple(row) for row in firsts}) > 90


def test_split_is_disjoint_complete_and_stratified() -> None:
    data = split()
    assert sorted(numbers(data.train.images) + numbers(data.val.images)) == list(range(90))
    assert data.val.labels.bincount().tolist() == [3, 3, 3]
    assert data.train.labels.bincount().tolist() == [27, 27, 27]
    for part in (data.train, data.val, data.test):
        assert [n // 30 for n in numbers(part.images)] == part.labels.tolist()


def test_smaller_sets_are_the_start_of_larger_ones() -> None:
    large = split(val_size=10)
    for size in (3, 4, 17, 60):
        small = split(train_size=size, test_size=size, val_size=10)
        assert numbers(small.train.images) == numbers(large.train.images)[:size]
        assert numbers(small.test.images) == numbers(large.test.images)[:size]
        assert numbers(small.val.images) == numbers(large.val.images)


def test_seed_alone_decides() -> None:
    assert numbers(split().train.images) == numbers(split().train.images)
    assert numbers(split().train.images) != numbers(split(split_seed=1).train.images)


def test_properties_and_memory_format() -> None:
    data = split()
    assert (data.num_classes, data.image_shape, len(data.val)) == (3, (3, 2, 2), 9)
    assert data.train.images.dtype == torch.uint8
    assert data.train.labels.dtype == torch.int64
    assert data.train.images.permute(0, 2, 3, 1).is_contiguous()


def test_wide_images_become_int32() -> None:
    source = make_source(dtype=np.uint16)
    assert split(source).train.images.dtype == torch.int32


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ({"train_size": 82}, "`data.train_size` .* left after `data.val_size=9` \\(81\\), got 82"),
        ({"train_size": 2}, "number of classes \\(3\\) .* got 2"),
        ({"val_size": 91}, "`data.val_size` .* \\(90\\), got 91"),
        ({"val_size": 90}, "`data.train_size` .* \\(0\\), got 0"),
        ({"test_size": 91}, "`data.test_size` .* test images .* \\(90\\), got 91"),
        ({"split_seed": -1}, "`data.split_seed` must be at least 0, got -1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        split(**sizes)


def test_without_validation_images_all_are_for_training() -> None:
    data = split(val_size=0)
    assert len(data.val) == 0
    assert data.val.images.shape[1:] == data.train.images.shape[1:]
    assert sorted(numbers(data.train.images)) == list(range(90))
    assert numbers(split(val_size=0, train_size=12).train.images) == numbers(data.train.images)[:12]


def test_some_validation_images_are_one_of_each_class_at_least() -> None:
    with pytest.raises(ValueError, match=r"`data\.val_size` .*classes \(3\).*got 2"):
        split(val_size=2)
