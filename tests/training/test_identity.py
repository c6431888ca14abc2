import copy
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ablate.training import identity
from ablate.training.identity import arm_name, differences, fingerprint, run_folder, scientific

SETTINGS = {
    "activation": {"_target_": "torch.nn.ReLU", "_partial_": True},
    "optimizer": {"lr": 0.05, "betas": [0.9, 0.999]},
    "data": {"root": "data", "train_size": None, "download": True, "cache_dir": None},
    "trainer": {"epochs": 8, "threads": 2, "eval_batch_size": 500, "checkpoint_every": 1},
    "tensorboard": {"enabled": True},
    "device": "cpu",
    "precision": "fp32",
    "seed": 0,
    "output_dir": "outputs",
    "rerun": False,
    "dry_run": False,
}
LEVELS = {"data": "cifar10", "activation": "relu"}


def changed(key, value):
    settings = copy.deepcopy(SETTINGS)
    *path, last = key.split(".")
    node = settings
    for name in path:
        node = node[name]
    node[last] = value
    return settings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 5),
        ("output_dir", "/elsewhere"),
        ("device", "cuda"),
        ("gpu", 3),
        ("workers_per_gpu", 2),
        ("runs_per_job", 2),
        ("leave", True),
        ("rerun", True),
        ("keep_weights", "best"),
        ("callbacks", {"mine": {"_target_": "mine.Callback"}}),
        ("tensorboard.enabled", False),
        ("trainer.threads", 16),
        ("trainer.eval_batch_size", 10),
        ("trainer.checkpoint_every", 4),
        ("data.root", "/data"),
        ("data.path", "/data/x.npz"),
        ("data.labels_path", "/data/y.npy"),
        ("data.cache_dir", "/tmp"),
    ],
)
def test_how_and_where_is_not_what(key, value):
    assert fingerprint(changed(key, value), "d") == fingerprint(SETTINGS, "d")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("optimizer.lr", 0.1),
        ("optimizer.betas", [0.9, 0.99]),
        ("data.train_size", 100),
        ("trainer.epochs", 9),
        ("precision", "bf16"),
        ("activation._target_", "torch.nn.Tanh"),
        ("activation.slope", 0.1),
    ],
)
def test_every_scientific_setting_counts(key, value):
    assert fingerprint(changed(key, value), "d") != fingerprint(SETTINGS, "d")
    assert list(differences(changed(key, value), SETTINGS)) == [key]


def test_data_and_numerics_count(monkeypatch):
    before = fingerprint(SETTINGS, "d")
    assert fingerprint(SETTINGS, "e") != before
    monkeypatch.setattr(identity, "NUMERICS_VERSION", identity.NUMERICS_VERSION + 1)
    assert fingerprint(SETTINGS, "d") != before


def test_order_of_keys_does_not_count():
    assert fingerprint(dict(reversed(SETTINGS.items())), "d") == fingerprint(SETTINGS, "d")


def test_an_option_added_later_orphans_no_run(monkeypatch):
    before = fingerprint(SETTINGS, "d")
    monkeypatch.setitem(identity.ADDED_LATER, "trainer.average", 0.0)
    assert fingerprint(changed("trainer.average", 0.0), "d") == before
    assert fingerprint(changed("trainer.average", 0.9), "d") != before


def test_scientific_is_flat():
    assert scientific(SETTINGS) == {
        "activation._partial_": True,
        "activation._target_": "torch.nn.ReLU",
        "data.train_size": None,
        "optimizer.betas": [0.9, 0.999],
        "optimizer.lr": 0.05,
        "precision": "fp32",
        "trainer.epochs": 8,
    }


def test_arm_name_shows_what_differs_from_the_defaults():
    assert arm_name(LEVELS, LEVELS, {}) == "default"
    assert arm_name({**LEVELS, "activation": "tanh"}, LEVELS, {}) == "activation=tanh"
    assert arm_name(LEVELS, LEVELS, {"optimizer.betas": [0.5, 0.9]}) == "optimizer.betas=[0.5,0.9]"


def test_a_number_is_the_same_however_it_is_typed():
    assert fingerprint(changed("optimizer.lr", 1), "d") == fingerprint(changed("optimizer.lr", 1.0), "d")
    assert fingerprint(changed("optimizer.betas", [0, 1]), "d") == fingerprint(
        changed("optimizer.betas", [0.0, 1.0]), "d"
    )
    assert fingerprint(changed("optimizer.lr", 1), "d") != fingerprint(changed("optimizer.lr", True), "d")


