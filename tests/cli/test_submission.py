"""Which function submits the jobs of a sweep, and with which settings."""

import os
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from ablate.cli import slurm
from ablate.errors import UserError
from hydra_plugins.ablate_sweeper import AblateSweeper


class SlurmLauncher:
    def __init__(self):
        self.params = {"submitit_folder": "logs/%j"}


def submission(launcher, overrides=(), **config):
    sweeper = AblateSweeper.__new__(AblateSweeper)
    sweeper.launcher = launcher
    settings = {"leave": False, "dry_run": False, "runs_per_job": 1, "output_dir": "outputs", **config}
    hydra = {"overrides": {"hydra": list(overrides)}, "launcher": {"max_num_timeout": 0}}
    for line in overrides:
        hydra["launcher"]["max_num_timeout"] = int(line.partition("=")[2])
    sweeper.config = OmegaConf.create({"hydra": hydra, **settings})
    return sweeper.submission()


@pytest.fixture
def no_accounting(monkeypatch):
    monkeypatch.setattr(slurm, "accounting_note", lambda: "this cluster keeps no accounting")


def test_slurm_has_a_submission_of_its_own_and_says_once_that_accounting_is_missing(no_accounting, capsys):
    found = submission(SlurmLauncher(), runs_per_job=3, leave=True)
    assert (found.runs_per_job, found.leave, found.max_requeues) == (3, True, slurm.MAX_REQUEUES)
    assert capsys.readouterr().out.count("no accounting") == 1
    submission(SlurmLauncher(), dry_run=True)
    assert capsys.readouterr().out == ""


def test_the_number_of_requeues_is_the_one_that_is_given(no_accounting):
    """submitit's own default is 0: a job would never be queued again."""
    for number in (0, 5):
        given = [f"hydra.launcher.max_num_timeout={number}"]
        assert submission(SlurmLauncher(), given).max_requeues == number


def test_other_launchers_launch_and_cannot_be_left():
    jobs = []
    launcher = SimpleNamespace(launch=lambda found, initial_job_idx: jobs.extend(found))
    assert submission(launcher)([["seed=0"]]) is None
    assert jobs == [["seed=0"]]
    with pytest.raises(UserError, match=r"`leave=true` needs jobs that go on.*submitit_slurm"):
        submission(launcher, leave=True)


def test_a_login_node_needs_no_gpu(ablate):
    line = "-m data=shapes net=micro device=cuda seed=0,1 hydra/launcher=submitit_slurm dry_run=true"
    found = ablate(line, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    assert found.returncode == 0, found.stderr
    assert "2 runs left" in found.stdout
