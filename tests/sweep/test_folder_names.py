"""Names of folders are pinned: with other names, what is on users' disks would not be found again."""

from pathlib import Path

import pytest

from ablate.cli.figure import FigureSpec, figure_folder
from ablate.study.collection import Collection
from ablate.study.study import Study
from ablate.sweep.begin import study_folder
from ablate.training.identity import run_folder

OUT = Path("out")


@pytest.mark.parametrize(
    ("arm", "name"),
    [
        ("activation=tanh,optimizer.lr=0.01", "activation=tanh,optimizer.lr=0.01-01234567"),
        ("a [b], c=(1,  2)", "a__b_,_c=_1,__2_-01234567"),
        ("x" * 120, "x" * 50 + "-01234567"),
        ("y-,.", "y--01234567"),
    ],
)
def test_folders_of_runs(arm, name):
    assert run_folder(OUT, arm, "0123456789abcdef", seed=3) == OUT / "runs" / name / "seed-3"


@pytest.mark.parametrize(
    ("name", "readable"),
    [
        ("activation", "activation"),
        ("activation=relu,tanh,seed=range(5)", "activation=relu,tanh,seed=range_5"),
        ("f=[[1, 2], (3)]'", "f=_1,_2_,_3"),
        ("a__b__", "a__b"),
        ("y" * 100, "y" * 80),
    ],
)
def test_folders_of_studies(name, readable):
    definition = {
        "base": ["net=micro", "output_dir=x"],
        "grids": [{"product": {"a": [1, 2.5, None, True]}}],
        "seeds": [0, 1],
    }
    found = study_folder(OUT, Study(name=name), definition, ["trainer.epochs=3"])
    assert found == OUT / "studies" / f"{readable}-47aac581"


@pytest.mark.parametrize(("profile", "name"), [("", "lecture-142ff50f"), ("quick", "lecture-quick-142ff50f")])
def test_folders_of_collections(profile, name):
    collection = Collection(name="lecture", title="", source="", profile=profile, command="", folders=["a-1", "b-ü"])
    assert collection.folder_in(OUT) == OUT / "studies" / name


def test_folders_of_figures():
    settings = {"output_dir": "out", "device": "cpu", "data": {"root": None}, "net": {"w": [1, 2]}}
    module = "ablate.lecture.figures.overlap"
    spec = FigureSpec(name="overlap", module=module, base=[], knobs={"n": 3, "x": [1.0]}, uses=[])
    assert figure_folder(spec, settings) == OUT / "figures" / "overlap-30c077bb"
