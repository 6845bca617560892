"""Losses and divergences: hand-worked numbers and the properties that a divergence must have."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F
from torch.testing import assert_close

from smartcli.engine.terms.losses import divergence, symmetric_kl, symmetric_kl_binary, task_loss

DOUBLE = torch.float64
logit = st.floats(-30, 30)
pairs_of_rows = st.integers(2, 6).flatmap(
    lambda n: st.tuples(st.lists(logit, min_size=n, max_size=n), st.lists(logit, min_size=n, max_size=n))
)


def rows(*values: float) -> Tensor:
    return torch.tensor([values], dtype=DOUBLE)


def test_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3.0)], [0.0, 0.0]], dtype=DOUBLE)
    loss = task_loss("classification", logits, torch.tensor([1.0, 0.0], dtype=DOUBLE))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, abs=1e-12)


def test_binary_cross_entropy_by_hand_with_one_logit_and_with_two() -> None:
    z = torch.tensor([math.log(3.0), -math.log(3.0)], dtype=DOUBLE)
    labels = torch.tensor([1.0, 1.0], dtype=DOUBLE)
    expected = (math.log(4 / 3) + math.log(4)) / 2
    assert task_loss("binary", z, labels).item() == pytest.approx(expected, abs=1e-12)
    two = torch.stack([torch.zeros_like(z), z], dim=1)
    assert task_loss("binary", two, labels).item() == pytest.approx(expected, abs=1e-12)


def test_squared_error_is_a_mean_over_examples() -> None:
    scores, labels = torch.tensor([1.0, 5.0]), torch.tensor([2.0, 2.0])
    assert task_loss("regression", scores, labels).item() == 5.0


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_a_column_against_a_row_is_refused(kind: str) -> None:
    column, row = torch.zeros(3, 1), torch.zeros(3)
    with pytest.raises(ValueError, match="same shape"):
        divergence(kind, column, row)  # type: ignore[arg-type]
    if kind == "regression":
        with pytest.raises(ValueError, match="same shape"):
            task_loss("regression", column, row)


def test_symmetric_kl_by_hand() -> None:
    # p = (1/2, 1/2), q = (3/4, 1/4): Σ (p − q)(log p − log q) = ¼·log 3.
    p, q = rows(0.0, 0.0), rows(math.log(3.0), 0.0)
    assert symmetric_kl(p, q).item() == pytest.approx(math.log(3.0) / 4, abs=1e-12)


def test_binary_form_by_hand() -> None:
    # σ(log 3) − σ(0) = 1/4 and log 3 − 0.
    a, b = torch.tensor([math.log(3.0)], dtype=DOUBLE), torch.zeros(1, dtype=DOUBLE)
    assert symmetric_kl_binary(a, b).item() == pytest.approx(math.log(3.0) / 4, abs=1e-12)


@given(pairs_of_rows)
@settings(max_examples=60, deadline=None)
def test_symmetric_kl_equals_two_kl_calls_is_symmetric_and_ignores_a_shift(values: tuple[list[float], ...]) -> None:
    a, b = rows(*values[0]), rows(*values[1])
    log_p, log_q = F.log_softmax(a, -1), F.log_softmax(b, -1)
    both = F.kl_div(log_q, log_p, reduction="sum", log_target=True) + F.kl_div(
        log_p, log_q, reduction="sum", log_target=True
    )
    found = symmetric_kl(a, b)
    assert found.item() >= 0.0
    assert_close(found.sum(), both, rtol=1e-9, atol=1e-9)
    assert torch.equal(found, symmetric_kl(b, a))
    assert_close(symmetric_kl(a + 7.5, b - 2.25), found, rtol=1e-9, atol=1e-9)


@given(pairs_of_rows)
@settings(max_examples=30, deadline=None)
def test_symmetric_kl_is_zero_on_equal_rows_and_positive_on_others(values: tuple[list[float], ...]) -> None:
    a = rows(*values[0])
    assert symmetric_kl(a, a.clone()).item() == 0.0
    other = a.clone()
    other[0, 0] += 0.5
    assert symmetric_kl(a, other).item() > 0.0


@given(logit, logit)
@settings(max_examples=60, deadline=None)
def test_the_binary_form_is_the_two_class_form_on_zero_and_the_logit(a: float, b: float) -> None:
    one = symmetric_kl_binary(torch.tensor([a], dtype=DOUBLE), torch.tensor([b], dtype=DOUBLE))
    assert_close(one, symmetric_kl(rows(0.0, a), rows(0.0, b)), rtol=1e-9, atol=1e-12)
    assert one.item() >= 0.0


@pytest.mark.parametrize("kind", ["classification", "binary"])
def test_tiny_differences_in_fp32_never_cost_less_than_zero(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (4000, 5) if kind == "classification" else (4000,)
    a = torch.randn(shape, generator=generator)
    b = a + 1e-6 * torch.randn(shape, generator=generator)
    assert bool((divergence(kind, a, b) >= 0).all())  # type: ignore[arg-type]


def test_one_logit_moves_the_divergence_and_gives_a_gradient() -> None:
    # A softmax over a single logit would be 1 on both sides: no cost and no gradient.
    a = torch.tensor([0.3], dtype=DOUBLE, requires_grad=True)
    cost = divergence("binary", a, torch.tensor([-0.4], dtype=DOUBLE)).sum()
    cost.backward()
    assert cost.item() > 0
    assert a.grad is not None
    assert a.grad.item() > 0


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_equal_scores_cost_exactly_zero(values: list[float]) -> None:
    scores = torch.tensor(values)
    assert torch.equal(divergence("regression", scores, scores.clone()), torch.zeros_like(scores))


def test_the_divergence_is_one_number_an_example() -> None:
    a, b = torch.tensor([1.0, 4.0]), torch.tensor([0.0, 1.0])
    assert divergence("regression", a, b).tolist() == [1.0, 9.0]
    assert divergence("classification", torch.zeros(3, 5), torch.ones(3, 5)).shape == (3,)
    assert divergence("binary", torch.zeros(3, 2), torch.ones(3, 2)).shape == (3,)


def test_saturated_rows_cost_a_finite_amount_with_a_finite_gradient() -> None:
    a = torch.tensor([[1e4, -1e4], [0.0, 1.0]], requires_grad=True)
    divergence("classification", a, torch.tensor([[-1e4, 1e4], [1.0, 0.0]])).sum().backward()
    assert a.grad is not None
    assert bool(torch.isfinite(a.grad).all())
