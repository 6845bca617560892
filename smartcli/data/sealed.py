"""JSON files that carry their own SHA-256, so that an altered one is noticed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from smartcli.atomic import canonical_json
from smartcli.errors import SmartCliError

KEY = "sha256"


def seal(value: dict[str, Any]) -> bytes:
    """Return canonical JSON of `value` with one more key, last: the SHA-256 of the rest."""
    assert KEY not in value
    return canonical_json({**value, KEY: hashlib.sha256(canonical_json(value)).hexdigest()})


def unseal(raw: bytes, where: str, remedy: str) -> dict[str, Any]:
    """Return what `seal` was given; a SmartCliError names `where` when a single byte differs."""
    try:
        value = json.loads(raw.decode("utf-8"))
        sealed = value.pop(KEY)
        intact = seal(value) == raw and isinstance(sealed, str)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        intact = False
    if not intact:
        raise SmartCliError(f"{where}: altered or incomplete (its SHA-256 does not fit); {remedy}")
    return dict(value)
