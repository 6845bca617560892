"""Lists of pairs of terms: a file of two columns, or one of the lists that come with the package."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

from smartcli.counts import counted
from smartcli.data.readers.lines import BadBytes, text_lines
from smartcli.data.readers.problems import Problems
from smartcli.errors import UserError, suggest
from smartcli.explain.swaps import both_ways

SHIPPED = ("gender", "facts")
HEADER = ("old", "new")
MOST_TERMS = 2_000


@dataclass(frozen=True)
class Facts:
    """Pairs of sentences that state different facts, and the paper's own pair."""

    planted: tuple[tuple[str, str], ...]
    paper: tuple[str, str]


@dataclass(frozen=True)
class SwapList:
    """What a list is called, each term's partner, and for the list of facts its sentences."""

    name: str
    title: str
    terms: Mapping[str, str]
    facts: Facts | None = None


def read_swap_list(named: str, option: str = "--swap-file") -> SwapList:
    """Return the shipped list of that name, else the file's; UserErrors name `file:line`."""
    if named in SHIPPED:
        return _shipped(named)
    path = Path(named)
    if not path.exists():
        known = suggest(named, SHIPPED)
        raise UserError(f"{option}: {named}: no such file; expected {' or '.join(SHIPPED)}, or a file of terms{known}")
    if path.is_dir():
        raise UserError(f"{option}: {named}: a folder; expected {' or '.join(SHIPPED)}, or a file of terms")
    pairs = _read(path)
    if not pairs:
        raise UserError(
            f"{named}: no pair of terms in it; expected a line a pair, two terms with a comma or a tab between them, "
            "such as he,she"
        )
    terms = both_ways(pairs)
    if len(terms) > MOST_TERMS:
        raise UserError(f"{named}: {len(terms):,} terms; expected {MOST_TERMS:,} at most")
    return SwapList(named, named, terms)


def _read(path: Path) -> list[tuple[str, str]]:
    problems = Problems()
    pairs: list[tuple[str, str]] = []
    for line, text, delimiter in _lines(path):
        try:
            cells = next(csv.reader([text], delimiter=delimiter, strict=True, skipinitialspace=True))
        except csv.Error as error:
            problems.add(f"{path}:{line}: {error}; close the quote on the same line, or double it inside the term")
            continue
        fields = [cell.strip() for cell in cells]
        if not pairs and not problems.count and tuple(field.casefold() for field in fields) == HEADER:
            continue
        wrong = _wrong(fields)
        if wrong:
            problems.add(f"{path}:{line}: {wrong}")
        else:
            pairs.append((fields[0], fields[1]))
    problems.raise_if_any()
    return pairs


def _wrong(fields: Sequence[str]) -> str | None:
    if len(fields) != 2:
        return (
            f"expected two terms with a comma or a tab between them, found {counted(len(fields), 'field')}; "
            "quote a term that holds a comma"
        )
    if not all(fields):
        return "a term is missing; expected two, such as he,she"
    if fields[0].casefold() == fields[1].casefold():
        return f'"{fields[0]}" is its own partner; expected two different terms'
    return None


def _lines(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield number, text and delimiter of every line that is neither blank nor a comment."""
    delimiter = None
    try:
        with path.open("rb") as stream:
            for number, line in enumerate(text_lines(stream), 1):
                text = line.strip()
                if not text or text.startswith("#"):
                    continue
                # Of the whole file, as its first line has it.
                delimiter = delimiter or ("\t" if "\t" in text else ",")
                yield number, text, delimiter
    except BadBytes as error:
        raise UserError(f"{path}:{error.line}: {error.reason}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


@cache
def _shipped(name: str) -> SwapList:
    value = tomllib.loads((files("smartcli.recipes") / f"swaps-{name}.toml").read_text(encoding="utf-8"))
    if "fact" not in value:
        return SwapList(name, value["title"], both_ways(tuple(pair) for pair in value["pairs"]))
    facts, keys = value["fact"], value["keys"]
    partners = zip(facts[::2], facts[1::2], strict=True)
    terms = both_ways((one[key], other[key]) for one, other in partners for key in keys)
    paper = value["paper"]["pair"]
    return SwapList(name, value["title"], terms, Facts(_planted(value["frames"], facts), (paper[0], paper[1])))


def _planted(frames: Sequence[str], facts: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Return every two facts, stated in the same frame."""
    return tuple(
        (frame.format(**one), frame.format(**other)) for frame in frames for one, other in combinations(facts, 2)
    )
