"""Writes docs/pictures/*.svg: what `smart` really prints, run in the home given as argument (`make pictures`)."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
WIDTH = 96
SESSIONS: dict[str, list[list[str]]] = {
    "start": [["smart"]],
    "evaluate": [["smart", "evaluate"]],
    "card": [["smart", "show", "demo-1"]],
    "doctor": [["smart", "doctor"]],
    "help": [["smart", "--help"]],
}


def printed(command: list[str], home: Path) -> Text:
    """Run a command with colours and return the prompt line and what came on stdout and stderr."""
    env = {**os.environ, "SMART_HOME": str(home), "FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    arguments = [sys.executable, "-m", "smartcli", *command[1:]]
    done = subprocess.run(arguments, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    output = done.stdout.replace(str(home), "~/smart")
    return Text.assemble(("$ ", "bold green"), (" ".join(command), "bold"), "\n", Text.from_ansi(output.rstrip()), "\n")


def picture(name: str, commands: list[list[str]], home: Path) -> str:
    """Return the SVG of a session; it asks no other host for a font."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for command in commands:
        console.print(printed(command, home), soft_wrap=True)
    layout = re.sub(r"@font-face \{\{.*?\n    \}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    layout = re.sub(r"<!-- Generated with Rich.*?-->", "", layout)
    return console.export_svg(title="smart", theme=DIMMED_MONOKAI, code_format=layout, unique_id=name)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/pictures.py HOME (a home in which `make demo` has run)")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, commands in SESSIONS.items():
        (FOLDER / f"{name}.svg").write_text(picture(name, commands, Path(sys.argv[1]).absolute()), encoding="utf-8")
        print(f"{name}.svg")


if __name__ == "__main__":
    main()
