"""Local attention: who reads whom, exact zeros beyond the window, and no NaN at padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from smartcli.data.joining import Sequences
from smartcli.engine.model.attention import attend
from smartcli.engine.model.dropout import no_dropout
from smartcli.engine.model.local_attention import window_bias
from smartcli.engine.model.packing import pack
from smartcli.engine.streams import stream

CPU = torch.device("cpu")


def test_a_token_reads_as_many_as_reach_on_either_side() -> None:
    bias = window_bias(5, 2, CPU)
    assert bias is not None
    near = (bias[0, :5, :5] == 0).long()
    assert near.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [0, 1, 1, 1, 1], [0, 0, 1, 1, 1]]


def test_where_nothing_is_out_of_reach_there_is_no_bias() -> None:
    assert window_bias(500, 0, CPU) is None
    assert window_bias(9, 8, CPU) is None
    assert window_bias(10, 8, CPU) is not None


@pytest.mark.parametrize("first_only", [False, True])
def test_a_padded_batch_has_the_numbers_of_slices_attended_one_by_one(first_only: bool) -> None:
    """One sentence is so short that the long one's places have no token of it within their window."""
    lengths, reach, heads, d = (2, 12), 3, 2, 4
    ids = np.arange(sum(lengths))
    batch = pack({"a": [Sequences(ids, np.zeros_like(ids), np.array(lengths, np.int64), 0)]}, most_groups=1)
    draw = torch.randn(sum(lengths), 3 * heads * d, dtype=torch.float64, generator=stream(0, "test"))
    x = draw.clone().requires_grad_(True)
    expected = []
    for start, length in zip(batch.starts.tolist(), batch.lengths.tolist(), strict=True):
        q, k, v = x[start : start + length].view(length, 3, heads, d).unbind(1)
        for row in range(1 if first_only else length):
            seen = slice(max(0, row - reach), row + reach + 1)
            shares = torch.softmax(torch.einsum("hd,khd->hk", q[row], k[seen]) / d**0.5, dim=-1)
            expected.append(torch.einsum("hk,khd->hd", shares, v[seen]).flatten())
    given, query = (x[:, heads * d :], x[batch.starts, : heads * d]) if first_only else (x, None)
    found = attend(
        given, query, batch, heads=heads, bias=window_bias(12, reach, CPU), dropout=no_dropout, p=0.0, place="x"
    )
    assert_close(found, torch.stack(expected), rtol=1e-12, atol=1e-12)
    for mine, theirs in zip(
        torch.autograd.grad(found.square().sum(), x),
        torch.autograd.grad(torch.stack(expected).square().sum(), x),
        strict=True,
    ):
        assert_close(mine, theirs, rtol=1e-11, atol=1e-12)


def test_shares_beyond_the_window_are_exactly_zero() -> None:
    ids = np.arange(8)
    batch = pack({"a": [Sequences(ids, np.zeros_like(ids), np.array([8], np.int64), 0)]})
    x = torch.randn(8, 6, generator=stream(0, "test")).requires_grad_(True)
    found = attend(x, None, batch, heads=1, bias=window_bias(8, 2, CPU), dropout=no_dropout, p=0.0, place="x")
    (gradient,) = torch.autograd.grad(found[0].sum(), x)
    assert bool((gradient[3:] == 0).all())
    assert bool((gradient[1:3] != 0).any(dim=1).all())
