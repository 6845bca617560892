"""What a search may draw from: ranges and choices, from `--grid` entries and a TOML file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from smartcli.config import read_number
from smartcli.errors import UserError, suggest
from smartcli.option_table import OPTION_OF, RUN_ONLY
from smartcli.workflows.studies.grid import grid_value

NOT_SEARCHED = RUN_ONLY | {"data", "seed", "fold", "rows"}
"""Options that change what is scored, or nothing: the best of them would not be the best setting."""
_NUMBER = r"[^.:]*\.?[^.:]*"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(?::(.+))?")
_KEYS = ("low", "high", "log", "step", "values")


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included: by their logarithm, in steps, or any; `whole` ones only."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values at which a mistake shows."""
        return (self.low, self.high)

    def text(self) -> str:
        more = " by logarithm" if self.log else "" if self.step is None else f" in steps of {self.step:g}"
        return f"{self.low:g} to {self.high:g}{more}"

    def to_json(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "log": self.log, "step": self.step}


@dataclass(frozen=True)
class Choice:
    """One of some values, without an order between them."""

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.values

    def text(self) -> str:
        return "one of " + ", ".join(str(value) for value in self.values)

    def to_json(self) -> dict[str, Any]:
        return {"values": list(self.values)}


Bounds = Mapping[str, Range | Choice]


def read_bounds(entries: Sequence[str], path: Path | None) -> dict[str, Range | Choice]:
    """Return the bounds by option key: those of the file `path`, then those of `OPTION=…` entries, in order.

    An entry is `OPTION=LOW..HIGH`, `OPTION=LOW..HIGH:log`, `OPTION=LOW..HIGH:STEP`, or listed values as in a grid.
    UserErrors name the entry, or file and key: an unknown option, a limit of the option, an end given twice.
    """
    found: dict[str, Range | Choice] = {} if path is None else _of_file(path)
    for entry in entries:
        raw, sign, said = entry.partition("=")
        if not sign or not said.strip():
            raise UserError(
                f"--grid must be OPTION=LOW..HIGH or OPTION=V1,V2,…, such as lr=1e-5..1e-3:log; found {entry!r}"
            )
        key = _key(raw.strip().lstrip("-"), "--grid")
        if key in found:
            raise UserError(f"--grid: the bounds of {key} are given twice; leave one of them out")
        span = _RANGE.fullmatch(said.strip())
        if span is not None:
            log = span[3] == "log"
            found[key] = _range(key, span[1], span[2], log, None if log else span[3], f"--grid {key}")
        else:
            found[key] = _choice(
                key, [part.strip() for part in said.split("|" if "|" in said else ",")], f"--grid {key}"
            )
    return found


def _of_file(path: Path) -> dict[str, Range | Choice]:
    try:
        value = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"--bounds {path}: cannot be read ({error.strerror}); expected a TOML file") from error
    except ValueError as error:
        raise UserError(f"--bounds {path}: expected a TOML file: {error}") from error
    found: dict[str, Range | Choice] = {}
    for raw, table in value.items():
        where = f"--bounds {path}, [{raw}]"
        key = _key(raw, f"--bounds {path}")
        if key in found:
            raise UserError(f"{where}: the bounds of {key} are given twice; leave one of them out")
        if not isinstance(table, dict) or not ("values" in table or {"low", "high"} <= table.keys()):
            raise UserError(f"{where}: expected a table with low and high, or with values; found {table!r}")
        for name in table:
            if name not in _KEYS:
                raise UserError(f'{where}: unknown key "{name}"; expected {", ".join(_KEYS)}{suggest(name, _KEYS)}')
        found[key] = _of_table(key, table, where)
    if not found:
        raise UserError(f"--bounds {path}: expected a table an option, such as [lr] with low and high; found none")
    return found


def _of_table(key: str, table: Mapping[str, Any], where: str) -> Range | Choice:
    if "values" not in table:
        log = table.get("log", False)
        if not isinstance(log, bool):
            raise UserError(f"{where}: log must be true or false, found {log!r}")
        return _range(key, table["low"], table["high"], log, table.get("step"), where)
    if len(table) > 1:
        raise UserError(
            f"{where}: values stand alone; leave out {', '.join(name for name in table if name != 'values')}"
        )
    if not isinstance(table["values"], list):
        raise UserError(f"{where}: values must be a list, found {table['values']!r}")
    return _choice(key, table["values"], where)


def _key(raw: str, where: str) -> str:
    key = raw.replace("-", "_")
    if key not in OPTION_OF:
        raise UserError(f'{where}: there is no training option "{raw}"{suggest(key, OPTION_OF)}')
    if key in NOT_SEARCHED:
        raise UserError(f"{where}: {key} is not something to search over; give {OPTION_OF[key].flag} one value")
    return key


def _range(key: str, low: Any, high: Any, log: bool, step: Any, where: str) -> Range:
    option = OPTION_OF[key]
    if not option.type.endswith(("int", "float")):
        raise UserError(f"{where}: {key} takes no numbers; list its values")
    ends = [read_number(option, value, where) for value in (low, high)]
    if not ends[0] < ends[1]:
        raise UserError(f"{where}: low must be below high, found {low} and {high}")
    if log and ends[0] <= 0:
        raise UserError(f"{where}: by logarithm low must be above 0, found {low}")
    whole = option.type.endswith("int")
    if step is None:
        return Range(ends[0], ends[1], log, None, whole)
    if log:
        raise UserError(f"{where}: log and step exclude each other; leave one of them out")
    try:
        by = Decimal(str(step))
        fits = by > 0 and by.is_finite() and (Decimal(str(ends[1])) - Decimal(str(ends[0]))) % by == 0
    except ArithmeticError:
        fits = False
    if not fits or (whole and by % 1 != 0):
        raise UserError(
            f"{where}: the step must be log or a number that goes into {low}..{high} evenly, found {step!r}"
        )
    return Range(ends[0], ends[1], False, int(by) if whole else float(by), whole)


def _choice(key: str, values: Sequence[Any], where: str) -> Choice:
    if not values or not all(isinstance(value, str | int | float) and str(value).strip() for value in values):
        raise UserError(f"{where}: expected values such as 0,1,5; found {', '.join(map(str, values)) or 'none'}")
    taken = tuple(_taken(key, value, where) for value in values)
    if len(set(taken)) != len(taken):
        raise UserError(f"{where}: a value stands there twice")
    return Choice(taken)


def _taken(key: str, value: Any, where: str) -> Any:
    if isinstance(value, bool):
        if OPTION_OF[key].type != "bool":
            raise UserError(f"{where}: {key} is no switch, found {str(value).lower()}")
        return value
    return grid_value(key, value, where)
