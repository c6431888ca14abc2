import pytest

from ablate.config import catalog
from ablate.config.keys import check_levels, every_key, nearest_keys, no_key
from ablate.errors import UserError

CONF = catalog.folders()


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("lr", "optimizer.lr"),
        ("dry-run", "dry_run"),
        ("Seed", "seed"),
        ("epochs", "trainer.epochs"),
        ("num_epochs", "trainer.epochs"),
        ("batchsize", "trainer.batch_size"),
        ("trainer.batchsize", "trainer.batch_size"),
        ("scheduler", "schedule"),
        ("cachedir", "data.cache_dir"),
    ],
)
def test_the_nearest_key(name, near):
    assert nearest_keys(name, every_key(CONF))[0] == near


def test_nothing_is_near_to_an_arbitrary_word():
    assert nearest_keys("qqqq", every_key(CONF)) == nearest_keys("", every_key(CONF)) == []


def test_keys_are_those_of_the_chosen_levels():
    assert "optimizer.betas" not in every_key(CONF)
    assert "optimizer.betas" in every_key(CONF, {**catalog.default_levels(), "optimizer": "adam"})


def test_an_unknown_level_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"activation has no level 'Tanhh'; did you mean tanh"):
        check_levels("activation", ["relu", "Tanhh"], ["relu", "tanh"])


def test_settings_in_the_place_of_a_level_are_refused_with_the_file_to_write():
    with pytest.raises(UserError, match=r"must be the name of a level, got '{_target_:mine.Act}'; .*NAME.yaml"):
        check_levels("activation", ["{_target_:mine.Act}"], ["relu"])


def test_an_entry_that_a_mapping_lacks_is_added_with_a_plus():
    assert no_key("preprocessing.steps", ["preprocessing.steps"]).endswith("+preprocessing.steps.NAME=VALUE adds one")
