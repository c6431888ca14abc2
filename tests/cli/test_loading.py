"""`ablate.load_net`, for runs of the command line, a user's own class included."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

import ablate as package
from ablate.cli import jobs, planning
from ablate.errors import Notice, UserError
from ablate.training.record import RECORD_NAME, WEIGHTS_NAME, read_record
from ablate.training.start import start
from builders.command import ALONE

OWN = """
import torch


class Root(torch.nn.Module):
    def forward(self, images):
        return (images / 255).sqrt()


class Squared(torch.nn.Module):
    def forward(self, x):
        return 0.1 * x.relu() ** 2
"""

ROOT = ["~preprocessing.fit", "~preprocessing.steps", "preprocessing._target_=own_net.Root"]


@pytest.fixture
def train(compose, cache, tmp_path, monkeypatch):
    """A function (overrides) -> the plan and the record of a trained run, with own_net.py on Python's path."""
    (tmp_path / "own_net.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))

    def go(*words):
        shown = ["tensorboard.enabled=false", f"data.cache_dir={cache}", f"output_dir={tmp_path}"]
        shown += ["trainer.epochs=1", "optimizer.lr=0.001"]
        plan = planning.plan(*compose([*ALONE.split(), *shown, *words]))
        settings = plan.settings
        record, _ = start(planning.make_run(plan), plan.folder, jobs.observers(plan), rerun=settings["rerun"])
        return plan, record

    yield go
    sys.modules.pop("own_net", None)


def accuracy(net, plan):
    test = planning.make("data", plan.settings["data"]).load().test
    with torch.no_grad():
        return (net(test.images).argmax(1) == test.labels).double().mean().item()


@pytest.mark.parametrize(
    "words",
    [
        ["preprocessing=patch_whiten", "normalization=batch_population", "dropout=everywhere"],
        ["regularizer=input_noise", "activation=maxout", "initializer=lsuv", "normalization=none"],
        [*ROOT, "activation={_target_:own_net.Squared,_partial_:true}"],
    ],
)
def test_the_net_gives_the_recorded_accuracy(train, words):
    plan, record = train("keep_weights=true", *words)
    net = package.load_net(plan.folder)
    assert not net.training and {p.device.type for p in net.parameters()} == {"cpu"}
    assert accuracy(net, plan) == pytest.approx(record.metrics["test/accuracy"])
    moved = plan.folder.parent.parent.parent / "elsewhere"  # the folder alone is enough
    shutil.copytree(plan.folder, moved)
    assert accuracy(package.load_net(str(moved)), plan) == pytest.approx(record.metrics["test/accuracy"])


def test_what_cannot_be_loaded_is_refused(train, tmp_path):
    plan, _ = train()
    with pytest.raises(UserError, match=r"holds no weights: it was trained without keeping them; rerun=true keep_wei"):
        package.load_net(plan.folder)
    again, _ = train("keep_weights=last", "rerun=true")
    assert again.fingerprint == plan.fingerprint and again.folder == plan.folder
    other, _ = train("keep_weights=last", "seed=1")
    assert other.fingerprint == plan.fingerprint
    file = plan.folder / WEIGHTS_NAME
    data = file.read_bytes()
    shutil.copy(other.folder / WEIGHTS_NAME, file)
    with pytest.raises(UserError, match=r"belongs to a run with fingerprint \w+ and seed 1, not to this one"):
        package.load_net(plan.folder)
    file.write_bytes(data[:-3] + b"abc")
    with pytest.raises(UserError, match=r"is damaged.*rerun=true keep_weights=true"):
        package.load_net(plan.folder)
    file.unlink()
    with pytest.raises(UserError, match=r"the file weights.safetensors is missing; rerun=true"):
        package.load_net(plan.folder)
    with pytest.raises(UserError, match=r"needs the folder of a finished run.*did you mean .*seed-1"):
        package.load_net(other.folder.parent)
    content = json.loads((other.folder / RECORD_NAME).read_text())
    (other.folder / RECORD_NAME).write_text(json.dumps({**content, "fingerprint": "0" * 64}))
    with pytest.raises(UserError, match=r"record.json is damaged"):
        package.load_net(other.folder)


def test_own_code_that_was_edited_is_refused(train, tmp_path):
    plan, _ = train("keep_weights=true", "activation={_target_:own_net.Squared,_partial_:true}")
    (tmp_path / "own_net.py").write_text(OWN.replace("0.1 *", "0.2 *"))
    sys.modules.pop("own_net")
    with pytest.raises(UserError, match=r"code of this net has changed.*own_net.py was edited \(line 12: - .*sources"):
        package.load_net(plan.folder)


def test_an_accuracy_that_was_measured_otherwise_is_said(train):
    words = ["dropout=monte_carlo", "dropout.num_samples=2", "preprocessing.fit=test", "trainer.test_views=2"]
    plan, _ = train("keep_weights=true", *words)
    with pytest.warns(
        Notice, match=r"with dropout switched on .*, with preprocessing fitted on .*, averaged over views"
    ):
        package.load_net(plan.folder)


def test_a_finished_run_without_weights_is_reported(train, monkeypatch, capsys):
    plan, record = train()
    with_weights, _ = train("keep_weights=true")
    assert with_weights.folder == plan.folder and read_record(plan.folder) == record
    assert jobs.without_weights(with_weights.settings, record, plan.folder)
    assert not jobs.without_weights(plan.settings, record, plan.folder)
    jobs.do_alone(with_weights)
    assert "finished without keeping its weights; rerun=true trains it again and keeps them" in capsys.readouterr().out


def test_the_package_starts_without_torch():
    code = "import sys, ablate; ablate.load_net; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
