#!/usr/bin/env bash
# All that should be run on a GPU, in steps: is it right, how fast is one run, how fast are many, what do studies say?
#
# usage: scripts/gpu_check.sh FOLDER STEP...     results and log.txt go to FOLDER; every step ends after its time limit
#   tests levels equal         the tests that need a GPU; all pairs of levels on it; the same numbers twice and captured
#   flags rates bounds many    scripts/gpu_lab.py
#   speedrun accuracy airbench recipe=speedrun alone and over 20 seeds; airbench94 as a bare loop
#   quick skips resnet18 full  studies; their reports and records are packed into FOLDER
#
# environment: DEVICE (cuda), PYTHON (python), DATA (the folder of cifar-10-batches-py), WORKERS (-1: all cores),
#   SECONDS_EACH of a measurement (0.4), PROCESSES of the tests of levels (8), FULL_LIMIT in seconds (120)
set -u
out=$(mkdir -p "${1:?folder for the results}" && cd "$1" && pwd); shift
cd "$(dirname "$0")/.." || exit
python=${PYTHON:-python} device=${DEVICE:-cuda} seconds=${SECONDS_EACH:-0.4}
export PYTHONPATH="$PWD/src${PYTHONPATH:+:$PYTHONPATH}" OMP_NUM_THREADS=1 PYTHONUNBUFFERED=1 ABLATE_TEST_DEVICE=$device
[ -n "${DATA:-}" ] && export ABLATE_DATA=$DATA
say() { echo "=== $(date +%T) $*" | tee -a "$out/log.txt"; }
limited() { local most=$1; shift; say "$*"; timeout -s INT -k 10 "$most" "$@" >>"$out/log.txt" 2>&1; say "status $? of ${*:2:3}"; }
lab() { limited "$1" "$python" scripts/gpu_lab.py "$2" --device "$device" --seconds "$seconds" --output "$out/lab.jsonl"; }
study() {  # limit, study, words
  limited "$1" "$python" -m ablate "study=$2" "${@:3}" "device=$device" hydra/launcher=joblib \
    "hydra.launcher.n_jobs=${WORKERS:--1}" "output_dir=$out/outputs"
}
for step in "$@"; do
  case $step in
    tests) limited 90 "$python" -m pytest -q -p no:cacheprovider tests/training/test_capture.py tests/test_steps.py tests/data/test_augmentation.py -k "cuda or gpu" ;;
    levels) limited 150 "$python" -m pytest -q -n "${PROCESSES:-8}" -p no:cacheprovider --maxfail=40 tests/test_levels.py ;;
    equal | flags | rates | bounds) lab 120 "$step" ;;
    many)
      export CUDA_MPS_PIPE_DIRECTORY=$out/mps CUDA_MPS_LOG_DIRECTORY=$out/mps-log
      control=$(command -v nvidia-cuda-mps-control || echo /usr/local/nvidia/bin/nvidia-cuda-mps-control)
      mkdir -p "$out/mps" "$out/mps-log" && "$control" -d >>"$out/log.txt" 2>&1; say "Multi-Process Service: status $?"
      lab 120 many
      echo quit | "$control" >/dev/null 2>&1
      unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY ;;
    speedrun) limited 90 "$python" scripts/speedrun.py --seeds 3 --bare-epochs 2 --output "$out/speedrun.json" "device=$device" ;;
    accuracy)
      limited 150 "$python" -m ablate -m recipe=speedrun,speedrun_muon 'seed=range(20)' "device=$device" name=speedrun \
        hydra/launcher=joblib "hydra.launcher.n_jobs=${WORKERS:--1}" "output_dir=$out/outputs" ;;
    airbench)
      for words in "" --muon; do  # shellcheck disable=SC2086
        limited 60 "$python" scripts/airbench.py --data "${DATA:-data}" --runs 3 --device "$device" --json "$out/airbench.jsonl" $words
      done ;;
    quick) study 240 lecture profile=quick ;;
    skips | resnet18) study 150 "$step" ;;
    full) study "${FULL_LIMIT:-120}" activation profile=full ;;
    *) say "unknown step $step" ;;
  esac
done
if [ -d "$out/outputs" ]; then  # what verdicts and reports need
  tar -C "$out/outputs" --exclude='events.*' --exclude='checkpoint.pt' --exclude='.*.lock' -czf "$out/outputs.tgz" .
  ls -l "$out/outputs.tgz"
fi
cat "$out/lab.jsonl" 2>/dev/null | cut -c1-400
tail -n 25 "$out/log.txt"
