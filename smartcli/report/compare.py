"""Cells over seeds, and the paper's numbers beside ours, as text for a terminal, Markdown and JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from smartcli.report.style import short
from smartcli.visible import markdown

ABSENT = "–"


@dataclass(frozen=True)
class Spread:
    """A score over seeds: its mean, and its sample standard deviation where there are at least two."""

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.values)

    @property
    def sd(self) -> float | None:
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def text(self) -> str:
        """Return `.545`, or `.545 ± .004` over several seeds."""
        return short(self.mean) + ("" if self.sd is None else f" ± {short(self.sd)}")

    def to_json(self) -> dict[str, Any]:
        return {"mean": self.mean, "sd": self.sd, "values": list(self.values)}


@dataclass(frozen=True)
class Line:
    """A row of a comparison: our scores by name (a task, or overall), and the paper's where they are known."""

    id: str
    label: str
    ours: Mapping[str, Spread | None]
    paper: Mapping[str, float]

    def difference(self, score: str) -> float | None:
        """Return ours - paper, None where either is missing."""
        ours = self.ours.get(score)
        return None if ours is None or score not in self.paper else ours.mean - self.paper[score]


@dataclass(frozen=True)
class Verdict:
    """Whether an ordering of the paper holds in ours; `holds` is None where a score is missing."""

    says: str
    holds: bool | None
    detail: str

    def text(self) -> str:
        word = {True: "holds", False: "does not hold", None: "not measured"}[self.holds]
        return f"{word}: {self.says} ({self.detail})"


def spread(values: Sequence[float | None]) -> Spread | None:
    """Return the spread of a score over seeds; None where any seed has none."""
    found = [value for value in values if value is not None and math.isfinite(value)]
    return Spread(tuple(found)) if found and len(found) == len(values) else None


def judge(says: str, better: Line | None, worse: Sequence[Line | None], score: str) -> Verdict:
    """Compare mean scores; a difference within the two standard deviations is said to be so."""
    high = better.ours.get(score) if better else None
    lows = [line.ours.get(score) if line else None for line in worse]
    if high is None or not lows or any(low is None for low in lows):
        return Verdict(says, None, f"a row has no {score} score")
    low = max((low for low in lows if low is not None), key=lambda low: low.mean)
    gap = high.mean - low.mean
    detail = f"{high.text()} against {low.text()}, {signed(gap)}"
    if high.sd is None or low.sd is None:
        detail += "; one seed, no spread"
    elif abs(gap) <= math.hypot(high.sd, low.sd):
        detail += "; within the spread over seeds"
    return Verdict(says, gap > 0, detail)


def signed(value: float) -> str:
    """Return a difference with its sign: +.021, -.003, and +.000 for one that rounds to nothing."""
    text = short(round(value, 3) + 0.0)
    return text if text.startswith("-") else f"+{text}"


def comparison_cells(line: Line, scores: Sequence[str]) -> list[list[str]]:
    """Return three lines of cells for one row: paper, ours, difference."""
    paper = [short(line.paper[score]) if score in line.paper else ABSENT for score in scores]
    ours = [found.text() if (found := line.ours.get(score)) else ABSENT for score in scores]
    gaps = [ABSENT if (gap := line.difference(score)) is None else signed(gap) for score in scores]
    return [[line.label, "paper", *paper], ["", "ours", *ours], ["", "difference", *gaps]]


def comparison_table(lines: Sequence[Line], scores: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the side-by-side table, three rows a line."""
    return ["row", "", *scores], [cells for line in lines for cells in comparison_cells(line, scores)]


def plain_table(lines: Sequence[Line], scores: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of our scores alone."""
    rows = [[line.label, *(found.text() if (found := line.ours.get(s)) else ABSENT for s in scores)] for line in lines]
    return ["cell", *scores], rows


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; marks in a cell are escaped."""
    out = ["| " + " | ".join(map(markdown, header)) + " |", "|" + "---|" * len(header)]
    out += ["| " + " | ".join(map(markdown, row)) + " |" for row in rows]
    return "\n".join(out)


def to_json(lines: Sequence[Line], scores: Sequence[str]) -> list[dict[str, Any]]:
    """Return the comparison as plain JSON values."""
    return [
        {
            "id": line.id,
            "label": line.label,
            "scores": {
                score: {
                    "paper": line.paper.get(score),
                    "ours": None if (found := line.ours.get(score)) is None else found.to_json(),
                    "difference": line.difference(score),
                }
                for score in scores
            },
        }
        for line in lines
    ]
