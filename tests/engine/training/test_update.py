"""One update: surgery against a by-hand reference, steps that are not finite, clipping, memory, determinism."""

from __future__ import annotations

import os
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_model import NAMES, ROWS, gradients_of, phase_state, settings, small_step
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from smartcli.config import PerTask
from smartcli.engine.streams import Streams
from smartcli.engine.training.batches import Prepared
from smartcli.engine.training.phase_state import PhaseState
from smartcli.engine.training.surgery import random_order
from smartcli.errors import UserError

KEY = "+".join(NAMES)


def everything(state: PhaseState) -> dict[str, Tensor]:
    """All that an update may change, copied."""
    groups = state.tensors()
    return {
        f"{group}.{name}": t.clone()
        for group in ("model", "optimizer", "teacher")
        for name, t in groups.get(group, {}).items()
    }


def spoil(prepared: Prepared, task: str, value: float) -> Prepared:
    """Give one row of a task a label that is not finite."""
    batches = []
    for example in prepared.batches:
        labels = {name: tensor.clone() for name, tensor in example.labels.items()}
        if task in labels:
            labels[task][1] = value
        batches.append(replace(example, labels=labels))
    return replace(prepared, batches=tuple(batches))


@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_changes_nothing_and_is_named(surgery: str, value: float) -> None:
    chosen = settings(mu=1.0, surgery=surgery, lr=1e-2)
    state = phase_state(chosen)
    state.updater.run(small_step(chosen), probe=False)
    before = everything(state)
    outcome = state.updater.run(spoil(small_step(chosen, number=2), "near", value), probe=True)
    assert (outcome.bad, outcome.bad_tasks) == ("loss", ("near",))
    after = everything(state)
    assert all(torch.equal(before[name], after[name]) for name in after)
    table = state.model.encoder.words.weight
    for _, p in state.named:
        assert p.grad is None or (p is table and p.grad.abs().max().item() == 0.0)
    assert state.updater.run(small_step(chosen, number=3), probe=False).bad is None


@pytest.mark.parametrize("surgery", ["none", "pcgrad", "torchjd:upgrad"])
def test_a_gradient_that_is_not_finite_changes_nothing(surgery: str) -> None:
    if surgery.startswith("torchjd"):
        pytest.importorskip("quadprog", reason="needs TorchJD and quadprog (extra aggregators)")
        pytest.importorskip("torchjd", reason="needs TorchJD (extra aggregators)")
    chosen = settings(lam=0.0, surgery=surgery)
    state = phase_state(chosen)
    before = everything(state)
    weight = state.model.encoder.layers[0].feed_out.weight
    handle = weight.register_hook(lambda gradient: gradient * float("inf"))
    outcome = state.updater.run(small_step(chosen), probe=False)
    handle.remove()
    assert outcome.bad == "gradient"
    assert outcome.bad_tasks == NAMES
    after = everything(state)
    assert all(torch.equal(before[name], after[name]) for name in after)
    assert state.updater.run(small_step(chosen), probe=False).bad is None


def test_noise_that_overflows_is_named_as_the_penalty() -> None:
    chosen = settings(sigma=1e38)
    state = phase_state(chosen, torch.float32)
    before = everything(state)
    outcome = state.updater.run(small_step(chosen, torch.float32), probe=False)
    assert outcome.bad == "r_s"
    assert all(torch.equal(before[name], tensor) for name, tensor in everything(state).items())


def by_hand(state: PhaseState, prepared: Prepared) -> dict[str, Tensor]:
    """Algorithm 1 on flat gradients of plain autograd, a pass a task."""
    objective = state.updater.objective
    streams = Streams(state.updater.settings.seed, KEY)
    shared = [p for name, p in state.named if name.startswith("encoder.")]
    flat, own = [], {}
    for example in prepared.batches:
        (task,) = example.batch.outputs
        losses = objective.loss(example, objective.model.encoder.look_up(example.batch), streams)
        heads = [(name, p) for name, p in state.named if name.startswith(f"heads.{task}.")]
        found = torch.autograd.grad(losses.total, [*shared, *(p for _, p in heads)])
        flat.append(torch.cat([g.flatten() for g in found[: len(shared)]]))
        own |= {name: g for (name, _), g in zip(heads, found[len(shared) :], strict=True)}
    merged = torch.zeros_like(flat[0])
    for i, order in enumerate(random_order(len(flat), streams["surgery"])):
        g = flat[i].clone()
        for j in order:
            inner = g @ flat[j]
            if inner < 0:
                g -= inner / (flat[j] @ flat[j]) * flat[j]
        merged += g
    parts = merged.split([p.numel() for p in shared])
    names = [name for name, _ in state.named if name.startswith("encoder.")]
    return own | {n: part.view_as(p) for n, part, p in zip(names, parts, shared, strict=True)}


