"""What is printed before a study begins."""

import pytest

from ablate.study.results import collect, missing_runs
from ablate.sweep.begin import begin
from ablate.sweep.forecast import forecast, study_overview
from ablate.tables import clock
from builders.studies import TUNING, finish, manifest


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "studies" / "s-00000000"


def test_the_time_left_is_printed_before_the_first_run_and_after(folder):
    plan = begin(manifest(TUNING, seconds_a_run=10), folder)
    results = [collect(plan, folder)]
    # 2 arms, 2 values, 3 tuning seeds, then 2 seeds for each arm.
    assert forecast(results, num_workers=2) == "16 runs left: about 1:20, 2 at once"
    for job in missing_runs(results[0]):
        finish(folder, job)
    results = [collect(plan, folder)]
    each = next(iter(results[0].arms[0].tuning[0].values())).wall_seconds
    assert forecast(results, 1) == f"4 runs left: about {clock(4 * each)}, 1 at once"
    assert forecast([collect(begin(manifest(), folder.with_name("u-0")), folder.with_name("u-0"))], 1).startswith(
        "4 runs left; how long"
    )
    for job in list(missing_runs(results[0]))[:3]:
        finish(folder, job)
    assert forecast([collect(plan, folder)], 1).startswith("1 run left: about ")
    assert "lr tuned over [0.1, 0.2]" in study_overview(results[0])
