"""Numbers with the word that they count, as a sentence has them."""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return `number` with `one` or `many` (by default `one` and an s): "1 row", "2,000 rows"."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
