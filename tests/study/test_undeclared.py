"""Which settings follow from which, and which differences are declared."""

from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from ablate.study.undeclared import follows, undeclared


def configured(content):
    """What a variant has of a configuration that is written with its interpolations."""
    cfg = OmegaConf.create(content)
    names = follows(OmegaConf.to_container(cfg), lambda text: OmegaConf.merge(cfg, {"_": text})["_"])
    return SimpleNamespace(settings=OmegaConf.to_container(cfg, resolve=True), follows=names)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("${data.bits}", ["data.bits"]),
        ("${oc.select:data.bits,8}", ["data.bits"]),
        ("${oc.select:data.absent,8}", ["data.absent"]),
        ("${oc.select: 'data.bits' , 8}", ["data.bits"]),
        ("${data[bits]}", ["data.bits"]),
        ("${.near}", ["net.near"]),
        ("${..data.bits}", ["data.bits"]),
        ("${data.${which}}", ["which", "data.bits"]),
        ("${oc.select:data.${which},${.near}}", ["which", "net.near", "data.bits"]),
        ("${data.bits}x${data.other}", ["data.bits", "data.other"]),
        (["${data.bits}", 3, ["${data.other}"]], ["data.bits", "data.other"]),
        ([{"a": "${data.bits}"}], ["data.bits"]),
        ("${data}", ["data"]),
        ("${oc.env:HOME}", None),
        ("\\${data.bits}", None),
        (8, None),
    ],
)
def test_what_a_setting_names(value, names):
    content = {"data": {"bits": 8, "other": 1}, "which": "bits", "net": {"near": 1, "x": value}}
    assert configured(content).follows.get("net.x") == names


LEFT = {
    "activation": {"level": "relu"},
    "optimizer": {"lr": 0.1},
    "data": {"bits": 8},
    "preprocessing": {"depth": "${data.bits}"},
    "net": {"levels": "${preprocessing.depth}"},  # follows through another
    "seed": 1,
}
RIGHT = {
    **LEFT,
    "activation": {"level": "leaky_relu", "slope": 0.01},
    "optimizer": {"lr": 0.2},
    "data": {"bits": 12},
    "seed": 2,
}
WHAT_FOLLOWS = ["net.levels", "preprocessing.depth"]


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ({"activation", "activation.slope", "optimizer.lr", "data.bits"}, []),
        ({"activation", "optimizer.lr", "data.bits"}, []),
        ({"activation", "optimizer", "data"}, []),
        ({"activation", "+optimizer.lr", "data"}, []),
        ({"activation", "optimizer.lr"}, ["data.bits", *WHAT_FOLLOWS]),
        ({"activation", "optimizer.lr", "preprocessing"}, ["data.bits"]),
        ({"activation.slope", "optimizer.lr", "data.bits"}, ["activation.level"]),
        ({"act", "optimizer.l", "data.bits"}, ["activation.level", "activation.slope", "optimizer.lr"]),
    ],
)
def test_an_axis_covers_itself_what_lies_below_and_what_follows(declared, found):
    assert sorted(undeclared(configured(LEFT), configured(RIGHT), declared)) == sorted(found)


def test_equal_names_and_values_do_not_make_a_setting_follow():
    mine = configured({"data": {"bits": 8}, "augmentation": {"bits": 8}})
    other = configured({"data": {"bits": 12}, "augmentation": {"bits": 12}})
    assert undeclared(mine, other, {"data.bits"}) == {"augmentation.bits": (8, 12)}


def test_a_setting_that_one_side_was_given_does_not_follow():
    mine = configured({"data": {"bits": 8}, "net": {"levels": 9}})
    other = configured({"data": {"bits": 12}, "net": {"levels": "${data.bits}"}})
    assert undeclared(mine, other, {"data.bits"}) == {"net.levels": (9, 12)}


def test_a_setting_is_declared_only_if_all_that_it_follows_from_is():
    def setting(bits, noise):
        return configured({"data": {"bits": bits, "noise": noise}, "net": {"name": "${data.bits}-${data.noise}"}})

    assert undeclared(setting(8, 1), setting(12, 1), {"data.bits"}) == {}
    assert sorted(undeclared(setting(8, 1), setting(12, 2), {"data.bits"})) == ["data.noise", "net.name"]


def test_what_is_the_same_everywhere_explains_no_difference(monkeypatch):
    monkeypatch.setenv("WIDTH", "1")
    mine = configured({"data": {"bits": 8}, "net": {"width": "${oc.env:WIDTH}-${data.bits}"}})
    monkeypatch.setenv("WIDTH", "2")
    other = configured({"data": {"bits": 8}, "net": {"width": "${oc.env:WIDTH}-${data.bits}"}})
    assert undeclared(mine, other, {"data"}) == {"net.width": ("1-8", "2-8")}


def test_a_part_of_a_group_that_follows_as_a_whole_follows():
    def setting(bits):
        return configured({"data": {"bits": bits, "size": 3}, "probe": {"data": "${data}"}})

    assert undeclared(setting(8), setting(12), {"data.bits"}) == {}
    assert sorted(undeclared(setting(8), setting(12), {"optimizer"})) == ["data.bits", "probe.data.bits"]


@pytest.mark.parametrize("preprocessing", ["scale", "window"])
def test_levels_that_take_the_bits_of_the_data_are_compared(compose, preprocessing):
    from ablate.cli.planning import variant

    def at(bits):
        lines = ["data=shapes", f"data.bits={bits}", f"preprocessing={preprocessing}"]
        return variant(*compose(lines), lines, None)

    assert at(8).follows["augmentation.bits"] == ["data.bits"]
    assert undeclared(at(8), at(12), {"data.bits"}) == {}
    assert "preprocessing.steps" in str(undeclared(at(8), at(12), {"activation"}))
