"""AdamW over the parameters of a phase: biases and LayerNorm weights are not decayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from smartcli.config import Settings

BETAS, EPS = (0.9, 0.999), 1e-6
RATE = "rate"
"""A group's key for what its learning rate is multiplied by."""


def make_optimizer(
    parameters: Sequence[tuple[str, nn.Parameter]],
    settings: Settings,
    lr: Tensor | None = None,
    rates: Mapping[str, float] | None = None,
) -> torch.optim.AdamW:
    """Return a fused AdamW; parameters of one dimension (biases, LayerNorm) have no weight decay.

    With the scalar `lr` it reads the learning rate from there, and can be captured on a GPU. `rates` multiply the
    learning rate of the parameters that they name; `set_learning_rate` keeps them so.
    """
    rates = rates or {}
    found: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for name, parameter in parameters:
        if parameter.requires_grad:
            found.setdefault((parameter.dim() <= 1, rates.get(name, 1.0)), []).append(parameter)
    groups = []
    for (small, rate), own in sorted(found.items(), key=lambda item: item[0]):
        group = {"params": own, "weight_decay": 0.0 if small else settings.weight_decay, RATE: rate}
        if lr is not None and rate != 1.0:
            group["lr"] = torch.zeros_like(lr)
        groups.append(group)
    return torch.optim.AdamW(
        groups,
        lr=settings.lr if lr is None else lr,
        betas=BETAS,
        eps=EPS,
        fused=True,
        capturable=lr is not None and lr.is_cuda,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float | Tensor) -> None:
    """Set the learning rate of every group, times the group's own rate; a scalar tensor is not read on the host."""
    for group in optimizer.param_groups:
        if not isinstance(lr, Tensor):
            group["lr"] = lr * group[RATE]
        elif group[RATE] != 1.0:
            # The other groups read `lr` itself.
            torch.mul(lr, group[RATE], out=group["lr"])


def optimizer_tensors(optimizer: torch.optim.AdamW, named: Sequence[tuple[str, nn.Parameter]]) -> dict[str, Tensor]:
    """Return AdamW's moments and step counts as `NAME.exp_avg`, `NAME.exp_avg_sq`, `NAME.step`."""
    out: dict[str, Tensor] = {}
    for name, parameter in named:
        for key, value in optimizer.state.get(parameter, {}).items():
            out[f"{name}.{key}"] = value
    return out


def restore_optimizer(
    optimizer: torch.optim.AdamW, named: Sequence[tuple[str, nn.Parameter]], tensors: Mapping[str, Tensor]
) -> None:
    """Set AdamW's state from `optimizer_tensors()` of an earlier run."""
    for name, parameter in named:
        keys = ("exp_avg", "exp_avg_sq", "step")
        if f"{name}.step" in tensors:
            optimizer.state[parameter] = {key: tensors[f"{name}.{key}"].to(parameter.device).clone() for key in keys}
