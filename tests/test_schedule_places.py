"""Schedules against exact rational arithmetic: a place is reached at the step that a person would compute."""

from fractions import Fraction

import pytest

from ablate.optimization import Cosine, Geometric, Step, Triangular

EPOCHS = (1, 2, 3, 5, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60, 75, 90, 100, 120, 150, 160, 200, 300)
PLACES = [f"0.{n:02d}" for n in range(1, 100)] + ["0.125", "0.375", "0.625", "0.999", "0.001"]


def test_the_example():
    assert Step(milestones=[0.28], factor=0.1)(7.0, 25) == 0.1


@pytest.mark.parametrize("steps_per_epoch", [1, 3, 7, 50, 391])
def test_a_milestone_is_passed_at_the_very_step(steps_per_epoch):
    for num_epochs in EPOCHS:
        for place in PLACES:
            schedule = Step(milestones=[float(place)], factor=0.1)
            exact = Fraction(place) * num_epochs * steps_per_epoch  # in steps
            first = -(-exact.numerator // exact.denominator)
            for step, factor in ((first - 1, 1.0), (first, 0.1)):
                epoch, i = divmod(step, steps_per_epoch)
                if 0 <= step < num_epochs * steps_per_epoch:
                    assert schedule(epoch + i / steps_per_epoch, num_epochs) == factor, (place, num_epochs, step)


def test_the_peak_and_the_end_of_a_warm_up_are_the_whole_rate():
    for num_epochs in EPOCHS:
        for place in PLACES:
            at = float(Fraction(place) * num_epochs)
            for epoch in (at, float(place) * num_epochs):
                assert Triangular(peak=float(place), final=0.1)(epoch, num_epochs) == pytest.approx(1, abs=1e-12)
                schedule = Cosine(warmup_epochs=at)
                assert schedule(epoch, num_epochs) == pytest.approx(1, abs=1e-12)


def test_no_factor_exceeds_the_rate():
    for num_epochs in EPOCHS:
        for place in PLACES:
            for step in range(num_epochs * 3):
                epoch = step // 3 + step % 3 / 3
                assert 0 <= Triangular(peak=float(place))(epoch, num_epochs) <= 1
                assert 0 <= Cosine(warmup_epochs=float(place))(epoch, num_epochs) <= 1


def test_whole_epochs_are_counted_in_spite_of_rounding():
    epoch = 2.9999999999999996
    assert epoch < 3 and Geometric(growth=2.0)(epoch, 10) == 8
