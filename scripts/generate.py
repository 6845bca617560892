"""Writes what is generated from the application: docs/cli.md and completions/.

`python scripts/generate.py` writes; with `--check` it only says what is out of date, and exits with 1 then.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.completion import get_completion_script

from smartcli.cli.app import command_tree

ROOT = Path(__file__).parents[1]
SHELLS = {"bash": "smart.bash", "zsh": "_smart", "fish": "smart.fish"}
AUTOLOADED = '\n\n[[ "${funcstack[1]}" != _smart ]] || _smart_completion'
"""zsh runs the file itself at the first Tab, and Typer's script then only defines the function."""
HEAD = """# Commands

Generated from `smart --help` by `python scripts/generate.py`; do not edit. Training options are the same for
every command that trains, and are also the keys of a `--config` file.
"""


def cell(text: str) -> str:
    """Return `text` as it may stand in a Markdown table."""
    return " ".join(text.replace("\\[", "[").split()).replace("|", "\\|").replace("<", "&lt;")


def option_row(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    if parameter.param_type_name == "argument":
        names = f"`{(parameter.metavar or parameter.name).upper()}`"
    takes = "" if getattr(parameter, "is_flag", False) or parameter.param_type_name == "argument" else parameter.metavar
    if takes is None:
        takes = "|".join(parameter.type_descriptor.choices or ()) or "VALUE"
    default = parameter.default
    shown = f" Default: {default}." if default not in (None, False, (), []) and parameter.show_default else ""
    return f"| {names} | {cell(takes or '')} | {cell((parameter.help or '') + shown)} |"


def section(path: str, command: Any, depth: int) -> Iterator[str]:
    """Yield the lines of one command and of its sub-commands."""
    yield f"\n{'#' * depth} {path}\n"
    for paragraph in (command.help or "").replace("\\[", "[").split("\n\n"):
        text = paragraph.strip("\n\b")
        if text.startswith("Example:"):
            yield f"\n```text\n{text.removeprefix('Example:').strip()}\n```"
        else:
            yield text + "\n"
    panels: dict[str, list[Any]] = {}
    for parameter in command.params:
        if not getattr(parameter, "hidden", False):
            panels.setdefault(getattr(parameter, "rich_help_panel", None) or "Options", []).append(parameter)
    for title, parameters in panels.items():
        yield f"\n| {title} | value | what it does |\n|---|---|---|"
        yield from (option_row(parameter) for parameter in parameters)
    for name, child in getattr(command, "commands", {}).items():
        yield from section(f"{path} {name}", child, min(depth + 1, 4))


def generated() -> dict[Path, str]:
    """Return path to content of every generated file."""
    files = {ROOT / "docs" / "cli.md": HEAD + "\n".join(section("smart", command_tree(), 2)) + "\n"}
    for shell, name in SHELLS.items():
        script = get_completion_script(prog_name="smart", complete_var="_SMART_COMPLETE", shell=shell)
        files[ROOT / "completions" / name] = script + (AUTOLOADED if shell == "zsh" else "") + "\n"
    return files


def stale() -> list[Path]:
    """Return the generated files that differ from what stands on disk."""
    return [path for path, text in generated().items() if not path.is_file() or path.read_text("utf-8") != text]


def main() -> None:
    behind = stale()
    if "--check" not in sys.argv:
        for path in behind:
            path.parent.mkdir(exist_ok=True)
            path.write_text(generated()[path], encoding="utf-8")
    for path in behind:
        print(f"{path.relative_to(ROOT)} {'is out of date: make generate' if '--check' in sys.argv else 'written'}")
    sys.exit(1 if behind and "--check" in sys.argv else 0)


if __name__ == "__main__":
    main()
