"""Studies of one claim that were run and judged at a budget of their own."""

from dataclasses import replace

from ablate.sweep.begin import begin
from builders.judged import judge_again, planned, store


def at(output_dir, name, right, images=100, epochs=1, widths=(8, 16), spread=3, data=None, levels=None, **changes):
    """Register, run and judge a study at a budget; return its folder.

    `right` is of 200 images, by activation; `data` are settings in place of `images`, `levels` other levels.
    """
    plan = planned(**changes)
    given = {"data": data or {"train_size": images}, "trainer": {"epochs": epochs}, "net": {"widths": list(widths)}}
    arms = [
        replace(
            arm,
            variants=[
                replace(
                    variant,
                    levels={**variant.levels, **(levels or {})},
                    settings={**variant.settings, **given},
                    fingerprint=f"{variant.fingerprint}-{name}",
                    folder=f"{variant.folder}-{name}",
                )
                for variant in arm.variants
            ],
        )
        for arm in plan.arms
    ]
    folder = output_dir / "studies" / name
    begun = begin(replace(plan, arms=arms), folder)
    for arm in begun.arms:
        (variant,) = arm.variants
        for seed in begun.study().seeds:
            correct = right[arm.axes["activation"]] + spread * seed
            store(output_dir / variant.folder / f"seed-{seed}", variant.fingerprint, seed, correct)
    judge_again(folder)
    return folder
