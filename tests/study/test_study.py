import re
from pathlib import Path

import pytest

from ablate.config import catalog
from ablate.config.overrides import text
from ablate.study.files import parts_of, read_study, with_claims, with_profile
from ablate.study.study import TUNING_SEED, Study, parse
from ablate.study.tuned import MIN_TUNING_SEEDS

CLAIM = {"text": "A beats B.", "form": "greater", "treatment": {"a": 1}, "control": {"a": 2}, "smallest_effect": 0.01}


def arms(base=(), **grid):
    return [(arm.axes, list(arm.overrides)) for arm in Study(name="s", base=list(base), grids=[grid]).arms()]


def test_a_product_has_every_combination():
    found = arms(base=["x=0"], product={"a": [1, 2], "b": ["p", "q"]})
    assert [axes for axes, _ in found] == [{"a": a, "b": b} for a in (1, 2) for b in ("p", "q")]
    assert found[0][1] == ["x=0", "a=1", "b=p"]


def test_zipped_axes_go_together():
    assert [axes for axes, _ in arms(zip={"a": [1, 2], "b": [3, 4]})] == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]
    with pytest.raises(ValueError, match=r"one length, got \{'a': 2, 'b': 1\}"):
        arms(zip={"a": [1, 2], "b": [3]})


def test_leave_one_out_and_add_one_in():
    axes = {"a": ["on", "off"], "b": ["on", "off"]}
    left = [tuple(found.values()) for found, _ in arms(leave_one_out=axes)]
    assert left == [("on", "on"), ("off", "on"), ("on", "off")]
    added = [tuple(found.values()) for found, _ in arms(add_one_in=axes)]
    assert added == [("off", "off"), ("on", "off"), ("off", "on")]
    with pytest.raises(ValueError, match=r"\[default, ablated\] for a"):
        arms(leave_one_out={"a": ["on"]})


def test_grids_are_united_and_an_arm_is_there_once():
    grids = [{"product": {"a": [1, 2]}}, {"product": {"b": [5], "a": [2, 3]}}, {"product": {"a": [1]}}]
    study = Study(name="s", base=["b=5", "c=0"], grids=grids)
    assert [arm.axes for arm in study.arms()] == [{"b": 5, "a": 1}, {"b": 5, "a": 2}, {"b": 5, "a": 3}]


def test_no_grid_is_one_arm():
    (arm,) = Study(name="s", base=["a=1"]).arms()
    assert (arm.axes, arm.overrides, arm.label) == ({}, ("a=1",), "default")


def test_overrides_take_the_place_of_the_base_and_never_of_an_axis():
    tuning = {"key": "optimizer.lr", "values": [0.1, 0.2]}
    study = parse("s", {"base": ["x=0", "y=1"], "grids": [{"product": {"a": [1]}}], "tuning": tuning})
    assert study.with_overrides(["x=5", "z=2"]).base == ["y=1", "x=5", "z=2"]
    for override in ("a=2", "optimizer.lr=0.3", "seed=4"):
        with pytest.raises(ValueError, match=f"varies {override.split('=')[0]} itself"):
            study.with_overrides([override])


