"""`python -m baton` and the `baton` command."""

import sys

from baton.cli.main import run


def main() -> None:
    """Run the command line; its exit status is the process's."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
