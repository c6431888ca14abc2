"""From the command line to studies."""

from pathlib import Path

import pytest

from ablate.errors import UserError
from ablate.sweep.begin import study_folder
from ablate.sweep.request import check_swept, collection_of, named_studies, plain_sweep

STUDY = "base: [net=micro]\ngrids: [{product: {activation: [relu, tanh]}}]\nseeds: 2\nprofiles: {full: {seeds: 5}}\n"


@pytest.fixture
def conf(tmp_path):
    (tmp_path / "study").mkdir()

    def write(**files):
        for name, content in files.items():
            (tmp_path / "study" / f"{name}.yaml").write_text(f"# About {name}.\n# Source: a test.\n{content}")
        return [tmp_path]

    return write


def test_a_study_file_with_profile_changes_and_overrides(conf):
    where = conf(one=STUDY)
    ((study, definition, overrides),) = named_studies("one", "full", ["alpha=0.01"], ["net=small"], where)
    assert (study.title, study.seeds, study.alpha, study.base) == ("About one.", [0, 1, 2, 3, 4], 0.01, ["net=small"])
    assert definition["base"] == ["net=micro"]
    assert overrides == ["net=small"]
    assert collection_of("one", None, "ablate study=one", where) is None


def test_a_study_that_consists_of_others(conf):
    where = conf(one=STUDY, two=STUDY, both="studies: [two, one]\n")
    assert [request.study.name for request in named_studies("both", None, [], [], where)] == ["two", "one"]
    collection = collection_of("both", "full", "ablate study=both", where)
    assert (collection.name, collection.title, collection.profile) == ("both", "About both.", "full")


@pytest.mark.parametrize(
    ("line", "cure"),
    [
        ("seed=3", "give study.seeds"),
        ("rerun=true", "say it on the command"),
        ("keep_weights=true", "say it on the command"),
    ],
)
def test_a_base_has_nothing_of_the_command_line(conf, line, cure):
    with pytest.raises(ValueError, match=f"{line} has no place in the base of study one; {cure}"):
        named_studies("one", None, [], [], conf(one=STUDY.replace("net=micro", line)))


def test_a_plain_sweep_is_a_study_without_claims():
    axes = {"seed": [3, 4], "activation": ["relu", "tanh"]}
    study, definition, overrides = plain_sweep("seed=3,4,activation=relu,tanh", axes, ["net=micro", "rerun=true"], 0)
    assert (study.seeds, study.base, study.claims, overrides) == ([3, 4], ["net=micro"], [], [])
    assert definition["grids"] == [{"product": {"activation": ["relu", "tanh"]}}]
    assert plain_sweep("", {}, [], 7).study.name == "sweep"


@pytest.mark.parametrize("seed", [-1, True, "a", 1.5, 1_000_000])
def test_seeds_of_a_sweep_are_whole_numbers_below_those_of_tuning(seed):
    with pytest.raises(ValueError, match="`seed` must"):
        plain_sweep("", {}, [], seed)


def test_a_whole_float_is_a_seed_as_in_a_single_run():
    assert plain_sweep("", {"seed": [1.0, 0]}, [], 0).study.seeds == [1, 0]


def test_what_is_swept_makes_other_runs():
    for key in ("activation", "seed", "data.root", "data.path"):
        check_swept(key, f"{key}=1,2")
    with pytest.raises(ValueError, match=r"output_dir says how or where .* all of output_dir=a,b would be the same"):
        check_swept("output_dir", "output_dir=a,b")


def test_declared_looks_take_the_place_of_those_of_the_file(conf):
    where, given = conf(one=f"{STUDY}looks: 2\n"), "seeds={from: 4, to: 8, looks: 3}"
    (request,) = named_studies("one", None, [given, "minutes=20"], [], where)
    assert request.study.schedule == [4, 6, 8] and request.study.looks == 3 and request.study.minutes == 20
    with pytest.raises(UserError, match=r"`study.looks` must be that of `study.seeds`, 3, got 2"):
        named_studies("one", None, [given, "looks=2"], [], where)


def test_a_sweep_has_the_name_it_is_given_and_a_title_that_says_what_varies():
    axes = {"activation": ["relu", "tanh"], "seed": [0, 1]}
    study, definition, _ = plain_sweep("activation=relu,tanh", axes, ["net=micro"], 0, name="mine", baseline="tanh")
    assert (study.name, study.title) == ("mine", "mine: activation: relu, tanh")
    assert definition["baseline"] == study.baseline == {"activation": "tanh"}
    bare = plain_sweep("activation=relu,tanh", axes, ["net=micro"], 0)
    assert (bare.study.name, bare.study.title) == ("activation=relu,tanh", "activation: relu, tanh")
    assert "baseline" not in bare.definition


def test_a_baseline_that_is_no_arm_or_several_is_refused():
    axes = {"activation": ["relu", "tanh"], "normalization": ["none", "batch"]}
    for words, what in (("gelu", "no arm"), ("tanh", "2 arms")):
        with pytest.raises(UserError, match=f"'{words}' fits {what}; there are 'activation=relu normalization=none'"):
            plain_sweep("x", axes, [], 0, baseline=words)


def test_another_baseline_is_the_same_study():
    axes = {"activation": ["relu", "tanh"]}
    asked = [plain_sweep("x", axes, [], 0, name="mine", baseline=words) for words in ("", "tanh")]
    folders = {study_folder(Path("o"), study, definition, []) for study, definition, _ in asked}
    assert len(folders) == 1
