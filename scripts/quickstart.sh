#!/usr/bin/env bash
# The first command: set up .venv, then a small study: is ReLU better than sigmoid and tanh? Ends in verdicts and a report.
#   scripts/quickstart.sh                       on `shapes`, images that the program generates itself
#   scripts/quickstart.sh cifar10               on part of CIFAR-10, from $ABLATE_DATA or ./data, downloaded if absent
#   scripts/quickstart.sh cifar10 trainer.epochs=20     further words are passed on to ablate
set -euo pipefail
cd "$(dirname "$0")/.."
profile=()
name=
case "${1:-}" in
  cifar10) profile=(profile=cifar10) name="profile=cifar10 "; shift ;;
  shapes) shift ;;
  "" | *=*) ;;
  *) sed -n '2,5p' "$0" >&2; exit 2 ;;
esac
scripts/setup.sh launchers
cat <<TEXT
3 activations x 5 seeds of a small ConvNet without batch normalization, 15 runs:
about a minute on two cores. Then, for each of 4 claims: a verdict, the paired
difference with its interval, and the measurement that should explain it.
Ctrl-C is safe: the same command continues.

TEXT
.venv/bin/ablate study=quickstart ${profile[@]+"${profile[@]}"} hydra/launcher=joblib hydra.launcher.n_jobs=-1 "$@"
cat <<TEXT

The page above (report.html) explains each verdict. Next, in .venv/bin:
  ablate explain relu_beats_tanh
  ablate -m data=shapes net=micro trainer.epochs=3 optimizer=sgd,adam 'seed=range(3)'
  ablate study=quickstart ${name}net=tiny           # does it hold for a larger net?
TEXT
