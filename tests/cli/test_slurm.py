"""Jobs on SLURM without a cluster: what its commands would print is given; see test_slurm_cluster.py for a real one."""

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from ablate import stopping
from ablate.cli import slurm
from ablate.errors import UserError


@pytest.fixture
def commands(monkeypatch):
    """A function (beginning of a command -> outputs, the last one repeated) that replaces SLURM; returns the calls."""
    calls = []

    def answer(**outputs):
        def run(*command):
            calls.append(command)
            (found,) = [texts for key, texts in outputs.items() if key in command]
            return found.pop(0) if len(found) > 1 else found[0]

        monkeypatch.setattr(slurm, "run", run)
        monkeypatch.setattr(slurm.time, "sleep", lambda seconds: None)
        return calls

    return answer


def test_jobs_are_waited_for_until_each_is_over(commands):
    """Queued, running, silent for a while, requeued, cancelled, and forgotten by SLURM."""
    commands(
        squeue=[
            "1_0|RUNNING\n1_1|PENDING\n1_2|RUNNING\n2|RUNNING\n",
            None,
            "1_0|COMPLETED\n1_1|CANCELLED\n1_2|COMPLETING\n",
            "1_2|PENDING\n",
            "1_2|RUNNING\n",
            "1_2|TIMEOUT\n",
        ],
        job=[""],
    )
    found = slurm.wait_for({"1_0", "1_1", "1_2", "2"})
    assert found["1_0"] == ""
    assert found["1_1"] == "was cancelled"
    assert "hydra.launcher.timeout_min" in found["1_2"]
    assert found["2"] == "is not known to SLURM any more"


@pytest.mark.parametrize(
    ("state", "restarts", "requeued"),
    [("RUNNING", 0, True), ("RUNNING", 2, True), ("COMPLETING", 0, False), ("CANCELLED", 0, False), ("", 0, False)],
)
def test_a_job_that_was_warned_is_queued_again_and_a_cancelled_one_is_not(
    commands, monkeypatch, state, restarts, requeued
):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    monkeypatch.setenv("SLURM_RESTART_COUNT", str(restarts))
    calls = commands(job=[f"JobId=10 JobState={state} Reason=None" if state else None], requeue=[""])
    with pytest.raises(SystemExit) as caught:
        slurm.queue_again(stopping.Stopped(signal.SIGUSR2), most=3)
    assert caught.value.code == 128 + signal.SIGUSR2
    assert (("scontrol", "requeue", "7_3") in calls) == requeued


def test_a_job_is_not_queued_again_for_ever(commands, monkeypatch):
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    calls = commands(job=["JobId=7 JobState=RUNNING"])
    with pytest.raises(RuntimeError, match=r"stopped 4 times.*timeout_min.*max_num_timeout \(now 3\)"):
        slurm.queue_again(stopping.Stopped(signal.SIGUSR1), most=3)
    assert len(calls) == 1


class Launcher:
    """Stands for the launcher of submitit: called, it does a run."""

    def __init__(self, tmp_path):
        self.params, self.done = {"submitit_folder": str(tmp_path / "logs" / "%j")}, []

    def __call__(self, overrides, *how):
        self.done.append(overrides)
        failed = overrides == ["seed=1"]
        return Returned("FAILED" if failed else "COMPLETED")


class Returned:
    def __init__(self, status):
        self.status = SimpleNamespace(name=status)

    @property
    def return_value(self):
        raise KeyError("the error of the run")


def test_the_runs_of_a_job_are_done_though_one_fails(tmp_path):
    launcher = Launcher(tmp_path)
    chunk = slurm.Chunk(launcher, [(["seed=0"], 0), (["seed=1"], 1), (["seed=2"], 2)], None, 3)
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    try:
        with stopping.watched(), pytest.raises(KeyError, match="the error of the run"):
            slurm.call(chunk)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stopping.watch([])
    assert launcher.done == [["seed=0"], ["seed=1"], ["seed=2"]]


class Executor:
    """Stands for submitit's: keeps the sizes of the arrays and numbers their jobs."""

    def __init__(self):
        self.arrays = []

    def map_array(self, function, chunks):
        self.arrays.append([[overrides for overrides, _ in chunk.runs] for chunk in chunks])
        return [SimpleNamespace(job_id=f"{len(self.arrays)}_{i}") for i in range(len(chunks))]


@pytest.fixture
def executor(monkeypatch):
    found = Executor()
    monkeypatch.setattr(slurm, "make_executor", lambda params: found)
    return found


JOBS = [[f"seed={seed}", "wait=false", "rerun=false"] for seed in range(5)]


