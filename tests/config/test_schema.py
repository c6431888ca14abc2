"""The rules of conf/schema: every key has one, and no value that they accept ends in a bug."""

import copy
import functools
import importlib
import inspect
import math
import subprocess
import sys

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf, open_dict

from ablate.cli import jobs, planning
from ablate.cli.figure_file import read_figure
from ablate.cli.hydra_version import of_composing
from ablate.config import catalog, schema
from ablate.config.notation import parse
from ablate.config.overrides import from_yaml
from ablate.config.schema import check, read_rules, shown
from ablate.errors import UserError
from ablate.study import study

CONF = catalog.conf_dir()
RULES = read_rules(tuple(catalog.folders()))
HOSTILE = ["abc", -1, 0, 1e30, None, [], {}, True, math.nan, math.inf, "", 0.5, 2]
SMALL = (
    "data.train_size=200 data.val_size=50 data.test_size=50 trainer.epochs=1 trainer.threads=1 trainer.batch_size=50"
)
SHAPES = f"data=shapes net=micro device=cpu {SMALL}"
# Between them these have every class that a level, a step or a diagnostic names.
CONFIGURATIONS = [
    f"{SHAPES} activation=elu",
    f"{SHAPES} activation=maxout optimizer=adam schedule=step initializer=constant normalization=group dropout=spatial",
    f"{SHAPES} activation=softplus optimizer=adamw schedule=triangular initializer=lsuv normalization=layer",
    f"{SHAPES} activation=prelu optimizer=sgd schedule=geometric initializer=normal preprocessing=patch_whiten",
    f"data=polygon net=mlp augmentation=none {SMALL} activation=leaky_relu initializer=orthogonal",
    f"{SHAPES} activation=gelu dropout=alpha preprocessing=window_quantize_standardize",
    f"{SHAPES} normalization=weight_standardization optimizer=muon",
    f"{SHAPES} activation=identity normalization=instance preprocessing=whiten initializer=dirac schedule=constant",
    f"{SHAPES} activation=tanh preprocessing=center_channel initializer=torch_default dropout=hidden regularizer=none",
    f"data=shapes net=resnet device=cpu {SMALL}",
    f"data=shapes net=torchvision device=cpu {SMALL} activation=native normalization=native dropout=native",
]


def lacking(content, place):
    """The keys of a level's file, or of what it holds, that have no rule."""
    target = content.get("_target_")
    known = {**RULES.get(place, {}), **RULES.get(str(target), {})}
    found = []
    for key, value in content.items():
        name = f"{place}.{key}".removeprefix("config.")
        if key not in known and key not in ("_target_", "defaults") and place not in FREE:
            found.append(name)
        elif key in known and not (isinstance(value, str) and ("${" in value or value == "???")):
            schema.accept(name, value, known[key])
        if isinstance(value, dict):
            found += lacking(value, name)
    return found


FREE = ("preprocessing.steps", "diagnostics.known")  # whose keys are names
LEVELS = [(group, level) for group in catalog.default_levels() for level in catalog.levels([CONF], group)]


@pytest.mark.parametrize(("group", "level"), LEVELS)
def test_every_key_of_every_level_has_a_rule_that_its_value_keeps(group, level):
    missing = lacking(catalog.content_of(group, level, [CONF]), group)
    assert not missing, f"add the rule of {missing} to conf/schema/, under the level's _target_ or {group}"


def test_every_key_of_the_first_level_has_a_rule():
    content = from_yaml((CONF / "config.yaml").read_text())
    del content["defaults"], content["hydra"]
    assert lacking(content, "config") == []
    assert set(RULES["config"]) == set(catalog.keys()) - {"hydra"}


def test_a_class_of_ablate_has_a_rule_for_each_of_its_arguments():
    for target in (target for target in RULES if target.startswith("ablate.")):
        module, _, name = target.rpartition(".")
        arguments = set(inspect.signature(getattr(importlib.import_module(module), name)).parameters)
        shared = set(RULES["data"]) if module.startswith("ablate.data") else set()
        shared |= {"params", "lr", "weight_decay"} if module == "ablate.muon" else set()
        assert arguments - {"probe", "p", "args", "kwargs"} - shared == set(RULES[target]) - {"_partial_"}, target


@pytest.mark.parametrize("path", catalog.levels(catalog.folders(), "figure").values(), ids=lambda path: path.stem)
def test_every_knob_of_every_figure_has_a_rule_that_its_values_keep(path):
    content = yaml.safe_load(path.read_text())
    rules = RULES.get(f"figure.{path.stem}", {})
    for knobs in (content["knobs"], *(profile.get("knobs", {}) for profile in content["profiles"].values())):
        assert set(knobs) <= set(rules), f"add it to schema/figure.yaml beside figure/, under figure.{path.stem}"
        for knob, value in knobs.items():
            schema.accept(knob, value, rules[knob])


