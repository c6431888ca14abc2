#!/usr/bin/env bash
# Pack what `scripts/gpu_session.sh` needs on a machine with a GPU and without a network, in parts of at most 64 MiB.
#
# usage: scripts/gpu_pack.sh FOLDER     with the environment of the project installed
#   FOLDER/whl               wheels that such a machine lacks beside torch, torchvision and the usual packages, about 1 MB
#   FOLDER/part1 ... part4   CIFAR-10, compressed and cut into four parts of about 41 MB, of which each transfer takes one
#
# environment: PIP (.venv/bin/python -m pip), DATA (the folder of cifar-10-batches-py: data)
set -euo pipefail
mkdir -p "${1:?folder for the wheels and the parts}" && pack=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
data=${DATA:-data}
[ -f "$data/cifar-10-batches-py/test_batch" ] || { echo "no cifar-10-batches-py in $data; set DATA" >&2; exit 2; }
rm -rf "$pack/whl" "$pack"/part? && mkdir -p "$pack/whl"
# shellcheck disable=SC2086
${PIP:-.venv/bin/python -m pip} wheel -q --no-deps -w "$pack/whl" antlr4-python3-runtime==4.9.3 'hydra-core>=1.3,<1.4' \
  'omegaconf>=2.3,<2.4' 'hydra-joblib-launcher>=1.2' platformdirs rich allpairspy
tar -C "$data" -c cifar-10-batches-py | gzip -1 >"$pack/cifar.tar.gz"
split -n 4 --numeric-suffixes=1 -a 1 "$pack/cifar.tar.gz" "$pack/cifar."
rm "$pack/cifar.tar.gz"
for k in 1 2 3 4; do mkdir "$pack/part$k" && mv "$pack/cifar.$k" "$pack/part$k/"; done
size() { du -cb "$@" | tail -n 1 | cut -f 1; }
tree=$(git ls-files -z | xargs -0 du -cb | grep -w total | awk '{ sum += $1 } END { print sum }')
sum=$((tree + $(size "$pack/whl") + $(size "$pack/part4")))
echo "files of the repository $tree bytes, with the wheels and one part of CIFAR-10: $sum bytes, $((sum * 100 / 67108864)) % of 64 MiB"
[ "$sum" -lt 62914560 ] || { echo "more than 60 MiB: too much for one transfer" >&2; exit 1; }
