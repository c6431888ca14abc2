"""The path of a study from its request to its report; runs are made by hand, without training."""

from dataclasses import replace

import pytest

from ablate import stopping
from ablate.errors import UserError
from ablate.study.collection import Collection
from ablate.sweep.machine import Machine
from ablate.sweep.request import plain_sweep
from ablate.sweep.studies import Options, check_requests, do_studies
from ablate.training.record import WEIGHTS_NAME, write_record
from builders.records import make_record
from builders.studies import variant

MACHINE = Machine({"device": "cpu"}, 2, gpus=[0, 1])


@pytest.fixture
def requests():
    return [plain_sweep("sweep", {"activation": ["relu", "tanh"], "seed": [0, 1]}, ["net=micro"], seed=0)]


def resolve(overrides, value):
    return variant(overrides[-1].removeprefix("activation="), value)


@pytest.fixture
def submit(tmp_path):
    """Does jobs by writing their records, and keeps their overrides; those of one activation can be lost."""

    def do(jobs):
        do.jobs += jobs
        for job in jobs:
            given = dict(line.split("=", 1) for line in job)
            folder = tmp_path / "runs" / given["activation"] / f"seed-{given['seed']}"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "config.yaml").write_text("begun")
            if given["activation"] == do.lost:
                raise RuntimeError("a worker was killed")
            record = make_record(fingerprint=given["activation"], seed=int(given["seed"]), arm=given["activation"])
            write_record(record, folder)

    do.jobs, do.lost = [], ""
    return do


def test_a_dry_run_says_what_there_is_to_do_and_writes_nothing(requests, submit, tmp_path, capsys):
    options = Options(output_dir=tmp_path, command="ablate -m", dry_run=True)
    assert do_studies(requests, options, MACHINE, resolve, submit) == {}
    assert "\ndevice=cpu\n4 runs left; how long one takes is not known yet\n" in capsys.readouterr().out
    assert not submit.jobs and not list(tmp_path.iterdir())


def test_missing_runs_are_done_once_and_reported(requests, submit, tmp_path, capsys):
    options = Options(output_dir=tmp_path, command="ablate -m", wait=True)
    assert do_studies(requests, options, MACHINE, resolve, submit) == {}
    assert len(submit.jobs) == 4
    own = ["wait=true", "rerun=false", "keep_weights=false"]
    assert submit.jobs[1][-5:] == ["seed=0", "device=cpu", *own]  # and no GPU: a worker takes one, and keeps it
    printed = capsys.readouterr().out
    (page,) = tmp_path.glob("studies/*/report.html")
    assert str(page) in printed and "tensorboard --logdir" in printed
    assert do_studies(requests, options, MACHINE, resolve, submit) == {}
    assert len(submit.jobs) == 4
    assert "no run is left" in capsys.readouterr().out


def test_lost_workers_are_printed_with_the_command_for_the_rest(requests, submit, tmp_path, capsys):
    submit.lost = "tanh"
    options = Options(output_dir=tmp_path, command="ablate -m activation=relu,tanh rerun=true")
    failed = do_studies(requests, options, MACHINE, resolve, submit)
    assert set(failed) == {"runs/tanh/seed-0", "runs/tanh/seed-1"}
    printed = capsys.readouterr().err
    assert "the launcher gave up: a worker was killed" in printed and "2 runs failed:" in printed
    assert printed.endswith("to do what is left:\n  ablate -m activation=relu,tanh\n")


def test_a_cluster_that_gives_up_ends_the_command(requests, submit, tmp_path):
    submit.lost = "relu"
    options = Options(output_dir=tmp_path, command="ablate -m activation=relu,tanh")
    with pytest.raises(ValueError, match=r"what it has submitted may still run; .*\n  ablate -m activation=relu,tanh"):
        do_studies(requests, options, Machine({}, 1, (), is_local=False), resolve, submit)


