"""Results as data frames, against the records that they are made from."""

import csv
import json
import math
import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest

import ablate
from ablate.cli.export import export_command
from ablate.errors import UserError
from ablate.judging import judge
from ablate.report import write_report
from ablate.storage.integrity import write_json
from ablate.storage.paths import named_folder
from ablate.study.collection import Collection, write_collection
from ablate.study.manifest import write_manifest
from ablate.study.results import collect, missing_runs
from ablate.study.run_rows import write_runs
from builders.studies import TUNING, finish, manifest

CLAIM = {"text": "ReLU wins.", "form": "greater", "smallest_effect": 0.01, "source": "t"}
CLAIM |= {"treatment": {"activation": "relu"}, "control": {"activation": "tanh"}}
SCORES = {("relu", 0): 0.50, ("relu", 1): 0.56, ("relu", 2): 0.52, ("tanh", 0): 0.40, ("tanh", 1): 0.43}


@pytest.fixture
def folder(tmp_path):
    """A study of two arms and three seeds, of which one run is missing."""
    found = manifest(looks=(3,), seeds=3, claims={"c": CLAIM})
    place = tmp_path / "studies" / "s"
    write_manifest(found, place)
    for job in list(missing_runs(collect(found, place))):
        key = (job.label.removeprefix("activation="), job.seed)
        if key in SCORES:
            finish(place, job, SCORES[key])
    results = collect(found, place)
    write_report(results, judge(results))
    write_runs(found, place)
    return place


def test_a_row_is_a_run_with_factors_seed_state_and_metrics(folder):
    runs = ablate.load(folder).runs
    assert len(runs) == 6
    kept = runs[runs.state == "finished"]
    assert {(a, s): x for a, s, x in zip(kept.activation, kept.seed, kept["test/accuracy"], strict=True)} == SCORES
    (missing,) = runs[runs.state == "to do"].to_dict("records")
    assert (missing["activation"], missing["seed"], missing["role"]) == ("tanh", 2, "report")
    assert math.isnan(missing["test/accuracy"])


def test_runs_csv_has_the_same_columns_and_numbers(folder):
    runs = ablate.load(folder).runs
    with (folder / "runs.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(runs.columns)
    assert [row["test/accuracy"] for row in rows] == ["0.5", "0.56", "0.52", "0.4", "0.43", ""]


def test_tuning_runs_are_marked(tmp_path):
    place = tmp_path / "studies" / "s"
    write_manifest(found := manifest(TUNING), place)
    for job in list(missing_runs(collect(found, place))):
        finish(place, job)
    runs = ablate.load(place).runs
    tuning = runs[runs.role == "tuning"]
    assert set(tuning.value) == {0.1, 0.2}
    assert set(tuning.state) == {"finished"}
    assert set(runs[runs.role == "report"].state) == {"to do"}


def test_histories_have_a_row_for_each_epoch(folder):
    histories = ablate.load(folder).histories
    assert len(histories) == 5
    assert set(histories["train/loss"]) == {2.0}
    assert {"arm", "seed", "folder", "activation", "epoch"} <= set(histories.columns)


def test_verdicts_are_those_of_the_report(folder):
    (row,) = ablate.load(folder).verdicts.to_dict("records")
    assert (row["claim"], row["text"], row["outcome"]) == ("c", "ReLU wins.", "incomplete")
    (folder / "verdicts.json").unlink()
    assert len(ablate.load(folder).verdicts) == 0


@pytest.fixture
def marked(folder):
    """The study with a verdict that is post hoc, at a level of 70 %."""
    path = folder / "verdicts.json"
    content = json.loads(path.read_text())
    more = {"outcome": "supported", "estimate": 0.1, "low": 0.05, "high": 0.15, "level": 0.7}
    content["verdicts"][0] |= {**more, "post_hoc": "chosen after its result", "finished_before": [10, 12]}
    write_json({key: value for key, value in content.items() if key != "sha256"}, path)
    return folder


def test_a_post_hoc_verdict_and_the_level_are_marked_in_frames_and_tables(marked):
    (row,) = ablate.load(marked).verdicts.to_dict("records")
    assert (row["outcome"], row["level"]) == ("supported", 0.7)
    assert (row["post_hoc"], row["finished_before"]) == ("chosen after its result", "10 of 12")
    for form, name in (("markdown", "tables.md"), ("latex", "tables.tex")):
        export_command([str(marked), "--to", form], [])
        text = (marked / "export" / name).read_text().replace("\\%", "%").replace(" & ", " | ")
        assert "| supported, post hoc |" in text and "| [+5.00, +15.00] | 70 % |" in text


def test_a_verdict_of_an_earlier_version_is_not_post_hoc(marked):
    path = marked / "verdicts.json"
    content = json.loads(path.read_text())
    for key in ("post_hoc", "finished_before"):
        del content["verdicts"][0][key]
    write_json({key: value for key, value in content.items() if key != "sha256"}, path)
    (row,) = ablate.load(marked).verdicts.to_dict("records")
    assert (row["post_hoc"], row["finished_before"]) == ("", "")


def test_single_runs_are_loaded_with_their_levels(folder):
    runs = ablate.load(folder.parent.parent / "runs").runs
    assert len(runs) == 5
    assert sorted(runs["test/accuracy"]) == sorted(SCORES.values())
    assert "activation" in runs
    only = ablate.load(folder.parent.parent / "runs" / "relu" / "seed-0").runs
    assert list(only.seed) == [0]


def test_a_collection_names_the_study_of_each_row(folder):
    names = Collection(name="both", title="", source="", profile="", command="", folders=["s"] * 2)
    place = folder.parent / named_folder("both", ["s"])
    write_collection(names, place)
    loaded = ablate.load(place)
    assert len(loaded.runs) == 12
    assert loaded.runs.columns[0] == loaded.verdicts.columns[0] == "study"


def test_a_folder_without_results_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds neither; it looks like outputs/studies/NAME"):
        ablate.load(tmp_path)


def test_loading_and_importing_do_not_load_torch_and_importing_not_pandas(folder):
    code = f"import sys, ablate; assert 'pandas' not in sys.modules; ablate.load({str(folder)!r}); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "pandas" in loaded
    assert "torch" not in loaded


def test_without_pandas_the_cure_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"pip install 'pandas>=2\.2'"):
        ablate.load(folder)