@pytest.mark.parametrize("seed", [0, 3, 11])
def test_surgery_takes_whole_task_gradients_of_the_shared_part_and_leaves_heads_alone(seed: int) -> None:
    chosen = settings(surgery="pcgrad", lam=2.0, mu=1.0, seed=seed, smart_dropout="on")
    ours, theirs = phase_state(chosen), phase_state(chosen)
    step = small_step(chosen, seed=seed)
    assert len(step.batches) == 3
    found, expected = gradients_of(ours, step), by_hand(theirs, step)
    assert set(found) == set(expected)
    for name in expected:
        assert_close(found[name], expected[name], rtol=1e-8, atol=1e-11, msg=name)
    outcome = theirs.updater.run(step, probe=False)
    assert set(outcome.cosines) == {"mood,same", "mood,near", "same,near"}


def test_the_sum_of_torchjds_aggregators_is_training_without_surgery() -> None:
    pytest.importorskip("torchjd", reason="needs TorchJD (extra aggregators)")
    quiet = settings(lam=1.0, smart_dropout="off", dropout=0.0, attention_dropout=0.0, sigma=0.0, epsilon=0.0)
    apart = replace(quiet, surgery="torchjd:sum")
    joint, summed = (gradients_of(phase_state(s), small_step(s)) for s in (quiet, apart))
    for name in joint:
        assert_close(joint[name], summed[name], rtol=1e-8, atol=1e-11, msg=name)


def test_an_unknown_aggregator_fails_before_the_first_step() -> None:
    pytest.importorskip("torchjd", reason="needs TorchJD (extra aggregators)")
    with pytest.raises(UserError, match="torchjd:nothing"):
        phase_state(settings(surgery="torchjd:nothing"))


class Peak(TorchDispatchMode):
    """Counts the bytes of live storages made inside, and remembers the most."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.known: dict[int, int] = {}

    def _freed(self, key: int) -> None:
        self.now -= self.known.pop(key)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in torch.utils._pytree.tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                given = {
                    t.untyped_storage()._cdata
                    for t in torch.utils._pytree.tree_leaves((args, kwargs))
                    if isinstance(t, Tensor)
                }
                if key not in self.known and key not in given:
                    self.known[key] = storage.nbytes()
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self._freed, key)
        self.most = max(self.most, self.now)
        return out


def test_surgery_holds_at_most_one_gradient_a_task() -> None:
    chosen = settings(surgery="pcgrad", lam=0.0, max_length=16)
    rows = {name: [0] for name in NAMES}
    state, step = phase_state(chosen, torch.float32), small_step(chosen, torch.float32, rows=rows)
    one_copy = sum(p.numel() * 4 for p in state.updater.shared)
    state.updater.run(step, probe=False)
    with Peak() as peak:
        state.updater.run(step, probe=False)
    plain = phase_state(replace(chosen, surgery="none"), torch.float32)
    single = small_step(replace(chosen, surgery="none"), torch.float32, rows=rows)
    plain.updater.run(single, probe=False)
    with Peak() as joint:
        plain.updater.run(single, probe=False)
    # What is beyond the gradients (activations, rows of words) is at most the joint pass's.
    beyond = joint.most - one_copy
    assert joint.most > one_copy
    assert peak.most > 2.9 * one_copy
    assert peak.most < 3 * one_copy + beyond


@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
def test_one_step_gives_the_same_gradients_twenty_times_with_all_threads(surgery: str) -> None:
    assert not torch.are_deterministic_algorithms_enabled()
    # Enough tokens of few words that torch splits the work: 32,768 numbers are its grain.
    lam = PerTask(0.0, (("mood", 1.0),) if surgery == "none" else ())
    chosen = settings(lam=lam, surgery=surgery)
    state = phase_state(chosen, torch.float32)
    step = small_step(chosen, torch.float32, rows={name: range(ROWS) for name in NAMES})
    assert step.tokens * 32 > 32768
    torch.set_num_threads(os.cpu_count() or 1)
    assert torch.get_num_threads() == os.cpu_count()
    expected: dict[str, Tensor] = {}
    for _ in range(20):
        state.streams.restore({})
        found = gradients_of(state, step)
        expected = expected or found
        for name in expected:
            assert torch.equal(found[name], expected[name]), name


def test_clipping_and_decay_reach_the_optimizer() -> None:
    chosen = settings(lam=0.0, clip_norm=1e-3, lr=1e-2, weight_decay=0.1, lr_schedule="linear")
    state = phase_state(chosen)
    start = {name: p.detach().clone() for name, p in state.named}
    step = small_step(chosen)
    plain = gradients_of(state, step)
    state.streams.restore({})
    outcome = state.updater.run(step, probe=False)
    norm = torch.cat([g.flatten() for g in plain.values()]).norm().item()
    assert outcome.grad_norm == pytest.approx(norm)
    assert outcome.lr == 1e-2
    for name, p in state.named:
        # Adam's first update is g/(|g| + eps) times lr, whatever the scale of g.
        g = plain[name] * (1e-3 / (norm + 1e-6))
        decay = 0.1 if p.dim() > 1 else 0.0
        assert_close(p, start[name] * (1 - 1e-2 * decay) - 1e-2 * g / (g.abs() + 1e-6), rtol=1e-9, atol=1e-12, msg=name)
