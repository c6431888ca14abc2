"""The names of the package `ablate` that own code uses."""

import importlib
import pkgutil

import pytest

import ablate
from ablate.errors import UserError


def test_no_public_function_has_the_name_of_a_module():
    # Importing the subpackage NAME sets ablate.NAME, so a function of this name would be lost.
    modules = {module.name for module in pkgutil.iter_modules(ablate.__path__)}
    assert {"study", "report"} <= modules and not modules & set(ablate.__all__)
    for name in ("study", "export", "judging", "report", "cli"):
        importlib.import_module(f"ablate.{name}")
    assert all(callable(getattr(ablate, name)) for name in ablate.__all__)


def test_a_study_is_run_after_other_calls_in_one_process(tmp_path):
    with pytest.raises(UserError, match="holds neither"):
        ablate.load(tmp_path)  # imports ablate.study
    for _ in range(2):
        with pytest.raises(UserError, match=r"ablate study=no_such_study ended with status 2"):
            ablate.run("study=no_such_study")
