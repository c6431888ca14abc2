"""How much the output for one image depends on the other images in its batch."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ablate.diagnostics.probe import Probe, probing
from ablate.errors import UserError
from ablate.training.scoring import answers


def spread_over_batches(log_probs: Tensor) -> tuple[Tensor, Tensor]:
    """Return the standard deviation over batches, mean over images and classes, and the fraction of changed answers.

    Args:
        log_probs: (B, n, num_classes), the same n images in B >= 2 batches; the variance is the unbiased one.

    Example:
        >>> std, changed = spread_over_batches(torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]]]))
        >>> round(std.item(), 3), changed.item()
        (0.707, 1.0)
    """
    found = answers(log_probs)
    changed = (found != found[0]).any(0) | (found < 0).any(0)  # a non-finite output counts as changed
    return log_probs.std(0).mean(), changed.float().mean()


def batch_mates(probe: Probe, *, num_batches: int = 8, batch_size: int | None = None) -> dict[str, Tensor]:
    """Spread of an image's output over different batches, with the net in training mode.

    An eighth of the batch, at least one image, is the same in all batches: the probe's first. The rest are other images
    of the probe, drawn for each batch without replacement. Only layers that mix the images of a batch matter: batch
    norm, whose noise is believed to regularize. Without it both numbers are 0 except for rounding.

    Keys: `std`, the standard deviation over batches of the log-probabilities, in nats, mean over images and classes, at
    least 0; `changed`, the fraction of images whose predicted class is not the same in all batches, in [0, 1]. Cost:
    `num_batches` forward passes of `batch_size` images.

    Args:
        num_batches: at least 2.
        batch_size: from 2 to the number of the probe's images less one, None for half of them; the larger, the smaller
            the spread.

    Raises:
        UserError: a number is out of range.

    Source: for the claim Ioffe & Szegedy 2015 (arXiv:1502.03167).

    Example:
        >>> from ablate.diagnostics.probe import example_probe
        >>> {k: v.item() for k, v in batch_mates(example_probe()).items() if k == "changed"}  # no batch norm
        {'changed': 0.0}
    """
    size = len(probe.images) // 2 if batch_size is None else batch_size
    if not 2 <= size < len(probe.images):
        raise UserError(
            f"`batch_size` of batch_mates must be at least 2 and below the number of the probe's images, got {size} of "
            f"{len(probe.images)}; change it or `num_images` of the probe"
        )
    if num_batches < 2:
        raise UserError(f"`num_batches` of batch_mates must be at least 2, got {num_batches}")
    num_same = max(1, size // 8)
    generator, device = probe.generator("batch_mates"), probe.images.device
    same = torch.arange(num_same, device=device)
    found = []
    with probing(probe.net), torch.no_grad(), torch.autocast(device.type, enabled=False):
        for _ in range(num_batches):
            others = torch.randperm(len(probe.images) - num_same, generator=generator, device=device) + num_same
            batch = torch.cat([same, others[: size - num_same]])
            found.append(F.log_softmax(probe.net(probe.images[batch])[:num_same], dim=1))
    std, changed = spread_over_batches(torch.stack(found))
    return {"std": std, "changed": changed}
