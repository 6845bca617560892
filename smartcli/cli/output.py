"""What several commands print the same way: JSON, and sizes in bytes."""

from __future__ import annotations

import typer


def print_json(value: object) -> None:
    """Print JSON on stdout."""
    import json

    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def size_text(size: int) -> str:
    """Return bytes as people read them: 91.2 MB."""
    amount = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{size} B" if unit == "B" else f"{amount:.1f} {unit}"