def test_tuning_seeds_are_never_report_seeds():
    study = parse("s", {"seeds": 4, "tuning": {"key": "lr", "values": [1, 2]}})
    assert study.seeds == [0, 1, 2, 3]
    assert study.tuning_seeds == [TUNING_SEED + i for i in range(MIN_TUNING_SEEDS)]
    assert parse("s", {}).tuning_seeds == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"seedz": 3}, "no key seedz"),
        ({"seeds": [1, 1]}, "`study.seeds`"),
        ({"seeds": [TUNING_SEED]}, "where tuning seeds begin"),
        ({"alpha": 0.7}, "`study.alpha`"),
        ({"looks": 0}, "`study.looks`"),
        ({"grids": [{"sum": {}}]}, "must be one of product"),
        ({"tuning": {"key": "lr", "values": [2, 1]}}, "increasing order"),
        ({"tuning": {"key": "lr", "values": [1, 2], "seeds": 2}}, "at least 3, got 2"),
        ({"tuning": {"key": "lr", "values": [1, 2], "metric": "test/accuracy"}}, "test images are not for tuning"),
        ({"tuning": {"key": "a", "values": [1, 2]}, "grids": [{"product": {"a": [1]}}]}, "is an axis"),
        ({"claims": {"c": {**CLAIM, "form": "bigger"}}}, "claim 'c': `form`.*'bigger'"),
        ({"claims": {"c": {**CLAIM, "smallest_effect": 0}}}, "must be above 0"),
        ({"claims": {"c": {**CLAIM, "smallest_effect": "big"}}}, "must be a number, got 'big'"),
        ({"seeds": "abc"}, "`study.seeds`.*'abc'"),
        ({"alpha": "small"}, "`study.alpha`.*'small'"),
        ({"tuning": {"key": "lr", "values": ["a", "b"]}}, r"tuning\.values` must be a list \(each entry a number\)"),
        ({"claims": {"c": {**CLAIM, "form": "ratio", "direction": "smaller"}}}, "factor above 1"),
        ({"claims": {"c": {**CLAIM, "form": "trend", "direction": "greater"}}}, "`factor`"),
        ({"claims": {"c": {**CLAIM, "form": "ratio", "smallest_effect": 2}}}, "`direction`"),
        ({"claims": {"c": {**CLAIM, "control": {}}}}, "`treatment` and `control`"),
        ({"claims": {"c": {**CLAIM, "sauce": 1}}}, "claim 'c' has no key sauce"),
        ({"claims": {"c": {"form": "greater"}}}, "claim 'c': .*text"),
    ],
)
def test_mistakes_in_a_study_file_are_named(content, words):
    with pytest.raises(ValueError, match=words):
        parse("s", content)


@pytest.mark.parametrize(
    "value", [None, True, 0.1, 1e-5, 3, "relu", "a b", [8, 16], [[1, 2], [3]], {"a": 1, "b": [2]}, "it's", "[x]"]
)
def test_text_is_read_back_by_hydra(value):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (override,) = OverridesParser.create().parse_overrides([f"key={text(value)}"])
    found = override.value()
    assert (str(found) if isinstance(value, str) else found) == value


STUDIES = catalog.levels(catalog.folders(), "study")
CLAIM_FILES = catalog.levels(catalog.folders(), "claim")
SINGLE = [name for name in STUDIES if parts_of(name, STUDIES) == [name]]
PROFILES = [(name, profile) for name in SINGLE for profile in (None, *read_study(STUDIES[name]).get("profiles", {}))]


def the_study(name, profile=None):
    content = with_claims(name, with_profile(name, read_study(STUDIES[name]), profile, STUDIES), CLAIM_FILES)
    return parse(name, content, *catalog.caption(STUDIES[name]))


@pytest.mark.parametrize(("name", "profile"), PROFILES)
def test_the_studies_that_come_along(name, profile, compose):
    """In every profile: arms compose, claims find their arms, and every published figure names a source."""
    from ablate.judging import check_claims

    study = the_study(name, profile)
    check_claims(study)
    known = catalog.default_levels()
    for arm in study.arms():
        for override in arm.overrides:
            key, _, value = override.partition("=")
            assert key not in known or value in catalog.levels(catalog.folders(), key)
    compose(study.arms()[0].overrides)
    figures = catalog.levels(catalog.folders(), "figure")
    for claim in study.claims:
        assert claim.source
        assert not claim.figure or claim.figure in figures
    assert study.title
    assert study.source


def test_the_lecture_consists_of_studies_that_have_its_profiles_and_all_its_claims():
    parts = parts_of("lecture", STUDIES)
    for name in parts:
        assert read_study(STUDIES[name])["profiles"].keys() >= {"smoke", "quick", "standard", "larger", "full"}
    files = {claim.file for name in parts for claim in the_study(name).claims}
    others = {claim.file for claim in the_study("ct").claims}
    assert files | others == CLAIM_FILES.keys()  # none is idle; the images of `ct` need a package of their own
    lecture = {f"C{i}" for i in range(1, 35)}
    sources = {part for name in parts for claim in the_study(name).claims for part in re.split(r", ", claim.source)}
    assert lecture <= sources
    names = [claim.name for name in parts for claim in the_study(name).claims]
    assert len(set(names)) == len(names)  # so that study.only is not ambiguous