def test_a_lost_job_is_named_and_ends_no_other(requests, submit, tmp_path, capsys):
    """As on a cluster: the jobs of seed 1 were cancelled, one of them after its run had finished."""

    def lose(jobs):
        lost = [job for job in jobs if "seed=1" in job]
        submit([job for job in jobs if job not in lost[:1]])
        return ["its job 7 was cancelled" if job in lost else "" for job in jobs]

    options = Options(output_dir=tmp_path, command="ablate -m")
    cluster = Machine({}, 2, is_local=False)
    assert do_studies(requests, options, cluster, resolve, lose) == {"runs/relu/seed-1": "its job 7 was cancelled"}
    printed = capsys.readouterr()
    assert "FAILED: its job 7 was cancelled" in printed.err and "to do what is left:\n  ablate -m" in printed.err
    assert "report.html" in printed.out
    assert (next(tmp_path.glob("studies/*/runs.csv"))).read_text().count("failed") == 1
    assert do_studies(requests, options, cluster, resolve, submit) == {}  # the same command does it


def test_jobs_that_are_left_are_found_by_the_same_command(requests, submit, tmp_path, capsys):
    cluster = Machine({}, 2, is_local=False)
    leaving = Options(output_dir=tmp_path, command="ablate -m leave=true", leave=True)
    assert do_studies(requests, leaving, cluster, resolve, submit) == {}
    assert len(submit.jobs) == 4
    printed = capsys.readouterr().out
    (folder,) = tmp_path.glob("studies/*")
    assert f"ablate report {folder}\n" in printed and "report.html" not in printed
    assert do_studies(requests, leaving, cluster, resolve, submit) == {}
    assert "report.html" in capsys.readouterr().out and len(submit.jobs) == 4


def test_a_signal_ends_a_sweep_whose_workers_have_stopped(requests, submit, tmp_path):
    """Not as a launcher that gave up: the runs are not tried again."""

    def stop(jobs):
        submit(jobs[:1])
        stopping.request()

    workers = Machine({}, 2, has_workers=True)
    try:
        with pytest.raises(stopping.Stopped):
            do_studies(requests, Options(output_dir=tmp_path, command="ablate -m"), workers, resolve, stop)
    finally:
        stopping.reset()
    assert len(submit.jobs) == 1


def test_studies_of_a_collection_have_one_first_page(requests, submit, tmp_path):
    requests += [plain_sweep("other", {"activation": ["relu"], "seed": [0, 1, 2]}, [], seed=0)]
    both = Collection(name="both", title="", source="", profile="", command="ablate study=both", folders=[])
    options = Options(output_dir=tmp_path, command="ablate study=both", collection=both)
    assert do_studies(requests, options, MACHINE, resolve, submit) == {}
    assert len(submit.jobs) == 5  # shared runs are done once
    assert len(list(tmp_path.glob("studies/*/report.html"))) == 3


def test_a_refused_setting_is_named_with_its_arm(requests):
    def check(overrides):
        if "activation=tanh" in overrides:
            raise UserError("`x` is refused")

    with pytest.raises(UserError, match=r"`x` is refused \(activation=tanh\)"):
        check_requests(requests, check)


def test_weights_are_kept_as_this_command_says_and_finished_runs_without_are_counted(
    requests, submit, tmp_path, capsys
):
    options = Options(output_dir=tmp_path, command="ablate -m", keep_weights="best")
    do_studies(requests, replace(options, keep_weights=False), MACHINE, resolve, submit)
    assert "without keeping their weights" not in capsys.readouterr().out
    (tmp_path / "runs" / "relu" / "seed-0" / WEIGHTS_NAME).touch()
    do_studies(requests, options, MACHINE, resolve, submit)
    assert "\n3 finished runs were trained without keeping their weights; rerun=true" in capsys.readouterr().out
    do_studies(requests, replace(options, rerun=True), MACHINE, resolve, submit)
    assert all("keep_weights=best" in job for job in submit.jobs[4:]) and len(submit.jobs) == 8
