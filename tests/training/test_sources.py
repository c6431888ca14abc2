"""Code that settings name outside the program: finding it, its part in a run's identity, and how edits are shown."""

import hashlib
import importlib
import os
import py_compile
import sys
import zipfile

import pytest

from ablate.errors import UserError
from ablate.training import sources
from ablate.training.sources import as_identity, earlier_run, edited, find, keep
from ablate.training.sources.edits import MOST_LINES


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A function (path, text) that writes a file into a folder that modules are imported from."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)

    def write(path, text=""):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    yield write
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def names(*targets, **settings):
    settings |= {f"group{i}": {"_target_": target, "_partial_": True} for i, target in enumerate(targets)}
    return [source.name for source in find(settings)]


def test_settings_of_the_program_alone_name_nothing(compose):
    from omegaconf import OmegaConf

    cfg, _ = compose(["data=shapes", "activation=maxout", "optimizer=adamw", "diagnostics.measure=all"])
    assert find(OmegaConf.to_container(cfg, resolve=True)) == []
    assert names("torch.nn.ReLU", "torchvision.models.resnet18", "numpy.tanh", "functools.partial") == []


def test_a_module_is_known_by_name_relative_path_and_hash(own):
    file = own("squared_a.py", "x = 1\n")
    (found,) = find({"activation": {"_target_": "squared_a.Squared"}})
    digest = hashlib.sha256(b"x = 1\n").hexdigest()
    assert (found.name, found.path, found.sha256, found.version) == ("squared_a", "squared_a.py", digest, None)
    assert as_identity([found]) == {"squared_a": digest}
    assert sources.files([found]) == [file]
    assert "squared_a" not in sys.modules


@pytest.mark.parametrize(
    "line",
    [
        "import helper_b",
        "import helper_b as h, os",
        "from helper_b import f",
        "from helper_b import *",
        "def f():\n    from helper_b import f",
        "try:\n    import helper_b\nexcept ImportError:\n    pass",
        "import importlib\nh = importlib.import_module('helper_b')",
        "h = __import__('helper_b')",
    ],
)
def test_what_a_module_imports_is_found_however_it_is_written(own, line):
    own("helper_b.py")
    own("main_b.py", line)
    assert names("main_b.Level") == ["helper_b", "main_b"]


@pytest.mark.parametrize(
    "line",
    [
        "from . import helper",
        "from .helper import f",
        "from ..inner import helper",
        "import pack_c.inner.helper",
        "from pack_c.inner import helper",
        "from pack_c.inner.helper import f",
        "import importlib\nimportlib.import_module('.helper', __package__)",
    ],
)
def test_packages_and_relative_imports(own, line):
    own("pack_c/__init__.py")
    own("pack_c/inner/__init__.py", "from .deeper import g")
    own("pack_c/inner/deeper.py")
    own("pack_c/inner/helper.py", "import torch, numpy, os.path")
    own("pack_c/inner/level.py", line)
    expected = ["pack_c", "pack_c.inner", "pack_c.inner.deeper", "pack_c.inner.helper", "pack_c.inner.level"]
    assert names("pack_c.inner.level.Level.make") == expected
    paths = {source.path for source in find({"a": {"_target_": "pack_c.inner.level.Level"}})}
    assert {"pack_c/__init__.py", "pack_c/inner/helper.py"} <= paths
    assert not [name for name in sys.modules if name.startswith("pack_c")]


def test_namespace_packages_and_circles(own):
    own("space_d/one.py", "from space_d import two")
    own("space_d/two.py", "from space_d import one\nfrom . import three")
    own("space_d/three.py", "this is no Python")
    assert names("space_d.one.Level") == ["space_d.one", "space_d.three", "space_d.two"]


@pytest.mark.parametrize("made", [[], ["space_f/__init__.py"]])
def test_a_folder_without_init_inside_another(own, made):
    for file in made:
        own(file)
    own("space_f/models/inner/net.py")
    outer = ["space_f"] if made else []
    assert names("space_f.models.inner.net.Level") == [*outer, "space_f.models.inner.net"]


