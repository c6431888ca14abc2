"""Options for reading other programs' results: which columns are what, and how to decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from ablate.config import schema
from ablate.config.overrides import from_yaml, unquoted
from ablate.config.yaml_file import read_yaml
from ablate.errors import UserError

AS_TYPED = ("name", "title", "output_dir", "status", "pattern", "experiment")  # text whatever is in it
FOR_THE_STUDY = (
    "alpha",
    "failure_share",
    "looks",
    "controls",
    "guessing",
    "test_images",
)  # keys of the study that they become


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `ablate judge` takes as KEY=VALUE, or in the claims file beside `claims`.

    Args:
        name: of the study; by default the stem of the claims file.
        title: of the report.
        output_dir: the program's output folder.
        unit: columns that name the unit of pairing, such as seed, fold or subject; each unit is one replicate.
        axes: columns that are varied, besides those that claims name.
        metrics: columns that are metrics, besides those that claims name.
        ignore: columns that are no setting of a run.
        status: column with the status of the runs.
        rename: {column: name for it}.
        pattern: of the names of runs' folders, for TensorBoard logs.
        experiment: of an MLflow file store.
        alpha, failure_share, looks: of the study.
        controls: what has to pass before claims get a verdict, see `study.control.Control`.
        guessing, test_images: see `study.program.Program`.
    """

    name: str = ""
    title: str = ""
    output_dir: str = "outputs"
    unit: list[str] = field(default_factory=lambda: ["seed"])
    axes: list[str] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    ignore: list[str] = field(default_factory=list)
    status: str | None = None
    rename: dict[str, str] = field(default_factory=dict)
    pattern: str | None = None
    experiment: str | None = None
    alpha: float = 0.05
    failure_share: float = 0.1
    looks: int = 1
    controls: dict[str, dict[str, Any]] = field(default_factory=dict)
    guessing: float | None = None
    test_images: int | None = None

    def of_the_study(self) -> dict[str, Any]:
        """Return the keys that a study file has too, without those that are not known."""
        return {key: value for key in FOR_THE_STUDY if (value := getattr(self, key)) not in (None, {})}


def read_claims(path: Path, words: Sequence[str]) -> tuple[dict[str, Any], Options]:
    """Return the claims of a file and the options in it, with those of the command line in their place.

    Args:
        path: a file of claims as in conf/claim, {name: {text, form, ...}}; or {claims: {...}, KEY: VALUE, ...}.
        words: KEY=VALUE of the command line.

    Raises:
        UserError: the file is no YAML mapping, holds no claim, or has an unknown key.
    """
    if not path.is_file():
        raise UserError(f"there is no claims file {path}; it holds {{name: {{text, form, metric, treatment, ...}}}}")
    content = read_yaml(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold a mapping of claims, {{name: {{text, form, ...}}}}, got {content!r:.60}")
    own: dict[str, Any] = {}
    claims: Any = content
    if isinstance(content.get("claims"), dict) and "form" not in content["claims"]:
        claims = content["claims"]
        own = {key: value for key, value in content.items() if key != "claims"}
    if not claims or not all(isinstance(claim, Mapping) for claim in claims.values()):
        wrong = next((name for name, claim in claims.items() if not isinstance(claim, Mapping)), None)
        what = "it holds none" if wrong is None else f"{wrong!r} is no mapping"
        raise UserError(f"{path} must hold claims, {{name: {{text, form, ...}}}}, and {what}")
    checked = schema.check_place(own | dict(map(setting, words)), "judge")
    if isinstance(checked.get("unit"), str):
        checked["unit"] = [checked["unit"]]
    assert checked.keys() <= {f.name for f in fields(Options)}
    options = Options(**{key: value for key, value in checked.items() if value is not None})
    if not options.name:
        options = Options(**{**{f.name: getattr(options, f.name) for f in fields(Options)}, "name": path.stem})
    return {str(name): dict(claim) for name, claim in claims.items()}, options


def setting(word: str) -> tuple[str, Any]:
    """Return key and value of a word of the command line.

    Raises:
        UserError: its value is no YAML.

    >>> setting("looks=2"), setting("pattern={activation}_s{seed}")
    (('looks', 2), ('pattern', '{activation}_s{seed}'))
    """
    key, _, value = word.partition("=")
    if key in AS_TYPED:
        return key, unquoted(value)
    try:
        return key, from_yaml(value)
    except yaml.YAMLError as error:
        cure = "check its brackets, and put the whole word into quotes in the shell"
        raise UserError(f"{word!r} is no YAML ({getattr(error, 'problem', error)}); {cure}") from error
