"""Reliability bins and the expected calibration error, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from smartcli.report.calibration import calibrate, reliability_figure

PROBABILITIES = np.array([[0.9, 0.1], [0.8, 0.2], [0.35, 0.65], [0.05, 0.95]])
PREDICTIONS = np.array([0.0, 0.0, 1.0, 1.0])
LABELS = np.array([0.0, 1.0, 1.0, 1.0])


def test_two_bins_by_hand():
    # (0, .5] is empty; (.5, 1] holds all: mean confidence .825, accuracy .75.
    found = calibrate(LABELS, PREDICTIONS, PROBABILITIES, bins=2)
    (only,) = found.bins
    assert (only.low, only.high, only.count) == (0.5, 1.0, 4)
    assert only.confidence == pytest.approx(0.825)
    assert only.accuracy == 0.75
    assert found.ece == pytest.approx(0.075)


def test_ten_bins_by_hand():
    # .65, .8, .9 and .95 lie in four bins; an edge belongs to the bin below.
    found = calibrate(LABELS, PREDICTIONS, PROBABILITIES)
    assert [(round(b.low, 1), b.count, b.accuracy) for b in found.bins] == [
        (0.6, 1, 1),
        (0.7, 1, 0),
        (0.8, 1, 1),
        (0.9, 1, 1),
    ]
    assert found.ece == pytest.approx((0.35 + 0.8 + 0.1 + 0.05) / 4)


def test_sure_and_right_is_calibrated():
    found = calibrate(np.array([1.0, 0.0]), np.array([1.0, 0.0]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert found.ece == 0


def test_the_diagram_has_a_bar_a_bin_and_names_the_error():
    figure = reliability_figure(calibrate(LABELS, PREDICTIONS, PROBABILITIES))
    upper, lower = figure.axes
    assert [bar.get_height() for bar in upper.patches] == [1, 0, 1, 1]
    assert [round(bar.get_x(), 1) for bar in upper.patches] == [0.6, 0.7, 0.8, 0.9]
    assert [bar.get_height() for bar in lower.patches] == [0.25] * 4
    assert list(upper.lines[0].get_xdata()) == pytest.approx([0.65, 0.8, 0.9, 0.95])
    assert upper.get_legend().get_title().get_text() == "ECE .325, n = 4"
