"""`ablate figure`: from its file and the command line to arrays, pictures and captions."""

import sys

import numpy as np
import pytest
import yaml

from ablate.cli.figure import composing, figure_command
from ablate.cli.figure_file import read_figure
from ablate.config import catalog

MODULE = """
import numpy as np

calls = []


def compute(lab, *, num_points, nets, limits):
    calls.append(num_points)
    if nets:
        run = lab.run("activation=tanh", seed=3)
        state = lab.train(run)
        return {"weights": state.net.classifier.weight.detach().numpy(), "epochs": np.array(state.epoch)}
    return {"x": np.arange(num_points)}


def draw(arrays):
    from ablate.report.plotting import new_figure

    figure = new_figure(3, 2)
    figure.subplots().plot(np.arange(3))
    return figure


def caption(arrays):
    return f"Shows {', '.join(arrays)}."
"""
FIGURE = """\
# A toy.
# Source: none.
compute: toy_figure
base: [net=micro]
knobs: {num_points: 4, nets: false, limits: [1.0, 2.0]}
profiles:
  full: {base: ["trainer.epochs=2"], knobs: {num_points: 400}}
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A function (words) -> what was printed, for a figure `toy` of a conf folder of one's own."""
    (tmp_path / "toy_figure.py").write_text(MODULE)
    (tmp_path / "conf" / "figure").mkdir(parents=True)
    (tmp_path / "conf" / "figure" / "toy.yaml").write_text(FIGURE)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("toy_figure", None)
    where = [*catalog.folders(), tmp_path / "conf"]
    return lambda *words: figure_command(["toy", f"output_dir={tmp_path / 'out'}", "trainer.threads=1", *words], where)


def folders(tmp_path):
    return sorted((tmp_path / "out" / "figures").glob("toy-*"))


def test_a_figure_is_computed_once_drawn_and_logged(toy, tmp_path, capsys):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    toy()
    (folder,) = folders(tmp_path)
    assert {"arrays.npz", "caption.txt", "toy.png", "toy.svg"} < {path.name for path in folder.iterdir()}
    assert np.array_equal(np.load(folder / "arrays.npz")["x"], np.arange(4))
    assert (folder / "toy.svg").read_text().count("Shows x.") == 1
    events = EventAccumulator(str(folder))
    events.Reload()
    assert events.Tags()["images"] == ["figure/toy"]
    assert "Shows x." in capsys.readouterr().out
    toy()
    assert "are stored already" in capsys.readouterr().out
    toy("rerun=true")
    assert (folder / "arrays.1.npz").exists()
    assert len(sys.modules["toy_figure"].calls) == 2
    assert len(list(folder.glob("events*"))) == 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 half a file", "a flipped bit"])
def test_damaged_arrays_are_kept_and_computed_again(toy, tmp_path, capsys, content):
    toy()
    (folder,) = folders(tmp_path)
    path = folder / "arrays.npz"
    data = bytearray(path.read_bytes())
    data[data.index(b"x.npy") + 25] ^= 4
    path.write_bytes(bytes(data) if content == "a flipped bit" else content)
    damaged = path.read_bytes()
    toy()
    assert f"{path} cannot be read" in capsys.readouterr().out
    assert (folder / "arrays.1.npz").read_bytes() == damaged
    assert np.array_equal(np.load(path)["x"], np.arange(4))


def test_knobs_profiles_and_settings_make_other_figures(toy, tmp_path):
    toy()
    toy("figure.num_points=5")
    toy("profile=full")
    toy("optimizer.lr=0.5")
    assert len(folders(tmp_path)) == 4
    toy("figure.num_points=4", "figure.limits=[1e0,2]")
    assert len(folders(tmp_path)) == 4


def test_nets_are_trained_as_the_settings_say(toy, tmp_path):
    small = ["data=shapes", "data.num_train=60", "data.num_test=20", "data.val_size=20", "trainer.batch_size=20"]
    toy("figure.nets=true", "profile=full", *small, f"data.cache_dir={tmp_path}")
    (folder,) = folders(tmp_path)
    arrays = np.load(folder / "arrays.npz")
    assert arrays["epochs"] == 2
    assert np.isfinite(arrays["weights"]).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["figure.num_pionts=3"], "figure toy has no knob 'num_pionts'; did you mean num_points"),
        (["profile=large"], "no profile 'large'; it has full"),
        (["optimizer.leraning_rate=3"], "no key 'optimizer.leraning_rate'"),
        (["figure.nets=true", "activation=relu", "data=shapes"], "sets activation itself"),
        (["figure.num_points=many"], "`figure.num_points` must be like its default 4, got 'many'"),
        (["figure.num_points=1.5"], "must be like its default 4, got 1.5"),
        (["figure.nets=1"], "must be like its default False, got 1"),
        (["figure.limits=3"], "must be like its default"),
        (["seed=1"], "`seed` cannot be set for a figure"),
        (["activation=["], "(?i)activation"),
        (["profile"], "there is no figure 'profile'"),
    ],
)
def test_mistakes_are_named(toy, words, message):
    with pytest.raises(ValueError, match=message):
        toy(*words)


def test_an_unknown_figure_is_named_with_the_nearest():
    with pytest.raises(ValueError, match="no figure 'activation_zo'; did you mean activation_zoo"):
        figure_command(["activation_zo"], catalog.folders())
    with pytest.raises(ValueError, match=r"needs one name, got .*activation_zoo"):
        figure_command([], catalog.folders())


@pytest.mark.parametrize("path", sorted((catalog.folders()[1] / "figure").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_figure_has_its_module_and_composes(path):
    import importlib
    import inspect

    spec, _ = read_figure(path, [])
    module = importlib.import_module(spec.module)
    parameters = inspect.signature(module.compute).parameters
    assert set(spec.knobs) == {name for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert spec.module == f"ablate.lecture.figures.{path.stem}"
    assert callable(module.draw) and callable(module.caption)
    with composing(catalog.folders()) as compose:
        compose(spec.base)
        for profile in yaml.safe_load(path.read_text()).get("profiles", {}):
            compose(read_figure(path, [f"profile={profile}"])[0].base)
