#!/usr/bin/env bash
# Run steps of `scripts/gpu_check.sh` on a machine without a network, from what `scripts/gpu_pack.sh` has packed.
#
# usage: OUT=RESULTS scripts/gpu_session.sh FOLDER STEP...     FOLDER holds whl and those of part1 ... part4 that are here
# The parts of CIFAR-10 are kept in WORK from one call to the next, and unpacked when all four have come. Results are
# written to OUT while the steps run, at most five files: log.txt, lab.jsonl, speedrun.json, airbench.jsonl, outputs.tgz.
#
# environment: WORK (/tmp/ablate-gpu), PYTHON (python3), and those of gpu_check.sh
set -euo pipefail
pack=$(cd "${1:?folder of scripts/gpu_pack.sh}" && pwd); shift
mkdir -p "${OUT:?folder for the results}" && out=$(cd "$OUT" && pwd)
work=${WORK:-/tmp/ablate-gpu}
export PYTHON=${PYTHON:-python3}
mkdir -p "$work/parts"
for part in "$pack"/part?/cifar.?; do [ ! -e "$part" ] || cp "$part" "$work/parts/"; done
if [ ! -d "$work/data" ]; then
  parts=("$work"/parts/cifar.?)
  if [ "${#parts[@]}" = 4 ]; then
    rm -rf "$work/data.new" && mkdir "$work/data.new"
    cat "${parts[@]}" | tar -C "$work/data.new" -xz
    mv "$work/data.new" "$work/data"
  else
    echo "CIFAR-10 is not complete yet: $(ls "$work/parts" | tr '\n' ' ')of cifar.1 to cifar.4"
  fi
fi
if [ ! -d "$work/site" ]; then
  rm -rf "$work/site.new" && mkdir "$work/site.new"
  for wheel in "$pack"/whl/*.whl; do
    [ ! -e "$wheel" ] || "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --target "$work/site.new" "$wheel"
  done
  mv "$work/site.new" "$work/site"
fi
export DATA="$work/data" WORK="$work" PYTHONPATH="$work/site${PYTHONPATH:+:$PYTHONPATH}"
exec "$(dirname "$0")/gpu_check.sh" "$out" "$@"
