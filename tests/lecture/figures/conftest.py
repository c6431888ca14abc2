"""A lab on a few made images, with nets that train in a fraction of a second."""

import pytest

from ablate.cli.figure import FigureSpec, composing, run_maker
from ablate.config import catalog
from ablate.training.lab import Lab

TINY = (
    "data=shapes",
    "data.num_train=200",
    "data.num_test=50",
    "data.val_size=60",
    "net=tiny",
    "net.widths=[4,6]",
    "net.convs_per_stage=1",
    "net.pool_size=4",
    "net.num_hidden=0",
    "net.bias=false",
    "trainer.epochs=1",
    "trainer.batch_size=20",
    "trainer.threads=1",
    "device=cpu",
)


@pytest.fixture
def make_lab(tmp_path):
    """A function (overrides, folder of what figures share) -> Lab of `TINY` with these overrides."""
    with composing(catalog.folders()) as compose:

        def make(*overrides, folder=None):
            base = [*TINY, f"data.cache_dir={tmp_path}", *overrides]
            make_run = run_maker(compose, FigureSpec(name="test", module="", base=base, knobs={}, uses=[]), [])
            return Lab(make_run, log=lambda line: None, folder=folder)

        yield make
