import os

from ablate.report.links import folder_names, link_runs


def test_names_are_safe_readable_and_unique():
    names = folder_names(
        ["activation=relu normalization=batch", "a/b", "a b", "a,b", "../x", "", "$(rm -rf)", "y" * 300]
    )
    assert names[:4] == ["activation=relu,normalization=batch", "a_b", "a,b", "a,b-2"]
    assert names[4] == "_x" and names[5] == "arm" and names[6] == "__rm,-rf_"
    assert len(names[7]) == 100


def test_links_are_made_turned_and_nothing_else_is_touched(tmp_path):
    runs = [tmp_path / "runs" / name for name in ("a", "b")]
    for run in runs:
        run.mkdir(parents=True)
        (run / "events").write_text(run.name)
    view = tmp_path / "study" / "tensorboard"
    (view / "arm" / "seed-1").mkdir(parents=True)
    for run in (runs[0], runs[0], runs[1]):
        link_runs(view, {"arm/seed-0": run, "arm/seed-1": run})
        assert (view / "arm" / "seed-0" / "events").read_text() == run.name
    assert not os.path.isabs(os.readlink(view / "arm" / "seed-0"))
    assert not (view / "arm" / "seed-1").is_symlink()
    assert sorted(path.name for path in (view / "arm").iterdir()) == ["seed-0", "seed-1"]
