"""Whether probabilities mean what they say: reliability bins, expected calibration error, the diagram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from smartcli.report.style import COLOURS, GREY, new_figure, short, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 10


@dataclass(frozen=True)
class Bin:
    """Rows whose confidence lies in (low, high]: how many, their mean confidence, their accuracy."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Bins that hold rows, and the expected calibration error Σ n_b/n · |accuracy_b - confidence_b|."""

    bins: tuple[Bin, ...]
    ece: float
    accuracy: float
    confidence: float
    count: int


def calibrate(labels: np.ndarray, predictions: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> Calibration:
    """Return the calibration of the predicted class's probability (Guo et al. 2017), equal-width bins on (0, 1].

    `probabilities` is (n, C); labels and predictions are class numbers (n,).
    """
    rows = np.arange(len(labels))
    confidence = np.asarray(probabilities, dtype=np.float64)[rows, predictions.astype(np.int64)]
    right = labels.astype(np.int64) == predictions.astype(np.int64)
    # A probability on an edge belongs to the bin below it: .1 is in (0, .1].
    edges = np.linspace(0.0, 1.0, bins + 1)
    where = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    found = []
    for number in range(bins):
        inside = where == number
        count = int(inside.sum())
        if count:
            found.append(
                Bin(
                    float(edges[number]),
                    float(edges[number + 1]),
                    count,
                    float(confidence[inside].mean()),
                    float(right[inside].mean()),
                )
            )
    ece = sum(b.count * abs(b.accuracy - b.confidence) for b in found) / len(labels)
    return Calibration(tuple(found), float(ece), float(right.mean()), float(confidence.mean()), len(labels))


def reliability_figure(calibration: Calibration, *, title: str = "") -> Figure:
    """Draw accuracy by confidence, a bar a bin, against the diagonal; below, the share of rows in each bin."""
    with style():
        figure = new_figure(7.4, 5.4)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        lefts = [b.low for b in calibration.bins]
        widths = [b.high - b.low for b in calibration.bins]
        upper.bar(
            lefts,
            [b.accuracy for b in calibration.bins],
            width=widths,
            align="edge",
            color=COLOURS[5],
            edgecolor="white",
            label="accuracy in the bin",
        )
        upper.plot(
            [b.confidence for b in calibration.bins],
            [b.accuracy for b in calibration.bins],
            color=COLOURS[0],
            marker="o",
            linestyle="",
            label="at its mean confidence",
        )
        upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="calibrated")
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1), title=title)
        legend = f"ECE {short(calibration.ece)}, n = {calibration.count:,}"
        upper.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), title=legend, alignment="left")
        shares = [b.count / calibration.count for b in calibration.bins]
        lower.bar(lefts, shares, width=widths, align="edge", color=GREY, edgecolor="white")
        lower.set(xlabel="confidence (probability of the predicted class)", ylabel="share of rows", ylim=(0, None))
    return figure
