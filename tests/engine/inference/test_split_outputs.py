"""Outputs of whole splits: in the rows' order, and the same however they are batched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_model import NAMES, TASKS, _template, settings, small_model, small_splits

from smartcli.engine.inference.split_outputs import Reader, batches_by_length, predict

READER = Reader(_template("bert"), 64)


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 120))
def test_batches_hold_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    sizes = np.array(lengths, np.int64)
    batches = batches_by_length(sizes, budget)
    assert sorted(int(row) for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or sizes[batch].sum() <= budget
    longest = [int(sizes[batch].max()) for batch in batches]
    assert longest == sorted(longest, reverse=True)


@pytest.mark.parametrize("mode", ["concat", "separate", "cosine"])
def test_predictions_do_not_depend_on_the_batches(mode: str) -> None:
    model = small_model(settings(pair_mode=mode), torch.float32)
    splits = small_splits()
    for task in NAMES:
        whole = predict(model, task, splits[task].sides, READER)
        small = predict(model, task, splits[task].sides, READER, budget=40)
        np.testing.assert_allclose(small.predictions, whole.predictions, atol=1e-5)
        rows = np.array([7, 2, 19])
        some = predict(model, task, splits[task].sides, READER, rows)
        np.testing.assert_allclose(some.predictions, whole.predictions[rows], atol=1e-5)
        if TASKS.get(task).kind == "regression":
            assert whole.probabilities is None
            assert len(set(whole.predictions)) > 20
        else:
            assert whole.probabilities is not None
            np.testing.assert_allclose(some.probabilities, whole.probabilities[rows], atol=1e-5)
            np.testing.assert_allclose(whole.probabilities.sum(axis=1), 1, atol=1e-6)
            assert (whole.probabilities.argmax(axis=1) == whole.predictions).all()
            assert len(set(whole.probabilities[:, 0])) > 20


def test_the_same_call_gives_the_same_bits_and_leaves_no_gradients() -> None:
    model = small_model(settings(), torch.float32)
    sides = small_splits()["near"].sides
    one, other = (predict(model, "near", sides, READER).predictions for _ in range(2))
    assert (one == other).all()
    assert all(p.grad is None for p in model.parameters())
    assert all(not p.is_inference() for p in model.parameters())


def test_truncated_rows_are_predicted_too() -> None:
    model = small_model(settings(), torch.float32)
    sides = small_splits()["near"].sides
    short = predict(model, "near", sides, Reader(READER.template, 8)).predictions
    assert np.isfinite(short).all()
    assert (short != predict(model, "near", sides, READER).predictions).any()


def test_outputs_that_are_not_finite_are_an_error_naming_the_task() -> None:
    model = small_model(settings(), torch.float32)
    model.head("same").linear.bias.data.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match='task "same" are not finite'):
        predict(model, "same", small_splits()["same"].sides, READER)
    assert len(predict(model, "mood", small_splits()["mood"].sides, READER).predictions) == 24
