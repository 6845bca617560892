"""True against predicted scores, coloured by density, with the worst residual and its sentences (Fig. 4, right)."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from smartcli.report.style import GREY, RED, new_figure, plain_text, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 48
AS_PIXELS = 2_000
LINE = 84


def point_density(x: np.ndarray, y: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Return how crowded it is around each point (n,), 1 at the most crowded: a smoothed 2-D histogram."""
    counts, edges, _ = np.histogram2d(x, y, bins=BINS, range=[limits, limits])
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / 1.6) ** 2)
    for axis in (0, 1):
        counts = np.apply_along_axis(np.convolve, axis, counts, kernel / kernel.sum(), "same")
    columns = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, BINS - 1)
    rows = np.clip(np.searchsorted(edges, y, side="right") - 1, 0, BINS - 1)
    found = counts[columns, rows]
    return np.asarray(found / found.max() if found.size and found.max() > 0 else found)


def worst_residual(labels: np.ndarray, predictions: np.ndarray) -> int:
    """Return the row with the largest |prediction - label|; the first one on a tie."""
    return int(np.argmax(np.abs(predictions - labels)))


def scatter_figure(
    labels: np.ndarray,
    predictions: np.ndarray,
    limits: tuple[float, float],
    *,
    texts: Sequence[str] | None = None,
    row_id: str = "",
    title: str = "",
) -> Figure:
    """Draw the scatter; `texts` are the sentences of the worst row, written below the axes, None if not at hand."""
    from matplotlib.colors import LinearSegmentedColormap

    low = min(limits[0], float(predictions.min()))
    high = max(limits[1], float(predictions.max()))
    pad = 0.03 * (high - low or 1.0)
    shown = (low - pad, high + pad)
    density = point_density(labels, predictions, shown)
    order = np.argsort(density, kind="stable")
    worst = worst_residual(labels, predictions)
    ramp = LinearSegmentedColormap.from_list("crowd", ["#A6C8E4", "#3182BD", "#08306B"])
    with style():
        note = _note(labels, predictions, worst, texts, row_id)
        figure = new_figure(6.6, 5.4 + 0.19 * note.count("\n"), "compressed")
        axes = figure.subplots()
        axes.plot(shown, shown, color=GREY, linestyle="--", linewidth=1, label="exact", zorder=1)
        points = axes.scatter(
            labels[order],
            predictions[order],
            c=density[order],
            cmap=ramp,
            vmin=0,
            vmax=1,
            s=12,
            linewidths=0,
            rasterized=len(labels) > AS_PIXELS,
            zorder=2,
            label="_rows",
        )
        axes.scatter(
            [labels[worst]],
            [predictions[worst]],
            color=RED,
            marker="D",
            s=70,
            edgecolors="black",
            linewidths=1,
            zorder=3,
            label="worst residual",
        )
        axes.set(xlim=shown, ylim=shown, xlabel="true", ylabel="predicted", aspect="equal")
        axes.set_title(title, pad=24)
        # Outside: the worst residual may lie in any corner of the axes.
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.2)
        bar = figure.colorbar(points, ax=axes, shrink=0.85, label="density (1 = most crowded)")
        bar.outline.set_visible(False)
        figure.supxlabel(note, x=0.02, ha="left", fontsize=9, color="black")
    return figure


def _note(labels: np.ndarray, predictions: np.ndarray, worst: int, texts: Sequence[str] | None, row_id: str) -> str:
    head = f"Worst residual: true {labels[worst]:.2f}, predicted {predictions[worst]:.2f}"
    head += f" (off by {abs(float(predictions[worst] - labels[worst])):.2f})"
    head += f", row {plain_text(row_id, 40)}" if row_id else ""
    if texts is None:
        return head + "\n(its sentences are not at hand: the data set is no longer there)"
    lines = [head]
    for number, text in enumerate(texts, 1):
        mark = f"{number}  " if len(texts) > 1 else ""
        wrapped = textwrap.wrap(plain_text(text), LINE, initial_indent=mark, subsequent_indent=" " * len(mark))
        lines.extend(wrapped or [mark])
    return "\n".join(lines)