FIXED = {"key": "lr", "values": {"a=1": 0.3}, "source": "tuning.csv"}


def test_fixed_values_are_those_of_their_arms():
    study = parse("s", {"base": ["lr=0.1"], "grids": [{"product": {"a": [1, 2]}}], "fixed": FIXED})
    assert [arm.overrides for arm in study.arms()] == [("a=1", "lr=0.3"), ("lr=0.1", "a=2")]
    assert [arm.label for arm in study.arms()] == ["a=1", "a=2"]
    with pytest.raises(ValueError, match="varies lr itself"):
        study.with_overrides(["lr=0.2"])
    with pytest.raises(ValueError, match="names no arm of study s: 'a=3'; there are 'a=1'"):
        parse("s", {"grids": [{"product": {"a": [1]}}], "fixed": {**FIXED, "values": {"a=3": 1}}}).arms()
    with pytest.raises(ValueError, match="set one of them to null"):
        parse("s", {"fixed": FIXED, "tuning": {"key": "lr", "values": [1, 2]}})
    with pytest.raises(ValueError, match=r"`fixed\.key` a is an axis"):
        parse("s", {"grids": [{"product": {"a": [1]}}], "fixed": {"key": "a", "shared": 1}})
    with pytest.raises(ValueError, match="or a value that they have `shared`, got neither"):
        parse("s", {"fixed": {"key": "lr"}})


def test_only_keeps_the_claims_that_are_named_and_their_arms():
    claims = {"c": CLAIM, "d": {**CLAIM, "control": {"a": 3}}}
    content = {"grids": [{"product": {"a": [1, 2, 3]}}], "claims": claims, "only": ["d"]}
    study = parse("s", content)
    assert [claim.name for claim in study.asked] == ["d"]
    assert [claim.name for claim in study.claims] == ["c", "d"]
    assert [arm.axes["a"] for arm in study.arms()] == [1, 3]
    assert [arm.axes["a"] for arm in study.with_overrides(["x=1"]).arms()] == [1, 3]
    with pytest.raises(ValueError, match=r"must name claims of study s \(c, d\), got \['e'\]"):
        parse("s", {**content, "only": ["e"]})


def test_a_metric_that_no_run_records_is_refused_before_the_first_run():
    from ablate.judging import check_claims

    study = parse("s", {"grids": [{"product": {"a": [1, 2]}}], "claims": {"c": {**CLAIM, "metric": "test/acuracy"}}})
    with pytest.raises(ValueError, match=r"claim 'c': `metric`.*'test/acuracy'"):
        check_claims(study)


def test_a_shared_value_is_that_of_all_arms_without_their_own():
    fixed = {"key": "lr", "values": {"a=1": 0.3}, "shared": 0.2}
    study = parse("s", {"base": ["lr=0.1"], "grids": [{"product": {"a": [1, 2]}}], "fixed": fixed})
    assert [arm.overrides for arm in study.arms()] == [("a=1", "lr=0.3"), ("a=2", "lr=0.2")]


def test_sensitive_claims_are_claims_of_the_study():
    with pytest.raises(ValueError, match=r"`fixed.sensitive` must name claims of study s, got 'c'"):
        parse("s", {"fixed": {"key": "lr", "shared": 0.1, "sensitive": ["c"]}})


def test_the_quickstart_says_how_many_runs_and_claims_it_has():
    study = the_study("quickstart")
    said = (Path(__file__).parents[2] / "scripts" / "quickstart.sh").read_text(encoding="utf-8")
    arms, seeds = len(study.arms()), len(study.seeds)
    assert f"{arms} activations x {seeds} seeds" in said
    assert f"{arms * seeds} runs" in said
    assert f"each of {len(study.claims)} claims" in said
    assert any(claim.explained_by for claim in study.claims)
