"""The half-trained nets: their loss, their schedule, what freezing does, and that they are trained once."""

import pytest
import torch
from torch.nn import functional as F

from ablate.lecture.figures.half_trained import NAMES, half_trained_run, loss, probe_batches, subjects, trained

RATES = {"lr_batch_norm": 0.5, "lr_none": 0.05}


def test_loss_is_cross_entropy_plus_half_the_mean_negative_log_probability():
    z = torch.randn(8, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(8) % 5
    expected = F.cross_entropy(z, labels) - 0.5 * F.log_softmax(z, 1).mean()
    torch.testing.assert_close(loss(z, labels), expected)


def test_a_step_of_training_is_a_step_on_that_loss(make_lab):
    run = half_trained_run(make_lab(), "none", 0.2)
    z, labels = torch.randn(6, 10), torch.arange(6)
    (parameter,) = run.optimizer([{"params": [torch.nn.Parameter(torch.zeros(1))]}]).param_groups
    torch.testing.assert_close(parameter["lr"] * run.regularizer.make_loss(torch.nn.Linear(1, 1))(z, labels),
                               0.2 * loss(z, labels))  # fmt: skip
    assert parameter["lr"] * run.regularizer.l2 == pytest.approx(0.2 * 1e-4)


def test_the_schedule_is_the_first_half_of_a_triangle(make_lab):
    schedule = half_trained_run(make_lab(), "none", 0.2).schedule
    for epoch in (0, 1, 4, 7, 9.99):
        assert schedule(epoch, 10) == pytest.approx(epoch / 4 if epoch < 4 else (20 - epoch) / 16)


@pytest.fixture
def lab(make_lab, tmp_path):
    return make_lab(folder=tmp_path / "figures")


def test_frozen_net_is_the_eval_mode_of_the_other_at_population_statistics(lab):
    nets = subjects(lab, **RATES)
    run = half_trained_run(lab, "batch_no_affine", RATES["lr_batch_norm"])
    assert tuple(nets) == NAMES
    images = lab.dataset(run).train.images
    first = dict(nets["batch norm"].net.named_parameters())
    for name, parameter in nets["frozen"].net.named_parameters():
        assert torch.equal(parameter, first[name])
    with torch.no_grad():
        whole = nets["frozen"].net(images)
        # An affine map of each image alone, and that of the mean over batches of mean and unbiased variance.
        torch.testing.assert_close(whole[:3], nets["frozen"].net(images[:3]), rtol=1e-4, atol=1e-5)
        z = [nets["batch norm"].net[:2](images[i : i + 20]) for i in range(0, 140, 20)]  # preprocessing and conv1_1
    layers = dict(nets["frozen"].net.named_children())
    means = torch.stack([batch.mean((0, 2, 3)) for batch in z]).mean(0)
    torch.testing.assert_close(layers["norm1_1"].running_mean, means, rtol=1e-4, atol=1e-5)
    variances = torch.stack([batch.transpose(0, 1).flatten(1).var(1) for batch in z]).mean(0)
    torch.testing.assert_close(layers["norm1_1"].running_var, variances, rtol=1e-4, atol=1e-5)


def test_nets_are_trained_once(lab, monkeypatch):
    first = subjects(lab, **RATES)

    def fail(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(type(lab), "train", fail)
    second = subjects(lab, **RATES)
    for name in NAMES:
        assert first[name][1:] == second[name][1:]
        for one, other in zip(
            first[name].net.state_dict().values(), second[name].net.state_dict().values(), strict=True
        ):
            assert torch.equal(one, other)
    with pytest.raises(AssertionError, match="trained again"):
        subjects(lab, lr_batch_norm=0.4, lr_none=0.05)


def test_divergence_is_reported(make_lab):
    with pytest.raises(ValueError, match=r"diverged.*lower figure.lr_none"):
        subjects(make_lab(), lr_batch_norm=0.5, lr_none=1e12)


def test_batches_come_from_the_training_images(lab):
    run = half_trained_run(lab, "none", 0.1)
    batches = probe_batches(lab, run, 3, 40)
    images = torch.cat([images for images, _ in batches])
    assert torch.equal(images, lab.dataset(run).train.images[:120])
    with pytest.raises(ValueError, match="got 4 \\* 40 for 140"):
        probe_batches(lab, run, 4, 40)


def test_a_damaged_net_is_kept_and_trained_anew(make_lab, tmp_path):
    lab = make_lab(folder=tmp_path)
    run = half_trained_run(lab, "none", RATES["lr_none"])
    first = trained(lab, run)
    (path,) = tmp_path.glob("half_trained-*/net.pt")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(bytes(data))
    again = trained(lab, run)
    for name, value in first.net.state_dict().items():
        assert torch.equal(again.net.state_dict()[name], value)
    kept = [other for other in path.parent.iterdir() if other != path]
    assert [other.read_bytes() for other in kept] == [bytes(data)]
