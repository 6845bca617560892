"""A guessed table of tasks as a commented tasks.toml that a person corrects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

HEAD = """# Written by `smart init`, from a look at the files. Correct what is wrong; then: smart check {folder}
# Keys and their meaning: docs/own-data.md. Further keys: weight, scale, and split = {{dev = 0.1, test = 0.1, seed = 0}}
# where one file is divided.
"""
ORDER = (
    "name", "kind", "text", "label", "labels_separator", "id", "labels", "range", "scale", "metric", "weight",
    "class_weights", "train", "dev", "test", "split", "delimiter", "encoding", "sheet",
)  # fmt: skip
WIDTH = 44
"""Column at which the reasons begin."""


def to_toml(value: Any) -> str:
    """Return a value in TOML's form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {to_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(to_toml, value)) + "]"
    # JSON's strings are TOML's, but for a lone DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def table_toml(tasks: Sequence[tuple[Mapping[str, Any], Mapping[str, str], Sequence[str]]], folder: str) -> str:
    """Return the file's text for tasks, each with its values, the reason of each, and notes to stand above it."""
    parts = [HEAD.format(folder=_one_line(folder))]
    for values, reasons, notes in tasks:
        lines = [*(f"# Note: {_one_line(note)}" for note in notes), "[[task]]"]
        for key in ORDER:
            if key not in values:
                continue
            value = values[key][0] if key == "text" and len(values[key]) == 1 else values[key]
            line = f"{key} = {to_toml(value)}"
            reason = _one_line(reasons.get(key, ""))
            lines.append(f"{line:<{WIDTH - 2}}  # {reason}" if reason else line)
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _one_line(text: str) -> str:
    """Return a text for a comment, which ends with its line and holds no control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))
