from dataclasses import replace

from ablate.report.content import study_content
from ablate.report.markdown import to_markdown
from ablate.report.provenance import (
    command_with,
    commands_of_all_looks,
    environment,
    failures,
    progress,
    setting,
    undeclared,
)
from ablate.study.program import Program


def test_progress_counts_runs(tuned_study, undone, tmp_path):
    results, _ = tuned_study(tmp_path)
    state = progress(results)
    assert (state.done, state.planned, state.tuning_done, state.tuning_planned) == (36, 36, 90, 90)
    assert (state.failed, state.diverged, state.is_complete) == (1, 1, True)
    none = progress(undone(results))
    assert not none.is_complete
    assert none.sentence() == "0 of 36 report runs and 0 of 90 tuning runs done"


def test_failures_and_divergence_are_listed(tuned_study, tmp_path):
    results, _ = tuned_study(tmp_path)
    _, *rows = failures(results)
    assert rows[0] == ["activation=tanh", "1000002", "tuning run failed: RuntimeError: <out of memory>"]
    assert rows[1][:2] == ["activation=sigmoid", "4"] and rows[1][2].startswith("diverged")


def test_only_undeclared_differences_are_listed(tuned_study, tmp_path):
    results, _ = tuned_study(tmp_path)
    assert undeclared(results)[1:] == []
    results.arms[2].chosen.settings["trainer"]["epochs"] = 20
    assert undeclared(results)[1:] == [["activation=elu", "trainer.epochs", "20", "10"]]


def test_the_environment_names_what_differs(tuned_study, tmp_path):
    results, _ = tuned_study(tmp_path)
    record = results.arms[0].records[0]
    results.arms[0].records[0] = replace(record, environment={**record.environment, "host": "node2"})
    rows = {row[0]: row[1:] for row in environment(results)[1:]}
    assert rows["torch"] == ["2.6.0", ""]
    assert rows["host"] == ["node1 (35 runs); node2 (1 run)", "differs between runs"]


def test_the_command_goes_on_and_adds_seeds_once(tuned_study, tmp_path):
    results, _ = tuned_study(tmp_path)
    command = "ablate study=activation 'study.tuning.values=[0.1,1.0]' dry_run=true extra_seeds=2"
    results = replace(results, manifest=replace(results.manifest, command=command))
    assert command_with(results) == "ablate study=activation 'study.tuning.values=[0.1,1.0]'"
    assert command_with(results, "extra_seeds=3").endswith("]' extra_seeds=3")
    results = replace(results, manifest=replace(results.manifest, command="", overrides=["net=micro"]))
    assert command_with(results) == "ablate study=activation net=micro"


def test_seeds_that_were_added_have_a_command_each(tuned_study, tmp_path):
    results, _ = tuned_study(tmp_path)
    first = "ablate study=activation"
    manifest = replace(results.manifest, command=f"{first} extra_seeds=2", looks=[3])
    assert commands_of_all_looks(replace(results, manifest=manifest)) == [first]
    again = replace(results, manifest=replace(manifest, looks=[3, 5, 9]))
    commands = [first, f"{first} extra_seeds=2", f"{first} extra_seeds=4"]
    assert commands_of_all_looks(again) == commands
    assert "\n".join(["```", *commands, "```"]) in to_markdown(study_content(again, []))
    declared = replace(again, study=replace(again.study, schedule=[3, 5, 9], looks=3))
    assert commands_of_all_looks(declared) == [first]


def test_the_setting_says_whether_anything_was_tuned(tuned_study, grid_study, tmp_path):
    facts = dict(setting(*tuned_study(tmp_path / "a")))
    assert facts["Budget"] == "micro, 2,000 images, 10 epochs"
    assert facts["Tuning"].startswith("optimizer.lr of every arm over 0.01, 0.03, 0.1, 0.3, 1.0")
    assert facts["Error level"].endswith("this is look 1 of 2")
    plain = dict(setting(grid_study(tmp_path / "b"), []))
    assert plain["Budget"] == "micro, cifar10, 10 epochs"
    assert plain["Tuning"].startswith("none") and "Error level" not in plain


def test_a_setting_that_was_tuned_before_is_declared_and_shown(fixed_study, tmp_path):
    results = fixed_study(tmp_path)
    facts = dict(setting(results, []))
    assert facts["Tuning"].startswith("optimizer.lr of ")
    assert "as tuned before (study tune)" in facts["Tuning"]
    assert undeclared(results)[1:] == []
    plain = replace(results, study=replace(results.study, fixed=None))
    assert undeclared(plain)[1:] == [["activation=tanh", "optimizer.lr", "0.01", "0.3"]]


def test_a_program_is_tuned_by_the_metric_that_its_study_names(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    assert "on validation images" in dict(setting(results, judgements))["Tuning"]
    tuning = replace(results.study.tuning, metric="val/loss", minimize=True)
    results = replace(
        results,
        study=replace(
            results.study, tuning=tuning, foreign=Program(command="train {activation} {optimizer.lr} {seed}")
        ),
    )
    assert " by the smallest val/loss, 3 seeds" in dict(setting(results, judgements))["Tuning"]


def test_the_setting_says_which_claims_were_asked(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    assert "Claims" not in dict(setting(results, judgements))
    results = replace(results, study=replace(results.study, only=["elu_beats_relu"]))
    assert dict(setting(results, judgements[3:4]))["Claims"].startswith("only elu_beats_relu;")
