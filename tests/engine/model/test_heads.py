"""Heads by kind and pair mode: shapes, hand-worked outputs, starts and decisions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_model import MODES, TASKS
from torch import Tensor
from torch.testing import assert_close

from smartcli.engine.model.heads import INIT_STD, Head, decide

U = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
V = torch.tensor([[3.0, -1.0], [0.0, -2.0]])


def head(task: str, mode: str, weight: list[list[float]] | None = None, bias: list[float] | None = None) -> Head:
    module = Head(TASKS.get(task), mode, 2)
    if weight is not None:
        assert module.linear is not None
        module.linear.weight.data = torch.tensor(weight)
        module.linear.bias.data = torch.tensor(bias)
    return module


def run(module: Head, *sides: Tensor) -> Tensor:
    with torch.no_grad():
        out: Tensor = module(sides)
    return out


@pytest.mark.parametrize("mode", MODES)
def test_a_single_sentence_has_the_same_head_in_every_mode(mode: str) -> None:
    module = head("mood", mode)
    assert module.linear is not None
    assert module.linear.weight.shape == (5, 2)
    assert run(module, U).shape == (2, 5)


def test_joined_pairs_read_one_vector_and_give_one_number() -> None:
    assert run(head("same", "concat", [[2.0, -1.0]], [0.5]), U).tolist() == [0.5, -0.5]
    assert run(head("near", "concat", [[2.0, -1.0]], [0.5]), U).tolist() == [0.5, -0.5]


@pytest.mark.parametrize("task", ["same", "near"])
def test_separate_sentences_are_laid_side_by_side(task: str) -> None:
    # u·(1, 10) + v·(100, 1000)
    module = head(task, "separate", [[1.0, 10.0, 100.0, 1000.0]], [0.25])
    assert run(module, U, V).tolist() == [21.0 + 300.0 - 1000.0 + 0.25, 10.0 - 2000.0 + 0.25]


def test_cosine_mode_reads_u_v_and_the_size_of_their_difference() -> None:
    module = head("same", "cosine", [[0.0] * 4 + [1.0, 10.0], [1.0, 0.0, 1.0, 0.0, 0.0, 0.0]], [0.0, 0.0])
    assert run(module, U, V).tolist() == [[2.0 + 30.0, 4.0], [30.0, 0.0]]


def test_cosine_scores_by_hand() -> None:
    u = torch.tensor([[1.0, 0.0], [1.0, 0.0], [2.0, 0.0], [1.0, 0.0]])
    v = torch.tensor([[3.0, 0.0], [0.0, 2.0], [-1.0, 0.0], [1.0, 3**0.5]])
    module = head("near", "cosine")
    assert module.linear is None
    # lo + (cos + 1)/2·(hi − lo) over [0, 5] is (cos + 1)·2.5.
    assert_close(run(module, u, v), torch.tensor([5.0, 2.5, 0.0, 3.75]))


@given(st.lists(st.floats(-10, 10), min_size=4, max_size=4))
@settings(max_examples=40, deadline=None)
def test_cosine_scores_stay_in_range_and_ignore_the_order_of_the_pair(values: list[float]) -> None:
    a, b = torch.tensor([values[:2]]), torch.tensor([values[2:]])
    module = head("near", "cosine")
    score = run(module, a, b)
    assert -1e-5 <= score.item() <= 5 + 1e-5
    assert_close(score, run(module, b, a))


def test_fresh_heads_depend_on_seed_and_name_alone() -> None:
    wide = Head(TASKS.get("mood"), "concat", 4000)
    assert wide.linear is not None
    wide.start(0, 9.0)
    # 20,000 draws: five standard deviations of the measured deviation are 2.5 %.
    assert wide.linear.weight.std().item() == pytest.approx(INIT_STD, rel=0.025)
    assert wide.linear.bias.abs().max().item() == 0.0
    torch.manual_seed(3)
    first, second, other = head("same", "concat"), head("same", "concat"), head("same", "concat")
    first.start(0, 0.0)
    second.start(0, 0.0)
    other.start(1, 0.0)
    for module in (first, second, other):
        assert module.linear is not None
    assert torch.equal(first.linear.weight, second.linear.weight)  # type: ignore[union-attr]
    assert not torch.equal(first.linear.weight, other.linear.weight)  # type: ignore[union-attr]


def test_a_regression_starts_at_the_train_mean() -> None:
    module = head("near", "concat")
    module.start(0, 2.75)
    assert module.linear is not None
    assert module.linear.bias.tolist() == [2.75]
    head("near", "cosine").start(0, 2.75)


def test_decisions_by_hand() -> None:
    labels, shares = decide(TASKS.get("mood"), torch.tensor([[0.0, 3.0, 1.0, 1.0, 1.0]]))
    assert labels.tolist() == [1.0]
    assert shares is not None
    assert_close(shares.sum(), torch.tensor(1.0))
    labels, shares = decide(TASKS.get("same"), torch.tensor([1.0986123, -1.0986123]))
    assert labels.tolist() == [1.0, 0.0]
    assert shares is not None
    assert_close(shares, torch.tensor([[0.25, 0.75], [0.75, 0.25]]))
    labels, shares = decide(TASKS.get("same"), torch.tensor([[2.0, 1.0]]))
    assert labels.tolist() == [0.0]
    assert shares is not None
    scores, none = decide(TASKS.get("near"), torch.tensor([1.5, 7.0]))
    assert scores.tolist() == [1.5, 7.0]
    assert none is None
