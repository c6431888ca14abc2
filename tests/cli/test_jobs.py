from pathlib import Path

from ablate.cli.jobs import conclusion
from builders.records import make_record


def record(**changes):
    metrics = {
        f"{split}/{name}": value
        for split in ("train_eval", "test")
        for name, value in (("accuracy", 0.5), ("loss", 1.25))
    }
    environment = {"device_name": "a CPU", "threads": 2}
    return make_record(environment=environment, **{"metrics": metrics, **changes})


def test_the_result_of_a_run(tmp_path):
    lines = conclusion(record(), tmp_path, fresh=True).splitlines()
    assert lines[0] == "train  accuracy 50.00 %  loss 1.2500"
    assert lines[1] == "test   accuracy 50.00 %  loss 1.2500"  # no validation images, no line
    assert lines[2:] == ["1.5 s, 100 images/s, a CPU, 2 threads", f"record {tmp_path / 'record.json'}"]


def test_a_finished_and_a_diverged_run_say_so():
    metrics = {"test/accuracy": 0.1, "test/loss": None, "test/non_finite": 0.25}
    text = conclusion(record(status="diverged", metrics=metrics), Path("nowhere"), fresh=False)
    assert text.startswith("this run is finished already; rerun=true")
    assert "diverged in epoch 1: scored as guessing" in text
    assert "loss -  not finite at inference: 25.00 % of the images" in text
