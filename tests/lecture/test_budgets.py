"""What the lecture's profiles promise: their cost, their seeds, and their controls."""

import pytest

from ablate.config import catalog
from ablate.study.files import parts_of, read_study, with_claims, with_profile
from ablate.study.study import parse

STUDIES, CLAIMS = (catalog.levels(catalog.folders(), kind) for kind in ("study", "claim"))
PARTS = parts_of("lecture", STUDIES)


def studies(profile, names=PARTS):
    """The studies of a page at a profile."""
    for name in names:
        content = with_claims(name, with_profile(name, read_study(STUDIES[name]), profile, STUDIES), CLAIMS)
        yield parse(name, content)


def seconds(study):
    """Of all runs of all looks, on one core."""
    num_arms, tuning = len(study.arms()), study.tuning
    each = (tuning.seconds_a_run or study.seconds_a_run) * len(tuning.values) * tuning.seeds if tuning else 0
    return num_arms * (study.seconds_a_run * len(study.seeds) + each)


@pytest.mark.parametrize(("profile", "minutes"), [("quick", 20), ("standard", 153)])
def test_a_page_takes_at_most_its_time_on_two_cores(profile, minutes):
    # 153: runs that studies share, 5 minutes of one core, are counted twice here.
    assert sum(map(seconds, studies(profile))) / 2 <= 60 * minutes


def test_the_published_comparisons_take_an_hour_each():
    for study in studies("standard", parts_of("published", STUDIES)):
        assert seconds(study) / 2 <= 3600, study.name


def test_seeds_of_the_standard_budget_are_new():
    used = {seed for profile in ("quick", "larger", "full") for study in studies(profile) for seed in study.seeds}
    own = {seed for study in studies("standard") for seed in study.seeds if study.name != "algebra"}
    (pilot,) = studies("standard", ["pilot"])
    assert not own & used
    assert not set(pilot.seeds) & (own | used)


def test_activations_are_ranked_where_relu_is_ten_points_above_a_linear_net():
    (study,) = (study for study in studies("standard") if study.name == "activation")
    (control,) = (control for control in study.controls if control.name == "relu_beats_a_linear_net")
    assert control.smallest_effect == 0.1 and control.at_least and "net.pool=avg" in study.base
    accuracies = {claim.name for claim in study.claims if claim.metric == "test/accuracy"}
    assert accuracies <= set(control.claims)


def test_each_study_that_judges_accuracies_has_a_control():
    for study in studies("standard"):
        if any(claim.metric == "test/accuracy" for claim in study.claims):
            assert study.controls, study.name
