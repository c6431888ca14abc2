"""The same scores as a CSV, TensorBoard logs, an MLflow file store and exports of trackers."""

import csv
import json

CLAIMS = """\
relu_beats_tanh:
  text: ReLU is better than tanh.
  form: greater
  metric: acc
  treatment: {activation: relu}
  control: {activation: tanh}
  smallest_effect: 0.01
"""
PAIRS = [(0.81, 0.78), (0.83, 0.79), (0.80, 0.78), (0.84, 0.80), (0.82, 0.79), (0.83, 0.81)]


def scores():
    """Return one dict for each run: settings, seed and metrics."""
    return [
        {"activation": name, "lr": 0.1, "seed": seed, "acc": value, "loss": round(1 - value, 4)}
        for seed, pair in enumerate(PAIRS)
        for name, value in zip(("relu", "tanh"), pair, strict=True)
    ]


def write_csv(path, rows, separator=","):
    names = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=separator)
        writer.writerow(names)
        writer.writerows([["" if row.get(name) is None else row[name] for name in names] for row in rows])
    return path


def write_wandb(path, rows, lines=False):
    runs = [
        {
            "name": f"run-{i}",
            "state": row.get("status", "finished"),
            "config": {"activation": row["activation"], "lr": {"value": row["lr"]}, "seed": row["seed"], "_wandb": {}},
            "summary": {"acc": row["acc"], "loss": row["loss"], "_step": 10, "image": {"_type": "image-file"}},
        }
        for i, row in enumerate(rows)
    ]
    content = "\n".join(map(json.dumps, runs)) if lines else json.dumps(runs)
    path.write_text(content, encoding="utf-8")
    return path


def write_wandb_csv(path, rows):
    named = [
        {"Name": f"run-{i}", "State": "finished", "Notes": "-", "Runtime": 3 + i, **row} for i, row in enumerate(rows)
    ]
    return write_csv(path, named)


def write_mlflow(folder, rows, experiment="digits"):
    home = folder / "123"
    home.mkdir(parents=True)
    (folder / ".trash").mkdir(exist_ok=True)
    (home / "meta.yaml").write_text(f"name: {experiment}\nexperiment_id: '123'\nlifecycle_stage: active\n")
    for i, row in enumerate(rows):
        run = home / f"{i:032x}"
        for kind in ("metrics", "params", "tags"):
            (run / kind).mkdir(parents=True)
        status = row.get("status", 3)
        meta = f"run_id: {i:032x}\nrun_name: swift-{i}\nstatus: {status}\nlifecycle_stage: active\n"
        (run / "meta.yaml").write_text(meta)
        (run / "tags" / "mlflow.source.name").write_text("train.py")
        for key in ("activation", "lr", "seed"):
            (run / "params" / key).write_text(str(row[key]))
        for key in ("acc", "loss"):
            if row.get(key) is not None:  # two steps: the second counts, although it stands first
                (run / "metrics" / key).write_text(f"1700000002 {row[key]} 2\n1700000001 0.5 1\n")
    return folder


def write_events(folder, rows, named=True):
    """Write one folder for each run; settings in its name, or as hyperparameters."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    for i, row in enumerate(rows):
        name = f"activation={row['activation']},lr={row['lr']}/seed-{row['seed']}" if named else f"run{i}"
        writer = EventFileWriter(str(folder / name))
        if not named:
            settings = {key: row[key] for key in ("activation", "lr", "seed")}
            writer.add_event(Event(wall_time=1.0, step=0, summary=hparams_pb(settings)))
        for step, factor in ((1, 0.5), (2, 1.0)):
            values = [Summary.Value(tag=key, simple_value=factor * row[key]) for key in ("acc", "loss")]
            writer.add_event(Event(wall_time=1.0 + step, step=step, summary=Summary(value=values)))
        writer.close()
    return folder
