"""Hydra 1.3 and 1.4: what each may make from a configuration, and what it raises."""

import contextlib

import hydra
import pytest
import torch

from ablate.cli import planning
from ablate.cli.hydra_version import PROGRAM, of_composing, of_main, permitted, permitting
from ablate.errors import UserError


def test_the_standard_library_is_not_permitted_and_own_packages_are():
    nested = {"steps": [{"_target_": "mine.deep.Step"}, {"_target_": "builtins.eval"}], "text": "sub.process"}
    assert permitted({"_target_": "timm.layers.Mish", "inner": nested}) == (*PROGRAM, "timm.*", "mine.*")
    assert permitted({"_target_": "hydra.utils.get_method", "path": "mine.square"}) == (
        *PROGRAM,
        "hydra.utils.get_method",
        "mine.*",
    )
    assert permitted({"_target_": "hydra.utils.instantiate"}) == PROGRAM
    assert permitted("relu") == PROGRAM


def test_the_permission_is_given_where_hydra_asks_for_one(monkeypatch):
    given, real = [], getattr(hydra.utils, "execution_whitelist", None)

    def whitelist(entries):
        given.append(entries)
        return real(entries) if real else contextlib.nullcontext()

    monkeypatch.setattr(hydra.utils, "execution_whitelist", whitelist, raising=False)
    with permitting({"_target_": "mine.A"}):
        pass
    assert given == [(*PROGRAM, "mine.*")]
    made = planning.make("activation", {"_target_": "torch.nn.ReLU"})
    assert isinstance(made, torch.nn.ReLU) and given[1] == PROGRAM


def test_the_options_follow_the_signature(monkeypatch):
    def old(config_path=None, config_name=None, version_base=None): ...

    def new(config_path=None, config_name=None, version_base=None, execution_whitelist=None): ...

    monkeypatch.setattr(hydra, "main", old)
    assert of_main() == of_composing() == {"version_base": "1.3"}
    monkeypatch.setattr(hydra, "main", new)
    assert (of_main(), of_composing()) == ({"execution_whitelist": PROGRAM}, {})


@pytest.mark.parametrize(("call", "kind"), [("torch.nn.ReLU(size=1)", UserError), ("{}['missing']", KeyError)])
def test_an_error_that_hydra_does_not_wrap_is_told_apart_too(monkeypatch, call, kind):
    space = {"torch": torch}
    exec(compile(f"def raw(settings, **_):\n    return {call}", "/site/hydra/_internal/made.py", "exec"), space)
    monkeypatch.setattr(planning, "instantiate", space["raw"])
    with pytest.raises(kind, match=r"activation: .*'size'" if kind is UserError else "missing"):
        planning.make("activation", {"_target_": "torch.nn.ReLU"})
