#!/usr/bin/env bash
# Make .venv in the repository and install ablate into it: scripts/setup.sh [EXTRA], e.g. launchers or dev.
# Does nothing when the same extra was installed from the same pyproject.toml. $PYTHON chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."
extra=${1:-launchers}
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  { echo "ablate needs Python 3.11 or newer, got $("$python" --version); set PYTHON=/path/to/python3.11" >&2; exit 1; }
stamp=.venv/installed-$extra
if [ ! -e "$stamp" ] || ! cmp -s pyproject.toml "$stamp"; then
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  echo "installing ablate[$extra] into .venv (torch is large: some minutes the first time)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[$extra]"
  cp pyproject.toml "$stamp"
fi
