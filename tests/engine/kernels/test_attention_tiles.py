"""Attention a sentence and head at once: value, backward and tangent against softmax written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.testing import assert_close

pytest.importorskip("triton", reason="needs Triton, which comes with torch's builds for GPUs")
from smartcli.engine.kernels import attention_tiles as tiles

LENGTHS, TOKENS, LONGEST, HEADS = [3, 17, 9, 1, 1], 32, 24, 2
"""The last two are padding: both have the last token, behind two tokens of no sentence."""
STARTS = [0, 3, 20, 31, 31]


def plain(packed: Tensor, query: Tensor | None, mask: Tensor | None) -> Tensor:
    out = []
    for at, (start, length) in enumerate(zip(STARTS, LENGTHS, strict=True)):
        rows = packed[start : start + length]
        parts = rows.view(length, 3 if query is None else 2, HEADS, -1)
        q = parts[:, 0] if query is None else query[at].view(1, HEADS, -1)
        shares = torch.softmax(torch.einsum("qhd,khd->hqk", q, parts[:, -2]) / math.sqrt(q.shape[2]), dim=-1)
        if mask is not None:
            shares = shares * mask[at, :, : shares.shape[1], :length]
        out.append(torch.einsum("hqk,khd->qhd", shares, parts[:, -1]).flatten(1))
    if query is not None:
        return torch.cat(out)
    rows = torch.cat([torch.arange(s, s + n) for s, n in zip(STARTS[:4], LENGTHS[:4], strict=True)])
    return torch.zeros(TOKENS, out[0].shape[1], device=packed.device).index_copy(
        0, rows.to(packed.device), torch.cat(out[:4])
    )


@pytest.mark.parametrize("width", [16, 64])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("first", [False, True])
def test_value_gradients_and_tangent_are_softmaxs(device: torch.device, first: bool, masked: bool, width: int) -> None:
    torch.manual_seed(0)
    # Matrices are rounded to tf32 on a GPU, not in the interpreter.
    near = {"rtol": 1e-2, "atol": 1e-2} if device.type == "cuda" else {"rtol": 1e-4, "atol": 1e-5}
    where = torch.tensor(STARTS, device=device), torch.tensor(LENGTHS, device=device), HEADS, LONGEST
    packed = torch.randn(TOKENS, (2 if first else 3) * HEADS * width, device=device, requires_grad=True)
    query = torch.randn(len(STARTS), HEADS * width, device=device, requires_grad=True) if first else None
    mask = None
    if masked:
        size = (len(STARTS), HEADS, 1 if first else LONGEST, LONGEST)
        mask = (torch.rand(size, device=device) > 0.2).float() / 0.8
    expected = plain(packed, query, mask)
    given = packed.detach(), None if query is None else query.detach()
    # Of the token that two padding sentences share either's value may stand.
    compared = slice(0, len(STARTS) if first else TOKENS - 1)
    assert_close(tiles.forward(*given, mask, *where)[compared], expected.detach()[compared], **near)
    grad = torch.randn_like(expected)
    grad[3 if first else 29 :] = 0.0
    inputs = [packed] if query is None else [packed, query]
    wanted = torch.autograd.grad(expected, inputs, grad)
    for one, other in zip(tiles.backward(grad, *given, mask, *where), wanted, strict=False):
        assert one is not None
        assert_close(one, other, **near)
    moved = torch.randn_like(packed), None if query is None else torch.randn_like(query)
    with forward_ad.dual_level():
        dual = [None if t is None else forward_ad.make_dual(t, m) for t, m in zip(given, moved, strict=True)]
        tangent = forward_ad.unpack_dual(plain(*dual, mask)).tangent
    assert_close(tiles.tangent(*moved, *given, mask, *where)[compared], tangent[compared], **near)


def test_what_has_a_kernel() -> None:
    assert tiles.fits(64, 128)
    assert tiles.fits(32, 16)
    assert not tiles.fits(64, 129)
    assert not tiles.fits(24, 16)