class TestExport:
    """`ablate export`, one test for each format."""

    def test_markdown_and_latex_hold_arms_and_verdicts(self, folder, capsys):
        for form, name in (("markdown", "tables.md"), ("latex", "tables.tex")):
            export_command([str(folder), "--to", form], [])
            assert capsys.readouterr().out.strip() == str(folder / "export" / name)
        text = (folder / "export" / "tables.md").read_text()
        assert "## s: arms" in text
        assert "| ReLU wins. | incomplete |" in text
        text = (folder / "export" / "tables.tex").read_text()
        assert r"test accuracy \%" in text
        assert "2 of 3" in text
        assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 2

    def test_parquet_is_read_back(self, folder, tmp_path, capsys):
        pandas, _ = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
        export_command([str(folder), "--to", "parquet", "--out", str(tmp_path / "p")], [])
        assert len(capsys.readouterr().out.split()) == 3
        runs = pandas.read_parquet(tmp_path / "p" / "runs.parquet")
        assert list(runs.columns) == list(ablate.load(folder).runs.columns)
        assert len(pandas.read_parquet(tmp_path / "p" / "histories.parquet")) == 5

    @pytest.mark.parametrize(
        ("form", "name"), [(n, n) for n in ("mlflow", "wandb", "trackio")] + [("parquet", "pyarrow")]
    )
    def test_a_missing_package_is_named(self, folder, form, name, monkeypatch):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(UserError, match=f"{name} is missing.*pip install"):
            export_command([str(folder), "--to", form], [])

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            (["--to", "latex"], "needs the folder of one study, got none"),
            (["x"], r"needs a format, got ''; write --to latex\|markdown"),
            (["x", "--to", "latx"], "did you mean latex"),
            (["x", "--as", "latex"], "no option '--as'"),
            (["x", "--to", "latex", "--out"], "`--out` needs a folder"),
        ],
    )
    def test_mistaken_words_are_refused(self, words, message):
        with pytest.raises(UserError, match=message):
            export_command(words, [])


class Recorder:
    """Stands in for a tracker's module, which is not installed: it notes every call."""

    def __init__(self, calls=None, name=""):
        self.calls, self.name = [] if calls is None else calls, name

    def __getattr__(self, name):
        return Recorder(self.calls, name)

    def __call__(self, *args, **kwargs):
        self.calls.append((self.name, args, kwargs))
        return Recorder(self.calls)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.calls.append(("exit", (), {}))

    def __iter__(self):
        return iter(())


