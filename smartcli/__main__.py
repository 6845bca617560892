"""Starts the command line: `smart`, or `python -m smartcli`."""

from __future__ import annotations


def main() -> None:
    """Run `smart` with the process's arguments and exit with its code."""
    from smartcli.cli.app import run

    run()


if __name__ == "__main__":
    main()