def test_runs_are_put_into_jobs_and_jobs_into_arrays(commands, executor, tmp_path, capsys):
    ended = "".join(f"{job}|COMPLETED\n" for job in ("1_0", "1_1", "2_0")).replace("1_1|COMPLETED", "1_1|CANCELLED")
    commands(config=["SlurmUser = root\nMaxArraySize            = 2\n"], squeue=[ended], job=[""])
    submit = slurm.Slurm(Launcher(tmp_path), runs_per_job=2, output_dir=tmp_path, leave=False)
    lost = submit(JOBS)
    assert [[len(chunk) for chunk in array] for array in executor.arrays] == [[2, 2], [1]]
    log = tmp_path / "logs" / "1_1" / "1_1_0_log.err"
    assert lost == ["", "", *[f"its SLURM job 1_1 was cancelled; see {log}"] * 2, ""]
    assert "5 runs submitted in 3 SLURM jobs (1, 2)" in capsys.readouterr().out


def test_what_is_in_the_queue_is_not_submitted_again(commands, executor, tmp_path, capsys):
    """A later command, with other values of wait: one job still waits, the others are gone, unfinished."""
    commands(config=[""], squeue=["1_1|PENDING\n1_0|CANCELLED\n", "1_1|COMPLETED\n2_0|COMPLETED\n"], job=[""])

    def submit(leave):
        return slurm.Slurm(Launcher(tmp_path), runs_per_job=2, output_dir=tmp_path, leave=leave)

    assert submit(leave=True)(JOBS[:4]) == []
    again = [["leave=true", *(line.replace("wait=false", "wait=true") for line in job)] for job in JOBS[:4]]
    submit(leave=False)(again)
    assert [sum(len(chunk) for chunk in array) for array in executor.arrays] == [4, 2]
    assert [chunk[0][1] for chunk in executor.arrays[1]] == ["seed=0"]
    rerun = [[line.replace("rerun=false", "rerun=true") for line in job] for job in JOBS[:4]]
    submit(leave=True)(rerun)
    assert sum(len(chunk) for chunk in executor.arrays[2]) == 4


def test_a_signal_ends_the_waiting_and_not_the_jobs(commands, executor, tmp_path, monkeypatch, capsys):
    commands(config=[""], squeue=["1_0|RUNNING\n"], job=[""])
    monkeypatch.setattr(slurm, "wait_for", lambda ids: (_ for _ in ()).throw(stopping.Stopped(signal.SIGINT)))
    with pytest.raises(stopping.Stopped):
        slurm.Slurm(Launcher(tmp_path), runs_per_job=1, output_dir=tmp_path, leave=False)(JOBS[:1])
    assert "what was submitted goes on (scancel 1 ends it)" in capsys.readouterr().err


def test_what_slurm_refuses_is_one_line(commands, executor, tmp_path, monkeypatch):
    commands(config=[""])

    def refuse(function, chunks):
        raise RuntimeError("sbatch: error: invalid partition specified: nowhere")

    monkeypatch.setattr(executor, "map_array", refuse)
    with pytest.raises(UserError, match="SLURM refused the jobs: sbatch: error: invalid partition specified: nowhere"):
        slurm.Slurm(Launcher(tmp_path), runs_per_job=1, output_dir=tmp_path, leave=False)(JOBS)


def test_the_settings_of_the_launcher_reach_sbatch(tmp_path, monkeypatch):
    submitit = pytest.importorskip("submitit")
    monkeypatch.setattr(submitit.SlurmExecutor, "affinity", classmethod(lambda cls: 2))
    params = {"submitit_folder": str(tmp_path / "%j"), "max_num_timeout": 0, "timeout_min": 7, "partition": "gpu"}
    params |= {"cpus_per_task": 3, "additional_parameters": {}, "array_parallelism": 5, "signal_delay_s": 60}
    executor = slurm.make_executor(params)
    text = executor._executor._make_submission_file_text("command", "0")
    for line in ("requeue", "time=7", "partition=gpu", "cpus-per-task=3", "signal=USR2@60"):
        assert f"#SBATCH --{line}\n" in text


def test_accounting_is_missed_once(tmp_path, monkeypatch):
    tool = tmp_path / "sacct"
    tool.write_text("#!/bin/sh\necho Slurm accounting storage is disabled >&2\nexit 1\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert "keeps no accounting (Slurm accounting storage is disabled)" in slurm.accounting_note()
    tool.write_text("#!/bin/sh\nexit 0\n")
    assert slurm.accounting_note() == ""


def test_the_log_of_a_job():
    assert slurm.log_of(Path("logs/%j"), "4") == Path("logs/4/4_0_log.err")


def test_a_time_limit_shorter_than_its_warning_is_refused(tmp_path):
    launcher = Launcher(tmp_path)
    launcher.params |= {"timeout_min": 1, "signal_delay_s": 120}
    with pytest.raises(UserError, match=r"signal_delay_s` must be less than .*timeout_min=1 \(60 s\), got 120.*=15$"):
        slurm.Slurm(launcher, runs_per_job=1, output_dir=tmp_path, leave=False)
    launcher.params["signal_delay_s"] = 15
    slurm.Slurm(launcher, runs_per_job=1, output_dir=tmp_path, leave=False)


def test_jobs_on_other_data_have_other_names():
    for key in ("data.root", "data.path"):
        assert slurm.name_of([f"{key}=a", "seed=0"]) != slurm.name_of([f"{key}=b", "seed=0"])
