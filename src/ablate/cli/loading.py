"""The net of a finished run, from its record and its weights."""

from pathlib import Path

from ablate.cli.planning import KEPT, Plan, make_run
from ablate.errors import Unusable, UserError, notice
from ablate.nets import Net
from ablate.seeding import global_generators
from ablate.training.record import WEIGHTS_NAME, Record, read_record
from ablate.training.sources import Source, edited, find
from ablate.training.weights import read_weights, restored


@global_generators()
def load_net(folder: str | Path) -> Net:
    """Return the net of the finished run in `folder`: see `ablate.load_net`."""
    folder = Path(folder).expanduser()
    try:
        record = read_record(folder)
        weights = read_weights(folder)
    except Unusable as error:
        raise UserError(f"{error}; train the run again with rerun=true keep_weights=true") from error
    if record is None:
        found = [path.parent for path in sorted(folder.glob(f"**/{WEIGHTS_NAME}"))[:3]]
        hint = f"did you mean {' or '.join(map(str, found))}?" if found else "it looks like outputs/runs/NAME/seed-0"
        raise UserError(f"load_net needs the folder of a finished run, got {folder}, which has no record.json; {hint}")
    if weights is None:
        raise UserError(f"{folder} holds no weights: {_why(record)}")
    if (weights.fingerprint, weights.seed) != (record.fingerprint, record.seed):
        raise UserError(
            f"{folder / WEIGHTS_NAME} belongs to a run with fingerprint {weights.fingerprint[:8]} and seed "
            f"{weights.seed}, not to this one ({record.fingerprint[:8]}, seed {record.seed}); restore this run's own "
            "file, or train it again with rerun=true keep_weights=true"
        )
    _check_own_code(record, folder)
    plan = Plan(
        arm=record.arm,
        fingerprint=record.fingerprint,
        levels=record.levels,
        settings=record.settings,
        seed=record.seed,
        folder=folder,
        changed={},
        sources=find(record.settings),
    )
    run = make_run(plan, with_data=False)
    if differing := _evaluated_otherwise(record):
        notice(f"the accuracy in the record was measured {differing}; this net, on its own, may have another")
    return restored(run, weights)


def _why(record: Record) -> str:
    """Return why a finished run has no weights, and the cure."""
    if record.status == "diverged":
        return "the run diverged, and such a run keeps none"
    asked = record.settings.get("keep_weights", False)
    again = "rerun=true keep_weights=true trains it again and keeps them"
    what = f"the file {WEIGHTS_NAME} is missing" if KEPT[asked] else "it was trained without keeping them"
    return f"{what}; {again}"


def _check_own_code(record: Record, folder: Path) -> None:
    """Refuse a net whose code was edited since; report a package of another version.

    Raises:
        UserError: a module of the user's was edited.
    """
    then, now = [Source(**source) for source in record.sources], find(record.settings)
    for is_module in (True, False):
        before, after = ([s for s in sources if (s.path is not None) is is_module] for sources in (then, now))
        changes = edited(before, after, folder)
        if changes and is_module:
            raise UserError(
                f"the code of this net has changed since its training: {changes}; {folder / 'sources'} holds the text "
                "that it was trained with"
            )
        if changes:
            notice(f"{changes}; the net may give other outputs than in its training")


def _evaluated_otherwise(record: Record) -> str:
    """Return how the recorded accuracy differs from that of the net alone, "" if it does not."""
    settings = record.settings
    fit = settings["preprocessing"].get("fit")
    ways = {
        "with dropout switched on (dropout.num_samples)": settings["dropout"].get("num_samples", 0) > 0,
        "with preprocessing fitted on the evaluated images (preprocessing.fit=test)": fit == "test",
        f"in {settings['precision']}": settings["precision"] != "fp32",
        "averaged over views (trainer.test_views)": settings["trainer"].get("test_views", 1) > 1,
    }
    return ", ".join(name for name, applies in ways.items() if applies)
