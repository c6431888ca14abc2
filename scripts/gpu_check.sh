#!/usr/bin/env bash
# All that should be run on a GPU, in steps: is it right, how fast is one run, how fast are many, what do studies say?
#
# usage: scripts/gpu_check.sh FOLDER STEP...     results and log.txt go to FOLDER; every step ends after its time limit
#   tests levels equal         the tests that need a GPU; all pairs of levels on it; the same numbers twice and captured
#   flags rates bounds many    scripts/gpu_lab.py
#   speedrun accuracy airbench recipe=speedrun alone and over 20 seeds; airbench94 as a bare loop
#   quick skips resnet18       studies; their reports and records are packed into FOLDER/outputs.tgz every 30 s
#   full                       four runs as long as those of study=activation profile=full: 4 workers, 20 epochs of 45,000
#                              images, 3.6 million in all: 70 s at the 52,126 images/s of one captured run of net small in
#                              fp32 on an H200, if four together are no faster than one; and the start of the workers
#
# environment: DEVICE (cuda), PYTHON (python), DATA (the folder of cifar-10-batches-py), WORKERS (-1: all cores),
#   SECONDS_EACH of a measurement (0.4), PROCESSES of the tests of levels (8), FULL_LIMIT in seconds (150),
#   WORK (FOLDER: where runs and studies are trained), DRY_RUN (false; true only shows what the sweeps would train)
set -u
out=$(mkdir -p "${1:?folder for the results}" && cd "$1" && pwd); shift
cd "$(dirname "$0")/.." || exit
python=${PYTHON:-python} device=${DEVICE:-cuda} seconds=${SECONDS_EACH:-0.4}
work=$(mkdir -p "${WORK:-$out}" && cd "${WORK:-$out}" && pwd)
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1 ABLATE_TEST_DEVICE=$device
[ -n "${DATA:-}" ] && export ABLATE_DATA=$DATA
say() { echo "=== $(date +%T) $*" | tee -a "$out/log.txt"; }
limited() { local most=$1; shift; say "$*"; timeout -s INT -k 10 "$most" "$@" >>"$out/log.txt" 2>&1; say "status $? of ${*:2:3}"; }
lab() { limited "$1" "$python" scripts/gpu_lab.py "$2" --device "$device" --seconds "$seconds" --output "$out/lab.jsonl"; }
pack() {  # what verdicts and reports need; renamed when it is whole, so that what is read meanwhile is never half a file
  [ -d "$work/outputs" ] || return 0
  tar -C "$work/outputs" --exclude='events.*' --exclude='checkpoint.pt' --exclude='.*.lock' -czf "$out/.outputs.$BASHPID.tgz" . 2>/dev/null
  mv "$out/.outputs.$BASHPID.tgz" "$out/outputs.tgz"
}
sweep() {  # limit (of a dry run 600), words
  (while sleep 30; do pack; done) >/dev/null 2>&1 & local packing=$!
  local most=$1; [ "${DRY_RUN:-false}" = true ] && most=600
  limited "$most" "$python" -m ablate "${@:2}" "device=$device" hydra/launcher=joblib "output_dir=$work/outputs" \
    "dry_run=${DRY_RUN:-false}"
  kill "$packing"; wait "$packing" 2>/dev/null
  rm -f "$out/.outputs.$packing.tgz"; pack
}
study() { sweep "$1" "study=$2" "${@:3}" "hydra.launcher.n_jobs=${WORKERS:--1}"; }  # limit, study, words
for step in "$@"; do
  case $step in
    tests) limited 90 "$python" -m pytest -q -p no:cacheprovider tests/training/test_capture.py tests/test_steps.py tests/data/test_augmentation.py -k "cuda or gpu" ;;
    levels) limited 150 "$python" -m pytest -q -n "${PROCESSES:-8}" -p no:cacheprovider --maxfail=40 tests/test_levels.py ;;
    equal | flags | rates | bounds) lab 120 "$step" ;;
    many)
      export CUDA_MPS_PIPE_DIRECTORY=$work/mps CUDA_MPS_LOG_DIRECTORY=$work/mps-log
      control=$(command -v nvidia-cuda-mps-control || echo /usr/local/nvidia/bin/nvidia-cuda-mps-control)
      mkdir -p "$work/mps" "$work/mps-log" && "$control" -d >>"$out/log.txt" 2>&1; say "Multi-Process Service: status $?"
      lab 120 many
      echo quit | "$control" >/dev/null 2>&1
      unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY ;;
    speedrun) limited 90 "$python" scripts/speedrun.py --seeds 3 --bare-epochs 2 --output "$out/speedrun.json" "device=$device" ;;
    accuracy)  # a sweep takes one recipe
      for recipe in speedrun speedrun_muon; do
        sweep 150 -m "recipe=$recipe" 'seed=range(20)' "name=$recipe" "hydra.launcher.n_jobs=${WORKERS:--1}"
      done ;;
    airbench)
      for words in "" --muon; do  # shellcheck disable=SC2086
        limited 60 "$python" scripts/airbench.py --data "${DATA:-data}" --runs 3 --device "$device" --json "$out/airbench.jsonl" $words
      done ;;
    quick) study 240 lecture profile=quick ;;
    skips | resnet18) study 150 "$step" ;;
    full)
      sweep "${FULL_LIMIT:-150}" -m data=cifar10 net=small trainer.epochs=20 'seed=range(4)' name=full hydra.launcher.n_jobs=4 ;;
    *) say "unknown step $step" ;;
  esac
done
cat "$out/lab.jsonl" 2>/dev/null | cut -c1-400
tail -n 25 "$out/log.txt" 2>/dev/null
ls -l "$out"
