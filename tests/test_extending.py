"""docs/extending.md as it is written: its files in an empty folder, its commands with an installed wheel."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "extending.md"
FILE = re.compile(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```", re.M | re.S)
COMMANDS = re.compile(r"^```bash\n(.*?)^```", re.M | re.S)
BLOCK = re.compile(r"^```\w+\n", re.M)
# One process runs all commands, since the import of torch takes most of a command's time; results are printed as JSON.
DRIVER = """
import contextlib, io, json, runpy, sys
from ablate.cli import main
import ablate.config.catalog
print(json.dumps(ablate.config.catalog.conf_dir().as_posix()))
for words in json.loads(sys.argv[1]):
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
    print(json.dumps([status or 0, out.getvalue(), err.getvalue()]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, installed):
    """A folder with the files of the page, where its commands were run; the results are in results.json."""
    folder = tmp_path_factory.mktemp("empty")
    for name, text in FILE.findall(PAGE.read_text(encoding="utf-8")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    lines = [line for block in COMMANDS.findall(PAGE.read_text(encoding="utf-8")) for line in block.splitlines()]
    cache = tmp_path_factory.mktemp("cache")
    environment = {**os.environ, "PYTHONPATH": str(installed), "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-c", DRIVER, json.dumps([shlex.split(line) for line in lines])]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    conf, *results = [json.loads(line) for line in done.stdout.splitlines()]
    assert conf == (installed / "ablate" / "conf").as_posix()  # the wheel's, not the repository's
    (folder / "results.json").write_text(json.dumps(dict(zip(lines, results, strict=True))))
    return folder


@pytest.fixture
def results(folder):
    return json.loads((folder / "results.json").read_text())


def records(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("outputs/runs/*/*/record.json"))]


def test_every_command_of_the_page_works(results):
    assert len(results) >= 15
    for line, (status, _, err) in results.items():
        assert (status, "Traceback" in err) == (0, False), f"{line}\n{err[-3000:]}"


def test_every_file_of_the_page_is_found_and_is_short():
    text = PAGE.read_text(encoding="utf-8")
    files = FILE.findall(text)
    assert len(files) + len(COMMANDS.findall(text)) == len(BLOCK.findall(text))
    assert len({name for name, _ in files}) == len(files)
    for name, content in files:
        assert len(content.splitlines()) <= 26, name


@pytest.mark.parametrize(
    ("level", "module"),
    [
        ("activation=power", "powers"),
        ("normalization=root_mean_square", "scaling"),
        ("dropout=gaussian", "noise"),
        ("initializer=sparse", "start"),
        ("preprocessing=spread", "contrast"),
        ("preprocessing=root_spread", "contrast"),
        ("augmentation=darken", "changes"),
        ("augmentation=trivial", None),
        ("regularizer=l1", "penalties"),
        ("optimizer=sign_descent", "signs"),
        ("schedule=linear", "rates"),
        ("net=my_net", "my_net"),
        ("net=module", "my_net"),
        ("net=patches", "patches"),
        ("data=stripes", "stripes"),
    ],
)
def test_every_level_was_trained_and_its_code_identifies_the_run(folder, level, module):
    group, _, name = level.partition("=")
    found = [record for record in records(folder) if record["levels"][group] == name]
    assert found and all(record["status"] == "finished" for record in found)
    if module:
        assert module in {source["name"] for source in found[0]["sources"] if source["scientific"]}


def test_a_net_of_ones_own_lists_what_is_replaced(folder, results):
    lines = [
        "activation: ReLU -> SiLU: model.act",
        "normalization: BatchNorm2d -> GroupNorm: model.norm",
        "dropout: Dropout -> Dropout(p=0.5, scaling=inverted): model.drop",
    ]
    (listed,) = [out for line, (_, out, _) in results.items() if line.endswith("dry_run=true")]
    assert all(line in listed for line in lines)
    (record,) = [record for record in records(folder) if record["levels"]["net"] == "my_net"]
    assert record["replaced"] == lines


def test_the_other_examples_leave_what_the_page_says(folder, results):
    every = records(folder)
    measured = [record for record in every if "margin/mean" in record["metrics"]]
    assert measured and all("initial/margin/smallest" in record["metrics"] for record in measured)
    (watched,) = [record for record in every if "length" in record["history"][0]]
    assert watched["seed"] == 3
    assert "torch.Size([5, 10])" in results["python use.py"][1]
    (study,) = folder.glob("outputs/studies/powers-*/manifest.json")
    assert "power_widens_the_margin" in study.read_text() and (study.parent / "report.html").is_file()
