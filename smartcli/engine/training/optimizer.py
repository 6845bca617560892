"""AdamW over the parameters of a phase: biases and LayerNorm weights are not decayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from smartcli.config import Settings

BETAS, EPS = (0.9, 0.999), 1e-6


def make_optimizer(
    parameters: Sequence[tuple[str, nn.Parameter]], settings: Settings, lr: Tensor | None = None
) -> torch.optim.AdamW:
    """Return a fused AdamW; parameters of one dimension (biases, LayerNorm) have no weight decay.

    With the scalar `lr` it reads the learning rate from there, and can be captured on a GPU.
    """
    trained = [p for _, p in parameters if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [g for g in groups if g["params"]],
        lr=settings.lr if lr is None else lr,
        betas=BETAS,
        eps=EPS,
        fused=True,
        capturable=lr is not None and lr.is_cuda,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


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