@pytest.fixture(scope="module", autouse=True)
def hydra():
    with initialize_config_dir(str(CONF), **of_composing()):
        yield


@functools.cache
def configurations():
    """The composed configurations, their levels, and the dotted keys of all that they hold, mappings too."""
    found = []
    for words in CONFIGURATIONS:
        cfg = compose("config", overrides=words.split(), return_hydra_config=True)
        choices = dict(cfg.hydra.runtime.choices)
        with open_dict(cfg):
            del cfg["hydra"]
        plain = OmegaConf.to_container(cfg, resolve=True)
        found.append((plain, choices, sorted(keys_of(plain))))
    return found


def keys_of(content, prefix=""):
    for key, value in content.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from keys_of(value, f"{prefix}{key}.")


def changed(plain, key, value):
    plain = copy.deepcopy(plain)
    *parents, last = key.split(".")
    node = plain
    for parent in parents:
        node = node[parent]
    before, node[last] = node[last], value
    return plain, before


def at(content, key):
    for part in key.split("."):
        content = content[part]
    return content


def same_kind(value, before):
    """Whether a value may stand where another stood: no boolean is a number, and neither is text."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    if isinstance(value, list):
        return all(same_kind(entry, entry) for entry in value)
    if isinstance(before, bool):
        return isinstance(value, bool | str)  # trainer.compile=default
    if isinstance(before, int | float):
        return not isinstance(value, bool) and isinstance(value, int | float | str | list | None)  # gain=relu
    return isinstance(value, dict) == isinstance(before, dict) or before is None or value is None


def test_the_configurations_have_every_class_that_has_rules():
    there = {str(at(plain, key)) for plain, _, keys in configurations() for key in keys if key.endswith("_target_")}
    names = "cifar10.Cifar10 image_folder.ImageFolder arrays.ArrayFile torchvision_sets.TorchvisionSet"
    files = {f"ablate.data.{name}" for name in (*names.split(), "ct_lesions.CtLesions")}
    plain_ones = {target for target, rules in RULES.items() if set(rules) <= {"_partial_"}}
    others = {"ablate.data.whitening.Decorrelate", "ablate.layers.initialization.XavierAsPrinted"}
    assert {t for t in RULES if t.startswith(("ablate.", "torch."))} - files - plain_ones - others <= there


def attempt(call):
    """What a call returns, and the message of the `UserError` that it raises in place of that."""
    try:
        return call(), ""
    except UserError as error:
        return None, str(error)


def judge(configuration, key, value):
    """Plan a run with one value changed: it is meant, or a `UserError` that names key and value."""
    plain, choices, _ = configuration
    content, before = changed(plain, key, value)

    def planned():
        plan = planning.plan(OmegaConf.create(content), choices)
        planning.make_run(plan)
        jobs.observers(plan)
        return plan

    plan, message = attempt(planned)
    _, by_rule = attempt(lambda: check(content, RULES))
    if by_rule:
        assert message.startswith(by_rule)
        assert key.rpartition(".")[2] in message
        assert shown(value) in message or isinstance(value, dict | list) or key.endswith("_target_"), message
    elif message:  # it does not go with another key's value, or names what is not there
        assert "got" in message or "Its `_target_` must be" in message, message
    else:
        accepted = at(plan.settings, key)
        resolved = key in ("device", "precision", "trainer.threads", "trainer.compile")
        assert resolved or accepted == value or (isinstance(value, int) and accepted == str(value))
        assert same_kind(accepted, before), (key, value, before)


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_invalid_values_are_refused_or_keep_their_meaning(value):
    seen = set()
    for configuration in configurations():
        plain, _, keys = configuration
        for key in keys:
            target = at(plain, key.rpartition(".")[0]).get("_target_") if "." in key else ""
            if (place := (key.rpartition(".")[2], target)) not in seen:
                seen.add(place)
                content, before = changed(plain, key, value)
                found, message = attempt(lambda content=content: check(content, RULES))
                if message:
                    assert key in message
                    assert shown(value) in message or key.endswith("_target_") or "must be given" in message
                else:
                    assert same_kind(at(found, key), before), (key, value, before)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(HOSTILE),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab_", min_size=1, max_size=2), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, len(CONFIGURATIONS) - 1), st.data(), values)
def test_any_value_is_accepted_or_refused_by_name(i, data, value):
    configuration = configurations()[i]
    key = data.draw(st.sampled_from(configuration[2]))
    if "${" not in str(value) and "???" not in str(value):
        judge(configuration, key, value)


def test_own_levels_bring_their_rules(tmp_path):
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "mine.yaml").write_text("mylib.Swish:\n  beta: number > 0\ntorch.nn.ELU:\n  alpha: number\n")
    rules = read_rules((CONF, tmp_path))
    content = {"_target_": "mylib.Swish", "beta": "much"}
    with pytest.raises(UserError, match=r"`activation\.beta` must be a finite number above 0, got 'much'"):
        check(content, rules, "activation")
    assert check({**content, "beta": 2}, rules, "activation")["beta"] == 2
    assert check(content, RULES, "activation") == content
    assert rules["torch.nn.ELU"]["alpha"] == parse("number")
    (tmp_path / "schema" / "bad.yaml").write_text("mylib.Swish:\n  beta: sharpness\n  gamma: a bit\n")
    with pytest.raises(UserError, match=r"bad\.yaml, mylib\.Swish, gamma: 'a bit' is not a rule"):
        read_rules((tmp_path,))


BAD = "optimizer.lr=nan"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{SHAPES} {BAD}", "`optimizer.lr` must be a number in (0, 1e+20], got nan; optimizer=nesterov has"),
        (
            f"-m {SHAPES} activation=relu,tanh net.pool=max,mean",
            "got 'mean'; net=micro has net.pool=max (activation=relu",
        ),
        (f"study=activation {SHAPES} schedule.warmup_epochs=inf", "`schedule.warmup_epochs` must be a number"),
        (f"study=activation {SHAPES} study.alpha=true", "`study.alpha` must be a number in (0, 0.5), got true"),
        (f"study=activation {SHAPES} study.tuning.values=[0.01,.nan]", "got [0.01,nan]"),
    ],
)
def test_a_refusal_is_one_line_before_torch_is_loaded(tmp_path, line, words):
    code = (
        "import sys, atexit; from ablate.cli.main import main\n"
        "atexit.register(lambda: print('torch' in sys.modules))\n"
        "sys.argv[1:] = " + repr([*line.split(), f"output_dir={tmp_path}"]) + "\nmain()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("ablate: ") and result.stderr.count("\n") == 1
    assert words in result.stderr
    assert result.stdout == "False\n"
    assert list(tmp_path.iterdir()) == []


def test_hostile_study_files_are_refused_by_name():
    claim = {"text": "t", "form": "greater", "treatment": {"a": 1}, "control": {"a": 2}, "smallest_effect": 0.1}
    whole = {
        "base": ["a=1"],
        "grids": [{"product": {"a": [1, 2]}}],
        "seeds": 3,
        "tuning": {"key": "lr", "values": [0.1, 0.2], "seeds": 3, "metric": "val/accuracy"},
        "alpha": 0.05,
        "looks": 1,
        "claims": {"c": claim},
        "only": [],
        "seconds_a_run": 1.0,
    }
    assert study.parse("s", whole).seeds == [0, 1, 2]
    for key in [*keys_of(whole)]:
        for value in HOSTILE:
            if (
                key in ("grids", "claims", "claims.c.treatment", "claims.c.control")
                or ".treatment." in key
                or ".control." in key
            ):
                continue
            content, _ = changed(whole, key, value)
            _, message = attempt(lambda content=content: study.parse("s", content).arms())
            if message:
                assert key.rpartition(".")[2] in message
            else:
                assert not (isinstance(value, bool) or value == "abc") or key.endswith(
                    ("base", "text", "key", "family")
                )
                assert not isinstance(value, float) or math.isfinite(value), (key, value)
    for key, value in (
        ("grids", [3]),
        ("grids", [{"product": 3}]),
        ("grids", [{"product": {"a": 1}}]),
        ("claims", {"c": 1}),
    ):
        with pytest.raises(UserError, match=rf"`study\.{key}[.c]*` must be"):
            study.parse("s", {**whole, key: value})


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("figure.width=0", r"`figure\.width` must be a whole number in \[2, 1000000\], got 0; the figure has 2048"),
        ("figure.depths=[]", r"`figure\.depths` must be a list that is not empty"),
        ("figure.num_inputs=true", "got true"),
        ("rerun=abc", "`rerun` must be true or false, got 'abc'"),
    ],
)
def test_hostile_knobs_of_figures_are_refused(word, message):
    path = catalog.folders()[1] / "figure" / "channel_collapse.yaml"
    with pytest.raises(UserError, match=message):
        read_figure(path, [word])
    assert read_figure(path, ["figure.width=1e2"])[0].knobs["width"] == 100


def test_the_rules_of_a_users_class_need_not_name_partial():
    rules = {"mine.Power": {"exponent": parse("number > 0")}, "torch.nn.ELU": {"alpha": parse("number > 0")}}
    settings = {"_target_": "mine.Power", "_partial_": True, "exponent": 2}
    assert check(settings, rules, "activation") == settings
    with pytest.raises(UserError, match=r"`activation._partial_` must be false"):
        check({"_target_": "torch.nn.ELU", "_partial_": True, "alpha": 1}, rules, "activation")
