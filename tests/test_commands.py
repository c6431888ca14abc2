"""The commands of the documents run as they are written, on smaller budgets; their files are written beside them.

In a block ```bash, a comment `# not tested: WHY` excludes the lines below it. Every other line is run
in the folder of its page, in one process for all pages, since the import of torch takes most of the time:

- a training with the images, epochs and threads of `SMALL`, on generated images where the page uses CIFAR-10;
- with fewer seeds, and in this process where a launcher would start others;
- of a study of the lecture only the name and the profile are looked up: tests/lecture has tests of the studies.

docs/extending.md and docs/foreign_runs.md have tests of their own, which run every line as it stands.
"""

import glob
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from ablate.cli.main import SUBCOMMANDS
from ablate.config import catalog
from ablate.config.overrides import from_yaml

ROOT = Path(__file__).resolve().parents[1]
OTHERS = {"extending.md": "tests/test_extending.py", "foreign_runs.md": "tests/foreign/test_foreign_runs_page.py"}
PAGES = [path for path in (ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))) if path.name not in OTHERS]
BLOCK = re.compile(r"^( *)```bash\n(.*?)^ *```$", re.M | re.S)
FILE = re.compile(r"^`([\w./]+)`[^\n]*:\n\n```\w+\n(.*?)^```$", re.M | re.S)
PROFILES = ("smoke", "quick", "standard", "larger", "full")  # of a collection: those of its studies
SMALL = {
    "data.num_train": "200",
    "data.num_test": "50",
    "data.train_size": "100",
    "data.val_size": "50",
    "trainer.epochs": "1",
    "trainer.threads": "1",
    "trainer.batch_size": "50",
    "optimizer.lr": "0.01",
    "study.seeds": "3",
    "study.tuning": "null",
    "hydra.launcher.n_jobs": "1",
}
DRIVER = """
import contextlib, io, json, os, runpy, sys
from ablate.cli import main
here = list(sys.path)
for line in sys.stdin:
    folder, words = json.loads(line)
    os.chdir(folder)
    sys.path[:] = [folder, *here]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            if words[0] == "python":
                runpy.run_path(words[1], run_name="__main__")
            else:
                sys.argv = words
                main.main()
        except SystemExit as end:
            status = end.code
    print(json.dumps([status or 0, out.getvalue(), err.getvalue()]), flush=True)
"""


def lines_of(text):
    """Return the lines that are to be run, and {line: reason} of the others."""
    run, left = [], {}
    for indent, block in BLOCK.findall(text):
        reason = None
        for line in re.sub(r"\\\n *", "", block).splitlines():
            line = line.removeprefix(indent)
            if line.startswith("# not tested: "):
                reason = line.removeprefix("# not tested: ")
            elif line and not line.startswith("#"):
                if reason:
                    left[line] = reason
                else:
                    run.append(line)
    return run, left


def smaller(line, folder):
    """Return the words of a line as they are run in `folder`."""
    words = shlex.split(line, comments=True)
    for i, word in enumerate(words):
        if "outputs/" in word and ("*" in word or "NAME" in word):
            found = sorted(
                glob.glob(word.replace("NAME", "*"), root_dir=folder), key=lambda name: (folder / name).stat().st_mtime
            )
            words[i] = found[-1] if found else word
    if words[0] != "ablate" or words[1:2] in [[name] for name in SUBCOMMANDS if name != "figure"]:
        return words
    own = "--config-dir" in words
    study = any(word.startswith("study=") for word in words)
    if words[1:2] == ["figure"]:
        return words
    if study and not own:
        return words
    without = (
        ["study.seeds", "study.tuning"] * (not study)
        + ["hydra.launcher.n_jobs"] * ("joblib" not in line)
        + ["optimizer.lr"] * study
    )
    small = {key: value for key, value in SMALL.items() if key not in without}
    if "data=arrays" in line:
        small = {key: value for key, value in small.items() if not key.startswith("data.num")}
    kept = [word for word in words if word.partition("=")[0] not in small]
    kept = [re.sub("^data=cifar10$", "data=shapes", re.sub(r"range\(\d\)", "range(2)", word)) for word in kept]
    if not any(word.startswith("data=") for word in kept):
        kept.append("data=shapes")
    if not any("net=" in word for word in kept):
        kept.append("net=micro")
    return [*kept, *(f"{key}={value}" for key, value in small.items())]


def looked_up(words):
    """Whether the words name a study of the lecture, which takes long to plan; its name and profile must exist."""
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    if "--config-dir" in words or "study" not in settings:
        return False
    studies = catalog.levels(catalog.folders(), "study")
    assert settings["study"] in studies, words
    profile = settings.get("profile")
    content = from_yaml(studies[settings["study"]].read_text())
    assert profile in (None, *(content.get("profiles") or PROFILES)), words
    if "extra_seeds" in settings:
        assert content.get("looks", 1) > 1, f"{words}: the study declares one look, so that seeds cannot be added"
    return True


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """The process that runs the commands of all pages."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")), "COLUMNS": "100"}
    environment.pop("ABLATE_DATA", None)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", DRIVER], env=environment, **pipes) as process:
        yield process
        process.stdin.close()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_command_works(page, process, tmp_path):
    text = page.read_text(encoding="utf-8")
    for name, content in FILE.findall(text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    for line in lines_of(text)[0]:
        words = smaller(line, tmp_path)
        if looked_up(words):
            continue
        print(line)  # pytest -rP shows the list
        process.stdin.write(json.dumps([str(tmp_path), words]) + "\n")
        process.stdin.flush()
        status, out, err = json.loads(process.stdout.readline())
        assert (status, "Traceback" in err) == (0, False), f"{line}\n{words}\n{out[-1500:]}\n{err[-2500:]}"


def test_most_lines_are_run_and_the_others_say_why():
    run, left = zip(*(lines_of(page.read_text(encoding="utf-8")) for page in PAGES), strict=True)
    assert sum(map(len, run)) >= 40
    assert all(len(reason) > 10 for reasons in left for reason in reasons.values())


def test_a_marker_excludes_what_is_below_it():
    block = "```bash\nablate list\n# not tested: it needs a cluster\nsbatch job\n```\n"
    assert lines_of(block) == (["ablate list"], {"sbatch job": "it needs a cluster"})
