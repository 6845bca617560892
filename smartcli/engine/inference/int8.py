"""Linear layers in int8 on a CPU, for predictions: dynamic quantisation by torch's own kernels.

Each output's weights are rounded to 255 steps of max |w| / 127; activations to 256 steps between the lowest and the
highest of the batch, found anew for each batch, so that a row's outputs depend a little on the rows beside it. Products
are summed as whole numbers. Tables, LayerNorm, attention and heads stay in fp32. Axes: T tokens, I inputs, O outputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smartcli.engine.model.dual_linear import DualLinear
from smartcli.errors import UserError

STEPS = 127
"""Steps of a weight on each side of 0."""


class Int8Weight(Tensor):
    """A weight (O, I) of whole numbers that F.linear multiplies in int8; a slice of its rows is one too."""

    scales: Tensor
    """(O,): what a step of each output's weights is worth."""
    packed: dict[int, Any]
    """The weights as the kernels want them, by the address of the bias that they are packed with; made at first use."""
    slices: dict[tuple[int, int], Int8Weight]

    @staticmethod
    def of(weight: Tensor) -> Int8Weight:
        """Return `weight` (O, I) rounded."""
        with torch.no_grad():
            scales = weight.abs().amax(dim=1).clamp_min(torch.finfo(torch.float32).tiny) / STEPS
            numbers = (weight / scales[:, None]).round_().to(torch.int8)
        return Int8Weight.made(numbers, scales)

    @staticmethod
    def made(numbers: Tensor, scales: Tensor) -> Int8Weight:
        """Return the weight numbers · scales."""
        out = numbers.as_subclass(Int8Weight)
        out.scales, out.packed, out.slices = scales, {}, {}
        return out

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.linear:
            return _multiplied(*args, **(kwargs or {}))
        if func is Tensor.__getitem__ and isinstance(args[1], slice):
            return args[0].rows(args[1])
        # All else sees a tensor of whole numbers, and gives an ordinary one.
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    def plain(self) -> Tensor:
        """Return the whole numbers (O, I) as an ordinary tensor."""
        return self.as_subclass(Tensor)

    def rows(self, chosen: slice) -> Int8Weight:
        """Return a slice of the outputs, the same object each time."""
        start, stop, _ = chosen.indices(len(self.scales))
        if (start, stop) not in self.slices:
            self.slices[start, stop] = Int8Weight.made(self.plain()[chosen], self.scales[chosen])
        return self.slices[start, stop]

    def pack(self, bias: Tensor | None) -> Any:
        """Return the kernels' form of the weight with `bias` (O,), made once."""
        key = 0 if bias is None else bias.data_ptr()
        if key not in self.packed:
            zeros = torch.zeros(len(self.scales), dtype=torch.long)
            with warnings.catch_warnings():
                # torch's quantised tensors are on the way out; the kernels behind them have no other way in yet.
                warnings.simplefilter("ignore")
                made = torch._make_per_channel_quantized_tensor(self.plain().contiguous(), self.scales, zeros, 0)
                self.packed[key] = torch.ops.quantized.linear_prepack(made, bias)
        return self.packed[key]


def _multiplied(x: Tensor, weight: Int8Weight, bias: Tensor | None = None) -> Tensor:
    """Return x·Wᵀ + b (T, O)."""
    if x.shape[0] == 0:
        return x.new_zeros(0, len(weight.scales))
    # Without VNNI two products are added in 16 bits, which seven bits of an activation leave room for.
    narrow = not torch.cpu._is_vnni_supported()
    return cast(Tensor, torch.ops.quantized.linear_dynamic(x.float(), weight.pack(bias), narrow))


def check_supported() -> None:
    """Raise a UserError where this build of torch has no int8 kernels."""
    needed = (("quantized", "linear_prepack"), ("quantized", "linear_dynamic"))
    lacking = [name for space, name in needed if not hasattr(getattr(torch.ops, space), name)]
    lacking += [] if hasattr(torch, "_make_per_channel_quantized_tensor") else ["quantised tensors"]
    engines = [name for name in torch.backends.quantized.supported_engines if name != "none"]
    if lacking or not engines:
        raise UserError(
            f"--precision int8: this build of torch ({torch.__version__}) has no int8 kernels for this CPU; leave the "
            "option out to predict in fp32"
        )


def to_int8(model: nn.Module) -> int:
    """Have the linear layers of a model on a CPU multiply in int8 from now on; return how many there are.

    Their fp32 weights are given up: the model can predict, and neither train nor be stored.
    """
    check_supported()
    count = 0
    for layer in model.modules():
        if isinstance(layer, DualLinear):
            bias = None if layer.bias is None else layer.bias.detach()
            layer.int8 = (Int8Weight.of(layer.weight.detach()), bias)
            layer.weight = nn.Parameter(torch.empty(0), requires_grad=False)
            count += 1
    return count
