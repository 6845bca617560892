"""SMART's smoothness penalty: the perturbation δ of the word embeddings, found by projected ascent.

Jiang et al. 2020 (arXiv 1911.03437), Algorithm 1. Axes: T tokens, S sentences, E embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from smartcli.config import Settings


@contextmanager
def without_parameter_gradients(module: nn.Module) -> Iterator[None]:
    """Record no parameter in graphs built inside: what only their gradients need is freed at once."""
    trained = [p for p in module.parameters() if p.requires_grad]
    for p in trained:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in trained:
            p.requires_grad_(True)


@dataclass(frozen=True)
class Ball:
    """Radius ε, start noise σ, step size η and norm p (`inf` or `2`) of a sentence's perturbation."""

    epsilon: float
    sigma: float
    step_size: float
    norm: str

    @classmethod
    def of(cls, settings: Settings) -> Ball:
        return cls(settings.epsilon, settings.sigma, settings.step_size, settings.norm)


def sum_by_sentence(values: Tensor, sentence: Tensor, sentences: int) -> Tensor:
    """Return the sum (S,) of each sentence's `values` (T,); `sentence` (T,) numbers them. The same bits every time."""
    if values.device.type == "cpu":
        return values.new_zeros(sentences).index_add_(0, sentence, values)
    # On a GPU index_add_ adds in any order, and a resumed run must have the same bits.
    own = torch.arange(sentences, device=sentence.device)[:, None] == sentence
    return torch.where(own, values, torch.zeros_like(values)).sum(dim=1)


def sentence_norm(x: Tensor, sentence: Tensor, sentences: int, norm: str) -> Tensor:
    """Return the p-norm (S,) of each sentence's rows of `x` (T, E); `sentence` (T,) numbers them.

    The 2-norm is taken after dividing by the largest entry, so that gradients of 1e-25 do not underflow.
    """
    largest = x.new_zeros(sentences).scatter_reduce_(0, sentence, x.abs().amax(dim=1), "amax", include_self=True)
    if norm == "inf":
        return largest
    safe = torch.where(largest > 0, largest, torch.ones_like(largest))
    squares = (x / safe[sentence][:, None]).square().sum(dim=1)
    return largest * sum_by_sentence(squares, sentence, sentences).sqrt()


def project(delta: Tensor, sentence: Tensor, sentences: int, ball: Ball) -> Tensor:
    """Return δ (T, E) inside ‖δ‖_p ≤ ε for each sentence: clamped for p = inf, scaled for p = 2."""
    if ball.norm == "inf":
        return delta.clamp(-ball.epsilon, ball.epsilon)
    size = sentence_norm(delta, sentence, sentences, "2")
    scale = torch.where(size > ball.epsilon, ball.epsilon / size, torch.ones_like(size))
    return delta * scale[sentence][:, None]


def ascend(delta: Tensor, gradient: Tensor, sentence: Tensor, sentences: int, ball: Ball) -> Tensor:
    """Return Π(δ + η·g/‖g‖_p); where a sentence's ‖g‖ is 0 its δ keeps its value, projected."""
    size = sentence_norm(gradient, sentence, sentences, ball.norm)
    safe = torch.where(size > 0, size, torch.ones_like(size))
    # Divided first: η·g underflows where g is tiny, g/‖g‖ does not.
    return project(delta + ball.step_size * (gradient / safe[sentence][:, None]), sentence, sentences, ball)


def start_noise(like: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Return N(0, σ²) noise of the shape of `like`, drawn in fp32 or wider."""
    noise = torch.randn(like.shape, dtype=like.dtype, device=like.device, generator=generator)
    return noise * sigma


def gradient_of(divergence_at: Callable[[Tensor], Tensor], delta: Tensor) -> Tensor:
    """Return the gradient of a scalar `divergence_at(δ)` by δ, of its shape; no parameter's `.grad` is touched."""
    delta = delta.detach().requires_grad_(True)
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(divergence_at(delta), delta)
    return gradient


def find_perturbation(
    gradient_at: Callable[[Tensor], Tensor],
    start: Tensor,
    sentence: Tensor,
    sentences: int,
    ball: Ball,
    steps: int,
    first: Tensor | None = None,
) -> Tensor:
    """Return δ (T, E) after `steps` ascent steps from `start`, without gradient and inside the ball.

    `gradient_at(δ)` is the gradient by δ of Σ over examples of ℓ_s(f(x + δ), stopgrad f(x)); `first` is that at
    `start`, where it is known.
    """
    delta = start.detach()
    for number in range(steps):
        gradient = first if number == 0 and first is not None else gradient_at(delta)
        delta = ascend(delta, gradient, sentence, sentences, ball)
    return delta.detach()
