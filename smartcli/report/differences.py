"""Whether B is better than A, as a terminal's table, JSON, and one plain sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from smartcli.report.compare import Spread
from smartcli.significance.two_sides import ALPHA, OVERALL, ScoreTest
from smartcli.visible import plain

if TYPE_CHECKING:
    from rich.table import Table


HOPELESS = 100
"""Times as many rows as there are that nobody gathers."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison: what the user called it, and its checkpoints."""

    label: str
    checkpoints: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"name": self.label, "checkpoints": list(self.checkpoints)}


@dataclass(frozen=True)
class Differences:
    """Two sides compared on one split of one data set."""

    data: str
    fingerprint: str
    title: str
    split: str
    a: Side
    b: Side
    tests: Sequence[ScoreTest]
    draws: int
    seed: int
    notes: Sequence[str] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return what `--json` prints; `claim` is the name of the better side, null where nothing is claimed."""
        return {
            "data": {"name": self.data, "fingerprint": self.fingerprint},
            "split": self.split,
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "alpha": ALPHA,
            "draws": self.draws,
            "seed": self.seed,
            "tests": [self._test_json(one) for one in self.tests],
            "conclusion": self.sentence(),
        }

    def _test_json(self, one: ScoreTest) -> dict[str, Any]:
        exact = one.mcnemar
        return {
            "score": one.score,
            "metric": one.metric,
            "n": one.n,
            "a": Spread(one.a).to_json(),
            "b": Spread(one.b).to_json(),
            "difference": one.difference,
            "interval": list(one.interval),
            "test": "bootstrap" if exact is None else "mcnemar",
            "right_on_one_side": None if exact is None else {"a": exact.a_alone, "b": exact.b_alone},
            "p": one.p,
            "p_holm": one.p_holm,
            "claim": None if one.better is None else self._side(one.better).label,
            "rows_needed": one.rows_needed,
        }

    def _side(self, name: str) -> Side:
        return self.a if name == "a" else self.b

    def to_rich(self) -> Table:
        """Return the table for a terminal; claims are bold."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), title_justify="left", caption_justify="left")
        table.title = plain(f"{self.split} of {self.title}: A = {self._members(self.a)}; B = {self._members(self.b)}")
        table.caption = plain(
            f"points = 100 x the difference; interval: 95 %, of this score alone; Holm: p for {len(self.tests)} tests, "
            f"a claim needs less than {short(ALPHA)}"
        )
        table.add_column("score", overflow="fold")
        for heading in ("rows", "A", "B", "B - A\npoints", "interval", "p", "Holm"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("test", no_wrap=True)
        for one in self.tests:
            cells = [f"{one.score} {one.metric}", f"{one.n:,}", Spread(one.a).text(), Spread(one.b).text()]
            cells += [points(one.difference), _interval(one.interval), _p(one.p), _p(one.p_holm)]
            cells.append("bootstrap" if one.mcnemar is None else f"McNemar {one.mcnemar.a_alone}:{one.mcnemar.b_alone}")
            table.add_row(*map(plain, cells), style="bold" if one.better else None)
        return table

    def _members(self, side: Side) -> str:
        count = len(side.checkpoints)
        return side.label if count == 1 else f"{side.label} ({count} checkpoints)"

    def sentence(self) -> str:
        """Return the conclusion: what may be claimed, or what it would take."""
        claims = [one for one in self.tests if one.better]
        if claims:
            return "; ".join(self._claim(one) for one in claims)
        if all(one.difference == 0 for one in self.tests):
            return "no difference can be claimed: both sides have the same scores"
        return f"no difference can be claimed: {self._wanting()}"

    def _claim(self, one: ScoreTest) -> str:
        low, high = one.interval if one.better == "b" else (-one.interval[1], -one.interval[0])
        winner = self._side(one.better or "b").label
        size = points(abs(one.difference))
        return f"{winner} is better on {one.score} by {size} points, 95 % interval {points(low)} to {points(high)}"

    def _wanting(self) -> str:
        """Say how many rows the task nearest to a claim would take."""
        needing = [one for one in self.tests if one.rows_needed is not None and one.score != OVERALL]
        if not needing:
            return "the seeds differ by more than the sides do, so more rows would not do; it would take more seeds"
        nearest = min(needing, key=lambda one: (one.rows_needed or 0) / one.n)
        if (nearest.rows_needed or 0) > HOPELESS * nearest.n:
            return f"on each task the difference is so small that {HOPELESS} times as many rows would not do"
        ahead = self.b if nearest.difference > 0 else self.a
        return (
            f"it would take about {nearest.rows_needed:,} rows of {nearest.score} (here {nearest.n:,}) to tell that "
            f"{ahead.label} is better by {points(abs(nearest.difference))} points"
        )


def points(value: float) -> str:
    """Return a difference in points with one decimal and no zero before it: 1.8, .3, -.4."""
    text = f"{round(100 * value, 1) + 0.0:.1f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) and text != "0.0" else text


def short(value: float) -> str:
    """Return a share with two decimals and no zero before it."""
    return f"{value:.2f}".removeprefix("0")


def _interval(interval: tuple[float, float]) -> str:
    return f"{points(interval[0])} to {points(interval[1])}"


def _p(value: float) -> str:
    if value < 0.001:
        return "<.001"
    return f"{value:.3f}".removeprefix("0")
