"""x·Wᵀ + b, for training and for forward-mode differentiation by x."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad


def dual_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x·Wᵀ + b (rows, outputs) of `x` (rows, inputs).

    Where `x` carries a tangent, the weights' own, which is zero, is not multiplied, as torch's formula does:
    half the multiplies of a tangent pass.
    """
    value, tangent = forward_ad.unpack_dual(x)  # type: ignore[no-untyped-call]
    if tangent is None:
        return F.linear(x, weight, bias)
    # Tangents are never differentiated: without a graph they cost no memory.
    with torch.no_grad():
        moved = F.linear(tangent, weight)
    out: Tensor = forward_ad.make_dual(F.linear(value, weight, bias), moved)  # type: ignore[no-untyped-call]
    return out


class DualLinear(nn.Linear):
    """torch's module, through `dual_linear`."""

    bf16_copy: tuple[Tensor, Tensor] | None = None
    """Weight and bias in bf16 (half_weights.py), for passes under autocast."""

    def forward(self, input: Tensor) -> Tensor:
        return dual_linear(input, *self.used())

    def used(self) -> tuple[Tensor, Tensor]:
        """Return the weight and bias that a pass reads here and now."""
        if self.bf16_copy is not None and torch.is_autocast_enabled(self.weight.device.type):
            return self.bf16_copy
        return self.weight, self.bias
