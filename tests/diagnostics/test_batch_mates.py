import pytest
import torch

from ablate.diagnostics.batch_mates import batch_mates, spread_over_batches
from ablate.layers.normalization import Batch, Group


def test_spread_by_hand():
    log_probs = torch.tensor([[[-1.0, -3.0], [-1.0, -2.0]], [[-1.0, -3.0], [-3.0, -2.0]]])
    std, changed = spread_over_batches(log_probs)
    assert std.item() == pytest.approx(2**0.5 / 4)  # one of four numbers varies, by 2 between two batches
    assert changed.item() == 0.5


def test_the_measure_against_a_pass_in_float64(make_probe):
    probe = make_probe(normalization=Batch(), dropout=0.5)
    found = batch_mates(probe, num_batches=5, batch_size=17)
    generator = probe.generator("batch_mates")
    net = probe.net.double()
    outputs = []
    for _ in range(5):
        mates = [2 + i for i in torch.randperm(22, generator=generator).tolist()[:15]]
        x = net.preprocessing(probe.images[[0, 1, *mates]]).double()
        for name, layer in list(net.named_children())[1:]:
            if name.startswith(("norm", "fc_norm")):
                axes = tuple(i for i in range(x.ndim) if i != 1)
                x = (x - x.mean(axes, keepdim=True)) / (x.var(axes, correction=0, keepdim=True) + layer.eps).sqrt()
            elif not name.startswith("fc_dropout"):
                x = layer(x)
        outputs.append(x[:2] - x[:2].logsumexp(1, keepdim=True))
    outputs = torch.stack(outputs)
    expected = ((outputs - outputs.mean(0)) ** 2).sum(0).div(4).sqrt().mean()
    assert found["std"].item() == pytest.approx(expected.item(), rel=1e-4)
    answers = outputs.argmax(2)
    assert found["changed"].item() == sum(len(set(answers[:, i].tolist())) > 1 for i in range(2)) / 2
    assert set(found) == {"std", "changed"}


@pytest.mark.parametrize("normalization", [None, Group(num_groups=2)])
def test_nothing_else_depends_on_the_batch(normalization, make_probe):
    found = batch_mates(make_probe(normalization=normalization))
    assert found["std"].item() < 1e-6
    assert found["changed"].item() == 0


def test_larger_batches_vary_less(make_probe):
    probe = make_probe(normalization=Batch(), num_images=512)
    small, large = (batch_mates(probe, batch_size=size)["std"].item() for size in (8, 128))
    assert 0 < large < small / 2  # a mean over 16 times as many images has a quarter of the noise


def test_bad_numbers(make_probe):
    probe = make_probe()
    for size in (1, 24):
        with pytest.raises(ValueError, match=rf"batch_size.*got {size} of 24"):
            batch_mates(probe, batch_size=size)
    with pytest.raises(ValueError, match=r"num_batches.*got 1"):
        batch_mates(probe, num_batches=1)
