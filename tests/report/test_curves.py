"""Fig. 3, learning curves and conflict curves hold the points that the logs hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smartcli.errors import SmartCliError
from smartcli.log_events import parse, read_log
from smartcli.report.curves import EpochCurve, conflict_curve, epoch_curves, learning_curves, mean_curve
from smartcli.report.history import DevCurve, conflict_points, dev_curves, step_points

LINES: list[dict[str, Any]] = [
    {"event": "start", "steps": 20},
    {"event": "step", "step": 10, "loss": {"mood": 1.5, "near": 0.8}, "r_s": {"mood": 2e-6, "near": 1e-6}},
    {"event": "step", "step": 20, "loss": {"mood": 1.0, "near": float("nan")}, "r_s": {"mood": 3e-6, "near": 1e-6}},
    {
        "event": "dev",
        "epoch": 1,
        "mood": {"accuracy": 0.4, "n": 5},
        "near": None,
        "train": {"mood": {"accuracy": 0.5, "n": 9}},
    },
    {
        "event": "dev",
        "epoch": 2,
        "mood": {"n": 5, "accuracy": 0.6},
        "near": {"pearson": 0.7, "n": 4},
        "train": {"mood": 0.9},
    },
]
LOG = [parse(line) for line in LINES]


def test_each_line_of_fig_3_holds_its_setting_and_points():
    figure = epoch_curves(
        [EpochCurve("0", (1, 2, 3), (0.4, 0.45, 0.44)), EpochCurve("5", (1, 2, 3), (0.41, 0.46, 0.48))],
        score="mood dev accuracy",
        legend="λ",
    )
    (axes,) = figure.axes
    assert [list(line.get_xdata()) for line in axes.lines] == [[1, 2, 3], [1, 2, 3]]
    assert list(axes.lines[1].get_ydata()) == [0.41, 0.46, 0.48]
    legend = axes.get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == "λ"
    assert [text.get_text() for text in legend.get_texts()] == ["0", "5"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "mood dev accuracy")


def test_the_deviation_over_seeds_is_an_error_bar_beside_the_others():
    curves = [EpochCurve("0", (1,), (0.4,), (0.01,)), EpochCurve("5", (1,), (0.48,), (0.02,))]
    axes = epoch_curves(curves, score="s", legend="λ").axes[0]
    bars = [path.vertices.tolist() for bar in axes.collections for path in bar.get_paths()]
    assert bars == [
        [[pytest.approx(0.97), pytest.approx(0.39)], [pytest.approx(0.97), pytest.approx(0.41)]],
        [[pytest.approx(1.03), pytest.approx(0.46)], [pytest.approx(1.03), pytest.approx(0.5)]],
    ]


def test_lines_differ_by_colour_and_by_marker_and_dash():
    figure = epoch_curves([EpochCurve(str(i), (1,), (0.1 * i,)) for i in range(4)], score="s", legend="λ")
    lines = figure.axes[0].lines
    for trait in ("get_color", "get_marker", "get_linestyle"):
        assert len({getattr(line, trait)() for line in lines}) == 4


def test_values_that_are_not_finite_and_epochs_without_a_score_are_left_out():
    losses = step_points(LOG, "loss")
    assert (losses["mood"].x, losses["mood"].y) == ((10.0, 20.0), (1.5, 1.0))
    assert (losses["near"].x, losses["near"].y) == ((10.0,), (0.8,))
    curves = dev_curves(LOG, ["mood", "near", "other"])
    assert set(curves) == {"mood", "near"}
    assert (curves["mood"].epochs, curves["mood"].values, curves["mood"].train) == ((1, 2), (0.4, 0.6), (0.5, 0.9))
    assert (curves["near"].epochs, curves["near"].values, curves["near"].train) == ((2,), (0.7,), None)


def test_learning_curves_show_losses_penalties_and_both_scores():
    figure = learning_curves(
        step_points(LOG, "loss"), step_points(LOG, "r_s"), dev_curves(LOG, ["mood", "near"]), title="t"
    )
    loss, penalty, score = figure.axes
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "R_s", "score"]
    assert list(loss.lines[0].get_ydata()) == [1.5, 1.0]
    assert penalty.get_yscale() == "log"
    assert [list(line.get_ydata()) for line in score.lines] == [[0.4, 0.6], [0.5, 0.9], [0.7]]
    assert loss.lines[0].get_color() == score.lines[0].get_color() == score.lines[1].get_color()


def test_a_run_without_smart_has_no_penalty_panel():
    figure = learning_curves(step_points(LOG, "loss"), {}, dev_curves(LOG, ["mood"]))
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "score"]


def test_the_conflict_curve_holds_cosines_by_step_and_shares_by_epoch():
    log = [
        {"event": "step", "step": 10, "cosine": {"a,b": -0.2}},
        {"event": "step", "step": 20, "cosine": {"a,b": 0.1}},
        {"event": "step", "step": 30},
        {"event": "dev", "step": 30, "epoch": 1, "conflicts": {"a,b": {"share": 0.5, "cosine": -0.05, "steps": 30}}},
    ]
    figure = conflict_curve(*conflict_points([parse(value) for value in log]))
    upper, lower = figure.axes
    assert list(upper.lines[0].get_xdata()) == [10.0, 20.0]
    assert list(upper.lines[0].get_ydata()) == [-0.2, 0.1]
    assert list(lower.lines[0].get_xdata()) == [30.0]
    assert list(lower.lines[0].get_ydata()) == [0.5]
    assert [text.get_text() for text in upper.get_legend().get_texts()] == ["a, b"]
    assert tuple(lower.get_ylim()) == (0, 1)


def test_epochs_of_a_sequential_run_are_numbered_on():
    log = [{"event": "dev", "epoch": epoch, "phase": phase, "a": 0.1} for phase in ("b", "a") for epoch in (1, 2)]
    assert dev_curves([parse(value) for value in log], ["a"])["a"].epochs == (1, 2, 3, 4)


def test_seeds_are_drawn_as_their_mean_and_standard_deviation():
    one, two = DevCurve((1, 2), (0.4, 0.5)), DevCurve((1, 2, 3), (0.6, 0.5, 0.9))
    found = mean_curve("5", [one, two])
    assert (found.label, found.epochs) == ("5", (1, 2))
    assert found.values == pytest.approx((0.5, 0.5))
    assert found.spread == pytest.approx((0.02**0.5, 0))
    assert mean_curve("0", [one]).spread is None


def test_a_long_curve_is_drawn_as_a_running_mean():
    log = [{"event": "step", "step": i, "loss": {"a": float(i % 2)}} for i in range(60)]
    smooth = step_points([parse(value) for value in log], "loss")["a"].smooth()
    assert smooth[:3] == [0.0, 0.5, 0.5]


def test_a_log_is_read_line_by_line_and_a_broken_line_is_named():
    lines = b"\n".join(json.dumps(line).encode() for line in LINES[:2])
    assert read_log(lines, "log.jsonl") == LOG[:2]
    with pytest.raises(SmartCliError, match=r"log\.jsonl:2: expected one JSON object"):
        read_log(b'{"event": "start"}\n[1]\n', "log.jsonl")
