"""A convolution over the tokens of each sentence, whose result is added to the first layer's (DeBERTa v2).

He et al. 2021 (arXiv 2006.03654) as their v2 code has it: x₁ = LayerNorm(x₁ + f(dropout(conv(x₀)))), with x₀ the
embeddings and x₁ the first layer's output. Axes: T tokens, S sentences, D width, K tokens that the kernel sees.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from smartcli.engine.model.distinct_rows import pick
from smartcli.engine.model.dropout import Dropout
from smartcli.engine.model.dual_linear import DualLinear
from smartcli.engine.model.feed_forward import activation
from smartcli.engine.model.packing import PackedBatch
from smartcli.engine.model.residual import add_and_norm
from smartcli.families.spec import EncoderSpec
from smartcli.families.spec_parts import Convolution


class ConvolutionPart(nn.Module):
    """The convolution as one linear layer over the K neighbours of each token, and its LayerNorm."""

    def __init__(self, spec: EncoderSpec, part: Convolution) -> None:
        super().__init__()
        self.kernel, self.act = part.kernel, part.activation
        self.linear = DualLinear(spec.hidden_size * part.kernel, spec.hidden_size)
        """Its columns lie as those of torch's convolution: K numbers for each channel of the input."""
        self.norm = nn.LayerNorm(spec.hidden_size, eps=spec.layer_norm_eps)

    def kernel_weight(self) -> Tensor:
        """Return the weight as torch's convolution has it (D, D, K), a view."""
        width = self.linear.out_features
        return self.linear.weight.data.view(width, width, self.kernel)

    def forward(
        self, x: Tensor, rows: Tensor, batch: PackedBatch, *, dropout: Dropout, p: float, first_only: bool
    ) -> tuple[Tensor, Tensor]:
        """Return the sum's LayerNorm, of the shape of `rows`, also as linear layers read it (residual.py).

        `x` (T, D) are the embeddings, `rows` the first layer's output, (T, D) or with `first_only` (S, D).
        """
        found = self.linear(neighbours(x, batch.sentence, self.kernel))
        found = dropout(found, p, "token", "convolution")
        if first_only:
            found = pick(found, batch.starts)
        return add_and_norm(activation(self.act, found), None, rows, self.norm, read=True)


def neighbours(x: Tensor, sentence: Tensor, kernel: int) -> Tensor:
    """Return (T, D · K): for each number of a token's vector the same of the K tokens around it, in order.

    Beyond the ends of its `sentence` (T,) they are 0.
    """
    half = kernel // 2
    # −1 is no sentence: rows before the first token and after the last belong to none.
    around = F.pad(sentence, (half, half), value=-1)
    inside = torch.stack([around[start : start + len(sentence)] == sentence for start in range(kernel)], dim=1)
    out: Tensor = _Neighbours.apply(x, inside)  # type: ignore[no-untyped-call]
    return out


class _Neighbours(torch.autograd.Function):
    """Rows of x moved by −K/2 … K/2 places, where `inside` (T, K) says so; backward moves them back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, inside: Tensor) -> Tensor:
        ctx.save_for_backward(inside)
        ctx.save_for_forward(inside)
        return _gather(x, inside)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (inside,) = ctx.saved_tensors
        (tokens, kernel), half = inside.shape, inside.shape[1] // 2
        parts = grads[0].view(tokens, grads[0].shape[1] // kernel, kernel)
        out = parts.new_zeros((tokens + 2 * half, parts.shape[1]))
        for start in range(kernel):
            out[start : start + tokens] += parts[:, :, start] * inside[:, start, None].to(parts.dtype)
        return out[half : half + tokens], None

    @staticmethod
    @torch.no_grad()
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        return _gather(tangents[0], ctx.saved_tensors[0])


def _gather(x: Tensor, inside: Tensor) -> Tensor:
    (tokens, kernel), width = inside.shape, x.shape[1]
    padded = F.pad(x, (0, 0, kernel // 2, kernel // 2))
    out = x.new_empty((tokens, width, kernel))
    for start in range(kernel):
        torch.mul(padded[start : start + tokens], inside[:, start, None].to(x.dtype), out=out[:, :, start])
    return out.view(tokens, width * kernel)