@pytest.mark.parametrize(
    "setting",
    [
        {"steps": [{"_target_": "nested_e.f"}]},
        {"steps": {"a": {"b": [[{"_target_": "nested_e.f"}]]}}},
        {"_target_": "hydra.utils.get_method", "path": "nested_e.f"},
        {"_target_": "hydra.utils.get_class", "path": "nested_e.F"},
        {"_target_": "functools.partial", "_args_": ["nested_e.f"]},
        {"_target_": "torch.nn.Module", "fill": "nested_e.f"},
    ],
)
def test_a_name_anywhere_in_the_settings_counts(own, setting):
    own("nested_e.py")
    assert [source.name for source in find({"initializer": setting})] == ["nested_e"]


def test_what_only_a_diagnostic_names_is_kept_and_no_identity(own):
    own("metric_f.py")
    own("level_f.py", "import shared_f")
    own("shared_f.py")
    settings = {"diagnostics": {"known": {"m": {"_target_": "metric_f.m"}, "n": {"_target_": "shared_f.n"}}}}
    found = find({**settings, "activation": {"_target_": "level_f.A"}})
    assert [source.name for source in found] == ["level_f", "metric_f", "shared_f"]
    assert set(as_identity(found)) == {"level_f", "shared_f"}


def test_an_installed_package_counts_by_its_version(own):
    from importlib.metadata import version

    (found,) = find({"net": {"_target_": "yaml.safe_load"}})
    assert (found.name.lower(), found.version, found.path) == ("pyyaml", version("pyyaml"), None)
    assert as_identity([found]) == {found.name: version("pyyaml")}
    own("level_g.py", "import yaml")
    assert {name.lower() for name in names("level_g.A")} == {"level_g", "pyyaml"}
    assert find({"data": {"note": "yaml.safe_load"}}) == []  # a text that is no target and no module of one's own


def test_an_archive_counts_as_a_file(own, tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "lib.zip", "w") as archive:
        archive.writestr("zipped_h.py", "x = 1")
    monkeypatch.syspath_prepend(str(tmp_path / "lib.zip"))
    (found,) = find({"a": {"_target_": "zipped_h.A"}})
    assert found.sha256 == hashlib.sha256((tmp_path / "lib.zip").read_bytes()).hexdigest()


def test_an_edit_is_seen_also_one_of_equal_length(own):
    file = own("edit_i.py", "y = x ** 2\n")
    (before,) = find({"a": {"_target_": "edit_i.A"}})
    file.write_text("y = x ** 3\n")
    os.utime(file, ns=(1, file.stat().st_mtime_ns + 1))
    (after,) = find({"a": {"_target_": "edit_i.A"}})
    assert before.sha256 != after.sha256


def test_an_edit_of_what_is_loaded_is_refused(own):
    file = own("loaded_j.py", "y = 2\n")
    settings = {"a": {"_target_": "loaded_j.A"}}
    found = find(settings)
    importlib.import_module("loaded_j")
    sources.check_unedited(found, settings)
    file.write_text("y = 33\n")
    with pytest.raises(UserError, match=r"loaded_j\.py was edited while this command ran"):
        find(settings)


def test_an_edit_between_planning_and_importing_is_refused(own):
    file = own("between_k.py", "y = 2\n")
    settings = {"a": {"_target_": "between_k.A"}}
    found = find(settings)
    file.write_text("y = 33\n")
    with pytest.raises(UserError, match=r"between_k\.py changed while the run was being set up"):
        sources.check_unedited(found, settings)


