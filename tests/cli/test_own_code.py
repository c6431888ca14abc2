"""A user's level on the command line: its code is part of a run's identity, and every edit is noticed."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

SHAPES = (
    "data=shapes data.num_train=300 data.num_test=60 data.val_size=60 net=micro trainer.batch_size=20 trainer.epochs=1 "
    "trainer.threads=1 tensorboard.enabled=false optimizer.lr=0.01"
)
TEXT = """\
import torch
from powers import power


class Power(torch.nn.Module):
    def forward(self, x):
        return power(x.relu())
"""


@pytest.fixture
def ablate(tmp_path, tmp_path_factory):
    """A function (command line) -> finished process, in a folder with a level `power` of its own."""
    (tmp_path / "mine" / "activation").mkdir(parents=True)
    (tmp_path / "mine" / "activation" / "power.yaml").write_text(
        "# A power of ReLU.\n# Source: me.\n_target_: level.Power\n_partial_: true\n"
    )
    (tmp_path / "level.py").write_text(TEXT)
    cache = tmp_path_factory.getbasetemp() / "cache"

    def go(line):
        script = Path(sys.executable).with_name("ablate")
        command = [script, "--config-dir", "mine", *shlex.split(f"{line} {SHAPES}"), f"data.cache_dir={cache}"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)

    return go


def write(folder, exponent):
    (folder / "powers.py").write_text(f"def power(x):\n    return 0.1 * x**{exponent}\n")


def records(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("outputs/runs/*/*/record.json"))]


def test_an_edit_makes_another_run_and_is_reported(ablate, tmp_path):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    write(tmp_path, 2)
    for words in (["init", "-q"], ["add", "level.py", "powers.py"], ["commit", "-q", "-m", "Begin"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    assert ablate("activation=power").returncode == 0
    write(tmp_path, 3)
    second = ablate("activation=power")
    assert second.returncode == 0, second.stderr
    changed = "powers.py was edited (line 2: - return 0.1 * x**2, line 2: + return 0.1 * x**3) since the run in "
    assert changed in second.stdout and "finished already" not in second.stdout
    one, two = records(tmp_path)
    assert one["fingerprint"] != two["fingerprint"] and one["metrics"]["test/loss"] != two["metrics"]["test/loss"]
    assert {source["path"] for source in one["sources"]} == {"level.py", "powers.py"}
    texts = [path.read_text() for path in tmp_path.glob("outputs/runs/*/*/sources/powers.py")]
    assert len(texts) == len(set(texts)) == 2
    states = [record["environment"]["own_git_commit"] for record in (one, two)]
    assert sorted(len(state) for state in states) == [40, 41] and len({state[:40] for state in states}) == 1
    assert one["environment"]["own_repository"] == tmp_path.name
    write(tmp_path, 2)  # back: the first run is that run again
    assert "finished already" in ablate("activation=power").stdout


def test_an_edit_of_a_diagnostic_keeps_the_run_and_is_reported(ablate, tmp_path):
    write(tmp_path, 2)
    metric = "def steepness(probe):\n    import torch\n    return {{'value': torch.tensor({})}}\n"
    (tmp_path / "metric.py").write_text(metric.format(1.0))
    line = "+diagnostics.known.steep={_target_:metric.steepness,_partial_:true} diagnostics.measure=[steep]"
    first = ablate(line)
    assert first.returncode == 0, first.stderr
    (tmp_path / "metric.py").write_text(metric.format(2.0))
    second = ablate(line)
    assert "finished already" in second.stdout
    assert "code of its diagnostics changed: metric.py was edited (line 3: - " in second.stdout
    assert ablate(f"{line} rerun=true").returncode == 0
    (record,) = records(tmp_path)
    assert record["metrics"]["steep/value"] == 2.0
    assert "diagnostics changed" not in ablate(line).stdout


def test_an_edit_during_a_sweep_is_refused_with_the_change(ablate, tmp_path):
    write(tmp_path, 2)
    sweep = "-m activation=relu,power seed=0,1 hydra/launcher=joblib hydra.launcher.n_jobs=2"
    first = ablate(sweep)
    assert first.returncode == 0, first.stderr
    (folder,) = tmp_path.glob("outputs/studies/*")
    assert (folder / "sources" / "powers.py").read_text() == (tmp_path / "powers.py").read_text()
    for page in ("report.md", "report.html"):
        text = (folder / page).read_text()
        assert "Own code" in text and "powers.py" in text and "git commit of ablate" in text
    before = (folder / "manifest.json").read_bytes()
    write(tmp_path, 3)
    second = ablate(sweep)
    assert second.returncode == 2
    assert "another meaning of arm 'activation=power': powers.py was edited (line 2: - " in second.stderr
    assert "undo the change" in second.stderr and "numerics" not in second.stderr
    assert (folder / "manifest.json").read_bytes() == before
    assert len(records(tmp_path)) == 4
    write(tmp_path, 2)
    again = ablate(sweep)
    assert again.returncode == 0 and len(records(tmp_path)) == 4
