"""The paper's perturbation in small: norms, projection and ascent by hand, before any model."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from smartcli.engine.streams import stream
from smartcli.engine.terms.ascent import (
    Ball,
    ascend,
    find_perturbation,
    gradient_of,
    project,
    sentence_norm,
    start_noise,
)

DOUBLE = torch.float64
SENTENCE = torch.tensor([0, 0, 1])
X = torch.tensor([[3.0, 0.0], [0.0, -4.0], [1.0, 1.0]], dtype=DOUBLE)
numbers = st.lists(st.floats(-1e3, 1e3), min_size=12, max_size=12)


def ball(epsilon: float = 1e-5, step: float = 1e-3, norm: str = "inf") -> Ball:
    return Ball(epsilon, 1e-5, step, norm)


def test_norms_by_hand() -> None:
    assert sentence_norm(X, SENTENCE, 2, "inf").tolist() == [4.0, 1.0]
    assert_close(sentence_norm(X, SENTENCE, 2, "2"), torch.tensor([5.0, math.sqrt(2)], dtype=DOUBLE))


@pytest.mark.parametrize("size", [1e-40, 1e-25, 1e25])
@pytest.mark.parametrize("norm", ["inf", "2"])
def test_norms_and_steps_of_gradients_too_small_or_large_to_square(norm: str, size: float) -> None:
    gradient = torch.tensor([[3.0, 4.0]]) * size
    found = sentence_norm(gradient, torch.tensor([0]), 1, norm)
    assert_close(found, torch.tensor([5.0 if norm == "2" else 4.0]) * size, rtol=1e-4, atol=0)
    moved = ascend(torch.zeros(1, 2), gradient, torch.tensor([0]), 1, ball(1.0, 0.5, norm))
    unit = torch.tensor([[0.6, 0.8]]) if norm == "2" else torch.tensor([[0.75, 1.0]])
    assert_close(moved, 0.5 * unit, rtol=1e-4, atol=0)


def test_projection_by_hand() -> None:
    assert project(X, SENTENCE, 2, ball(2.0)).tolist() == [[2.0, 0.0], [0.0, -2.0], [1.0, 1.0]]
    expected = torch.tensor([[1.2, 0.0], [0.0, -1.6], [1.0, 1.0]], dtype=DOUBLE)
    assert_close(project(X, SENTENCE, 2, ball(2.0, norm="2")), expected)


@given(numbers, st.sampled_from(["inf", "2"]), st.sampled_from([0.0, 1e-5, 0.1, 10.0]))
@settings(max_examples=60, deadline=None)
def test_projected_sentences_are_inside_and_those_that_were_stay(
    values: list[float], norm: str, epsilon: float
) -> None:
    x = torch.tensor(values, dtype=DOUBLE).view(4, 3)
    sentence = torch.tensor([0, 1, 1, 1])
    out = project(x, sentence, 2, ball(epsilon, norm=norm))
    size, before = sentence_norm(out, sentence, 2, norm), sentence_norm(x, sentence, 2, norm)
    assert bool((size <= epsilon * (1 + 1e-12)).all())
    for number in (0, 1):
        if before[number] <= epsilon:
            assert torch.equal(out[sentence == number], x[sentence == number])


def test_one_ascent_step_by_hand() -> None:
    gradient = torch.tensor([[6.0, 0.0], [0.0, 8.0], [0.0, -1.0]], dtype=DOUBLE)
    moved = ascend(X * 0.1, gradient, SENTENCE, 2, ball(10.0, 0.5, "2"))
    assert_close(moved, torch.tensor([[0.6, 0.0], [0.0, 0.0], [0.1, -0.4]], dtype=DOUBLE))
    moved = ascend(X * 0.1, gradient, SENTENCE, 2, ball(10.0, 0.5, "inf"))
    assert_close(moved, torch.tensor([[0.675, 0.0], [0.0, 0.1], [0.1, -0.4]], dtype=DOUBLE))


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_where_the_gradient_is_zero_a_sentence_keeps_its_start_projected(norm: str) -> None:
    gradient = torch.tensor([[0.0, 0.0], [0.0, 0.0], [2.0, 0.0]], dtype=DOUBLE)
    small = ball(2.0, 1e-3, norm)
    moved = ascend(X, gradient, SENTENCE, 2, small)
    assert torch.equal(moved[:2], project(X, SENTENCE, 2, small)[:2])
    assert bool(torch.isfinite(moved).all())
    assert moved[2, 0] > 1.0


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_ascent_on_a_parabola_by_hand(steps: int) -> None:
    # Σ (a·δ)² has gradient 2(a·δ)a: with p = 2 each step adds η·sign(a·δ)·a/‖a‖ until the radius.
    a = torch.tensor([3.0, -4.0], dtype=DOUBLE)
    start = torch.tensor([[0.01, 0.02]], dtype=DOUBLE)

    def parabola(delta: Tensor) -> Tensor:
        return (delta @ a).square().sum()

    expected = start.clone()
    for _ in range(steps):
        expected = expected - 0.1 * (a / 5.0)
        expected = expected * min(1.0, 0.3 / expected.norm().item())
    found = find_perturbation(partial(gradient_of, parabola), start, torch.tensor([0]), 1, ball(0.3, 0.1, "2"), steps)
    assert_close(found, expected)
    assert not found.requires_grad
    assert torch.equal(start, torch.tensor([[0.01, 0.02]], dtype=DOUBLE))


def test_start_noise_has_the_asked_deviation_and_comes_from_its_generator() -> None:
    like = torch.zeros(300, 100)
    noise = start_noise(like, 1e-5, stream(0, "noise"))
    assert noise.dtype == torch.float32
    # 30,000 draws: five standard deviations of the measured deviation are 2 %.
    assert noise.double().std().item() == pytest.approx(1e-5, rel=0.021)
    assert abs(noise.double().mean().item()) < 3e-7
    assert torch.equal(noise, start_noise(like, 1e-5, stream(0, "noise")))
    assert not torch.equal(noise, start_noise(like, 1e-5, stream(1, "noise")))
    assert start_noise(like.double(), 1e-5, stream(0, "noise")).dtype == DOUBLE
