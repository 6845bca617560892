"""Reading the small JSON files of an encoder folder, with limits and messages that name the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from smartcli.errors import UserError
from smartcli.strictjson import refuse_constant

CONFIG_LIMIT = 1_000_000
TOKENIZER_LIMIT = 200_000_000


def read_text(path: Path, limit: int = CONFIG_LIMIT) -> str:
    """Return the text of `path` (UTF-8); UserError when it is missing, not a file, or larger than `limit` bytes."""
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise UserError(f"{path}: expected a file, found something else")
        if size > limit:
            raise UserError(f"{path}: {size:,} bytes; expected at most {limit:,} for a file of this kind")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; is it a file of this kind?") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error


def parse_object(text: str | bytes, where: str | Path) -> dict[str, Any]:
    """Parse a JSON object; UserError naming `where` for anything else, NaN and endless nesting included.

    A key may stand twice, as in every other reader of these files: they were written elsewhere.
    """
    try:
        value = json.loads(text, parse_constant=refuse_constant)
    except RecursionError as error:
        raise UserError(f"{where}: JSON nested too deeply") from error
    except ValueError as error:
        raise UserError(f"{where}: not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return value


def read_object(path: Path, limit: int = CONFIG_LIMIT) -> dict[str, Any]:
    """Read `path` as one JSON object of at most `limit` bytes."""
    return parse_object(read_text(path, limit), path)
