"""A sweep composes each choice of levels once, with the same result as Hydra's loader."""

import pickle

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from ablate.cli import composition
from ablate.cli.composition import ComposeOnce, settings_with
from ablate.cli.hydra_version import of_composing
from ablate.config import catalog


@pytest.fixture
def loaders(monkeypatch):
    monkeypatch.setattr(composition, "_composed", {})
    monkeypatch.setattr(composition, "_chosen", {})
    path = create_config_search_path(str(catalog.conf_dir()))
    return ConfigLoaderImpl(path), ComposeOnce(path)


def master(loader):
    return loader.load_configuration("config", overrides=["hydra/launcher=joblib"], run_mode=RunMode.MULTIRUN)


@pytest.mark.parametrize(
    "lines",
    [
        ["activation=tanh", "net.widths=[4,8]", "seed=3"],
        ["seed=1", "+data.extra=2", "optimizer.lr=0.3", "wait=true", "gpu=null", "seed=7"],
        ["optimizer.lr=0.3", "optimizer=sgd", "~diagnostics.known.landscape", "precision=bf16", "trainer.epochs=1"],
        ["data=polygon", "net=mlp", "net.num_hidden=1"],
    ],
)
def test_a_job_is_what_hydra_makes_of_it(loaders, lines):
    hydra, once = loaders
    config = master(hydra)
    expected = hydra.load_sweep_config(config, lines)
    for _ in range(2):
        found = once.load_sweep_config(config, lines)
        assert OmegaConf.is_struct(found)
        for cfg in (expected, found):
            cfg.hydra.job.override_dirname = ""
        assert OmegaConf.to_container(found) == OmegaConf.to_container(expected)
        found.seed = 99  # what is done to one job's configuration is not seen by the next


@pytest.mark.parametrize("line", ["trainer.epoch=3", "nets=micro", "trainer.epochs=1,2"])
def test_a_refusal_is_that_of_hydra(loaders, line):
    hydra, once = loaders
    config = master(hydra)
    said = []
    for loader in (hydra, once):
        with pytest.raises(HydraException) as error:
            loader.load_sweep_config(config, ["activation=tanh", line])
        said.append(str(error.value))
    assert said[0] == said[1]


def test_the_settings_of_a_choice_of_levels_are_known_from_its_jobs(loaders):
    hydra, once = loaders
    levels = {**catalog.default_levels(), "activation": "tanh", "net": "micro"}
    assert settings_with(levels) is None
    once.load_sweep_config(master(hydra), ["activation=tanh", "net=micro", "optimizer.lr=0.3", "seed=4"])
    found = settings_with(levels)
    with initialize_config_dir(str(catalog.conf_dir()), **of_composing()):
        expected = compose("config", overrides=[f"{group}={level}" for group, level in levels.items()])
    assert OmegaConf.to_container(found, resolve=True) == OmegaConf.to_container(expected, resolve=True)
    assert settings_with({**levels, "net": "tiny"}) is None


def test_seeds_of_an_arm_are_composed_once(loaders, monkeypatch):
    hydra, once = loaders
    config = master(hydra)
    composed = []
    compose = ConfigLoaderImpl.load_sweep_config
    monkeypatch.setattr(
        ConfigLoaderImpl, "load_sweep_config", lambda self, c, lines: composed.append(lines) or compose(self, c, lines)
    )
    jobs = [[f"activation={a}", f"trainer.epochs={s + 1}", f"seed={s}"] for s in range(3) for a in ("relu", "tanh")]
    seen = []
    for lines in jobs:
        cfg = pickle.loads(pickle.dumps(once)).load_sweep_config(config, lines)  # as a worker gets it
        seen.append((cfg.hydra.runtime.choices.activation, cfg.seed))
    assert seen == [(a, s) for s in range(3) for a in ("relu", "tanh")]
    assert composed == [["activation=relu"], ["activation=tanh"]]


def test_the_number_of_kept_compositions_has_a_limit(loaders, monkeypatch):
    hydra, once = loaders
    config = master(hydra)
    monkeypatch.setattr(composition, "MOST_KEPT", 2)
    for name in ("relu", "tanh", "elu"):
        once.load_sweep_config(config, [f"activation={name}"])
    assert len(composition._composed) == 2


def test_a_setting_of_hydra_may_name_the_number_of_the_job(loaders):
    _, once = loaders
    own = ["hydra.sweep.subdir=${hydra.job.num}"]
    config = once.load_configuration("config", overrides=own, run_mode=RunMode.MULTIRUN)
    assert once.load_sweep_config(config, ["activation=tanh", "seed=3"]).seed == 3
