"""The mean of several models' weights, and whether they are near enough to be averaged.

Wortsman et al. 2022 (arXiv 2203.05482): weights of runs that were fine-tuned from one start lie in one basin of the
loss, so that their mean is a model of its own; weights of two starts have no such mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from smartcli.engine.model.encoder_tensors import canonical_tensors, fill
from smartcli.engine.model.multitask import MultiTaskModel, fill_heads, head_tensors

NEAR = 0.5
"""Lowest cosine of two runs' matrices: fine-tuning from one start leaves them above .9, two draws are at 0."""
_HEAD = "head "
Weights = Mapping[str, Tensor]
"""As `weights_of` returns them."""


def weights_of(model: MultiTaskModel) -> dict[str, Tensor]:
    """Return copies of the encoder's tensors by canonical name, and of the heads' under `head TASK.weight`."""
    own = canonical_tensors(model.encoder) | {f"{_HEAD}{name}": t for name, t in head_tensors(model).items()}
    return {name: tensor.detach().cpu().clone() for name, tensor in own.items()}


@torch.no_grad()
def set_weights(model: MultiTaskModel, tensors: Weights) -> None:
    """Give a model the weights that `weights_of` returned of another one like it."""
    fill(model.encoder, tensors)
    heads = {name.removeprefix(_HEAD): tensor for name, tensor in tensors.items() if name.startswith(_HEAD)}
    fill_heads(model, heads, model.tasks.names)


def far_tensor(one: Weights, other: Weights) -> tuple[str, float] | None:
    """Return name and cosine of an encoder matrix in which two models are no run of one start; None: all are near.

    ValueError where names or shapes differ.
    """
    if set(one) != set(other):
        raise ValueError(f'only one of them has "{min(set(one) ^ set(other))}"')
    for name, tensor in one.items():
        if tensor.shape != other[name].shape:
            raise ValueError(f'"{name}" has the shapes {list(tensor.shape)} and {list(other[name].shape)}')
    for name, tensor in one.items():
        if tensor.dim() < 2 or name.startswith(_HEAD):
            # Biases start at 0 and heads are small: their direction may well turn in training.
            continue
        cosine = float(torch.cosine_similarity(tensor.double().flatten(), other[name].double().flatten(), dim=0))
        if cosine < NEAR and not torch.equal(tensor, other[name]):
            return name, cosine
    return None


@dataclass(frozen=True)
class WeightSum:
    """Sums of the weights of `count` models in float64, so that a mean of fp32 numbers is exact but for a rounding."""

    count: int = 0
    sums: Weights = field(default_factory=dict)

    def plus(self, tensors: Weights) -> WeightSum:
        """Return the sum with one model more."""
        added = {
            name: tensor.double() + self.sums[name] if self.count else tensor.double()
            for name, tensor in tensors.items()
        }
        return WeightSum(self.count + 1, added)

    def mean(self) -> dict[str, Tensor]:
        """Return the mean of each tensor in fp32."""
        return {name: (total / self.count).float() for name, total in self.sums.items()}
