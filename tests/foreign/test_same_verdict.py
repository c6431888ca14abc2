"""The same scores give the same verdict, whatever program wrote them in which form."""

import importlib.util

import pytest

from ablate.cli.main import write_report
from builders.foreign import CLAIMS, scores, write_csv, write_events, write_mlflow, write_wandb, write_wandb_csv

FORMS = {
    "semicolons": lambda home, rows: write_csv(home / "r.csv", rows, ";"),
    "tabs": lambda home, rows: write_csv(home / "r.tsv", rows, "\t"),
    "mlflow": lambda home, rows: write_mlflow(home / "mlruns", rows),
    "one experiment": lambda home, rows: write_mlflow(home / "mlruns", rows) / "123",
    "tensorboard": lambda home, rows: write_events(home / "logs", rows),
    "hparams": lambda home, rows: write_events(home / "logs", rows, named=False),
    "wandb json": lambda home, rows: write_wandb(home / "r.json", rows),
    "wandb lines": lambda home, rows: write_wandb(home / "r.jsonl", rows, lines=True),
    "wandb csv": lambda home, rows: write_wandb_csv(home / "r.csv", rows),
}
OF_THE_CSV = {}
NUMBERS = ("estimate", "low", "high", "p", "p_adjusted", "treatment_mean", "control_mean")


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_verdict_of_the_csv(judge, tmp_path, form):
    if not OF_THE_CSV:  # judged once
        ((found,), _, _) = judge(write_csv(tmp_path / "scores.csv", scores()), "ignore=[loss]")
        OF_THE_CSV.update(found)
    expected = OF_THE_CSV
    metrics = ["metrics=[loss]"] if form in ("semicolons", "tabs", "wandb csv") else []
    ((found,), folder, _) = judge(FORMS[form](tmp_path, scores()), *metrics)
    assert found["outcome"] == expected["outcome"] == "supported"
    # Event files hold single precision.
    tolerance = 1e-4 if form in ("tensorboard", "hparams") else 1e-12
    for name in NUMBERS:
        assert float(found[name]) == pytest.approx(float(expected[name]), rel=tolerance), name
    assert found["num_seeds"] == "6"
    assert (folder / "report.html").is_file()


def test_the_numbers_are_those_of_a_paired_t_test(judge, tmp_path):
    from scipy.stats import ttest_rel

    rows = scores()
    relu, tanh = ([row["acc"] for row in rows if row["activation"] == name] for name in ("relu", "tanh"))
    ((found,), _, _) = judge(write_csv(tmp_path / "scores.csv", rows), "ignore=[loss]")
    oracle = ttest_rel(relu, tanh)
    assert float(found["p"]) == pytest.approx(oracle.pvalue, rel=1e-9)
    assert [float(found["low"]), float(found["high"])] == pytest.approx(oracle.confidence_interval(0.95), rel=1e-9)


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed (extra parquet)")
def test_parquet(judge, tmp_path):
    import pyarrow
    from pyarrow import parquet

    ((expected,), _, _) = judge(write_csv(tmp_path / "scores.csv", scores()), "ignore=[loss]")
    parquet.write_table(pyarrow.Table.from_pylist(scores()), tmp_path / "r.parquet")
    ((found,), _, _) = judge("r.parquet", "ignore=[loss]")
    assert [found[name] for name in NUMBERS] == [expected[name] for name in NUMBERS]


def test_a_judged_study_is_reported_again_from_its_folder_alone(judge, tmp_path, capsys):
    results = write_csv(tmp_path / "scores.csv", scores())
    (_, folder, printed) = judge(results, "metrics=[loss]")
    page = (folder / "report.html").read_text(encoding="utf-8")
    results.unlink()
    write_report([str(folder)], [])
    assert capsys.readouterr().out.split() == printed.out.replace("outputs/", f"{tmp_path}/outputs/").split()
    assert (folder / "report.html").read_text(encoding="utf-8") == page
    assert "loss" in (folder / "table.csv").read_text(encoding="utf-8")
    assert "scores.csv" in page


def test_claims_may_stand_beside_options(judge, tmp_path):
    indented = "".join(f"  {line}\n" for line in CLAIMS.splitlines())
    (tmp_path / "all.yaml").write_text(f"ignore: [loss]\nalpha: 0.01\nclaims:\n{indented}")
    results = write_csv(tmp_path / "scores.csv", scores())
    ((found,), folder, _) = judge(results, claims="all.yaml")
    assert float(found["level"]) == pytest.approx(0.99)
    assert folder.name.startswith("all-")
    ((other,), folder, _) = judge(results, "alpha=0.05", "name=mine", claims="all.yaml")
    assert float(other["level"]) == pytest.approx(0.95)
    assert folder.name.startswith("mine-")
