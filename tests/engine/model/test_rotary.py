"""Rotary positions: complex multiplication as reference, scores by distance alone, derivatives both ways."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from smartcli.data.joining import Sequences
from smartcli.engine.model.packing import PackedBatch, pack
from smartcli.engine.model.rotary import rotary_table, rotate, turns
from smartcli.engine.streams import stream

HEADS, WIDTH, BASE = 2, 6, 100.0
LENGTHS = (3, 5, 1)


def packed() -> PackedBatch:
    ids = np.arange(sum(LENGTHS))
    made = Sequences(ids, np.zeros_like(ids), np.array(LENGTHS, np.int64), 0)
    return pack({"a": [made]}, most_groups=1)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=stream(seed, "test")).requires_grad_(True)


def test_angles_are_place_times_base_to_the_minus_2i_over_d() -> None:
    cos, sin = rotary_table(8, 4, 100.0)
    assert cos.shape == (8, 2)
    # Rates 100^0 = 1 and 100^(-2/4) = 0.1.
    expected = torch.tensor([[m, m / 10] for m in range(8)], dtype=torch.float64)
    assert_close(cos.double(), expected.cos(), rtol=0, atol=1e-6)
    assert_close(sin.double(), expected.sin(), rtol=0, atol=1e-6)
    assert (float(cos[1, 0]), float(sin[1, 0])) == pytest.approx((math.cos(1.0), math.sin(1.0)), abs=1e-7)


def test_pairs_are_turned_as_complex_numbers_and_values_stay() -> None:
    batch, x = packed(), drawn(sum(LENGTHS), 3 * HEADS * WIDTH).detach()
    found = rotate(x, turns(batch, WIDTH, BASE), heads=HEADS, parts=3).view(-1, 3, HEADS, WIDTH)
    rows, half = x.view(-1, 3, HEADS, WIDTH), WIDTH // 2
    rate = BASE ** (-2 * torch.arange(half, dtype=torch.float64) / WIDTH)
    turn = torch.polar(torch.ones(1, dtype=torch.float64), batch.positions[:, None] * rate)[:, None, None]
    expected = torch.complex(rows[..., :half], rows[..., half:]) * turn
    # The table is of fp32.
    assert_close(found[:, :2, :, :half], expected.real[:, :2], rtol=0, atol=1e-6)
    assert_close(found[:, :2, :, half:], expected.imag[:, :2], rtol=0, atol=1e-6)
    assert torch.equal(found[:, 2], rows[:, 2])
    starts = batch.starts
    assert torch.equal(found[starts], rows[starts])  # a first token is not turned


def test_a_score_depends_on_the_distance_alone() -> None:
    table = rotary_table(64, WIDTH, BASE).double()
    query, key = (drawn(1, 2 * WIDTH, seed=seed).detach() for seed in (1, 2))

    def score(first: int, second: int) -> float:
        q, k = (
            rotate(x, table[:, place][:, None, None, None], heads=1, parts=2)[0, :WIDTH]
            for x, place in ((query, first), (key, second))
        )
        return float(q @ k)

    assert score(10, 3) == pytest.approx(score(47, 40), abs=1e-5)
    assert score(10, 3) == pytest.approx(score(7, 0), abs=1e-5)
    assert abs(score(10, 3) - score(3, 10)) > 1e-3


@pytest.mark.parametrize("parts", [2, 3])
def test_its_derivatives_are_finite_differences(parts: int) -> None:
    turn = turns(packed(), WIDTH, BASE)
    x = drawn(sum(LENGTHS), parts * HEADS * WIDTH)
    assert torch.autograd.gradcheck(lambda x: rotate(x, turn, heads=HEADS, parts=parts), (x,), check_forward_ad=True)


def test_in_bf16_the_turn_is_rounded_once() -> None:
    turn, x = turns(packed(), WIDTH, BASE), drawn(sum(LENGTHS), 3 * HEADS * WIDTH).detach().bfloat16()
    found = rotate(x, turn, heads=HEADS, parts=3)
    exact = rotate(x.float(), turn, heads=HEADS, parts=3)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, exact.bfloat16())
