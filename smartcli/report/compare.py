"""Cells over seeds, and the paper's numbers beside ours, as text for a terminal, Markdown and JSON."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from smartcli.report.style import short
from smartcli.visible import markdown

ABSENT = "–"
FEWEST_SEEDS = 3
"""Below so many a standard deviation says next to nothing."""


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
    """Whether an ordering holds in our scores; `holds` is None where a score is missing.

    `difference` is the higher row's mean minus the lower one's as the claim names them, `sd` the sample deviation of
    that difference from seed to seed (from 3 seeds on), `paper` the paper's own difference.
    """

    says: str
    holds: bool | None
    detail: str
    difference: float | None = None
    sd: float | None = None
    paper: float | None = None

    def text(self) -> str:
        word = {True: "holds", False: "does not hold", None: "not measured"}[self.holds]
        return f"{word}: {self.says} ({self.detail})"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def spread(values: Sequence[float | None]) -> Spread | None:
    """Return the spread of a score over seeds; None where any seed has none."""
    found = [value for value in values if value is not None and math.isfinite(value)]
    return Spread(tuple(found)) if found and len(found) == len(values) else None


def judge(
    says: str, better: Sequence[Line | None], worse: Sequence[Line | None], score: str, within: float | None = None
) -> Verdict:
    """Compare the best mean of `better` with the best of `worse`; the claim is that the first is higher.

    With `within` the claim is that the two do not differ: by no more than that, or by no more than the deviation over
    seeds. Lines are of the same seeds in the same order, so that differences are taken seed by seed.
    """
    high, low = _best(better, score), _best(worse, score)
    if high is None or low is None:
        return Verdict(says, None, f"a row has no {score} score")
    ours, others = high.ours[score], low.ours[score]
    assert ours is not None
    assert others is not None
    gap, sd = ours.mean - others.mean, _deviation(ours, others)
    theirs = _paper_gap(better, worse, score)
    detail = f"{ours.text()} against {others.text()}, {signed(gap)}"
    if sd is None:
        seeds = len(ours.values)
        detail += f"; {'one seed' if seeds == 1 else f'{seeds} seeds'}, no spread"
    else:
        detail += f" ± {short(sd)} over {len(ours.values)} seeds"
        detail += "; within the spread over seeds" if abs(gap) <= sd else ""
    detail += "" if theirs is None else f"; the paper {signed(theirs)}"
    holds = gap > 0 if within is None else abs(round(gap, 3)) <= within or (sd is not None and abs(gap) <= sd)
    return Verdict(says, holds, detail, gap, sd, theirs)


def _best(lines: Sequence[Line | None], score: str) -> Line | None:
    """Return the line of the highest mean; None where any line lacks the score."""
    found: Line | None = None
    highest = -math.inf
    for line in lines:
        value = line.ours.get(score) if line is not None else None
        if value is None:
            return None
        if value.mean > highest:
            found, highest = line, value.mean
    return found


def _deviation(one: Spread, other: Spread) -> float | None:
    """Return the sample deviation of the difference from seed to seed; None below three seeds."""
    if len(one.values) != len(other.values) or len(one.values) < FEWEST_SEEDS:
        return None
    return statistics.stdev(a - b for a, b in zip(one.values, other.values, strict=True))


def _paper_gap(better: Sequence[Line | None], worse: Sequence[Line | None], score: str) -> float | None:
    """Return the paper's own difference; None where it has not every number."""
    high, low = ([line.paper.get(score) if line else None for line in lines] for lines in (better, worse))
    if None in high or None in low:
        return None
    return max(value for value in high if value is not None) - max(value for value in low if value is not None)


def signed(value: float) -> str:
    """Return a difference with its sign: +.021, -.003, and +.000 for one that rounds to nothing."""
    text = short(round(value, 3) + 0.0)
    return text if text.startswith("-") else f"+{text}"


def comparison_cells(line: Line, scores: Sequence[str]) -> list[list[str]]:
    """Return the cells for one row: paper, ours, difference; a row that is not in the paper has ours alone."""
    ours = [found.text() if (found := line.ours.get(score)) else ABSENT for score in scores]
    if not line.paper:
        return [[line.label, "ours", *ours]]
    paper = [short(line.paper[score]) if score in line.paper else ABSENT for score in scores]
    gaps = [ABSENT if (gap := line.difference(score)) is None else signed(gap) for score in scores]
    return [[line.label, "paper", *paper], ["", "ours", *ours], ["", "difference", *gaps]]


def comparison_table(lines: Sequence[Line], scores: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the side-by-side table; the first cell is empty but in the first row of a line."""
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
