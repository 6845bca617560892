"""Confusion matrix, scatter and files of figures hold what they claim to show."""

from __future__ import annotations

import numpy as np

from smartcli.report.confusion import confusion_counts, confusion_figure, row_shares
from smartcli.report.scatter import point_density, scatter_figure, worst_residual
from smartcli.report.style import plain_text, render, short


def test_the_matrix_counts_true_rows_and_predicted_columns():
    counts = confusion_counts(np.array([0, 0, 0, 1, 2.0]), np.array([0, 0, 1, 2, 2.0]), 4)
    assert counts.tolist() == [[2, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    shares = row_shares(counts)
    assert np.allclose(shares[0], [2 / 3, 1 / 3, 0, 0])
    assert np.isnan(shares[3]).all()


def test_each_cell_of_the_matrix_shows_count_and_row_share():
    counts = np.array([[3, 1], [0, 0]])
    axes = confusion_figure(counts, ["bad", "good"], title="t").axes[0]
    cells = {tuple(int(v) for v in text.get_position()): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "3\n75 %", (1, 0): "1\n25 %", (0, 1): "0\n–", (1, 1): "0\n–"}
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["bad", "good"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert np.allclose(axes.images[0].get_array(), [[0.75, 0.25], [0, 0]])


def test_many_classes_are_coloured_without_numbers():
    assert not confusion_figure(np.eye(13, dtype=np.int64), [str(i) for i in range(13)]).axes[0].texts


def test_the_worst_residual_is_red_and_its_sentences_stand_below():
    labels, predictions = np.array([0.0, 2.0, 5.0]), np.array([0.5, 2.0, 1.5])
    figure = scatter_figure(
        labels, predictions, (0.0, 5.0), texts=("It costs $5 and $6.", "A <b>dog</b>\nsleeps."), row_id="r3"
    )
    axes = figure.axes[0]
    cloud, worst = axes.collections
    assert worst_residual(labels, predictions) == 2
    assert worst.get_offsets().tolist() == [[5.0, 1.5]]
    assert tuple(worst.get_facecolor()[0][:3]) == (0xD0 / 255, 0.0, 0.0)
    assert sorted(cloud.get_offsets().tolist()) == [[0.0, 0.5], [2.0, 2.0], [5.0, 1.5]]
    note = figure.get_supxlabel()
    assert note.splitlines() == [
        "Worst residual: true 5.00, predicted 1.50 (off by 3.50), row r3",
        "1  It costs $5 and $6.",
        "2  A <b>dog</b> sleeps.",
    ]
    assert render(figure, "s", "t", "a").png.startswith(b"\x89PNG")


def test_predictions_outside_the_range_are_inside_the_axes():
    axes = scatter_figure(np.array([0.0, 1.0]), np.array([-0.5, 1.7]), (0.0, 1.0), texts=None).axes[0]
    low, high = axes.get_ylim()
    assert low < -0.5
    assert high > 1.7


def test_density_is_one_in_the_crowd_and_small_far_from_it():
    x = np.array([1.0] * 50 + [4.0])
    density = point_density(x, x, (0.0, 5.0))
    assert density[0] == 1.0
    assert 0 < density[50] < 0.05


def test_the_note_of_a_lost_data_set_says_so():
    figure = scatter_figure(np.array([0.0, 1.0]), np.array([0.0, 0.0]), (0.0, 1.0), texts=None)
    assert "no longer there" in figure.get_supxlabel()


def test_equal_input_gives_equal_files_and_the_svg_is_vector(tmp_path):
    drawn = [render(confusion_figure(np.array([[3, 1], [1, 2]]), ["0", "1"]), "m", "t", "a") for _ in range(2)]
    assert drawn[0] == drawn[1]
    png, svg = drawn[0].write(tmp_path / "out")
    assert (png.name, svg.name) == ("m.png", "m.svg")
    assert png.read_bytes() == drawn[0].png
    assert b"<svg" in svg.read_bytes()
    assert b"<image" not in confusion_svg_without_matrix(drawn[0].svg)


def confusion_svg_without_matrix(svg: bytes) -> bytes:
    """Return the part after the two pictures (matrix and colour bar) that matplotlib stores as pixels."""
    return svg.rpartition(b"<image")[2]


def test_text_of_the_data_is_one_line_without_control_characters():
    assert plain_text("a\x1b[31m\tb\n c\u202e") == "a[31m b c"
    assert plain_text("x" * 300, 10) == "x" * 9 + "…"


def test_scores_are_written_as_the_paper_writes_them():
    assert [short(v) for v in (0.545, -0.0214, 1.0, 0.0)] == [".545", "-.021", "1.000", ".000"]
