import pytest
from omegaconf import OmegaConf

from ablate.cli.planning import make, make_run, plan, value_of, variant
from ablate.errors import UserError

SMALL = ["data=shapes", "net=micro", "data.num_train=300", "data.num_test=60", "data.val_size=50", "device=cpu"]


def test_a_plan_names_the_run_and_its_folder(compose):
    found = plan(*compose([*SMALL, "activation=tanh", "optimizer.lr=0.3", "seed=4"]))
    assert found.changed["optimizer.lr"] == 0.3 and "activation" not in found.changed
    assert "activation=tanh" in found.arm
    assert found.folder.name == "seed-4" and found.folder.parent.name == found.group
    assert found.group.endswith(found.fingerprint[:8])
    assert found.settings["precision"] == "fp32"


def test_paths_and_the_seed_do_not_change_the_identity(compose):
    first = plan(*compose(SMALL))
    other = plan(*compose([*SMALL, "output_dir=elsewhere", "seed=7"]))
    assert first.fingerprint == other.fingerprint != plan(*compose([*SMALL, "optimizer.lr=0.3"])).fingerprint


def test_a_run_has_the_objects_of_its_plan(compose):
    found = plan(*compose([*SMALL, "trainer.epochs=3", "optimizer.bias_lr_factor=2"]))
    run = make_run(found)
    assert (run.epochs, run.bias_lr_factor, run.fingerprint) == (3, 2, found.fingerprint)


def test_a_variant_is_the_plan_without_the_seed(compose):
    found = variant(*compose(SMALL), SMALL, 0.1)
    assert found.data == make("data", found.settings["data"]).fingerprint()
    expected = plan(*compose(SMALL))
    assert (found.fingerprint, found.value, found.overrides) == (expected.fingerprint, 0.1, SMALL)
    assert found.folder == f"runs/{expected.group}"


def test_variants_that_differ_only_in_what_is_recorded_share_an_identity(compose):
    ours, recorded, other = (
        variant(*compose([*SMALL, *more]), SMALL, None)
        for more in ([], ["trainer.thresholds=[0.5]"], ["optimizer.lr=0.3"])
    )
    assert ours.fingerprint != recorded.fingerprint
    assert len(ours.identities & recorded.identities) == 1
    assert not ours.identities & other.identities


def test_a_job_of_a_cluster_is_planned_where_there_is_no_gpu(compose, monkeypatch):
    """The node that does it decides; what is planned for this computer is refused."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    words = [word for word in SMALL if word != "device=cpu"]
    on_gpu = [*words, "device=cuda", "gpu=1", "precision=tf32"]
    found = variant(*compose(on_gpu), on_gpu, None, here=False)
    assert [found.settings[key] for key in ("device", "gpu", "precision")] == ["cuda", 1, "tf32"]
    fp32 = variant(*compose([*words, "device=cuda"]), words, None, here=False)
    assert fp32.fingerprint == plan(*compose(SMALL)).fingerprint != found.fingerprint
    with pytest.raises(UserError, match="`device=cuda` was asked for"):
        plan(*compose(on_gpu))


def test_a_nested_interpolation_is_read_in_a_configuration_that_takes_no_new_key():
    cfg = OmegaConf.create({"which": "seed", "seed": 3})
    OmegaConf.set_struct(cfg, True)
    assert value_of("${${which}}", cfg) == 3
    assert OmegaConf.is_struct(cfg) and "_" not in cfg
