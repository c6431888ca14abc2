"""The command `ablate`: from the command line to a run, and back to a line that says what came of it.

Bare overrides train (`ablate activation=tanh optimizer.lr=0.01`), `-m` sweeps, a first word from `SUBCOMMANDS` does
something else without importing what training needs. Hydra composes and instantiates here and in the sweeper plugin;
no other module knows of it.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from ablate import catalog

if TYPE_CHECKING:
    from omegaconf import DictConfig

USAGE = """\
usage: ablate [KEY=VALUE ...]                train one net; what is not said is the default
       ablate -m KEY=V1,V2 'seed=range(5)'   train every combination and compare them
       ablate list [GROUP]                   what the levels are and where they come from

  ablate activation=tanh initializer=xavier_normal normalization=none
  ablate data=shapes trainer.epochs=3 optimizer.lr=0.01
  ablate -m activation=relu,tanh 'seed=range(5)' hydra/launcher=joblib hydra.launcher.n_jobs=2

Any key of any level can be set; `ablate --cfg job` prints them all. `dry_run=true` shows the net's layers and where the
run would go. --config-dir DIR adds a folder of your own levels (DIR/activation/mine.yaml).

groups and their levels (* is the default):
"""


def main() -> None:
    """Run the command line of this process."""
    arguments = sys.argv[1:]
    try:
        if arguments and arguments[0] in SUBCOMMANDS:
            SUBCOMMANDS[arguments[0]](arguments[1:])
        elif {"-h", "--help"} & set(arguments):
            print(USAGE + catalog.overview(catalog.folders(arguments)))
        else:
            catalog.check(arguments)
            compose_and_train()
    except ValueError as error:
        fail(error)
    except KeyboardInterrupt:
        fail("interrupted; the same command goes on from the last checkpoint", status=130)


def list_levels(arguments: Sequence[str]) -> None:
    """`ablate list [GROUP ...]`: print each level, what it is and where it comes from."""
    names = [argument for argument in arguments if not argument.startswith("-")]
    print(catalog.describe(catalog.folders(arguments), names))


SUBCOMMANDS = {"list": list_levels}


def compose_and_train() -> None:
    """Hand the command line to Hydra, which calls `train` once, or once a job of a multirun."""
    import hydra

    decorate = hydra.main(version_base="1.3", config_path=str(catalog.conf_dir()), config_name="config")
    decorate(train)()


def train(cfg: "DictConfig") -> str | None:
    """Do the run that `cfg` describes and return its folder; Hydra's task function, in this process or a worker."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from ablate import planning

    alone = HydraConfig.get().mode == RunMode.RUN
    try:
        return planning.carry_out(planning.plan(cfg), verbose=alone)
    except ValueError as error:
        if not alone:
            raise  # the sweep goes on and lists what failed
        fail(error)


def fail(message: object, status: int = 2) -> NoReturn:
    """End the process with an error message."""
    print(f"ablate: {message}", file=sys.stderr)
    sys.exit(status)
