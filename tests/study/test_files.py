"""Study files: profiles, changes, claim files and collections."""

from pathlib import Path

import pytest
import yaml

from ablate.errors import UserError
from ablate.study.files import parts_of, patch, read_study, remark_of, with_claims, with_profile, without_idle
from ablate.study.study import parse

CLAIM = {"text": "A beats B.", "form": "greater", "treatment": {"a": 1}, "control": {"a": 2}, "smallest_effect": 0.01}


def test_patches_change_one_value():
    content = {"claims": {"c": {"smallest_effect": 0.02}}, "seeds": 3}
    assert patch(content, ["claims.c.smallest_effect=0.05", "tuning=null", "seeds=[1, 2]"]) == {
        "claims": {"c": {"smallest_effect": 0.05}},
        "seeds": [1, 2],
        "tuning": None,
    }
    assert content["seeds"] == 3
    assert patch({}, ["alpha=1e-2", "seeds=[1, 2e0]"]) == {"alpha": 0.01, "seeds": [1, 2.0]}
    with pytest.raises(ValueError, match="seeds is not a mapping"):
        patch(content, ["seeds.first=1"])


def test_a_profile_replaces_what_it_names():
    content = {
        "base": ["a=1", "b=2"],
        "seeds": 5,
        "profiles": {"big": {"base": ["b=3", "c=4"], "seeds": 7}, "plain": None},
    }
    assert with_profile("s", content, None) == {"base": ["a=1", "b=2"], "seeds": 5}
    assert with_profile("s", content, "big") == {"base": ["a=1", "b=3", "c=4"], "seeds": 7, "profile": "big"}
    assert with_profile("s", content, "plain")["seeds"] == 5
    with pytest.raises(ValueError, match="no profile 'bog'; it has big, plain"):
        with_profile("s", content, "bog")


def test_a_profile_may_be_like_that_of_another_study(tmp_path):
    files = {name: tmp_path / f"{name}.yaml" for name in ("s", "t")}
    files["t"].write_text("base: [z=0]\nprofiles: {big: {base: [b=3, c=4], seeds: 7, looks: 3}}")
    content = {"base": ["b=2"], "profiles": {"big": {"like": "t", "base": ["c=5"]}}}
    assert with_profile("s", content, "big", files) == {"base": ["b=3", "c=5"], "seeds": 7, "profile": "big"}
    with pytest.raises(ValueError, match="`like` must name another study whose profile is like no other, got 's'"):
        with_profile("s", {"profiles": {"big": {"like": "s"}}}, "big", files)


def test_only_of_a_collection_leaves_out_studies_without_such_a_claim():
    studies = [(name, {"claims": {name * 2: CLAIM}, "only": ["aa"]}) for name in ("a", "b")]
    assert without_idle(studies) == [("a", {"claims": {"aa": CLAIM}, "only": ["aa"]})]
    with pytest.raises(ValueError, match="'cc', which is a claim of none"):
        without_idle([("a", {"claims": {"aa": CLAIM}, "only": ["cc"]})])
    assert without_idle([("a", {})]) == [("a", {})]
    with pytest.raises(ValueError, match=r"must be a list of claims, \[aa\]"):
        without_idle([("a", {"only": "aa"})])


def test_a_study_may_name_files_of_claims(tmp_path):
    for stem, name in (("c1", "x"), ("c2", "y"), ("c3", "x")):
        (tmp_path / f"{stem}.yaml").write_text(yaml.safe_dump({name: CLAIM}))
    files = {path.stem: path for path in tmp_path.glob("c*.yaml")}
    found = parse("s", with_claims("s", {"claims": ["c1", "c2"]}, files)).claims
    assert [(claim.name, claim.file, claim.family) for claim in found] == [("x", "c1", "c1"), ("y", "c2", "c2")]
    with pytest.raises(ValueError, match="has a claim 'x', which an earlier file"):
        with_claims("s", {"claims": ["c1", "c3"]}, files)
    with pytest.raises(ValueError, match=r"no conf/claim/c9\.yaml"):
        with_claims("s", {"claims": ["c9"]}, files)
    assert with_claims("s", {"claims": {"x": CLAIM}}, files) == {"claims": {"x": CLAIM}}
    with pytest.raises(ValueError, match=r"`study\.claims` must be a mapping.*got \[c1\]"):
        parse("s", {"claims": ["c1"]})


def test_a_study_may_consist_of_others(tmp_path):
    files = {name: tmp_path / f"{name}.yaml" for name in ("all", "a", "b")}
    for name, content in (("all", {"studies": ["a", "b"]}), ("a", {"seeds": 1}), ("b", {"seeds": 2})):
        files[name].write_text(yaml.safe_dump(content))
    assert parts_of("all", files) == ["a", "b"]
    assert parts_of("a", files) == ["a"]
    files["all"].write_text(yaml.safe_dump({"studies": ["a", "all"]}))
    with pytest.raises(ValueError, match="got 'all'"):
        parts_of("all", files)
    files["all"].write_text(yaml.safe_dump({"studies": ["a"], "seeds": 2}))
    with pytest.raises(ValueError, match="drop seeds"):
        parts_of("all", files)


def test_a_file_that_is_no_mapping_is_refused(tmp_path):
    path = Path(tmp_path, "s.yaml")
    path.write_text(yaml.safe_dump([1, 2]))
    with pytest.raises(ValueError, match="must hold a mapping"):
        read_study(path)


def test_a_page_says_something_first_at_a_profile(tmp_path):
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump({"studies": ["a"], "remarks": {"quick": "The short version."}}))
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"seeds": 1}))
    assert parts_of("all", {"all": path, "a": tmp_path / "a.yaml"}) == ["a"]
    assert (remark_of(path, "quick"), remark_of(path, "full"), remark_of(path, None)) == ("The short version.", "", "")
    path.write_text(yaml.safe_dump({"studies": ["a"], "remarks": {"quick": 20}}))
    with pytest.raises(UserError, match=r"`remarks` must map names of profiles to sentences, got \{'quick': 20\}"):
        remark_of(path, "quick")
