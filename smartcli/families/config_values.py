"""Checked values of an encoder's config.json; every error names file, key, what was found and what was expected."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smartcli.errors import UserError

Where = str | Path


def refuse(config: Mapping[str, Any], key: str, expected: str, where: Where) -> UserError:
    """Return the error about a value that is missing or cannot be."""
    if config.get(key) is None:
        return UserError(f'{where}: no "{key}"; expected {expected}')
    return UserError(f'{where}: "{key}" is {config[key]!r}; expected {expected}')


def whole(config: Mapping[str, Any], key: str, limits: tuple[int, int], where: Where) -> int:
    """Return a whole number within `limits`, which are both allowed."""
    found = config.get(key)
    if isinstance(found, bool) or not isinstance(found, int) or not limits[0] <= found <= limits[1]:
        raise refuse(config, key, f"a whole number from {limits[0]} to {limits[1]}", where)
    return found


def number(config: Mapping[str, Any], key: str, limits: tuple[float, float], expected: str, where: Where) -> float:
    """Return a finite number within `limits`, which are both allowed; `expected` says so in words."""
    found = config.get(key)
    plain = isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
    if not plain or not limits[0] <= found <= limits[1]:  # type: ignore[operator]
        raise refuse(config, key, expected, where)
    return float(found)  # type: ignore[arg-type]


def flag(config: Mapping[str, Any], key: str, where: Where) -> bool:
    """Return true or false."""
    found = config.get(key)
    if not isinstance(found, bool):
        raise refuse(config, key, "true or false", where)
    return found


def words(config: Mapping[str, Any], key: str, allowed: Sequence[str], where: Where) -> tuple[str, ...]:
    """Return the words of a list, or of a text that joins them by |: of the `allowed`, each once; none if missing."""
    found = config.get(key)
    parts = found.split("|") if isinstance(found, str) else [] if found is None else found
    texts = [part.strip().lower() for part in parts if isinstance(part, str)] if isinstance(parts, list) else None
    if texts is None or len(texts) < len(parts) or len(set(texts)) < len(texts) or not set(texts) <= set(allowed):
        raise refuse(config, key, f"words of {', '.join(allowed)}, each once", where)
    return tuple(texts)


def choice(config: Mapping[str, Any], key: str, allowed: Sequence[str], where: Where) -> str:
    """Return one of the `allowed` words."""
    found = config.get(key)
    if not isinstance(found, str) or found not in allowed:
        raise refuse(config, key, f"one of {', '.join(allowed)}", where)
    return found
