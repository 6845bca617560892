"""GradNorm: its loss by autograd, its update by hand, and what it does to a training's gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_model import CPU, NAMES, TASKS, phase_state, settings, small_step
from torch import Tensor
from torch.testing import assert_close

from smartcli.engine.training import gradnorm
from smartcli.engine.training.gradnorm import GradNorm

TWO = (TASKS.get("mood"), TASKS.get("near"))
ONES = {"mood": 1.0, "near": 1.0}


def learn(way: GradNorm, parts: Any, norms: Any) -> None:
    """`norms` are those of the unweighted losses' gradients."""
    parts, norms = torch.as_tensor(parts, dtype=torch.float64), torch.as_tensor(norms, dtype=torch.float64)
    squares = (norms * way.weights) ** 2
    way.take(dict(zip(way.names, parts, strict=True)), dict(zip(way.names, squares, strict=True)))
    way.follow()


def grad_loss(w: Tensor, norms: Tensor, done: Tensor, alpha: float) -> Tensor:
    """The paper's equation 2, its targets constant."""
    own = w * norms
    target = (own.mean() * (done / done.mean()) ** alpha).detach()
    return (own - target).abs().sum()


@pytest.mark.parametrize("alpha", [0.0, 0.12, 1.5])
def test_weights_follow_adam_on_the_papers_loss_by_autograd(alpha: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradnorm, "START", 1)
    way = GradNorm(TWO, ONES, 0.05, CPU, alpha)
    first = torch.tensor([1.6, 3.0], dtype=torch.float64)
    learn(way, first, [1.0, 9.0])
    assert way.weights.tolist() == [1.0, 1.0]
    w = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    reference = torch.optim.Adam([w], lr=0.05)
    for number in range(1, 8):
        parts = torch.tensor([1.6 - 0.05 * number, 3.0 / number], dtype=torch.float64)
        norms = torch.tensor([1.0, 9.0 / number], dtype=torch.float64)
        reference.zero_grad()
        grad_loss(w, norms, parts / first, alpha).backward()
        reference.step()
        with torch.no_grad():
            w.mul_(2 / w.sum())
        learn(way, parts, norms)
        assert_close(way.weights, w.detach(), rtol=1e-12, atol=1e-12)


def test_the_first_update_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradnorm, "START", 1)
    way = GradNorm(TWO, ONES, 0.01, CPU, 1.0)
    learn(way, [2.0, 4.0], [1.0, 3.0])
    # L/L(0) are .5 and .25, r 4/3 and 2/3, targets 8/3 and 4/3: the first weight rises by the rate, the other falls.
    learn(way, [1.0, 1.0], [1.0, 3.0])
    assert way.weights.tolist() == pytest.approx([1.01, 0.99], rel=1e-9)


def test_losses_at_the_start_are_the_mean_of_ten_steps() -> None:
    way = GradNorm(TWO, ONES, 0.01, CPU, 1.0)
    for number in range(gradnorm.START):
        learn(way, [number, 1.0], [1.0, 3.0])
    assert way.weights.tolist() == [1.0, 1.0]
    assert (way.first / way.started).tolist() == [4.5, 1.0]
    learn(way, [1.0, 1.0], [1.0, 3.0])
    assert way.weights[0] != 1.0
    assert way.started.tolist() == [10.0, 10.0]


def test_with_alpha_zero_all_norms_become_equal_and_weights_sum_to_the_tasks() -> None:
    way = GradNorm(TWO, ONES, 0.01, CPU, 0.0)
    for _ in range(600):
        learn(way, [1.0, 1.0], [2.0, 6.0])
    own = way.weights * torch.tensor([2.0, 6.0], dtype=torch.float64)
    assert own.tolist() == pytest.approx([3.0, 3.0], rel=0.05)
    assert way.weights.sum().item() == pytest.approx(2.0)


def test_no_weight_falls_to_zero() -> None:
    way = GradNorm(TWO, ONES, 0.9, CPU, 0.0)
    for _ in range(30):
        learn(way, [1.0, 1.0], [0.0, 6.0])
    assert way.weights.min() > 0
    assert bool(torch.isfinite(way.weights).all())


@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
def test_a_training_reads_the_norms_of_unweighted_gradients(surgery: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradnorm, "START", 1)
    chosen = settings(lam=1.0, balance="gradnorm", balance_lr=0.05, surgery=surgery)
    state = phase_state(chosen)
    reference = GradNorm(tuple(TASKS), dict.fromkeys(NAMES, 1.0), 0.05, CPU, 1.5)
    for number in (1, 2, 3):
        found = state.updater.run(small_step(chosen, number=number), probe=False)
        weights = torch.tensor([found.weights[task] for task in NAMES], dtype=torch.float64)
        assert_close(weights, reference.weights)
        parts = [found.found["loss"].values[task] + found.found["r_s"].values[task] for task in NAMES]
        # What is measured has the weight of the task table too, which is no part of w_i·L_i.
        fixed = torch.tensor([TASKS.get(task).weight for task in NAMES], dtype=torch.float64)
        norms = torch.tensor([found.norms[task] for task in NAMES], dtype=torch.float64)
        learn(reference, parts, norms / fixed / weights)
    assert reference.weights.tolist() != [1.0, 1.0, 1.0]
