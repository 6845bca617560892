"""The convolution against torch's own over one sentence after the other, its derivatives against differences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from smartcli.data.joining import Sequences
from smartcli.engine.model.convolution import ConvolutionPart, neighbours
from smartcli.engine.model.dropout import FreshDropout, ReplayDropout, no_dropout
from smartcli.engine.model.packing import PackedBatch, pack
from smartcli.engine.streams import stream
from smartcli.families.spec import EncoderSpec
from smartcli.families.spec_parts import CONVOLUTION_ACTIVATIONS, Convolution

D = 4
SPEC = EncoderSpec(
    model_type="deberta-v2", hidden_size=D, layers=1, heads=2, ffn_size=8, vocab_size=20, positions=32, embedding_size=D
)
ACTIVATIONS = {
    "tanh": torch.tanh, "relu": torch.relu, "gelu": F.gelu, "gelu_new": lambda x: F.gelu(x, approximate="tanh")
}  # fmt: skip


def packed(lengths: Sequence[int]) -> PackedBatch:
    ids = np.arange(sum(lengths))
    return pack({"a": [Sequences(ids, np.zeros_like(ids), np.array(lengths, np.int64), np.zeros(len(lengths), bool))]})


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=stream(seed, "test")).requires_grad_(True)


def made(kernel: int = 3, activation: str = "tanh") -> ConvolutionPart:
    part = ConvolutionPart(SPEC, Convolution(kernel=kernel, activation=activation)).double()
    for number, parameter in enumerate(part.parameters()):
        parameter.data = drawn(*parameter.shape, seed=10 + number).detach()
    return part


def test_neighbours_by_hand() -> None:
    x = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    found = neighbours(x, torch.tensor([0, 1, 1]), 3)
    assert found.tolist() == [
        [0, 1, 0, 0, 10, 0],
        [0, 2, 3, 0, 20, 30],
        [2, 3, 0, 20, 30, 0],
    ]


@pytest.mark.parametrize("activation", CONVOLUTION_ACTIVATIONS)
@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("first_only", [False, True])
def test_it_is_torchs_over_each_sentence(kernel: int, activation: str, first_only: bool) -> None:
    part, batch = made(kernel, activation), packed((1, 2, 5, 3))
    x = drawn(batch.tokens, D)
    rows = drawn(batch.sentences if first_only else batch.tokens, D, seed=1)
    found = []
    for start, length in zip(batch.starts.tolist(), batch.lengths.tolist(), strict=True):
        one = x[start : start + length].T[None]
        found.append(F.conv1d(one, part.kernel_weight(), part.linear.bias, padding=kernel // 2)[0].T)
    moved = ACTIVATIONS[activation](torch.cat(found))
    expected = F.layer_norm(
        rows + (moved[batch.starts] if first_only else moved), [D], part.norm.weight, part.norm.bias, part.norm.eps
    )
    ours, _ = part(x, rows, batch, dropout=no_dropout, p=0.0, first_only=first_only)
    assert_close(ours, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("activation", CONVOLUTION_ACTIVATIONS)
def test_its_derivatives_are_finite_differences(activation: str) -> None:
    part, batch = made(3, activation), packed((1, 4, 2))
    x, rows = drawn(batch.tokens, D), drawn(batch.tokens, D, seed=1)
    fresh = FreshDropout(stream(0, "dropout"), record=True)
    part(x, rows, batch, dropout=fresh, p=0.3, first_only=False)
    assert fresh.masks is not None
    assert set(fresh.masks) == {"convolution"}
    again = ReplayDropout(fresh.masks)

    def function(x: Tensor, rows: Tensor) -> Tensor:
        out: Tensor = part(x, rows, batch, dropout=again, p=0.3, first_only=False)[0]
        return out

    assert torch.autograd.gradcheck(function, (x, rows))
    for parameter in part.parameters():
        parameter.requires_grad_(False)
    assert torch.autograd.gradcheck(function, (x, rows), check_forward_ad=True, check_backward_ad=False)


def test_a_sentence_sees_nothing_of_its_neighbours() -> None:
    part, batch = made(5), packed((2, 3, 4))
    x, rows = drawn(batch.tokens, D).detach(), drawn(batch.tokens, D, seed=1).detach()
    first = part(x, rows, batch, dropout=no_dropout, p=0.0, first_only=False)[0]
    x[2:5] += 1.0
    second = part(x, rows, batch, dropout=no_dropout, p=0.0, first_only=False)[0]
    same = (first == second).all(dim=1)
    assert same.tolist() == [True] * 2 + [False] * 3 + [True] * 4


def test_the_kernels_weight_is_a_view_that_is_filled() -> None:
    part = made(3)
    part.kernel_weight()[1, 2, 0] = 7.0
    assert float(part.linear.weight[1, 2 * 3]) == 7.0
