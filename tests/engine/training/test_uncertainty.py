"""Uncertainty weighting: Kendall's loss by autograd and by hand, its optimum, and what bounds it."""

from __future__ import annotations

import math

import pytest
import torch
from small_model import CPU, TASKS, phase_state, settings, small_step
from torch.testing import assert_close

from smartcli.engine.training.uncertainty import LARGEST, Uncertainty
from smartcli.tasks import Task

KINDS = (
    Task(name="mood", kind="classification", text=("t",), label="l", labels=tuple("01234")),
    Task(name="same", kind="binary", text=("t",), label="l", labels=("0", "1")),
    Task(name="tags", kind="multilabel", text=("t",), label="l", labels=("a", "b", "c"), labels_separator="|"),
    Task(name="near", kind="regression", text=("t",), label="l", range=(0.0, 5.0)),
)
FIXED = dict.fromkeys([task.name for task in KINDS], 1.0)


def learn(way: Uncertainty, parts: dict[str, float]) -> None:
    way.take({task: torch.tensor(part, dtype=torch.float64) for task, part in parts.items()}, {})
    way.follow()


def test_weights_follow_adam_on_kendalls_loss_by_autograd() -> None:
    """−log N(y; f, σ²) and −log softmax(f/σ²), as the paper has them, with s = log σ²."""
    way = Uncertainty(KINDS, FIXED, 0.05, CPU)
    s = torch.nn.Parameter(torch.zeros(4, dtype=torch.float64))
    reference = torch.optim.Adam([s], lr=0.05)
    for number in range(6):
        parts = {"mood": 1.6 - 0.1 * number, "same": 0.7, "tags": 2.0, "near": 3.0 - 0.4 * number}
        variance = torch.exp(s)
        loss = (
            parts["mood"] / variance[0] + torch.log(variance[0].sqrt())
            + parts["same"] / variance[1] + torch.log(variance[1].sqrt())
            + parts["tags"] / variance[2] + 3 * torch.log(variance[2].sqrt())
            + parts["near"] / (2 * variance[3]) + torch.log(variance[3].sqrt())
        )  # fmt: skip
        reference.zero_grad()
        loss.backward()
        reference.step()
        learn(way, parts)
    assert_close(way.log_variances, s.detach(), rtol=1e-12, atol=1e-12)
    assert_close(way.weights, torch.exp(-s.detach()) * torch.tensor([1.0, 1.0, 1.0, 0.5], dtype=torch.float64))


def test_the_first_update_by_hand() -> None:
    way = Uncertainty((KINDS[0], KINDS[3]), FIXED, 0.01, CPU)
    assert way.weights.tolist() == [1.0, 0.5]
    # Gradients ½ − 1.6 and ½ − ½·.25: Adam's first step is the rate, against their sign.
    learn(way, {"mood": 1.6, "near": 0.25})
    assert way.weights.tolist() == pytest.approx([math.exp(-0.01), 0.5 * math.exp(0.01)], rel=1e-7)


def test_at_the_optimum_a_task_has_its_noise_as_weight_and_fixed_weights_do_not_move_it() -> None:
    for fixed in (1.0, 7.0):
        way = Uncertainty((KINDS[0], KINDS[3]), {"mood": fixed, "near": 1 / fixed}, 0.02, CPU)
        for _ in range(1500):
            learn(way, {"mood": 1.2, "near": 0.4})
        # exp(−s) = c / (2·a·L): 1 / 2.4, and the Gaussian's 1/σ² = 1 / .4, halved.
        assert way.weights.tolist() == pytest.approx([1 / 2.4, 0.5 / 0.4], rel=1e-3)


def test_a_task_that_a_step_lacks_stays_as_it_is() -> None:
    way = Uncertainty((KINDS[0], KINDS[3]), FIXED, 0.01, CPU)
    learn(way, {"near": 3.0})
    learn(way, {"near": 3.0})
    assert way.weights[0] == 1.0
    assert way.adam.tensors["count"].tolist() == [0.0, 2.0]


def test_a_loss_near_zero_does_not_outweigh_the_rest_without_bound() -> None:
    way = Uncertainty((KINDS[0],), FIXED, 1.0, CPU)
    for _ in range(50):
        learn(way, {"mood": 0.0})
    assert way.weights.tolist() == pytest.approx([math.exp(LARGEST)])


def test_a_training_learns_from_its_own_parts() -> None:
    chosen = settings(lam=1.0, balance="uncertainty", balance_lr=0.05)
    state = phase_state(chosen)
    reference = Uncertainty(tuple(TASKS), {task.name: task.weight for task in TASKS}, 0.05, CPU)
    for number in (1, 2, 3):
        found = state.updater.run(small_step(chosen, number=number), probe=False)
        assert found.weights == dict(zip(TASKS.names, reference.weights.tolist(), strict=True))
        parts = {task: found.found["loss"].values[task] + found.found["r_s"].values[task] for task in TASKS.names}
        learn(reference, parts)
    assert state.balance is not None
    assert_close(state.balance.weights, reference.weights)
