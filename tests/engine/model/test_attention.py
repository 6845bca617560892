"""Attention over packed sentences: torch's own, sentence by sentence, and derivatives both ways against differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from smartcli.data.joining import Sequences
from smartcli.engine.model.attention import attend, relative_buckets
from smartcli.engine.model.dropout import Dropout, FreshDropout, ReplayDropout, no_dropout
from smartcli.engine.model.packing import PackedBatch, pack
from smartcli.engine.streams import stream

HEADS, D = 2, 6
LENGTHS = (3, 1, 5, 3)


def packed(lengths: Sequence[int] = LENGTHS, groups: int = 2) -> PackedBatch:
    ids = np.arange(sum(lengths))
    made = Sequences(ids, np.zeros_like(ids), np.array(lengths, np.int64), np.zeros(len(lengths), bool))
    return pack({"a": [made]}, most_groups=groups)


def split_at_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sentences of up to three tokens in one group, longer ones in another, though so few do not pay for it."""
    from smartcli.engine.model import packing

    monkeypatch.setattr(packing, "split_groups", lambda lengths, most: [(0, 3), (3, len(lengths))])


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> PackedBatch:
    split_at_three(monkeypatch)
    made = packed()
    assert [(len(group), group.width) for group in made.groups] == [(3, 3), (1, 5)]
    return made


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=stream(seed, "test")).requires_grad_(True)


def recorded(batch: PackedBatch, p: float, *, first_only: bool = False) -> Dropout:
    """The same masks at every call."""
    if p == 0:
        return no_dropout
    fresh = FreshDropout(stream(0, "dropout"), record=True)
    tokens = batch.tokens
    query = drawn(batch.sentences, D) if first_only else None
    attend(
        drawn(tokens, (2 if first_only else 3) * D), query, batch, heads=HEADS, bias=None, dropout=fresh, p=p, place="x"
    )
    assert fresh.masks is not None
    return ReplayDropout(fresh.masks)


def by_sentence(x: Tensor, batch: PackedBatch, bias: Tensor | None) -> Tensor:
    """torch's attention over one sentence after the other."""
    out = []
    for start, length in zip(batch.starts.tolist(), batch.lengths.tolist(), strict=True):
        q, k, v = (
            part.view(length, HEADS, D // HEADS).transpose(0, 1) for part in x[start : start + length].chunk(3, 1)
        )
        mask = None if bias is None else bias[:, :length, :length]
        out.append(F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(0, 1).reshape(length, D))
    return torch.cat(out)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("first_only", [False, True])
def test_it_is_torchs_attention_over_each_sentence(batch: PackedBatch, first_only: bool, biased: bool) -> None:
    x, bias = drawn(batch.tokens, 3 * D), drawn(HEADS, 5, 5, seed=1) if biased else None
    expected = by_sentence(x, batch, bias)
    given, query = x, None
    if first_only:
        given, query, expected = x[:, D:], x[batch.starts, :D], expected[batch.starts]
    found = attend(given, query, batch, heads=HEADS, bias=bias, dropout=no_dropout, p=0.0, place="x")
    assert_close(found, expected, rtol=1e-12, atol=1e-12)
    wanted = [x] if bias is None else [x, bias]
    for mine, theirs in zip(
        torch.autograd.grad(found.square().sum(), wanted),
        torch.autograd.grad(expected.square().sum(), wanted),
        strict=True,
    ):
        assert_close(mine, theirs, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("p", [0.0, 0.4])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("first_only", [False, True])
def test_its_derivatives_are_finite_differences(batch: PackedBatch, first_only: bool, biased: bool, p: float) -> None:
    bias = drawn(HEADS, 5, 5, seed=1) if biased else None
    dropout = recorded(batch, p, first_only=first_only)

    def function(x: Tensor, query: Tensor | None, bias: Tensor | None) -> Tensor:
        return attend(x, query, batch, heads=HEADS, bias=bias, dropout=dropout, p=p, place="x")

    x = drawn(batch.tokens, (2 if first_only else 3) * D)
    query = drawn(batch.sentences, D, seed=2) if first_only else None
    assert torch.autograd.gradcheck(function, (x, query, bias))
    still = None if bias is None else bias.detach()
    assert torch.autograd.gradcheck(function, (x, query, still), check_forward_ad=True, check_backward_ad=False)


def test_dropped_shares_are_those_of_the_mask(batch: PackedBatch) -> None:
    """With values of one, a row's output is the sum of its shares after dropout."""
    x = drawn(batch.tokens, 3 * D).detach()
    x[:, 2 * D :] = 1.0
    fresh = FreshDropout(stream(0, "dropout"), record=True)
    found = attend(x, None, batch, heads=HEADS, bias=None, dropout=fresh, p=0.5, place="here")
    assert fresh.masks is not None
    assert set(fresh.masks) == {"here.group0", "here.group1"}
    longest = int(batch.lengths.argmax())
    start, length = int(batch.starts[longest]), int(batch.lengths[longest])
    q, k = (x[start : start + length, at * D : (at + 1) * D].view(length, HEADS, -1).transpose(0, 1) for at in (0, 1))
    shares = torch.softmax(q @ k.transpose(1, 2) / (D // HEADS) ** 0.5, dim=-1) * fresh.masks["here.group1"][1][0]
    assert_close(found[start : start + length].view(length, HEADS, -1)[:, :, 0], shares.sum(dim=2).T)


def test_in_bf16_it_stays_near_and_keeps_its_type(batch: PackedBatch) -> None:
    x = drawn(batch.tokens, 3 * D).detach()
    exact = attend(x, None, batch, heads=HEADS, bias=None, dropout=no_dropout, p=0.0, place="x")
    half = x.bfloat16().requires_grad_(True)
    found = attend(half, None, batch, heads=HEADS, bias=None, dropout=no_dropout, p=0.0, place="x")
    assert found.dtype == torch.bfloat16
    assert_close(found.double(), exact, rtol=0.02, atol=0.02)
    (gradient,) = torch.autograd.grad(found.float().sum(), half)
    assert gradient.dtype == torch.bfloat16
    assert bool(torch.isfinite(gradient).all())


def test_a_second_backward_through_the_same_graph_gives_the_same(batch: PackedBatch) -> None:
    x = drawn(batch.tokens, 3 * D)
    out = attend(x, None, batch, heads=HEADS, bias=None, dropout=recorded(batch, 0.4), p=0.4, place="x").sin().sum()
    first, second = (torch.autograd.grad(out, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_offsets_fall_into_t5s_buckets() -> None:
    near = relative_buckets(4, 32, 128)
    assert near.tolist() == [[0, 17, 18, 19], [1, 0, 17, 18], [2, 1, 0, 17], [3, 2, 1, 0]]
    far = relative_buckets(200, 32, 128)
    assert (far[199, 0].item(), far[0, 199].item()) == (15, 31)
