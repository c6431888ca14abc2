"""Preprocessing steps that remove correlations: PCA rotation, ZCA, and whitening of small patches.

Flattened images are in the order (H, W, C), the order in memory of channels_last images. Everything is learned in
float64 and applied in float32, under autocast too: eigenvalues of images span many orders of magnitude.
"""

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ablate.data.preprocessing import Shape, learned, moments
from ablate.errors import UserError

_CHUNK_IMAGES = 512


class Decorrelate(nn.Module):
    """U^T (x - mean): rotate flattened images onto their principal axes.

    U holds the eigenvectors of the covariance of the flattened images, largest variance first, each with its largest
    component positive. Norms and distances are kept, neighbourhoods of pixels are not: component k takes the place of
    the k-th value in (H, W, C).

    Learns `mean_` (D,) and `matrix_` (D, D), D = C * H * W.

    Args:
        num_images: number of leading images that it is fitted on; None: all.

    Example:
        >>> images = torch.rand(50, 1, 2, 2)
        >>> components = Decorrelate().fit(images)(images).flatten(1)
        >>> int(components.var(0).argmax()), bool(torch.cov(components.T)[0, 1:].abs().max() < 1e-5)
        (0, True)
    """

    mean_: Tensor | None
    matrix_: Tensor | None

    def __init__(self, num_images: int | None = None) -> None:
        super().__init__()
        self.num_images = _check_num_images("decorrelate", num_images)
        self.register_buffer("mean_", None)
        self.register_buffer("matrix_", None)

    @torch.no_grad()
    def fit(self, images: Tensor) -> Self:
        mean, covariance = _covariance(images[: self.num_images])
        vectors = torch.linalg.eigh(covariance).eigenvectors.flip(1)
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
        self.mean_, self.matrix_ = mean.float(), (vectors * largest.sign()).T.float().contiguous()
        return self

    def forward(self, images: Tensor) -> Tensor:
        return _affine(images, learned(self, self.mean_), learned(self, self.matrix_))


class Whiten(nn.Module):
    """ZCA: U diag(1 / sqrt(variance + eps)) U^T (x - mean), the whitening that changes images least.

    U and the variances are the eigenvectors and eigenvalues of the covariance of the flattened images (Bell & Sejnowski
    1997, The "independent components" of natural scenes are edge filters).

    Learns `mean_` (D,) and `matrix_` (D, D), D = C * H * W.

    Args:
        eps: added to every variance, in squared units of the images, above 0; directions of smaller variance are noise
            and stay damped.
        num_images: number of leading images that it is fitted on; None: all.
        allow_rank_deficient: fit on D images or fewer too, which amplifies the directions that they happen to span.

    Example:
        >>> images = torch.rand(50, 1, 2, 2)
        >>> whitened = Whiten(eps=1e-6).fit(images)(images).flatten(1)
        >>> torch.allclose(whitened.T @ whitened / 50, torch.eye(4), atol=1e-3)
        True
    """

    mean_: Tensor | None
    matrix_: Tensor | None

    def __init__(self, eps: float, num_images: int | None = None, allow_rank_deficient: bool = False) -> None:
        super().__init__()
        if not eps > 0:
            raise UserError(f"`whiten.eps` must be above 0, got {eps}")
        self.eps = eps
        self.num_images = _check_num_images("whiten", num_images)
        self.allow_rank_deficient = allow_rank_deficient
        self.register_buffer("mean_", None)
        self.register_buffer("matrix_", None)

    @torch.no_grad()
    def fit(self, images: Tensor) -> Self:
        """Raises UserError if the images are too few for a covariance of full rank."""
        images = images[: self.num_images]
        num_images, num_dimensions = len(images), images[0].numel()
        # The covariance of N images about their mean has rank N - 1 at most.
        if num_images <= num_dimensions and not self.allow_rank_deficient:
            raise UserError(
                f"`whiten` must be fitted on more images than an image has values, {num_dimensions}, or its covariance "
                f"is rank-deficient; got {num_images}; use more (`data.train_size`, "
                "`preprocessing.steps.whiten.num_images`), `preprocessing=patch_whiten`, or, to see the harm, "
                "`preprocessing.steps.whiten.allow_rank_deficient=true`"
            )
        mean, covariance = _covariance(images)
        variances, vectors = torch.linalg.eigh(covariance)
        matrix = (vectors * (variances.clamp(min=0) + self.eps).rsqrt()) @ vectors.T
        self.mean_, self.matrix_ = mean.float(), matrix.float()
        return self

    def forward(self, images: Tensor) -> Tensor:
        return _affine(images, learned(self, self.mean_), learned(self, self.matrix_))


