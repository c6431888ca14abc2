from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from ablate.data.augmentation import Augmentation

NUM_IMAGES, SIZE = 64, 9


def make_images(dtype: torch.dtype = torch.uint8, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    high = 256 if dtype == torch.uint8 else 65536
    shape = (NUM_IMAGES, SIZE, SIZE, channels)
    return torch.randint(1, high, shape, generator=generator, dtype=dtype).permute(0, 3, 1, 2)


def augmentation(**changes: Any) -> Augmentation:
    nothing = {"flip": 0.0, "padding": 0, "padding_mode": "reflect", "cutout_size": 0, "cutout_fill": 0.5, "bits": 8}
    return Augmentation(**(nothing | changes))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def crops(image: Tensor, padding: int, mode: str) -> list[Tensor]:
    """All (2 * padding + 1)**2 crops of one padded image, row shift first."""
    padded = F.pad(image[None].double(), (padding,) * 4, mode="reflect" if mode == "reflect" else "constant")[0]
    shifts = range(2 * padding + 1)
    return [padded[:, i : i + SIZE, j : j + SIZE].to(image.dtype) for i in shifts for j in shifts]


def test_flip_flips_whole_images_and_about_half_of_them() -> None:
    images = make_images()
    result = augmentation(flip=0.5)(images, generator())
    flipped = [torch.equal(b, a.flip(2)) for a, b in zip(images, result, strict=True)]
    kept = [torch.equal(b, a) for a, b in zip(images, result, strict=True)]
    assert all(f != k for f, k in zip(flipped, kept, strict=True))
    assert 16 < sum(flipped) < 48  # 4 standard deviations of a fair coin
    assert torch.equal(augmentation(flip=1.0)(images, generator()), images.flip(3))


@pytest.mark.parametrize("mode", ["reflect", "zero"])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_crop_is_one_of_the_padded_images_crops(mode: str, flip: float) -> None:
    images, padding = make_images(), 2
    result = augmentation(flip=flip, padding=padding, padding_mode=mode)(images, generator())
    chosen = []
    for image, cropped in zip(images, result.flip(3) if flip else result, strict=True):
        matches = [k for k, crop in enumerate(crops(image, padding, mode)) if torch.equal(crop, cropped)]
        assert len(matches) == 1
        chosen += matches
    assert len(set(chosen)) > 15  # 64 draws leave 2 of the 25 shifts untouched on average


def test_shifts_are_uniform() -> None:
    """Each of the 9 shifts of a padding of 1 has its share, to 5 standard deviations."""
    marks = torch.zeros(9000, 1, 5, 5, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    marks[:, 0, 2, 2] = 1
    result = augmentation(padding=1, padding_mode="zero")(marks, generator())
    counts = result.sum((0, 1)).reshape(-1)
    assert counts.reshape(5, 5)[1:4, 1:4].sum() == 9000
    assert (counts.reshape(5, 5)[1:4, 1:4] - 1000).abs().max() < 5 * (9000 * 8 / 81) ** 0.5


@pytest.mark.parametrize(("bits", "dtype"), [(8, torch.uint8), (16, torch.int32)])
@pytest.mark.parametrize("size", [3, 4])
def test_cutout_fills_one_square_clipped_at_the_edge(bits: int, dtype: torch.dtype, size: int) -> None:
    images = make_images(dtype)
    images[images == round(0.5 * (2**bits - 1))] = 1
    result = augmentation(cutout_size=size, bits=bits)(images, generator())
    tops = set()
    for image, cut in zip(images, result, strict=True):
        hole = (cut == round(0.5 * (2**bits - 1))).all(0)
        assert torch.equal(cut[:, ~hole], image[:, ~hole])
        rows, columns = hole.any(1).nonzero().flatten(), hole.any(0).nonzero().flatten()
        assert torch.equal(hole, hole.any(1)[:, None] & hole.any(0)[None, :])
        for index in (rows, columns):
            touches = index[0] == 0 or index[-1] == SIZE - 1
            assert len(index) == size or (touches and size // 2 <= len(index) < size)
            assert index[-1] - index[0] == len(index) - 1
        tops.add(int(rows[0]))
    assert len(tops) >= SIZE - size + 1


def test_crop_and_cutout_together_equal_one_after_the_other() -> None:
    images = make_images()
    images[images == 128] = 1
    cropped = augmentation(flip=0.5, padding=2)(images, generator())
    both = augmentation(flip=0.5, padding=2, cutout_size=3)(images, generator())
    hole = both == 128
    assert torch.equal(both[~hole], cropped[~hole])
    assert hole.any(dim=(1, 2, 3)).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_shape_dtype_format_and_input_are_kept(channels: int, dtype: torch.dtype) -> None:
    images = make_images(dtype, channels)
    before = images.clone()
    result = augmentation(flip=0.5, padding=4, padding_mode="zero", cutout_size=4)(images, generator())
    assert (result.shape, result.dtype) == (images.shape, dtype)
    assert result.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images, before)


def test_generator_alone_decides() -> None:
    images, augment = make_images(), augmentation(flip=0.5, padding=2, cutout_size=3)
    torch.manual_seed(0)
    one = augment(images, generator(5))
    torch.manual_seed(1)
    assert torch.equal(one, augment(images, generator(5)))
    assert not torch.equal(one, augment(images, generator(6)))


def test_nothing_draws_nothing() -> None:
    images, draws = make_images(), generator()
    state = draws.get_state()
    assert torch.equal(augmentation()(images, draws), images)
    assert torch.equal(draws.get_state(), state)


def test_rectangular_images() -> None:
    images = torch.arange(2 * 4 * 7, dtype=torch.uint8).reshape(2, 4, 7, 1).permute(0, 3, 1, 2)
    assert torch.equal(augmentation(flip=1.0)(images, generator()), images.flip(3))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"flip": 1.5}, r"`augmentation.flip` must lie in \[0, 1\], got 1.5"),
        ({"cutout_fill": -1}, r"`augmentation.cutout_fill` must lie in \[0, 1\], got -1"),
        ({"padding": -1}, "`augmentation.padding` must be at least 0, got -1"),
        ({"padding_mode": "edge"}, "'reflect' or 'zero', got 'edge'"),
    ],
)
def test_bad_values_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        augmentation(**changes)


def test_reflection_needs_enough_pixels() -> None:
    with pytest.raises(ValueError, match="below the image size 9x9 to reflect, got 9"):
        augmentation(padding=9)(make_images(), generator())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_gives_the_same_images() -> None:
    images, augment = make_images(), augmentation(flip=0.5, padding=2, padding_mode="zero", cutout_size=3)
    on_gpu = augment(images.cuda(), generator())
    assert torch.equal(on_gpu.cpu(), augment(images, generator()))
    assert augment(images.cuda(), torch.Generator("cuda").manual_seed(0)).is_cuda