def test_run_folder_is_safe_short_and_keeps_an_existing_folder(tmp_path):
    arm = "net.widths=[[1,2],[3]]" + ",x=y/../z $(rm)" * 20
    folder = run_folder(tmp_path, arm, "0123456789abcdef", 4)
    assert folder.name == "seed-4"
    assert folder.parent.parent == tmp_path / "runs"
    assert len(folder.parent.name) < 120
    assert not set(folder.parent.name) & set("/ $()[]'\"")
    folder.mkdir(parents=True)
    assert run_folder(tmp_path, "another-name", "0123456789abcdef", 5) == Path(folder.parent, "seed-5")


@pytest.mark.parametrize(
    ("key", "neutral", "other"),
    [("optimizer.bias_lr_factor", 1.0, 64), ("trainer.compile", False, "default"), ("trainer.test_views", 1, 6)],
)
def test_the_options_added_later_orphan_no_run(key, neutral, other):
    assert fingerprint(changed(key, neutral), "d") == fingerprint(SETTINGS, "d")
    assert fingerprint(changed(key, other), "d") != fingerprint(SETTINGS, "d")


def test_every_option_added_later_has_its_old_value_in_the_conf(compose):
    settings = {}
    for chain in ("patch_whiten", "window"):
        cfg, _ = compose([f"preprocessing={chain}"])
        settings |= identity.flatten(OmegaConf.to_container(cfg, resolve=True))
    assert {key: settings[key] for key in identity.ADDED_LATER} == identity.ADDED_LATER


def test_code_outside_the_program_counts_and_none_changes_nothing():
    before = fingerprint(SETTINGS, "d")
    assert fingerprint(SETTINGS, "d", {}) == before
    one, two = (fingerprint(SETTINGS, "d", {"squared": digest}) for digest in ("a" * 64, "b" * 64))
    assert len({before, one, two}) == 3


def test_a_class_that_moved_is_the_same_in_fingerprint_and_differences(monkeypatch):
    old, new = "ablate.nets.ConvNet", "ablate.models.convolutional.ConvNet"
    before = fingerprint(changed("net", {"_target_": old}), "d")
    assert fingerprint(changed("net", {"_target_": new}), "d") != before
    monkeypatch.setitem(identity.MOVED, new, (old, "ablate.models.ConvNet"))
    for path in (old, "ablate.models.ConvNet", new):
        here = changed("net", {"_target_": path, "steps": [{"_target_": path}]})
        there = changed("net", {"_target_": old, "steps": [{"_target_": old}]})
        assert fingerprint(here, "d") == fingerprint(there, "d")
        assert differences(here, there) == {}
        assert identity.at_present(here)["net"] == {"_target_": new, "steps": [{"_target_": new}]}


def test_a_module_that_moved_takes_what_is_in_it_along(monkeypatch):
    monkeypatch.setitem(identity.MOVED, "ablate.models", ("ablate.nets",))
    assert identity.canonical_name("ablate.models.ConvNet") == "ablate.nets.ConvNet"
    assert identity.present_name("ablate.nets.ConvNet") == "ablate.models.ConvNet"
    assert identity.canonical_name("ablate.models_of_mine.A") == "ablate.models_of_mine.A"
    assert identity.canonical_name("mine.ablate.models.A") == "mine.ablate.models.A"


def test_the_folder_of_a_run_stays_below_60_characters_and_names_factors_before_sizes(tmp_path):
    sizes = "data.train_size=200,data.val_size=50,data.test_size=50,trainer.epochs=1,trainer.batch_size=50"
    arm = f"data=shapes,net=micro,activation=tanh,{sizes},optimizer.lr=0.1"
    folder = run_folder(tmp_path, arm, "0123456789abcdef", 0).parent
    assert folder.name == "data=shapes,net=micro,activation=tanh-01234567"  # the rate does not fit
    assert len(folder.name) < 60
    lists = f"net.widths=[[1,2],[3,4]],{sizes}"
    assert run_folder(tmp_path, lists, "0123456789abcdef", 0).parent.name == "net.widths=__1,2_,_3,4__-01234567"
    only_sizes = run_folder(tmp_path, sizes, "0123456789abcdef", 0).parent.name
    assert only_sizes == "data.train_size=200,data.val_size=50,data.test_siz-01234567"


def test_a_folder_with_a_longer_name_of_an_earlier_version_is_found(tmp_path):
    long = tmp_path / "runs" / ("x=1," * 24 + "-01234567")
    long.mkdir(parents=True)
    assert run_folder(tmp_path, "x=1," * 24, "0123456789abcdef", 0).parent == long