class PatchWhiten(nn.Module):
    """A frozen convolution whose outputs are uncorrelated over patches, with both signs of each filter.

    Filter k is u_k / sqrt(v_k + eps), where u_k and v_k are the eigenvectors and eigenvalues of the second moment of
    all patches of size s x s about zero, largest first; filter D + k is its negative, D = C * s * s. On standardized
    images that moment is nearly the covariance. (C, H, W) becomes (2 D, H - s + 1, W - s + 1). The signs matter to a
    rectifier that follows, as `activation` or in the net, and only to that.

    Learns `weight_` (2 D, C, s, s). Source: the first layer of Jordan 2024 (arXiv:2404.00498).

    Args:
        kernel_size: s, at least 1.
        eps: added to every eigenvalue, in squared units of the images, above 0.
        num_images: number of leading images that it is fitted on; None: all.
        activation: makes the activation that is applied to the filters' outputs; None: none.

    Example:
        >>> PatchWhiten(kernel_size=2).output_shape((3, 32, 32))
        (24, 31, 31)
    """

    weight_: Tensor | None

    def __init__(
        self,
        kernel_size: int = 2,
        eps: float = 5e-4,
        num_images: int | None = 5000,
        activation: Callable[[], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if kernel_size < 1:
            raise UserError(f"`patch_whiten.kernel_size` must be at least 1, got {kernel_size}")
        if not eps > 0:
            raise UserError(f"`patch_whiten.eps` must be above 0, got {eps}")
        self.kernel_size = kernel_size
        self.eps = eps
        self.num_images = _check_num_images("patch_whiten", num_images)
        self.activation = activation() if activation else None
        if self.activation is not None:
            learns = next(self.activation.parameters(), None) is not None
            if learns or getattr(self.activation, "num_pieces", 1) != 1:
                raise UserError(
                    "`patch_whiten.activation` must have nothing to learn and keep the number of channels, got "
                    f"{self.activation}; set preprocessing.steps.patch_whiten.activation=null, or choose another"
                )
        self.register_buffer("weight_", None)

    @torch.no_grad()
    def fit(self, images: Tensor) -> Self:
        images = images[: self.num_images]
        channels, height, width = images.shape[1:]
        self.output_shape((channels, height, width))  # refuses images that are smaller than a patch
        size = self.kernel_size
        moment: Tensor = torch.zeros((), dtype=torch.float64, device=images.device)
        num_patches = 0
        for chunk in images.split(_CHUNK_IMAGES):
            patches = chunk.double().unfold(2, size, 1).unfold(3, size, 1)  # (N, C, H', W', s, s)
            flat = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, channels * size * size)
            moment = moment + flat.T @ flat
            num_patches += len(flat)
        values, vectors = torch.linalg.eigh(moment / num_patches)
        filters = (vectors * (values.clamp(min=0) + self.eps).rsqrt()).flip(1).T
        self.weight_ = torch.cat([filters, -filters]).reshape(-1, channels, size, size).float()
        return self

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):
            whitened = F.conv2d(images, learned(self, self.weight_))
            return whitened if self.activation is None else self.activation(whitened)

    def output_shape(self, shape: Shape) -> Shape:
        channels, height, width = shape
        if min(height, width) < self.kernel_size:
            raise UserError(
                f"`patch_whiten.kernel_size` must be at most the image size {height}x{width}, got {self.kernel_size}"
            )
        return 2 * channels * self.kernel_size**2, height - self.kernel_size + 1, width - self.kernel_size + 1


def _covariance(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and biased covariance (D, D) of flattened images, float64."""
    mean = _flatten(moments(images)[0][None]).squeeze(0)
    covariance = torch.zeros((len(mean), len(mean)), dtype=torch.float64, device=images.device)
    for chunk in images.split(_CHUNK_IMAGES):
        deviations = _flatten(chunk).double() - mean
        covariance.addmm_(deviations.T, deviations)
    return mean, covariance / len(images)


def _affine(images: Tensor, mean: Tensor, matrix: Tensor) -> Tensor:
    channels, height, width = images.shape[1:]
    with torch.autocast(images.device.type, enabled=False):
        flat = (_flatten(images) - mean) @ matrix.T
    return flat.reshape(-1, height, width, channels).permute(0, 3, 1, 2)


def _flatten(images: Tensor) -> Tensor:
    return images.permute(0, 2, 3, 1).flatten(1)


def _check_num_images(step: str, num_images: int | None) -> int | None:
    if num_images is not None and num_images < 1:
        raise UserError(f"`{step}.num_images` must be at least 1 or null, got {num_images}")
    return num_images