def test_a_folder_that_own_code_puts_on_the_path_is_refused_with_the_cure(own, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "late_s.py").write_text("y = 2\n")
    own("path_s.py", f"import sys\nsys.path.append({str(tmp_path / 'elsewhere')!r})\nimport late_s\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    settings = {"a": {"_target_": "path_s.A"}}
    found = find(settings)
    importlib.import_module("path_s")
    with pytest.raises(
        UserError, match=f"late_s is imported from .*; start it with PYTHONPATH={tmp_path / 'elsewhere'}"
    ):
        sources.check_unedited(found, settings)
    sys.modules.pop("late_s")


def test_what_is_in_no_file_is_refused(own, monkeypatch):
    import types

    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    with pytest.raises(UserError, match=r"__main__\.Square is not defined in a file.*put it into a module"):
        find({"activation": {"_target_": "__main__.Square"}})


def test_stale_bytecode_is_not_what_runs(own):
    """Python takes compiled code for that of a text of equal time and size."""
    file = own("stale_l.py", "y = 2\n")
    time = file.stat().st_mtime_ns
    py_compile.compile(str(file))
    file.write_text("y = 3\n")
    os.utime(file, ns=(time, time))
    find({"a": {"_target_": "stale_l.A"}})
    assert importlib.import_module("stale_l").y == 3


def test_good_bytecode_is_left(own):
    file = own("good_m.py", "def f(x):\n    return x ** 2\n")
    compiled = py_compile.compile(str(file))
    find({"a": {"_target_": "good_m.A"}})
    assert os.path.exists(compiled)


def test_the_text_is_kept_and_an_edit_is_shown_line_by_line(own, tmp_path):
    file = own("pack_n/level.py", "a = 1\ny = x.relu() ** 2\nb = 1\n")
    before = find({"a": {"_target_": "pack_n.level.A"}})
    keep(before, tmp_path)
    assert (tmp_path / "sources" / "pack_n" / "level.py").read_bytes() == file.read_bytes()
    assert edited(before, before, tmp_path) == ""
    file.write_text("a = 1\ny = x.relu() ** 3\nb = 1\n" + "c = 1\n" * 10)
    after = find({"a": {"_target_": "pack_n.level.A"}})
    changes = edited(before, after, tmp_path)
    assert changes.startswith("pack_n/level.py was edited (line 2: - y = x.relu() ** 2, line 2: + y = x.relu() ** 3")
    assert changes.endswith(f"and {12 - MOST_LINES} more lines)")
    assert edited(before, [], tmp_path) == "pack_n/level.py is no longer used"
    assert edited([], before, tmp_path) == "pack_n/level.py is now used"


def test_an_earlier_run_of_another_text_is_named(own, tmp_path):
    import yaml

    file = own("level_o.py", "y = 2\n")
    settings = {"activation": {"_target_": "level_o.A"}, "trainer": {"epochs": 1}}
    before = find(settings)
    folder = tmp_path / "runs" / "activation=o-00000001" / "seed-0"
    folder.mkdir(parents=True)
    content = {"settings": settings, "sources": [vars(source) for source in before]}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    keep(before, folder)
    here = tmp_path / "runs" / "activation=o-00000002"
    assert earlier_run(settings, before, here) == ""
    file.write_text("y = 3\n" * 2)
    after = find(settings)
    changes = earlier_run(settings, after, here)
    assert "level_o.py was edited (line 1: - y = 2, line 1: + y = 3" in changes and str(folder) in changes
    assert earlier_run({**settings, "trainer": {"epochs": 2}}, after, here) == ""
    (folder / "config.yaml").write_text("")
    assert earlier_run(settings, after, here) == ""


def test_the_text_is_in_tensorboard(own, tmp_path, make_run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from ablate.training.start import start
    from ablate.training.tensorboard import TensorBoard

    own("level_p.py", "y = 'shown'\n")
    found = find({"a": {"_target_": "level_p.A"}})
    folder = tmp_path / "runs" / "arm-00000000" / "seed-0"
    board = TensorBoard(folder, group="arm", levels={}, settings={}, changed={})
    record, _ = start(make_run(epochs=1, sources=found), folder, [board])
    assert record.sources == [vars(source) for source in found]
    events = EventAccumulator(str(folder))
    events.Reload()
    (text,) = events.Tensors("own_code/level_p.py/text_summary")
    assert b"y = 'shown'" in text.tensor_proto.string_val[0]


def test_the_report_shows_which_arms_have_which_code(grid_results):
    from ablate.report.provenance import own_code

    rows = own_code(grid_results)
    assert rows[0] == ["code", "SHA-256 of the file, or version", "arms"]
    assert rows[1:] == [
        ["level.py", "a" * 64, "activation=tanh"],
        ["metric.py", "b" * 64, "all, for diagnostics only: not part of the identity"],
        ["timm", "version 1.0", "all"],
    ]


@pytest.fixture
def grid_results(tmp_path):
    from ablate.study.manifest import Manifest, PlannedArm, Variant
    from ablate.study.results import collect

    definition = {"grids": [{"product": {"activation": ["relu", "tanh"]}}], "seeds": [0]}
    shared = [
        vars(sources.Source(name="metric", path="metric.py", sha256="b" * 64, scientific=False)),
        vars(sources.Source(name="timm", version="1.0")),
    ]
    own = vars(sources.Source(name="level", path="level.py", sha256="a" * 64))
    arms = []
    for level in ("relu", "tanh"):
        fields = {"value": None, "overrides": [], "arm": level, "fingerprint": level, "levels": {}, "settings": {}}
        variant = Variant(**fields, folder=f"runs/{level}", sources=shared + [own] * (level == "tanh"))
        label = f"activation={level}"
        arms.append(PlannedArm(axes={"activation": level}, label=label, variants=[variant]))
    manifest = Manifest(
        name="s", title="", source="", definition=definition, overrides=[], command="ablate", arms=arms, looks=[1]
    )
    return collect(manifest, tmp_path / "studies" / "s")


def test_a_job_that_finds_other_code_than_its_study_is_named(own, tmp_path):
    from ablate.study.manifest import Variant
    from ablate.sweep.loop import edited_meanwhile

    file = own("level_q.py", "y = 2\n")
    settings = {"activation": {"_target_": "level_q.A"}}
    before = find(settings)
    keep(before, tmp_path)
    fields = {"value": None, "overrides": [], "arm": "a", "fingerprint": "f", "levels": {}, "settings": settings}
    variant = Variant(**fields, folder="runs/a", sources=[vars(source) for source in before])
    assert edited_meanwhile(variant, tmp_path) == ""
    file.write_text("y = 3 # longer\n")
    assert "level_q.py was edited (line 1: - y = 2" in edited_meanwhile(variant, tmp_path)


def test_a_figure_with_other_code_is_another_figure(own, tmp_path):
    from ablate.cli.figure import FigureSpec, figure_folder

    file = own("level_r.py", "y = 2\n")
    spec = FigureSpec(name="f", module="ablate.lecture.figures.capacity", base=[], knobs={}, uses=[])
    settings = {"device": "cpu", "data": {"root": None}, "output_dir": str(tmp_path)}
    plain = figure_folder(spec, settings)
    settings["activation"] = {"_target_": "level_r.A"}
    before = figure_folder(spec, settings)
    file.write_text("y = 3 # longer\n")
    assert len({plain, before, figure_folder(spec, settings)}) == 3


def test_the_users_repository_is_named_and_another_is_not(tmp_path, monkeypatch):
    import subprocess

    from ablate.training.environment import git_commit, own_repository

    none = {"own_repository": None, "own_git_commit": None}
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    repository = tmp_path / "project"
    (repository / "inner").mkdir(parents=True)
    own_repository.cache_clear()
    monkeypatch.chdir(repository)
    assert own_repository() == none
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(repository)]
    file = repository / "inner" / "level.py"
    file.write_text("x = 1\n")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Begin"]):
        subprocess.run([*git, *words], check=True, capture_output=True)

    def state(*files):
        own_repository.cache_clear()
        return own_repository(files)

    clean = state(file)
    assert clean["own_repository"] == "project" and len(clean["own_git_commit"]) == 40
    assert state() == clean  # that of the current folder
    other = repository / "new.py"
    other.write_text("")
    assert state() == clean  # outputs are not under version control either
    assert state(other)["own_git_commit"] == clean["own_git_commit"] + "+"
    file.write_text("x = 2\n")
    assert state(file)["own_git_commit"] == clean["own_git_commit"] + "+"
    monkeypatch.chdir(os.path.dirname(__file__))
    if git_commit():
        assert state() == none  # ablate's own, which is recorded separately
