"""What is wrong in a command line is said before torch is loaded, which takes seconds."""

import subprocess
import sys

WRONG = """
activation=rleu
trainer.epochs=-1
optimizer.lr=nan
nosuchkey=1
trian
-m activation=relu,tahn seed=0,1
recipe=nope
study=nope
study=activation profile=nope
figure nope
figure activation_zoo figure.nope=1
figure activation_zoo profile=nope
figure activation_zoo data=nope
export nowhere --to nope
judge nowhere.csv --claims nowhere.yaml
explain nope
verify nowhere
report nowhere
doctor nope
list nope
"""
DRIVER = """
import shlex, sys
from ablate.cli import main
for line in sys.stdin.read().strip().splitlines():
    sys.argv = ["ablate", *shlex.split(line)]
    try:
        main.main()
    except SystemExit as end:
        print(end.code, "torch" in sys.modules, line)
"""


def test_wrong_words_are_answered_before_torch_is_loaded(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], input=WRONG, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines() == [f"2 False {line}" for line in WRONG.strip().splitlines()]
