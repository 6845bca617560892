"""Starts the command line: `smart`, or `python -m smartcli`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `smart` with the process's arguments and exit with its code."""
    try:
        from smartcli.cli.app import run

        run()
    except KeyboardInterrupt:
        # Before the application's own handling of it is imported.
        sys.exit(130)


if __name__ == "__main__":
    main()
