"""JSON in one byte form, and a reader that takes nothing doubtful."""

from __future__ import annotations

import json
from typing import Any

from smartcli.errors import SmartCliError


def canonical_json(value: Any) -> bytes:
    """Return the one byte form of `value`: keys in the given order, two-space indent, final newline."""
    try:
        return (json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode("utf-8")
    except UnicodeEncodeError:
        # A command line may hold bytes that are no text; Python keeps them as lone surrogates.
        return (json.dumps(value, ensure_ascii=True, indent=2, allow_nan=False) + "\n").encode("ascii")


def parse_json(raw: bytes, where: object) -> Any:
    """Read UTF-8 JSON; a SmartCliError names `where` for a key given twice, NaN, or anything unreadable."""
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        reason = "it is nested too deeply"
    except ValueError as error:
        reason = str(error)
    raise SmartCliError(f"{where} is not valid JSON: {reason}")


def parse_object(raw: bytes, where: object) -> dict[str, Any]:
    """Read a JSON object; a SmartCliError names `where` for anything else."""
    value = parse_json(raw, where)
    if not isinstance(value, dict):
        raise SmartCliError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")
