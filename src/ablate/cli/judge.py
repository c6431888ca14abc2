"""`ablate judge FILE --claims CLAIMS [KEY=VALUE ...]`: decide claims on results that another program has made."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ablate.errors import UserError
from ablate.screen import say

USAGE = """\
usage: ablate judge RESULTS --claims CLAIMS [KEY=VALUE ...]

RESULTS is a CSV, Parquet or JSON file with a row for each run, a folder of
TensorBoard logs, or an MLflow file store (mlruns). CLAIMS is a YAML file,
{name: {text, form, metric, treatment, control, smallest_effect}}.

  ablate judge scores.csv --claims claims.yaml
  ablate judge mlruns --claims claims.yaml experiment=mnist unit=fold
  ablate judge logs --claims claims.yaml 'pattern={activation}_s{seed}'

unit=COLUMN          what runs are paired by (default: seed); [A,B] for several
axes=[...]           columns that are varied, besides those that claims name
metrics=[...]        metrics to show, besides those that claims name
ignore=[...]         columns that are no setting
status=COLUMN        finished, diverged, failed, ... (default: status or state)
rename={A: B}        other names for columns
guessing=0.1         accuracy of guessing, to know which runs failed to train
test_images=10000    on how many images test/... is measured
looks=2              analyses, the first too; alpha=0.05; failure_share=0.1
controls={...}       what has to pass first (in the claims file)
name, title, output_dir=outputs
"""


def judge_command(words: Sequence[str], where: Sequence[Path]) -> None:
    """`ablate judge`: read results, decide the claims, write the report and print it.

    Raises:
        UserError: results, claims or options are missing or refused.
    """
    from ablate import report
    from ablate.foreign.judged import begin_judged
    from ablate.foreign.options import read_claims
    from ablate.judging import judge
    from ablate.study.results import collect
    from ablate.study.run_rows import write_runs

    if {"-h", "--help"} & set(words):
        print(USAGE, end="")
        return
    results, claims_file, settings = split(words)
    claims, options = read_claims(claims_file, settings)
    command = shlex.join(["ablate", "judge", *words])
    manifest, folder, remarks = begin_judged(results, claims, options, command)
    for remark in remarks:
        say(f"ablate: {remark}", sys.stderr)
    write_runs(manifest, folder)
    found = collect(manifest, folder)
    judgements = judge(found)
    page = report.write_report(found, judgements)
    print(f"{report.summary(found, judgements)}\n\n{page}")


def split(words: Sequence[str]) -> tuple[Path, Path, list[str]]:
    """Return the path of the results, that of the claims, and the settings.

    >>> split(["scores.csv", "--claims", "claims.yaml", "looks=2"])[2]
    ['looks=2']
    """
    places: list[str] = []
    settings: list[str] = []
    claims: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--claims":
            claims.append(rest.pop(0) if rest else "")
        elif word.startswith("--claims="):
            claims.append(word.removeprefix("--claims="))
        elif word.startswith("-"):
            raise UserError(
                f"`ablate judge` has no option {word!r}; there is --claims FILE, and settings are KEY=VALUE"
            )
        elif "=" in word and not Path(word).exists():
            settings.append(word)
        else:
            places.append(word)
    if len(places) != 1:
        got = f"got {', '.join(places)}" if places else "got none"
        raise UserError(f"`ablate judge` needs the results of one file or folder, {got}; see ablate judge --help")
    if len(claims) != 1 or not claims[0]:
        raise UserError(f"`ablate judge` needs one file of claims: ablate judge {places[0]} --claims claims.yaml")
    return Path(places[0]), Path(claims[0]), settings
