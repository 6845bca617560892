"""The averaged teacher: its momentum, its two limits, what it costs, and its place in a saved run."""

from __future__ import annotations

import copy

import pytest
import torch
from small_model import (
    NAMES,
    TASKS,
    moved_teacher,
    phase_state,
    settings,
    small_batch,
    small_model,
    small_step,
    teacher_of,
    words_of,
)
from torch import nn
from torch.testing import assert_close

from smartcli.config import PerTask
from smartcli.engine.model.dropout import FreshDropout
from smartcli.engine.streams import Streams
from smartcli.engine.terms.bregman import Teacher, momentum
from smartcli.engine.terms.losses import divergence
from smartcli.engine.training.phase_state import PhaseState


@pytest.mark.parametrize(("step", "beta"), [(1, 0.99), (10, 0.99), (11, 0.999), (100, 0.999)])
def test_beta_is_99_for_the_first_tenth_then_999(step: int, beta: float) -> None:
    assert momentum(step, 100, None) == beta
    assert momentum(step, 100, 0.5) == 0.5
    assert momentum(step, 100, 0.0) == 0.0


def test_one_move_by_hand() -> None:
    student, copied = nn.Linear(1, 1).double(), nn.Linear(1, 1).double()
    teacher = Teacher(copied, student)
    start = student.weight.item()
    student.weight.data.add_(1.0)
    teacher.follow(0.9)
    assert copied.weight.item() == pytest.approx(start + 0.1, abs=1e-12)
    teacher.follow(0.9)
    assert copied.weight.item() == pytest.approx(start + 0.19, abs=1e-12)


def trained(beta: float, updates: int = 3) -> tuple[PhaseState, list[dict[str, torch.Tensor]]]:
    """A phase after some updates, and the student's weights before each of them and after the last."""
    chosen = settings(lam=0.0, mu=1.0, beta=beta, lr=1e-2)
    state = phase_state(chosen, torch.float32)
    history = [{name: p.clone() for name, p in state.model_tensors().items()}]
    for number in range(1, updates + 1):
        state.updater.run(small_step(chosen, torch.float32, number=number), probe=False)
        history.append({name: p.clone() for name, p in state.model_tensors().items()})
    return state, history


@pytest.mark.parametrize(("beta", "iterate"), [(1.0, 0), (0.0, -1)])
def test_beta_one_never_moves_and_beta_zero_is_the_last_iterate(beta: float, iterate: int) -> None:
    state, history = trained(beta)
    assert teacher_of(state.updater.objective) is not None
    assert not torch.equal(history[0]["encoder.words.weight"], history[-1]["encoder.words.weight"])
    for name, tensor in teacher_of(state.updater.objective).tensors().items():
        assert torch.equal(tensor, history[iterate][name]), name


def test_with_beta_between_the_teacher_is_the_weighted_mean_of_all_iterates() -> None:
    state, history = trained(0.75)
    assert teacher_of(state.updater.objective) is not None
    weights = [0.75**3, 0.25 * 0.75**2, 0.25 * 0.75, 0.25]
    for name, tensor in teacher_of(state.updater.objective).tensors().items():
        expected = sum(w * h[name].double() for w, h in zip(weights, history, strict=True))
        assert_close(tensor.double(), expected, rtol=1e-5, atol=1e-6)


def test_a_resumed_teacher_goes_on_bit_for_bit() -> None:
    chosen = settings(mu=1.0, lr=1e-2)
    whole = phase_state(chosen, torch.float32)
    halves = phase_state(chosen, torch.float32)
    for number in (1, 2):
        step = small_step(chosen, torch.float32, number=number)
        whole.updater.run(step, probe=False)
        halves.updater.run(step, probe=False)
    saved = copy.deepcopy(halves.tensors())
    model = small_model(chosen, torch.float32)
    for name, tensor in model.named_parameters():
        tensor.data.copy_(saved["model"][name])
    resumed = phase_state(chosen, torch.float32, model=model)
    resumed.restore(saved)
    for number in (3, 4):
        step = small_step(chosen, torch.float32, number=number)
        whole.updater.run(step, probe=False)
        resumed.updater.run(step, probe=False)
    assert teacher_of(whole.updater.objective) is not None
    assert teacher_of(resumed.updater.objective) is not None
    for a, b in (
        (whole.model_tensors(), resumed.model_tensors()),
        (teacher_of(whole.updater.objective).tensors(), teacher_of(resumed.updater.objective).tensors()),
    ):
        assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("tasks", [NAMES, ("same",), ("mood", "near")])
def test_d_is_the_mean_divergence_to_a_teacher_without_dropout(tasks: tuple[str, ...]) -> None:
    mu = PerTask(0.0, tuple((task, 3.0) for task in tasks))
    chosen = settings(lam=0.0, mu=mu, dropout=0.4, attention_dropout=0.4)
    objective = phase_state(chosen).updater.objective
    moved_teacher(objective)
    example = small_batch(chosen)
    words = words_of(objective.model, example)
    losses = objective.loss(example, words, Streams(0, "p"))
    # The same clean pass: with the student in the teacher's place and dropout from the same stream.
    logits = objective.model(words, example.batch, FreshDropout(Streams(0, "p")["dropout"]))
    assert teacher_of(objective) is not None
    teacher = teacher_of(objective).module
    with torch.no_grad():
        target = teacher(teacher.encoder.words(example.batch.ids), example.batch)
    assert set(losses.found["bregman"].values) == set(tasks)
    expected = sum(TASKS.get(t).weight * losses.found["loss"].values[t] for t in NAMES)
    for task in tasks:
        value = divergence(TASKS.get(task).kind, logits[task], target[task]).mean()
        assert_close(losses.found["bregman"].values[task], value, rtol=1e-10, atol=1e-12)
        assert value.item() > 1e-4
        expected = expected + 3.0 * TASKS.get(task).weight * value
    assert_close(losses.total, expected, rtol=1e-10, atol=1e-12)


def test_at_the_previous_iterate_d_has_no_gradient_without_dropout() -> None:
    chosen = settings(lam=0.0, mu=1.0, beta=0.0, dropout=0.0, attention_dropout=0.0)
    objective = phase_state(chosen).updater.objective
    example = small_batch(chosen)
    words = words_of(objective.model, example)
    losses = objective.loss(example, words, Streams(0, "p"))
    for value in losses.found["bregman"].values.values():
        (gradient,) = torch.autograd.grad(value, words, retain_graph=True)
        assert value.item() == 0.0
        assert gradient.abs().max().item() == 0.0


def test_without_mu_there_is_no_teacher() -> None:
    assert teacher_of(phase_state(settings(mu=0.0)).updater.objective) is None
