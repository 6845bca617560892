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
        return STRICT.decode(raw.decode("utf-8"))
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


def refuse_constant(name: str) -> Any:
    """Raise a ValueError for NaN and the infinities, which Python reads but JSON has not."""
    raise ValueError(f"{name} is not a JSON number")


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:40]!r} stands twice")
        found[key] = value
    return found


STRICT = json.JSONDecoder(object_pairs_hook=_each_key_once, parse_constant=refuse_constant)
"""Reads one JSON text; a ValueError for a key given twice, NaN, or anything unreadable."""
