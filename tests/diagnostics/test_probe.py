"""The pass that diagnostics share, and that measuring leaves a net as it was."""

import pytest
import torch
from torch import nn

from ablate.diagnostics.probe import example_probe, mean_of, probing, run_pass, slopes


def test_a_pass_holds_the_gradients_of_the_mean_loss_and_writes_none():
    probe = example_probe()
    found = run_pass(probe.net, probe.images, probe.labels)
    assert all(p.grad is None for p in probe.net.parameters())
    nn.functional.cross_entropy(probe.net(probe.images), probe.labels).backward()
    for name, p in probe.net.named_parameters():
        torch.testing.assert_close(found.gradients[name], p.grad)
    for unit in found.units:
        assert torch.equal(unit.outputs, unit.inputs.relu())


@pytest.mark.parametrize("inference", [False, True])
def test_mode_and_statistics_are_restored(inference):
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)).eval()
    net[2].train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with probing(net, inference=inference):
        assert net[1].training is not inference
        net(torch.randn(8, 3))
    assert [layer.training for layer in net] == [False, False, True]
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_mode_and_statistics_are_restored_after_an_error():
    net = nn.BatchNorm1d(2).eval()
    with pytest.raises(ValueError, match="expected 2D"), probing(net):
        net(torch.ones(4, 2)[None, None])
    assert not net.training
    assert torch.equal(net.running_mean, torch.zeros(2))


def test_slopes_are_the_derivative():
    z = torch.linspace(-3, 3, 12, dtype=torch.float64).view(4, 3)
    torch.testing.assert_close(slopes(nn.Tanh(), z), 1 - z.tanh() ** 2)


def test_the_mean_over_layers_is_unweighted():
    assert mean_of({}) == {}
    assert mean_of({"a": torch.tensor(1.0), "b": torch.tensor(2.0)})["mean"] == 1.5
