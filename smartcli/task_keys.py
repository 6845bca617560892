"""The keys of a `[[task]]` table, each read and checked for itself; an error says `where` and the key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smartcli.errors import UserError, suggest


@dataclass(frozen=True)
class Shares:
    """Which part of the one file of a task becomes dev and test: `split = {dev = .1, test = .1, seed = 0}`."""

    dev: float = 0.0
    test: float = 0.0
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"dev": self.dev, "test": self.test, "seed": self.seed}


def text_key(entry: Mapping[str, Any], key: str, where: str, *, required: bool) -> str | None:
    value = entry.get(key)
    if value is None and not required:
        return None
    if not isinstance(value, str) or not value:
        raise UserError(f'{where}: "{key}" must be a non-empty string, found {value!r}')
    return value


def number_key(entry: Mapping[str, Any], key: str, default: float, where: str) -> float:
    value = entry.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        raise UserError(f'{where}: "{key}" must be a number above 0, found {value!r}')
    return float(value)


def strings_key(value: Any, key: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
        raise UserError(f'{where}: "{key}" must be a list of non-empty strings, found {value!r}')
    if len(set(value)) != len(value):
        raise UserError(f'{where}: "{key}" names one entry twice: {list(value)!r}')
    return tuple(value)


def label_key(entry: Mapping[str, Any], kind: str, where: str) -> tuple[str, tuple[str, ...]]:
    """Return the label column's name; of several columns their names joined, and then each of them."""
    value = entry.get("label")
    if not isinstance(value, list | tuple):
        name = text_key(entry, "label", where, required=True)
        assert name is not None
        return name, ()
    columns = strings_key(value, "label", where)
    if kind != "multilabel":
        raise UserError(f'{where}: "label" is one column; several, with 0 and 1, are for kind = "multilabel"')
    if len(columns) < 2:
        raise UserError(f'{where}: "label" must list at least two columns, one a class, found {len(columns)}')
    return ", ".join(columns), columns


def separator_key(entry: Mapping[str, Any], kind: str, columns: tuple[str, ...], where: str) -> str | None:
    """Return what stands between a multilabel row's labels, needed where they stand in one column."""
    value = text_key(entry, "labels_separator", where, required=False)
    if value is not None and (kind != "multilabel" or columns):
        why = '"label" lists a column a class' if columns else f"a {kind} row has one label"
        raise UserError(f'{where}: "labels_separator" has no place here, since {why}; leave it out')
    if value is None and kind == "multilabel" and not columns:
        raise UserError(
            f'{where}: a multilabel task says how a row\'s labels stand: labels_separator = "|" for names in one '
            'column, such as news|sport; or label = ["news", "sport"] for a column of 0 and 1 for each'
        )
    return value


def class_weights_key(
    entry: Mapping[str, Any], kind: str, labels: tuple[str, ...], where: str
) -> tuple[float, ...] | str | None:
    """Return "balanced", or a number above 0 for each label."""
    value = entry.get("class_weights")
    if value is None:
        return None
    if kind == "regression":
        raise UserError(f'{where}: "class_weights" are for classes, and this is a task of scores; leave them out')
    if value == "balanced":
        return "balanced"
    numbers = isinstance(value, list | tuple) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and 0 < v < math.inf for v in value
    )
    if not numbers:
        raise UserError(f'{where}: "class_weights" must be "balanced" or a number above 0 a label, found {value!r}')
    if not labels:
        raise UserError(f'{where}: "class_weights" by number need "labels", in whose order they stand; found none')
    if len(value) != len(labels):
        raise UserError(
            f'{where}: "class_weights" must have one number for each of the {len(labels)} "labels", found {len(value)}'
        )
    return tuple(float(v) for v in value)


def delimiter_key(entry: Mapping[str, Any], where: str) -> str | None:
    value = text_key(entry, "delimiter", where, required=False)
    if value is not None and (len(value) != 1 or value in '\r\n"'):
        raise UserError(f'{where}: "delimiter" must be one character such as ";" or "\\t", found {value!r}')
    return value


def encoding_key(entry: Mapping[str, Any], where: str) -> str | None:
    value = text_key(entry, "encoding", where, required=False)
    if value is None:
        return None
    try:
        # A codec of bytes (base64) is known too, and is no encoding of text.
        "".encode(value)
    except LookupError:
        known = ("utf-8", "cp1252", "latin-1", "utf-16", "shift_jis", "gb18030")
        raise UserError(
            f'{where}: "encoding" must be the name of a text encoding such as {", ".join(known)}; found '
            f"{value!r}{suggest(value, known)}"
        ) from None
    return value


def shares_key(entry: Mapping[str, Any], where: str) -> Shares | None:
    value = entry.get("split")
    if value is None:
        return None
    expected = f'{where}: "split" must be like {{dev = 0.1, test = 0.1, seed = 0}}'
    if (
        not isinstance(value, Mapping)
        or not value.keys() <= {"dev", "test", "seed"}
        or not {"dev", "test"} & value.keys()
    ):
        raise UserError(f"{expected}, found {value!r}")
    parts = {key: value.get(key, 0) for key in ("dev", "test")}
    for key, part in parts.items():
        if isinstance(part, bool) or not isinstance(part, int | float) or not 0 <= part < 1:
            raise UserError(f'{expected}; "{key}" is a part of the rows from 0 to below 1, found {part!r}')
        if part and entry.get(key):
            raise UserError(f'{where}: "{key}" stands twice, as a file and in "split"; leave one out')
    seed = value.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise UserError(f'{expected}; "seed" is a whole number, found {seed!r}')
    if not 0 < sum(parts.values()) <= 0.9:
        raise UserError(f"{expected}; dev and test together must leave a tenth of the rows, found {value!r}")
    if not entry.get("train"):
        raise UserError(f'{where}: "split" divides the file of "train"; found no "train"')
    return Shares(float(parts["dev"]), float(parts["test"]), seed)


def range_key(value: Any, kind: str, where: str) -> tuple[float, float] | None:
    if kind != "regression":
        if value is not None:
            raise UserError(f'{where}: "range" is for regression tasks only, found {value!r}')
        return None
    numbers = isinstance(value, list | tuple) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in value
    )
    if not numbers or len(value) != 2 or value[0] >= value[1]:
        found = "none" if value is None else repr(value)
        raise UserError(f'{where}: a regression task needs "range = [lowest, highest]", found {found}')
    return (float(value[0]), float(value[1]))
