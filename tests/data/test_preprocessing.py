import pytest
import torch
from torch import Tensor, nn

from ablate.data.preprocessing import Center, Chain, Quantize, Scale, Standardize, Window, moments
from ablate.data.whitening import PatchWhiten


def make_images(num_images: int = 300, size: int = 8, seed: int = 0) -> Tensor:
    """uint8 images of three channels that differ in mean and spread, channels_last."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(num_images, size, size, 3, generator=generator)
    images = torch.tensor([60.0, 120.0, 180.0]) + torch.tensor([10.0, 20.0, 30.0]) * noise
    return images.clamp(0, 255).byte().permute(0, 3, 1, 2)


def float64(images: Tensor) -> Tensor:
    return images.to(torch.float64)


def test_moments_are_exact() -> None:
    images = make_images()
    mean, mean_square = moments(images)
    sums = images.long().sum(0), images.long().pow(2).sum(0)
    assert torch.equal(mean, sums[0].double() / 300)
    assert torch.equal(mean_square, sums[1].double() / 300)


def test_moments_do_not_overflow_for_16_bits() -> None:
    images = torch.full((3000, 1, 8, 8), 65535, dtype=torch.int32)
    assert moments(images)[1].max().item() == 65535.0**2


def test_no_image_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 image"):
        moments(make_images()[:0])


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_scale_maps_the_range_to_0_1(bits: int) -> None:
    ends = torch.tensor([0, 2**bits - 1], dtype=torch.int32).reshape(2, 1, 1, 1)
    assert Chain({"scale": Scale(bits)})(ends).flatten().tolist() == [0, 1]


def test_center_pixel_and_channel_against_float64() -> None:
    images = make_images()
    pixel = Chain({"center": Center("pixel")}).fit(images)(images)
    torch.testing.assert_close(pixel, (float64(images) - float64(images).mean(0)).float(), atol=2e-5, rtol=0)
    channel = Chain({"center": Center("channel")}).fit(images)(images)
    expected = float64(images) - float64(images).mean((0, 2, 3), keepdim=True).squeeze(0)
    torch.testing.assert_close(channel, expected.float(), atol=2e-5, rtol=0)


def test_centring_before_scale_equals_centring_after() -> None:
    images = make_images()
    before = Chain({"center": Center("pixel"), "scale": Scale(8)}).fit(images)(images)
    after = Chain({"scale": Scale(8), "center": Center("pixel")}).fit(images)(images)
    torch.testing.assert_close(before, after, atol=1e-6, rtol=0)


@pytest.mark.parametrize("steps", [{}, {"scale": Scale(8)}, {"quantize": Quantize(16)}])
def test_standardize_gives_mean_0_and_std_1(steps: dict[str, nn.Module]) -> None:
    images = make_images()
    result = float64(Chain({**steps, "standardize": Standardize()}).fit(images)(images))
    torch.testing.assert_close(result.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(result.std((0, 2, 3), correction=0), torch.ones(3).double(), atol=1e-6, rtol=0)


def test_statistics_come_from_the_images_of_fit_alone() -> None:
    chain = Chain({"standardize": Standardize()}).fit(make_images(seed=0))
    learned = {name: value.clone() for name, value in chain.state_dict().items()}
    others = make_images(seed=1)[:, :, :4]
    chain(others)
    assert learned.keys() == {"steps.standardize.mean_", "steps.standardize.std_"}
    for name, value in chain.state_dict().items():
        assert torch.equal(value, learned[name])
    # Another image in the batch changes nothing: the map is the same for all.
    assert torch.equal(chain(others[:1]), chain(others)[:1])


def test_state_moves_to_another_fitted_chain() -> None:
    one = Chain({"scale": Scale(8), "standardize": Standardize()}).fit(make_images(seed=0))
    two = Chain({"scale": Scale(8), "standardize": Standardize()}).fit(make_images(seed=1) // 2)
    images = make_images(seed=2)
    assert not torch.equal(one(images), two(images))
    two.load_state_dict(one.state_dict())
    assert torch.equal(one(images), two(images))


@pytest.mark.parametrize("step", [Center("pixel"), Center("channel"), Standardize(), PatchWhiten()])
def test_use_before_fit_names_the_step(step: nn.Module) -> None:
    with pytest.raises(RuntimeError, match=rf"`{type(step).__name__}` is applied before it is fitted"):
        Chain({"step": step})(make_images())


def test_constant_channel_is_refused() -> None:
    images = make_images()
    images[:, 1] = 7
    with pytest.raises(ValueError, match="channel 1 is constantly 7"):
        Standardize().fit(images)


def test_window_closed_form() -> None:
    window = Window(center=0.5, width=0.25, bits=12)
    fractions = torch.tensor([0.0, 0.375, 0.4375, 0.5, 0.625, 1.0]).reshape(-1, 1, 1, 1)
    result = window(fractions * 4095).flatten()
    torch.testing.assert_close(result, torch.tensor([0.0, 0.0, 0.25, 0.5, 1.0, 1.0]), atol=1e-6, rtol=0)


def test_whole_window_equals_scale() -> None:
    images = make_images()
    torch.testing.assert_close(Chain({"w": Window(0.5, 1.0, 8)})(images), Chain({"s": Scale(8)})(images))


@pytest.mark.parametrize("bits_kept", [1, 2, 3, 7])
def test_quantize_gives_the_nearest_of_its_levels(bits_kept: int) -> None:
    x = torch.linspace(0, 1, 1001)
    levels = torch.arange(2**bits_kept) / (2**bits_kept - 1)
    result = Quantize(bits_kept)(x)
    torch.testing.assert_close(result.unique(), levels)
    torch.testing.assert_close((x - result).abs(), (x[:, None] - levels).abs().min(1).values, atol=1e-6, rtol=0)


@pytest.mark.parametrize("bits", [8, 16])
def test_all_bits_kept_changes_nothing(bits: int) -> None:
    images = torch.arange(2**bits, dtype=torch.int32).reshape(-1, 1, 1, 1)
    scaled = Chain({"scale": Scale(bits)})(images)
    assert torch.equal(Chain({"scale": Scale(bits), "quantize": Quantize(bits)})(images), scaled)


def test_empty_chain_gives_raw_float32() -> None:
    images = make_images()
    result = Chain({})(images)
    assert result.dtype == torch.float32
    assert torch.equal(result, images.float())
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_chain_is_a_step() -> None:
    images = make_images()
    flat = Chain({"scale": Scale(8), "standardize": Standardize(), "patch": PatchWhiten()}).fit(images)
    nested = Chain({"inner": Chain({"scale": Scale(8), "standardize": Standardize()}), "patch": PatchWhiten()})
    assert torch.equal(nested.fit(images)(images), flat(images))
    assert nested.output_shape((3, 8, 8)) == flat.output_shape((3, 8, 8)) == (24, 7, 7)


def test_later_step_is_fitted_on_what_the_earlier_make_of_its_leading_images() -> None:
    class Probe(nn.Module):
        num_images = 150

        def fit(self, images: Tensor) -> "Probe":
            self.seen = images
            return self

        def forward(self, images: Tensor) -> Tensor:
            return images

    images, probe = make_images(), Probe()
    chain = Chain({"center": Center("pixel"), "scale": Scale(8), "probe": probe}).fit(images)
    assert torch.equal(probe.seen, chain(images[:150]))
    torch.testing.assert_close(chain.steps["center"].mean_, images.float().mean(0))


def test_autocast_changes_nothing() -> None:
    images = make_images()
    chain = Chain({"standardize": Standardize(), "patch": PatchWhiten()}).fit(images)
    with torch.autocast("cpu", torch.bfloat16):
        result = chain(images)
    assert result.dtype == torch.float32
    assert torch.equal(result, chain(images))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Scale(0), r"bits of `scale` must lie in \[1, 16\], got 0"),
        (lambda: Quantize(17), r"bits of `quantize` must lie in \[1, 16\], got 17"),
        (lambda: Window(1.5, 0.5, 8), r"`window.center` .* got 1.5"),
        (lambda: Window(0.5, 0, 8), r"`window.width` must lie in \(0, 1\].* got 0"),
        (lambda: Center("image"), "'pixel' or 'channel', got 'image'"),  # type: ignore[arg-type]
        (lambda: Chain({}, fit="val"), "'train' or 'test', got 'val'"),  # type: ignore[arg-type]
    ],
)
def test_bad_values_are_refused(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()  # type: ignore[operator]
