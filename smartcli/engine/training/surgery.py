"""Gradient surgery (PCGrad, Yu et al. 2020, Algorithm 1), computed from the Gram matrix of task gradients.

Every projected gradient is a combination of the task gradients, so only the n × n inner products are
projected, and the full gradients are read once. Axes: n tasks.
"""

from __future__ import annotations

import inspect
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
            # Summed in float64: a cosine near 0 decides whether a gradient is projected.
            gram[i, j] = gram[j, i] = torch.stack([dot.double() for dot in dots]).sum().cpu()
    return gram


def random_order(n: int, generator: torch.Generator) -> list[list[int]]:
    """Return, for each task, the other tasks in the random order in which it is projected."""
    orders = []
    for i in range(n):
        others = [j for j in range(n) if j != i]
        orders.append([others[k] for k in torch.randperm(n - 1, generator=generator, device=generator.device).tolist()])
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
            # `out[i] @ gram[:, j]` is the inner product with g_j of what is left of g_i by now, as Algorithm 1 has it:
            # projections follow one another, so that their order matters.
            if inner < 0 and gram[j, j] > 0:
                out[i, j] -= inner / gram[j, j]
    return out


def pcgrad_weights(gram: Tensor, orders: Tensor) -> Tensor:
    """Return `pcgrad_coefficients(gram, orders).sum(0)`, (n,), from orders (n, n − 1), with no value read on the host.

    What is left of each task's gradient is a row of its own, so that all tasks take their k-th projection at once.
    """
    out = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    for k in range(orders.shape[1]):
        other = orders[:, k]
        inner = (out * gram.index_select(0, other)).sum(dim=1)
        size = gram.diagonal().index_select(0, other)
        cut = torch.where((inner < 0) & (size > 0), inner / size, torch.zeros_like(inner))
        out = out.scatter_add(1, other[:, None], -cut[:, None])
    return out.sum(dim=0)


def conflicts(gram: Tensor) -> dict[tuple[int, int], float]:
    """Return the cosine of each pair of task gradients; below 0 they conflict, 0 where one vanishes."""
    sizes = gram.diagonal().clamp_min(0).sqrt()
    pairs = [(i, j) for i in range(len(gram)) for j in range(i + 1, len(gram))]
    return {(i, j): float(gram[i, j] / (sizes[i] * sizes[j])) if sizes[i] * sizes[j] > 0 else 0.0 for i, j in pairs}


def combine_(gradients: Sequence[Gradient], weights: Tensor) -> Gradient:
    """Return Σ_j weights[j]·g_j, written over the first gradient's tensors (no further copy)."""
    # In place: at base size each task's gradient is some 400 MB.
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


_BY_COUNT = ("Mean", "Sum", "Random")
"""TorchJD's aggregators whose weights depend on the number of tasks alone."""


def _torchjd(name: str) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Return TorchJD's weighting of that name, of those that read the Gram matrix alone.

    One that keeps a state from step to step (GradVac, PCD) is refused: a resumed run would lose it.
    """
    flag = f"--surgery torchjd:{name}"
    need = "install it with: pip install 'smart-finetune[aggregators]'"
    try:
        from torchjd import aggregation
    except ImportError as error:
        raise UserError(f"{flag} needs TorchJD; {need}") from error
    base = aggregation.GramianWeightedAggregator
    classes = [getattr(aggregation, entry) for entry in aggregation.__all__]
    found = {c.__name__.lower(): c for c in classes if issubclass(c, base) and c is not base}
    found |= {entry.lower(): getattr(aggregation, entry) for entry in _BY_COUNT}
    known = sorted(key for key, c in found.items() if not hasattr(c, "reset") and not _arguments(c))
    chosen = found.get(name.lower())
    problem = None
    if chosen is None:
        problem = f"TorchJD has none of that name that works from the Gram matrix{suggest(name.lower(), known)}"
    elif hasattr(chosen, "reset"):
        problem = "it keeps a state between steps, which a resumed run would lose"
    elif arguments := _arguments(chosen):
        problem = f"it needs a value for {', '.join(arguments)}"
    if problem is not None:
        raise UserError(f"{flag}: {problem}; known: {', '.join(known)}")
    assert chosen is not None
    try:
        aggregator = chosen()
    except ImportError as error:
        raise UserError(f"{flag} needs more packages ({error}); {need}") from error
    weigh = aggregator.gramian_weighting if isinstance(aggregator, base) else aggregator.weighting

    def run(gram: Tensor, generator: torch.Generator) -> Tensor:
        # TorchJD draws from torch's global generator; seeding it here keeps the run's streams apart.
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            weights: Tensor = weigh(gram)
        return weights.to(gram.dtype)

    return run


def _arguments(aggregator: type) -> list[str]:
    """Return the names of the arguments that an aggregator cannot be made without."""
    parameters = inspect.signature(aggregator).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
