"""CSV text as this project writes it, and cells that no spreadsheet runs as a formula.

Own code and not the csv module's or pandas' writer, for rows that users bring: both leave a carriage return without
quotes before Python 3.13, and pandas would turn their cells into its own types.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""First characters that make a spreadsheet run a cell, their full-width forms too (OWASP, CSV injection)."""


def csv_text(lines: Iterable[Sequence[Any]], *, delimiter: str = ",", safe: bool = False) -> str:
    """Return CSV; None is empty, floats by repr. `safe` puts `'` before text that a spreadsheet would run."""
    return "".join(_line(line, delimiter, safe) for line in lines)


def _line(line: Sequence[Any], delimiter: str, safe: bool) -> str:
    cells = ["" if cell is None else repr(cell) if isinstance(cell, float) else cell for cell in line]
    texts = [guard(cell) if safe and isinstance(cell, str) else str(cell) for cell in cells]
    if texts == [""]:
        return '""\n'  # else the row would be an empty line, which reads as none
    return delimiter.join(_quoted(text, delimiter) for text in texts) + "\n"


def _quoted(text: str, delimiter: str) -> str:
    if delimiter in text or '"' in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text


def guard(cell: str) -> str:
    """Return `cell` with a leading `'` where a spreadsheet would take it for a formula; numbers stay as they are."""
    if not cell.startswith(FORMULA_STARTS) and not cell.lstrip().startswith(FORMULA_STARTS):
        return cell
    try:
        float(cell)
    except ValueError:
        return "'" + cell
    return cell
