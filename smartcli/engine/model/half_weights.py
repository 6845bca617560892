"""bf16 copies of an encoder's linear weights, made once an update in place of a cast in every pass that reads them.

The fp32 weights stay the ones that are trained: the copies' gradients are taken over in fp32, and after an update the
copies are written again.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smartcli.engine.model.dual_linear import DualLinear


class HalfWeights:
    """The copies of a module's `DualLinear` layers, which use them where autocast is on."""

    def __init__(self, module: nn.Module) -> None:
        self.full: list[Tensor] = []
        self.half: list[Tensor] = []
        for layer in module.modules():
            if isinstance(layer, DualLinear):
                bias: Tensor | None = layer.bias
                layer.bf16_copy = (self._copy(layer.weight), None if bias is None else self._copy(bias))

    def _copy(self, parameter: Tensor) -> Tensor:
        half = parameter.detach().to(torch.bfloat16).requires_grad_(parameter.requires_grad)
        self.full.append(parameter)
        self.half.append(half)
        return half

    @torch.no_grad()
    def refresh(self) -> None:
        """Write the copies again after the weights have changed."""
        torch._foreach_copy_(self.half, self.full)

    def stand_in(self, parameter: nn.Parameter) -> Tensor:
        """Return the tensor whose gradient is the parameter's: its copy, or itself."""
        return next((h for f, h in zip(self.full, self.half, strict=True) if f is parameter), parameter)

    @torch.no_grad()
    def collect(self) -> None:
        """Move the gradients that backward left at the copies to the weights, in fp32."""
        pairs = [(f, h.grad) for f, h in zip(self.full, self.half, strict=True) if h.grad is not None]
        taken = [torch.empty_like(full) for full, _ in pairs]
        if taken:
            torch._foreach_copy_(taken, [grad for _, grad in pairs])
        for (full, _), grad in zip(pairs, taken, strict=True):
            full.grad = grad
        for half in self.half:
            half.grad = None
