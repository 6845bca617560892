"""Confusion matrix of a task with classes, with counts and row shares (Fig. 4, left)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from smartcli.report.style import new_figure, plain_text, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CELLS_WITH_TEXT = 12


def confusion_counts(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Return counts (classes, classes): row = true class, column = predicted class."""
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels.astype(np.int64), predictions.astype(np.int64)), 1)
    return counts


def row_shares(counts: np.ndarray) -> np.ndarray:
    """Return each count's share of its row; nan in a row without examples."""
    totals = counts.sum(axis=1, keepdims=True).astype(np.float64)
    return np.asarray(np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0))


def confusion_figure(counts: np.ndarray, names: Sequence[str], *, title: str = "") -> Figure:
    """Draw the matrix, coloured by row share, with `count` and `share %` in each cell (up to 12 classes)."""
    shares = row_shares(counts)
    classes = len(names)
    with style():
        side = min(10.0, max(4.2, 1.05 * classes))
        figure = new_figure(side + 1.2, side, "compressed")
        axes = figure.subplots()
        image = axes.imshow(np.nan_to_num(shares), cmap="Blues", vmin=0, vmax=1, aspect="equal")
        axes.grid(False)
        ticks = [plain_text(name, 14) for name in names]
        turned = 45 if max(len(tick) for tick in ticks) > 8 else 0
        axes.set_xticks(range(classes), ticks, rotation=turned, ha="right" if turned else "center")
        axes.set_yticks(range(classes), ticks)
        axes.set(xlabel="predicted", ylabel="true", title=title)
        for spine in axes.spines.values():
            spine.set_visible(False)
        if classes <= MOST_CELLS_WITH_TEXT:
            for row in range(classes):
                for column in range(classes):
                    share = shares[row, column]
                    text = f"{counts[row, column]}\n" + ("–" if np.isnan(share) else f"{100 * share:.0f} %")
                    axes.text(column, row, text, ha="center", va="center", color="white" if share > 0.62 else "black")
        bar = figure.colorbar(image, ax=axes, shrink=0.85, label="share of the true class")
        bar.outline.set_visible(False)
    return figure
