"""Records and predictions that cannot be used are named on the terminal and in the report."""

from dataclasses import replace

from ablate import report
from ablate.report.overview import collection_summary
from ablate.report.provenance import failures

WHY = "no interval over test images: seed-0/predictions.npz is missing; rerun=true for this run makes them again"


def test_both_are_named_once(small_study, judgement_of, tmp_path):
    results = small_study(tmp_path, {"relu": 0.6, "tanh": 0.5})
    results.arms[0].refused["runs/relu-00000000/seed-3"] = "runs/relu-00000000/seed-3/record.json is damaged: empty"
    judgements = [judgement_of(results, claim, "supported", unread=[WHY]) for claim in results.study.claims]
    record = "counts as missing: runs/relu-00000000/seed-3/record.json is damaged: empty"
    for terminal in (report.summary(results, judgements), collection_summary([(results, judgements)])):
        assert terminal.count(WHY) == 1
        assert terminal.count(record) == 1
    page = report.write_report(results, judgements)
    for text in (page.read_text(), page.with_suffix(".md").read_text()):
        assert WHY in text
        assert record in text
    assert failures(results)[1][:2] == [results.arms[0].label, "3"]
    assert WHY not in report.summary(results, [replace(judgement, unread=[]) for judgement in judgements])
