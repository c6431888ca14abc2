#!/usr/bin/env bash
# The main job: set up .venv, then compare three activations over three seeds each.
#   scripts/quickstart.sh           on `shapes`, a data set that the program makes itself
#   scripts/quickstart.sh cifar10   on part of CIFAR-10, from $ABLATE_DATA or ./data, downloaded if it is not there
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:-shapes}
case "$data" in
  shapes | cifar10) ;;
  *) sed -n '2,4p' "$0" >&2; exit 2 ;;
esac
scripts/setup.sh launchers
echo "data: $data (sigmoid, tanh and ReLU without batch normalization, three seeds each)"
.venv/bin/ablate -m data="$data" data.train_size=4000 data.val_size=1000 data.test_size=2000 net=micro normalization=none \
  activation=sigmoid,tanh,relu 'seed=range(3)' optimizer.lr=0.01 trainer.epochs=8 trainer.batch_size=32 \
  hydra/launcher=joblib hydra.launcher.n_jobs=-1
