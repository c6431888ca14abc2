"""A figure that takes long shows how far it is: "[3/24, 1:10 left] tanh"."""

import ast
from pathlib import Path

import pytest

import ablate.lecture.figures as figures
from ablate.lecture.figures import activation_zoo
from ablate.training.lab import Lab

LONG = {"train", "train_autoencoder", "_train", "subjects"}  # functions that train


def called(path):
    """The names of the functions that a module calls."""
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in calls}


@pytest.mark.parametrize("path", sorted(Path(figures.__file__).parent.glob("[!_]*.py")), ids=lambda path: path.stem)
def test_a_figure_that_trains_numbers_its_steps(path):
    names = called(path)
    if names & LONG and "fitted" not in path.stem and path.stem != "half_trained":  # those who use it number them
        if path.stem in {"batch_norm_moves", "channel_collapse"}:  # `net.train()` is a mode
            return
        assert {"expect", "step"} <= names


def test_the_first_figure_of_a_newcomer_numbers_its_steps(make_run):
    lines = []
    activation_zoo.compute(Lab(lambda _: make_run(), log=lines.append), activations=["relu", "tanh"], limit=3)
    assert [line.split("]")[1] for line in lines] == [" relu", " tanh"]
    assert lines[0].startswith("[1/2]")
