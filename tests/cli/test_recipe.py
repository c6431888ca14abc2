"""A recipe equals its settings typed out, and the user's settings take precedence."""

import pytest
from omegaconf import OmegaConf

from ablate.cli import planning
from ablate.cli.arguments import check, expand
from ablate.config import catalog
from ablate.training.identity import differences
from ablate.training.start import start

CONF = catalog.conf_dir()


@pytest.fixture
def where(tmp_path):
    """The conf folders, with recipe=mine and study=ours among them."""
    for folder in ("recipe", "study"):
        (tmp_path / folder).mkdir()
    (tmp_path / "recipe" / "mine.yaml").write_text(
        "# Mine.\n# Source: me.\n"
        "overrides: [net=micro, net.hidden_width=64, optimizer=nesterov, optimizer.lr=0.2, activation=gelu]\n"
    )
    (tmp_path / "study" / "ours.yaml").write_text(
        "# Ours?\n# Source: us.\n"
        "grids: [product: {activation: [relu, tanh]}]\nseeds: 2\n"
        "tuning: {key: optimizer.lr, values: [0.1, 0.2], seeds: 3}\nclaims: {}\n"
    )
    return [CONF, tmp_path]


MINE = ["net=micro", "net.hidden_width=64", "optimizer=nesterov", "optimizer.lr=0.2", "activation=gelu"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["recipe=mine"], MINE),
        (["-m", "recipe=mine", "seed=range(3)"], ["-m", *MINE, "seed=range(3)"]),
        (["optimizer.lr=1", "recipe=mine"], ["optimizer.lr=1", *MINE[:3], "activation=gelu"]),
        (["-m", "recipe=mine", "activation=relu,tanh"], ["-m", *MINE[:4], "activation=relu,tanh"]),
        # Another level is another group of settings: the recipe's learning rate was meant for its own optimizer.
        (["recipe=mine", "optimizer=adam"], ["net=micro", "net.hidden_width=64", "activation=gelu", "optimizer=adam"]),
        (["recipe=mine", "++net.hidden_width=8"], ["net=micro", *MINE[2:], "++net.hidden_width=8"]),
        (["--cfg", "job", "recipe=mine"], ["--cfg", "job", *MINE]),
        (["net=small"], ["net=small"]),
        # What a study varies or tunes is the study's.
    ],
)
def test_the_users_settings_replace_those_of_a_recipe(words, expected, where):
    assert expand(words, where) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["recipe=speedrn"], "recipe has no level 'speedrn'; did you mean speedrun"),
        (["recipe=mine", "recipe=speedrun"], "one recipe at a time, got recipe=mine recipe=speedrun"),
        (["-m", "recipe=mine,speedrun"], "one recipe at a time"),
        (["study=ours", "recipe=mine"], "recipe=mine cannot stand beside a study"),
        (["recipe=empty"], r"empty\.yaml must hold `overrides`"),
        (["recipe=numbers"], r"numbers\.yaml must hold `overrides`"),
    ],
)
def test_an_invalid_recipe_is_named(words, message, where):
    (where[1] / "recipe" / "empty.yaml").write_text("# E.\n# Source: me.\nseed: 1\n")
    (where[1] / "recipe" / "numbers.yaml").write_text("# N.\n# Source: me.\noverrides: [1]\n")
    with pytest.raises(ValueError, match=message):
        expand(words, where)


@pytest.mark.parametrize("name", catalog.levels([CONF], "recipe"))
def test_every_recipe_composes_and_does_not_reach_the_jobs(name, compose, cifar_root):
    overrides = expand([f"recipe={name}"], [CONF])
    check(overrides, [CONF], [])
    cfg, choices = compose([*overrides, f"data.root={cifar_root}", "device=cpu"])
    plan = planning.plan(cfg, choices)
    assert "recipe" not in plan.settings
    assert "recipe" not in plan.levels
    planning.make_run(plan)


def test_speedrun_states_airbench94s_learning_rate_and_decay_in_torchs_terms(compose):
    """By the formulas of airbench94.py: lr for the sum over 1024 images, weight decay decoupled from it."""
    cfg, _ = compose(expand(["recipe=speedrun"], [CONF]))
    scale = 1 + 1 / (1 - 0.85)
    assert cfg.optimizer.lr == pytest.approx(11.5 / (1024 * scale) * 1024)
    assert cfg.optimizer.lr * cfg.regularizer.l2 == pytest.approx(0.0153 * 1024 / (1024 * scale), rel=1e-3)


def test_speedrun_muon_states_airbench94_muons_rates_for_other_logits(compose):
    """Its logits are the classifier's / 256 of weights with deviation 1; here / 9, of torch's."""
    cfg, _ = compose(expand(["recipe=speedrun_muon"], [CONF]))
    scale = cfg.net.logit_scale * 256
    assert cfg.optimizer.sgd_lr == pytest.approx(0.67 * 2000 / scale**2, rel=1e-3)
    assert cfg.optimizer.sgd_lr * cfg.optimizer.bias_lr_factor == pytest.approx(0.053 * 2000, rel=1e-3)
    assert cfg.optimizer.sgd_lr * cfg.regularizer.l2 == pytest.approx(2e-6 * 2000, rel=1e-3)
    schedule = planning.make("schedule", OmegaConf.to_container(cfg.schedule))
    assert [schedule(epoch, 8) for epoch in (0.0, 0.04, 2.0, 8.0)] == pytest.approx([1, 0.995, 0.75, 0], abs=1e-5)


def test_arms_on_speedrun_differ_only_in_the_varied_factor(compose, tmp_path):
    words = ["recipe=speedrun", "data=shapes", f"data.cache_dir={tmp_path}", "device=cpu", "precision=fp32"]
    one, other = (planning.plan(*compose(expand([*words, f"activation={level}"], [CONF]))) for level in ("elu", "tanh"))
    assert {key.partition(".")[0] for key in differences(one.settings, other.settings)} == {"activation"}
    assert planning.make_run(one).preprocessing.steps["patch_whiten"].activation is not None


@pytest.mark.parametrize("recipe", ["speedrun", "speedrun_muon"])
def test_speedrun_learns(recipe, compose, tmp_path):
    """Made images and a narrow net for 4 epochs: far above the tenth that guessing gets."""
    words = [f"recipe={recipe}", "data=shapes", "data.num_train=800", "data.num_test=200", "data.val_size=0"]
    words += [
        "net.widths=[[8],[8,16],[16,16],[16]]",
        "trainer.epochs=4",
        "trainer.batch_size=50",
        "trainer.threads=1",
        "device=cpu",
        "precision=fp32",
    ]
    words += [f"data.cache_dir={tmp_path}", f"output_dir={tmp_path}", "diagnostics.measure=[]"]
    plan = planning.plan(*compose(expand(words, [CONF])))
    record, _ = start(planning.make_run(plan), plan.folder)
    assert record.metrics["test/accuracy"] > 0.3
    assert not [key for key in record.metrics if key.startswith("val/")]
