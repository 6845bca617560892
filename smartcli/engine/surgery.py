"""Gradient surgery (PCGrad, Yu et al. 2020, Algorithm 1), computed from the Gram matrix of task gradients.

Every projected gradient is a combination of the task gradients, so only the n × n inner products are
projected, and the full gradients are read once. Axes: n tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from smartcli.errors import UserError, suggest

Gradient = Sequence[Tensor]


def gram_matrix(gradients: Sequence[Gradient]) -> Tensor:
    """Return the inner products (n, n) of gradients given tensor by tensor, summed in float64."""
    n = len(gradients)
    gram = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        for j in range(i, n):
            dots = [torch.dot(a.reshape(-1), b.reshape(-1)) for a, b in zip(gradients[i], gradients[j], strict=True)]
            gram[i, j] = gram[j, i] = torch.stack([dot.double() for dot in dots]).sum().cpu()
    return gram


def random_order(n: int, generator: torch.Generator) -> list[list[int]]:
    """Return, for each task, the other tasks in the random order in which it is projected."""
    orders = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        orders.append([others[k] for k in torch.randperm(n - 1, generator=generator).tolist()])
    return orders


def pcgrad_coefficients(gram: Tensor, orders: Sequence[Sequence[int]]) -> Tensor:
    """Return C (n, n): the i-th projected gradient is Σ_j C[i, j]·g_j.

    g_i loses its part along −g_j wherever the two point apart at that moment.
    """
    n = gram.shape[0]
    out = torch.eye(n, dtype=gram.dtype)
    for i, order in enumerate(orders):
        for j in order:
            inner = out[i] @ gram[:, j]
            if inner < 0 and gram[j, j] > 0:
                out[i, j] -= inner / gram[j, j]
    return out


def conflicts(gram: Tensor) -> dict[tuple[int, int], float]:
    """Return the cosine of each pair of task gradients; below 0 they conflict, 0 where one vanishes."""
    sizes = gram.diagonal().clamp_min(0).sqrt()
    pairs = [(i, j) for i in range(len(gram)) for j in range(i + 1, len(gram))]
    return {(i, j): float(gram[i, j] / (sizes[i] * sizes[j])) if sizes[i] * sizes[j] > 0 else 0.0 for i, j in pairs}


def combine_(gradients: Sequence[Gradient], weights: Tensor) -> Gradient:
    """Return Σ_j weights[j]·g_j, written over the first gradient's tensors (no further copy)."""
    first = list(gradients[0])
    torch._foreach_mul_(first, float(weights[0]))
    for gradient, weight in zip(gradients[1:], weights[1:].tolist(), strict=True):
        torch._foreach_add_(first, list(gradient), alpha=weight)
    return first


def weighting(name: str) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Return the function (Gram matrix, generator) → weights (n,) that `--surgery` names."""
    if name == "pcgrad":
        return lambda gram, generator: pcgrad_coefficients(gram, random_order(len(gram), generator)).sum(dim=0)
    return _torchjd(name.removeprefix("torchjd:"))


def _torchjd(name: str) -> Callable[[Tensor, torch.Generator], Tensor]:
    try:
        from torchjd import aggregation
    except ImportError as error:
        raise UserError(
            f"--surgery torchjd:{name} needs TorchJD; install it with: pip install 'smartcli[aggregators]'"
        ) from error
    known = {
        entry.removesuffix("Weighting").lower(): entry
        for entry in dir(aggregation)
        if entry.endswith("Weighting") and entry not in ("Weighting", "GramianWeighting")
    }
    if name.lower() not in known:
        raise UserError(
            f'--surgery: TorchJD has no "{name}" that works from the Gram matrix; known: '
            f"{', '.join(sorted(known))}{suggest(name.lower(), known)}"
        )
    try:
        weigh = getattr(aggregation, known[name.lower()])()
    except TypeError as error:
        raise UserError(f"--surgery torchjd:{name} needs arguments ({error}); choose another aggregator") from error

    def run(gram: Tensor, generator: torch.Generator) -> Tensor:
        # TorchJD draws from torch's global generator; seeding it here keeps the run's streams apart.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            weights: Tensor = weigh(gram)
        return weights.to(gram.dtype)

    return run
