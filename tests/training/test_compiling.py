"""Compiling: every part of every net of a process, however many there were before."""

import pytest
import torch
from torch._dynamo import config

from ablate.nets import ConvNet
from ablate.training.loop import Callback
from ablate.training.run import prepare, train


@pytest.fixture
def graphs(monkeypatch):
    """The graphs that are compiled, by a backend that only traces, where torch's limit of recompilations is 1."""
    compile_for_real, found = torch.compile, []

    def trace(graph, inputs):
        found.append(graph)
        return graph.forward

    monkeypatch.setattr(torch, "compile", lambda part, *, mode: compile_for_real(part, backend=trace))
    with config.patch(recompile_limit=1):
        yield found
        assert config.recompile_limit == 1
    torch.compiler.reset()


def one_step(run):
    class End(Exception):
        pass

    class EndAfterOneStep(Callback):
        def on_step_end(self, state):
            raise End

    dataset = run.data.load()
    state, examine = prepare(run, dataset, run.build(dataset))
    with pytest.raises(End):
        train(run, state, examine, [EndAfterOneStep()])


def test_all_parts_of_all_arms_are_compiled(make_run, graphs):
    """Preprocessing; then, behind noise and dropout, the hidden layers; the classifier: three parts, in five arms."""
    for width in range(8, 13):
        one_step(make_run(net=ConvNet(widths=[4, 6], convs_per_stage=1, hidden_width=width), compile="default"))
    assert len(graphs) == 5 * 3


def test_a_plain_run_leaves_the_compiler_alone(make_run, monkeypatch):
    monkeypatch.setattr(torch.compiler, "reset", lambda: pytest.fail("reset"))
    one_step(make_run())
