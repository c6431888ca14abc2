"""Printed progress of a batch."""

import pytest

from ablate.study.results import Job
from ablate.study.study import TUNING_SEED
from ablate.sweep.progress import ProgressPrinter
from ablate.training.record import CHECKPOINT_NAME
from builders.records import make_record
from builders.studies import finish, manifest


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "studies" / "s-00000000"


@pytest.mark.parametrize(("seed", "shown"), [(TUNING_SEED, "val accuracy 25.00 %"), (7, "test accuracy 75.00 %")])
def test_a_tuning_run_is_printed_with_its_validation_score(folder, capsys, seed, shown):
    job = Job(label="activation=relu", variant=manifest().arms[0].variants[0], seed=seed)
    output_dir = folder.parent.parent
    with ProgressPrinter([job], output_dir, lambda: None):
        finish(folder, job)
        run_folder = output_dir / job.folder
        metrics = {"val/accuracy": 0.25, "test/accuracy": 0.75, "train_eval/accuracy": 0.5}
        finish_with(run_folder, job, metrics)
    printed = capsys.readouterr().out
    assert shown in printed and ("test" in printed) == (seed == 7)


def finish_with(run_folder, job, metrics):
    from ablate.training.record import write_record

    write_record(make_record(fingerprint=job.variant.fingerprint, seed=job.seed, metrics=metrics), run_folder)


def test_a_run_that_continues_from_its_checkpoint_is_marked(folder, capsys):
    jobs = [Job(label="activation=relu", variant=manifest().arms[0].variants[0], seed=seed) for seed in (0, 1)]
    output_dir = folder.parent.parent
    begun = output_dir / jobs[1].folder
    begun.mkdir(parents=True)
    (begun / CHECKPOINT_NAME).write_bytes(b"saved")
    with ProgressPrinter(jobs, output_dir, lambda: None):
        for job in jobs:
            finish(folder, job)
    lines = capsys.readouterr().out.splitlines()
    assert {line.split(" seed ")[1][0]: line.endswith("(resumed)") for line in lines} == {"0": False, "1": True}
