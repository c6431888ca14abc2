from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.data.preprocessing import Chain, Scale, Standardize
from ablate.data.whitening import Decorrelate, PatchWhiten, Whiten
from ablate.layers.activation import Maxout


def make_images(num_images: int = 600, size: int = 6) -> Tensor:
    """Smooth, hence correlated, uint8 images (N, 3, size, size) in channels_last."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(num_images, 3, size + 2, size + 2, generator=generator)
    smooth = F.avg_pool2d(noise, 3, stride=1) + 0.3 * noise[:, :1, 1:-1, 1:-1]
    return (128 + 60 * smooth).clamp(0, 255).byte().contiguous(memory_format=torch.channels_last)


def flat(images: Tensor) -> Tensor:
    return images.permute(0, 2, 3, 1).flatten(1).double()


def covariance(images: Tensor) -> Tensor:
    return torch.cov(flat(images).T, correction=0)


def test_zca_covariance_is_the_identity() -> None:
    images = make_images()
    result = Chain({"scale": Scale(8), "whiten": Whiten(eps=1e-10)}).fit(images)(images)
    torch.testing.assert_close(covariance(result), torch.eye(108).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(flat(result).mean(0), torch.zeros(108).double(), atol=1e-5, rtol=0)


def test_zca_matrix_is_the_inverse_square_root() -> None:
    """Oracle: M symmetric, M (covariance + eps I) M = I, all eigenvalues positive."""
    images, eps = make_images(), 0.01
    step = Whiten(eps)
    Chain({"scale": Scale(8), "whiten": step}).fit(images)
    assert step.matrix_ is not None
    matrix = step.matrix_.double()
    torch.testing.assert_close(matrix, matrix.T, atol=1e-6, rtol=0)
    regularized = covariance(images.double() / 255) + eps * torch.eye(108).double()
    torch.testing.assert_close(matrix @ regularized @ matrix, torch.eye(108).double(), atol=1e-5, rtol=0)
    assert torch.linalg.eigvalsh(matrix).min() > 0


def test_zca_keeps_neighbourhoods() -> None:
    """The symmetric root leaves each output closest to its own pixel; shape and memory format stay."""
    images = make_images()
    scaled = Chain({"scale": Scale(8)})(images)
    result = Chain({"scale": Scale(8), "whiten": Whiten(1e-6)}).fit(images)(images)
    assert result.shape == images.shape
    assert result.is_contiguous(memory_format=torch.channels_last)
    correlation = torch.corrcoef(torch.cat([flat(scaled), flat(result)], 1).T)[:108, 108:]
    assert torch.equal(correlation.argmax(0), torch.arange(108))


def test_rank_deficient_zca_is_refused_unless_asked_for() -> None:
    images = make_images(108)
    with pytest.raises(
        ValueError, match=r"108, .* rank-deficient; got 108; use more \(`data.train_size`.*patch_whiten"
    ):
        Whiten(0.01).fit(images)
    with pytest.raises(ValueError, match="got 50"):
        Whiten(0.01, num_images=50).fit(make_images())
    assert Whiten(0.01, allow_rank_deficient=True).fit(images)(images.float()).isfinite().all()
    Whiten(0.01).fit(make_images(109))


def test_zca_reads_its_leading_images_alone() -> None:
    images = make_images()
    changed = images.clone()
    changed[200:] = 255 - changed[200:]
    one, two = Whiten(0.01, num_images=200).fit(images), Whiten(0.01, num_images=200).fit(changed)
    assert one.matrix_ is not None
    assert two.matrix_ is not None
    assert torch.equal(one.matrix_, two.matrix_)


def test_pca_decorrelates_in_order_and_keeps_distances() -> None:
    images = make_images()
    chain = Chain({"scale": Scale(8), "decorrelate": Decorrelate()}).fit(images)
    scaled, result = flat(images) / 255, flat(chain(images))
    variances = result.var(0, correction=0)
    off_diagonal = torch.cov(result.T, correction=0) - torch.diag(variances)
    assert off_diagonal.abs().max() < 1e-6
    assert (variances.diff() < 1e-6).all()
    torch.testing.assert_close(variances.sum(), scaled.var(0, correction=0).sum(), atol=1e-5, rtol=0)
    torch.testing.assert_close(result.norm(dim=1), (scaled - scaled.mean(0)).norm(dim=1), atol=1e-5, rtol=0)


def test_pca_signs_are_fixed() -> None:
    step = Decorrelate().fit(make_images())
    assert step.matrix_ is not None
    assert (step.matrix_.gather(1, step.matrix_.abs().argmax(1, keepdim=True)) > 0).all()


def test_patches_become_uncorrelated_with_equal_moments() -> None:
    """E[y y^T] = diag(v / (v + eps)) over all patches for one half of the filters; the rest is its negative."""
    images, eps = make_images(), 5e-4
    standardized = Chain({"standardize": Standardize()}).fit(images)(images)
    result = PatchWhiten(eps=eps).fit(standardized)(standardized)
    assert result.shape == (600, 24, 5, 5)
    assert torch.equal(result[:, 12:], -result[:, :12])
    patches = F.unfold(standardized.double(), 2).transpose(1, 2).reshape(-1, 12)
    values = torch.linalg.eigvalsh(patches.T @ patches / len(patches)).flip(0)
    outputs = result[:, :12].permute(0, 2, 3, 1).reshape(-1, 12).double()
    moment = outputs.T @ outputs / len(outputs)
    torch.testing.assert_close(moment, torch.diag(values / (values + eps)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kernel_size", [1, 2, 3])
def test_patch_whiten_output_shape(kernel_size: int) -> None:
    images = make_images()
    step = PatchWhiten(kernel_size=kernel_size).fit(images)
    assert step.output_shape((3, 6, 6)) == tuple(step(images.float()).shape[1:])


def test_patch_whiten_ends_with_its_activation() -> None:
    """With both signs of a filter, ReLU of one and the other add up to the absolute value."""
    images = make_images().float()
    plain, rectified = PatchWhiten().fit(images), PatchWhiten(activation=nn.ReLU).fit(images)
    assert torch.equal(rectified(images), plain(images).relu())
    one, other = rectified(images).chunk(2, dim=1)
    assert torch.equal(one + other, plain(images)[:, :12].abs())
    assert rectified.output_shape((3, 6, 6)) == plain.output_shape((3, 6, 6))


@pytest.mark.parametrize("activation", [nn.PReLU, lambda: Maxout(num_pieces=2)])
def test_patch_whiten_learns_no_activation(activation: Callable[[], nn.Module]) -> None:
    with pytest.raises(ValueError, match=r"`patch_whiten\.activation` must have nothing to learn"):
        PatchWhiten(activation=activation)


def test_patch_whiten_of_cifar_is_24_by_31() -> None:
    assert PatchWhiten().output_shape((3, 32, 32)) == (24, 31, 31)


def test_autocast_leaves_float32() -> None:
    images = make_images()
    for step in (Whiten(0.01), Decorrelate(), PatchWhiten()):
        chain = Chain({"scale": Scale(8), "step": step}).fit(images)
        with torch.autocast("cpu", torch.bfloat16):
            result = chain(images)
        assert result.dtype == torch.float32
        assert torch.equal(result, chain(images))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Whiten(0), "`whiten.eps` must be above 0, got 0"),
        (lambda: PatchWhiten(eps=-1), "`patch_whiten.eps` must be above 0, got -1"),
        (lambda: PatchWhiten(kernel_size=0), "`patch_whiten.kernel_size` must be at least 1, got 0"),
        (lambda: Decorrelate(num_images=0), "`decorrelate.num_images` must be at least 1 or null, got 0"),
        (lambda: PatchWhiten(7).output_shape((3, 6, 6)), "at most the image size 6x6, got 7"),
    ],
)
def test_bad_values_are_refused(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()  # type: ignore[operator]


def test_images_smaller_than_a_patch_are_refused_by_name():
    with pytest.raises(ValueError, match="kernel_size"):
        PatchWhiten(kernel_size=2).fit(torch.zeros(4, 2, 1, 1))
