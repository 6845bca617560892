"""What several commands print the same way: lines of text, JSON, and sizes in bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from smartcli.visible import visible, visible_json

if TYPE_CHECKING:
    from rich.console import Console


def print_line(console: Console, text: str, style: str | None = None) -> None:
    """Print text of whatever origin: broken between words on a terminal, whole for a reader of lines."""
    whole = not console.is_terminal
    console.print(visible(text), style=style, markup=False, highlight=False, soft_wrap=whole)


def print_json(value: object) -> None:
    """Print JSON on stdout."""
    import json

    typer.echo(visible_json(json.dumps(value, ensure_ascii=False, indent=2)))


def size_text(size: int) -> str:
    """Return bytes as people read them: 91.2 MB."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
