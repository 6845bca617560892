"""Curves over epochs and steps: Fig. 3, learning curves, and how often tasks conflict."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from smartcli.report.history import DevCurve, Points
from smartcli.report.style import COLOURS, GREY, look, new_figure, style, whole_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


LONG_LABEL = 14
"""Longest label of a legend beside the axes; longer ones go below."""
DODGE = 0.06
"""Epochs between the error bars of neighbouring curves."""


@dataclass(frozen=True)
class EpochCurve:
    """A score by epoch under one setting; `spread` is the standard deviation over seeds, where there are several."""

    label: str
    epochs: tuple[int, ...]
    values: tuple[float, ...]
    spread: tuple[float, ...] | None = None


def epoch_curves(curves: Sequence[EpochCurve], *, score: str, legend: str, title: str = "") -> Figure:
    """Draw Fig. 3: a dev score by epoch, one line a setting, the setting in the legend."""
    long = max((len(curve.label) for curve in curves), default=0) > LONG_LABEL
    several = any(curve.spread is not None for curve in curves)
    with style():
        figure = new_figure(6.4, 4.2 + 0.25 * len(curves) * long)
        axes = figure.subplots()
        for index, curve in enumerate(curves):
            # Error bars side by side: bands over each other would hide which is whose.
            shift = (index - (len(curves) - 1) / 2) * DODGE if several else 0.0
            at = [epoch + shift for epoch in curve.epochs]
            axes.errorbar(at, curve.values, curve.spread, label=curve.label, markersize=6, capsize=3, **look(index))
        axes.set(xlabel="epoch", ylabel=score, title=title)
        whole_ticks(axes)
        if long:
            axes.legend(title=legend, loc="upper left", bbox_to_anchor=(0.0, -0.15), alignment="left")
        else:
            axes.legend(title=legend, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def learning_curves(
    losses: dict[str, Points], penalties: dict[str, Points], dev: dict[str, DevCurve], *, title: str = ""
) -> Figure:
    """Draw loss by step, the smoothness penalty R_s by step (where there is one), and scores by epoch, a line a task.

    Solid lines with markers are dev; dotted ones without are the fixed training rows, so over-fitting shows
    as a gap between the two.
    """
    order = {task: index for index, task in enumerate(dict.fromkeys([*losses, *penalties, *dev]))}
    panels = [("loss", losses), ("R_s", penalties)] if penalties else [("loss", losses)]
    with style():
        figure = new_figure(7.2, 2.5 * (len(panels) + 1) + 0.4)
        rows = figure.subplots(len(panels) + 1, 1, squeeze=False)[:, 0]
        for axes, (name, series) in zip(rows, panels, strict=False):
            _step_lines(axes, series, order, name)
        _scores(rows[-1], dev, order)
        rows[0].set_title(title)
        rows[0].legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), title="task")
    return figure


def _step_lines(axes: Axes, series: dict[str, Points], order: dict[str, int], name: str) -> None:
    for task, points in series.items():
        drawn = {**look(order[task]), "marker": "", "linewidth": 1.4}
        axes.plot(points.x, points.smooth(), label=task, **drawn)
    if name == "R_s" and all(y > 0 for points in series.values() for y in points.y):
        from matplotlib.ticker import LogFormatter

        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(LogFormatter())
        axes.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    axes.set(xlabel="step", ylabel=name)
    whole_ticks(axes)


def _scores(axes: Axes, dev: dict[str, DevCurve], order: dict[str, int]) -> None:
    from matplotlib.lines import Line2D

    for task, curve in dev.items():
        axes.plot(curve.epochs, curve.values, label=task, **look(order[task]))
        if curve.train is not None:
            axes.plot(
                curve.epochs, curve.train, color=COLOURS[order[task] % len(COLOURS)], linestyle=":", linewidth=1.2
            )
    axes.set(xlabel="epoch", ylabel="score")
    whole_ticks(axes)
    keys = [Line2D([], [], color=GREY, marker="o", label="dev")]
    if any(curve.train is not None for curve in dev.values()):
        keys.append(Line2D([], [], color=GREY, linestyle=":", label="training rows"))
    axes.legend(handles=keys, loc="upper left", bbox_to_anchor=(1.01, 1.0))


def conflict_curve(cosines: dict[str, Points], shares: dict[str, Points], *, title: str = "") -> Figure:
    """Draw, for each pair of tasks, the cosine of their gradients by step and the share of steps in conflict.

    A pair conflicts where the cosine is below 0; the share is that of each epoch, drawn where the epoch ends.
    """
    with style():
        figure = new_figure(7.2, 5.2)
        upper, lower = figure.subplots(2, 1, sharex=True)
        for index, (pair, points) in enumerate(cosines.items()):
            upper.plot(points.x, points.smooth(), label=pair, **{**look(index), "marker": ""})
        upper.axhline(0, color=GREY, linewidth=1)
        upper.set(ylabel="cosine of gradients", title=title)
        for index, (pair, points) in enumerate(shares.items()):
            lower.plot(points.x, points.y, label=pair, **look(index))
        lower.set(xlabel="step", ylabel="conflicts, share of epoch", ylim=(0, 1))
        whole_ticks(lower)
        upper.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), title="pair of tasks")
    return figure


def mean_curve(label: str, curves: Sequence[DevCurve]) -> EpochCurve:
    """Return the mean over seeds by epoch that all have, with the standard deviation where there are several."""
    epochs = sorted(set.intersection(*(set(curve.epochs) for curve in curves)))
    table = [[curve.values[curve.epochs.index(epoch)] for curve in curves] for epoch in epochs]
    spreads = tuple(statistics.stdev(values) for values in table) if len(curves) > 1 else None
    return EpochCurve(label, tuple(epochs), tuple(statistics.fmean(values) for values in table), spreads)
