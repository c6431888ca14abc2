"""The command `ablate`: signals are handled before its modules are imported, which takes half a second."""

import sys

from ablate import stopping


def main() -> None:
    """Run the command line of this process."""
    with stopping.watched():
        try:
            from ablate.cli.main import main as run
        except stopping.Stopped as stopped:
            print(f"\nstopped by {stopped} before anything was begun", file=sys.stderr)
            sys.exit(stopped.status)
        run()


if __name__ == "__main__":
    main()
