from ablate.report.content import failure_rule, study_content
from ablate.report.verdicts import verdict_table


def test_every_table_has_a_head_and_one_row_an_arm_or_claim(tuned_study, tmp_path):
    results, judgements = tuned_study(tmp_path)
    content = study_content(results, judgements)
    assert content.verdicts == verdict_table(results, judgements)
    assert content.arms[0][0] == "arm" and len(content.arms) == 1 + len(results.arms)
    for rows in (content.arms, content.failures, content.undeclared, content.own_code, content.environment):
        assert {len(row) for row in rows} == {len(rows[0])}


def test_the_rule_names_the_share_of_failures(tuned_study, tmp_path):
    results, _ = tuned_study(tmp_path)
    assert "even if 10 % of the runs failed" in failure_rule(results.study)
