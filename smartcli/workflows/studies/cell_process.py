"""One cell of a sweep or reproduction in a process of its own: told on stdin, heard on stdout as JSON lines.

Started by workflows/studies/jobs.py as `python -m smartcli.workflows.studies.cell_process`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from smartcli.errors import SmartCliError, Stopped
from smartcli.home import Home
from smartcli.workflows.studies.cells import Base, Cell, Planned, train_cell

ENDED = "cell ended"
"""The event after the last record: `code` is what the process exits with, `message` says why where it is not 0."""


def to_line(base: Base, one: Planned, argv: list[str]) -> str:
    """Return what the process is told, as one line."""
    told = {
        "base": asdict(base) | {"home": str(base.home.root), "config": str(base.config) if base.config else None},
        "planned": asdict(one),
        "argv": argv,
    }
    return json.dumps(told) + "\n"


def from_line(line: str) -> tuple[Base, Planned, list[str]]:
    """Read what `to_line` wrote."""
    told = json.loads(line)
    base, one = told["base"], told["planned"]
    base |= {"home": Home(Path(base["home"])), "config": Path(base["config"]) if base["config"] else None}
    return Base(**base), Planned(**one | {"cell": Cell(**one["cell"])}), told["argv"]


def main() -> int:
    """Train the cell that stdin names; return the exit code."""
    told = _read_line()
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # A library that prints must not break the events.
    os.dup2(2, 1)

    def say(value: Mapping[str, Any]) -> None:
        events.write(json.dumps(value) + "\n")
        events.flush()

    threading.Thread(target=_stop_with_parent, daemon=True).start()
    code, message = 0, ""
    try:
        train_cell(*from_line(told), lambda event: say(event.to_json()))
    except Stopped as stopped:
        code, message = stopped.exit_code, "stopped, and saved"
    except SmartCliError as error:
        code, message = error.exit_code, str(error)
    except BrokenPipeError:
        # Nobody listens any more: the parent was killed while this process wrote to it.
        return 1
    say({"event": ENDED, "code": code, "message": message})
    return code


def _read_line() -> str:
    """Read one line byte by byte, so that nothing waits in a buffer when the interpreter ends."""
    out = bytearray()
    while (byte := os.read(0, 1)) not in (b"", b"\n"):
        out += byte
    return out.decode()


def _stop_with_parent() -> None:
    """Stop as on SIGTERM, with a save, once the parent is gone: its end of stdin closes with it, also by kill -9."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