@pytest.mark.parametrize("form", ["wandb", "trackio"])
def test_a_tracker_gets_each_finished_run_with_settings_history_and_metrics(form, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, form, tracker := Recorder())
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("TRACKIO_DIR", str(folder / "t"))
    export_command([str(folder), "--to", form], [])
    begun = [kwargs for name, _, kwargs in tracker.calls if name == "init"]
    assert {run["name"] for run in begun} == {f"activation={a} seed {s}" for a, s in SCORES}
    assert all(run["config"]["activation"] in ("relu", "tanh") for run in begun)
    assert form == "trackio" or all(run["mode"] == "offline" for run in begun)  # nothing is sent
    logged = [args[0] for name, args, _ in tracker.calls if name == "log"]
    assert [row["train/loss"] for row in logged if "train/loss" in row] == [2.0] * 5
    finals = [row["final/test/accuracy"] for row in logged if "final/test/accuracy" in row]
    assert sorted(finals) == sorted(SCORES.values())
    assert sum(name == "finish" for name, _, _ in tracker.calls) == 5


def test_mlflow_gets_each_finished_run_in_an_experiment_of_its_study(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", tracker := Recorder())
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    export_command([str(folder), "--to", "mlflow"], [])
    calls = tracker.calls
    assert calls[0] == ("set_tracking_uri", (f"sqlite:///{(folder / 'export' / 'mlflow.db').resolve()}",), {})
    assert [args for name, args, _ in calls if name == "set_experiment"] == [("s",)] * 5
    metrics = [args[0] for name, args, _ in calls if name == "log_metrics"]
    assert sorted(row["test/accuracy"] for row in metrics if "test/accuracy" in row) == sorted(SCORES.values())
    assert [row["train/loss"] for row in metrics if "train/loss" in row] == [2.0] * 5
    assert sum(name == "exit" for name, _, _ in calls) == 5  # each run is ended


class Store:
    """Stands in for the runs that a tracker keeps, for MLflow and trackio: {project: {identity: run}}."""

    def __init__(self):
        self.runs, self.deleted, self.project, self.interrupted = [], [], "", False

    def set_tracking_uri(self, uri): ...

    def set_experiment(self, project):
        self.project = project
        return SimpleNamespace(experiment_id=project)

    def search_runs(self, experiment_ids, filter_string, output_format):
        assert output_format == "list"
        key, _, value = filter_string.partition(" = ")
        return [r for r in self.runs if r.project in experiment_ids and f"'{r.tags[key[5:]]}'" == value]

    def delete_run(self, run_id):
        self.deleted.append(run_id)
        self.runs = [run for run in self.runs if run.info.run_id != run_id]

    def start_run(self, run_name, tags):
        status = "FAILED" if self.interrupted else "FINISHED"
        info = SimpleNamespace(status=status, run_id=f"{run_name}-{len(self.runs)}")
        self.runs.append(SimpleNamespace(project=self.project, name=run_name, tags=tags, info=info))
        return nullcontext()

    def log_params(self, params): ...

    def log_metrics(self, metrics, step): ...

    def Api(self):
        return SimpleNamespace(runs=lambda project: [run for run in self.runs if run.project == project])

    def init(self, project, name, group, config):
        run = SimpleNamespace(project=project, name=name, config=config, info=SimpleNamespace(run_id=len(self.runs)))
        run.delete = lambda: self.deleted.append(name) or self.runs.remove(run)
        run.log, run.finish = lambda row, step: None, lambda: None
        self.runs.append(run)
        return run


@pytest.mark.parametrize("form", ["mlflow", "trackio"])
def test_exporting_twice_adds_no_run(form, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, form, store := Store())
    monkeypatch.setenv("TRACKIO_DIR", str(folder / "t"))
    for _ in range(2):
        export_command([str(folder), "--to", form], [])
        assert sorted(run.name for run in store.runs) == sorted(f"activation={a} seed {s}" for a, s in SCORES)
    assert len(store.deleted) == (5 if form == "trackio" else 0)


def test_a_run_whose_export_to_mlflow_was_interrupted_is_written_again(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "mlflow", store := Store())
    store.interrupted = True
    export_command([str(folder), "--to", "mlflow"], [])
    store.interrupted = False
    export_command([str(folder), "--to", "mlflow"], [])
    assert [run.info.status for run in store.runs] == ["FINISHED"] * 5 and len(store.deleted) == 5


def test_a_run_has_the_same_id_in_every_export_to_wandb_and_each_run_its_own(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", tracker := Recorder())
    for _ in range(2):
        export_command([str(folder), "--to", "wandb"], [])
    begun = [kwargs for name, _, kwargs in tracker.calls if name == "init"]
    assert len(begun) == 10 and len({run["id"] for run in begun}) == 5
    assert [run["id"] for run in begun[:5]] == [run["id"] for run in begun[5:]]
    assert {run["resume"] for run in begun} == {"allow"}
