"""`ablate explain`: sentence, hypothesis, runs and time, without torch."""

import subprocess
import sys

import pytest

from ablate.cli.explain import every_claim, explain_command, explanation
from ablate.config import catalog
from ablate.errors import UserError

CONF = """# A title.
# Source: a test.
base: [net=micro, data=shapes]
grids:
  - product: {activation: [relu, tanh, sigmoid]}
seeds: 4
tuning: {key: optimizer.lr, values: [0.1, 0.2], seeds: 3}
seconds_a_run: 10
claims:
  mine:
    text: ReLU is better than tanh.
    source: C1, X7
    form: greater
    treatment: {activation: relu}
    control: {activation: tanh}
    smallest_effect: 0.02
    explained_by: [saturation/mean]
profiles:
  quick: {tuning: null, seeds: 2, seconds_a_run: 5}
"""


@pytest.fixture
def where(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "own.yaml").write_text(CONF)
    return [tmp_path]


def test_a_claim_is_explained_by_name_and_by_source(where, capsys):
    explain_command(["mine"], where)
    by_name = capsys.readouterr().out
    explain_command(["x7"], where)
    assert capsys.readouterr().out == by_name
    words = " ".join(by_name.split())
    assert "Claim: ReLU is better than tanh." in words
    assert "test/accuracy of activation=relu is greater than activation=tanh; 2 points is the least" in words
    # Two arms of the three: 2 x (4 seeds + 2 values x 3 tuning seeds) runs of 10 s.
    assert "20 (2 arms with 4 seeds each, and 6 tuning runs each), about 3:20 on one core" in words
    assert "profile=quick: 4 (2 arms with 2 seeds each), about 0:20 on one core" in words
    assert "ablate study=own 'study.only=[mine]'" in words
    assert "saturation/mean is shown beside the verdict" in words


def test_an_identity_with_a_value_and_a_single_run_read_well(tmp_path, capsys):
    claims = (
        "claims:\n  mine: {text: It is 3., form: identity, treatment: {activation: relu}, value: 3, tolerance: 0}\n"
    )
    content = CONF.partition("tuning:")[0].replace("seeds: 4", "seeds: 1") + claims
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "own.yaml").write_text(content)
    explain_command(["mine"], [tmp_path])
    words = " ".join(capsys.readouterr().out.split())
    assert "of activation=relu equals 300 % within 0 in every seed" in words
    assert "Runs: 1 (1 arm with 1 seed), how long" in words


def test_an_unknown_claim_is_refused_with_the_nearest(where):
    with pytest.raises(UserError, match="no claim 'mien'; did you mean mine"):
        explain_command(["mien"], where)


KNOWN = list(every_claim(catalog.folders()))


def test_every_claim_that_comes_along_is_explained_in_80_columns():
    assert len(KNOWN) > 100
    for study, claim in KNOWN:
        text = explanation(study, claim, catalog.folders())
        long = [line for line in text.splitlines() if len(line) > 79 and "Command" not in line and " " in line.strip()]
        assert not long, long
        assert "Tested" in text
        assert "Runs" in text


def test_no_torch_is_loaded():
    code = "import sys; sys.argv = ['ablate', 'explain', 'C16']; from ablate.cli.main import main; main()"
    code += "; assert 'torch' not in sys.modules and 'hydra' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "(C16), study" in done.stdout
