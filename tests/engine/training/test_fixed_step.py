"""Steps of fixed shape: the numbers of unpadded ones, no value read inside, bad steps that change nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_model import (
    CPU,
    NAMES,
    TASKS,
    _template,
    moved_teacher,
    settings,
    small_model,
    small_splits,
    teacher_of,
)
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from smartcli.config import PerTask, Settings
from smartcli.engine.distributed import ALONE, Processes
from smartcli.engine.model.fixed_shape import padded_tokens, padded_width
from smartcli.engine.terms import ascent
from smartcli.engine.training.batches import Batcher, Prepared, Split
from smartcli.engine.training.fixed_step import FixedUpdater
from smartcli.engine.training.phase_state import PhaseState
from smartcli.engine.training.replay import EachTime, FirstCallAgain, Recorder
from smartcli.engine.training.schedule import Phase, Step
from smartcli.families.family_table import FAMILIES
from smartcli.tasks import TaskTable

BATCH = 5
LARGE = {"epsilon": 0.1, "sigma": 0.01, "step_size": 0.1}
METHODS: dict[str, dict[str, Any]] = {
    "plain": {"lam": 0.0},
    "smart": {"lam": 1.0, **LARGE},
    "smart, 2-norm, three steps": {"lam": 1.0, **LARGE, "norm": "2", "ascent_steps": 3, "smart_dropout": "same"},
    "smart on one task": {"lam": PerTask(0.0, (("near", 2.0),)), **LARGE},
    # With a large start: near x its divergence is a difference of two close numbers, which fp32 rounds.
    "mtdnn": {"lam": 1.0, "smart_variant": "mtdnn", "sigma": 0.1},
    "bregman": {"lam": 0.0, "mu": PerTask(0.0, (("mood", 1.0), ("near", 2.0)))},
    "smart and bregman": {"lam": 1.0, "mu": 1.0, **LARGE},
    "fgm": {"lam": 0.0, "fgm": 0.1},
    "soft labels": {"lam": 0.0, "fgm": 0.1, "label_smoothing": PerTask(0.1), "ordinal": PerTask(1.0)},
    "unit": {"lam": 1.0, **LARGE, "regression_loss": "unit"},
    "multi dropout": {"lam": 1.0, **LARGE, "dropout_samples": 3},
    "rdrop": {"lam": 0.0, "rdrop": 2.0},
    "surgery": {"lam": 1.0, **LARGE, "surgery": "pcgrad"},
    "frozen": {"lam": 0.0, "freeze_encoder": True},
    "mean": {"lam": 1.0, **LARGE, "pooling": "mean"},
    "cosine": {"lam": 1.0, **LARGE, "pair_mode": "cosine"},
    "separate, surgery": {"lam": 0.0, "pair_mode": "separate", "surgery": "pcgrad"},
    "clipped": {"lam": 0.0, "clip_norm": 0.1},
}
TYPES = ("bert", "roberta", "distilbert", "mpnet", "electra", "modernbert", "deberta-v2", "deberta-v2, convolution")


@pytest.fixture(autouse=True)
def _noise_by_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same δ₀ for every token, so that padding does not move the draws."""

    def noise(like: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
        return sigma * torch.sin(torch.arange(1.0, like.shape[1] + 1)).expand(like.shape)

    monkeypatch.setattr(ascent, "start_noise", noise)


def chosen_of(method: str, **more: Any) -> Settings:
    return settings(
        **{"dropout": 0.0, "attention_dropout": 0.0, "batch_size": PerTask(BATCH), **METHODS[method], **more}
    )


def state_of(
    chosen: Settings, recorder: Recorder | None, model_type: str = "bert", tasks: TaskTable = TASKS, bf16: bool = False
) -> PhaseState:
    model = small_model(chosen, torch.float32, model_type=model_type, tasks=tasks)
    make = None if recorder is None else lambda _: recorder
    state = PhaseState(model, Phase(NAMES, 1, 10, 10), chosen, CPU, bf16, recorder=make)
    if teacher_of(state.updater.objective) is not None:
        moved_teacher(state.updater.objective)
    return state


def batcher_of(state: PhaseState, chosen: Settings, model_type: str = "bert", processes: Processes = ALONE) -> Batcher:
    fixed = isinstance(state.updater, FixedUpdater)
    words = len(state.model.encoder.words.weight) if fixed else None
    return Batcher(small_splits(), _template(model_type), chosen, 64, CPU, processes, words)


def steps_of(sizes: Mapping[str, int], count: int = 3) -> list[Step]:
    """Steps of different rows; the last has the fewest, as at the end of an epoch."""
    out = [Step(n, 1, {t: np.arange(BATCH) + 3 * n for t in NAMES}, False) for n in range(1, count)]
    return [*out, Step(count, 1, {t: np.arange(sizes[t]) for t in NAMES}, True)]


def gradients_at(state: PhaseState, prepared: Prepared) -> tuple[dict[str, Tensor], Any]:
    """What a step hands to the optimizer, by parameter, with clipping already in it; and the outcome."""
    found: dict[str, Tensor] = {}
    optimizer, real = state.optimizer, state.optimizer.step

    def step() -> None:
        by = getattr(optimizer, "grad_scale", None)
        for name, p in state.named:
            if p.grad is not None:
                found[name] = p.grad / by if by is not None else p.grad.clone()
        real()

    optimizer.step = step  # type: ignore[method-assign]
    outcome = state.updater.run(prepared, probe=True, check=True)
    optimizer.step = real  # type: ignore[method-assign]
    return found, outcome


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("method", METHODS)
def test_numbers_and_gradients_are_those_of_unpadded_batches(method: str, model_type: str) -> None:
    chosen = chosen_of(method)
    unpadded, fixed = state_of(chosen, None, model_type), state_of(chosen, FirstCallAgain(), model_type)
    for step in steps_of({"mood": 1, "same": 4, "near": 2}):
        plain = batcher_of(unpadded, chosen, model_type)(step)
        padded = batcher_of(fixed, chosen, model_type)(step)
        assert padded.tokens == plain.tokens
        assert not padded.batches
        expected, one = gradients_at(unpadded, plain)
        found, other = gradients_at(fixed, padded)
        assert one.bad is None
        assert other.bad is None
        assert set(found) == set(expected)
        size = torch.cat([g.flatten() for g in expected.values()]).norm()
        for name in expected:
            assert (found[name] - expected[name]).norm() <= 1e-5 * size, name
        assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-5)
        assert other.cosines == pytest.approx(one.cosines, abs=1e-5)
        for term, numbers in one.found.items():
            assert other.found[term].values == pytest.approx(numbers.values, rel=1e-5, abs=1e-5)
            assert set(other.found[term].logged) == set(numbers.logged)
        # The next step starts from the same weights, so that errors do not add up.
        for ours, theirs in zip(fixed.model.parameters(), unpadded.model.parameters(), strict=True):
            assert_close(ours, theirs, rtol=0.0, atol=1e-5)
            ours.data.copy_(theirs.data)


def test_class_weights_count_the_same_in_a_padded_batch() -> None:
    tasks = TaskTable((replace(TASKS.get("mood"), class_weights=(1.0, 2.0, 3.0, 0.5, 4.0)), *tuple(TASKS)[1:]))
    chosen = chosen_of("plain")
    outcomes = []
    for recorder in (None, EachTime()):
        state = state_of(chosen, recorder, tasks=tasks)
        outcomes.append(
            state.updater.run(batcher_of(state, chosen)(steps_of({"mood": 3, "same": 2, "near": 1})[-1]), probe=False)
        )
    assert outcomes[1].found["loss"].values == pytest.approx(outcomes[0].found["loss"].values, rel=1e-5)
    assert outcomes[1].grad_norm == pytest.approx(outcomes[0].grad_norm, rel=1e-5)


class HostReads(TorchDispatchMode):
    """Counts operations that give a tensor's value to Python, or whose result's shape depends on values."""

    READS = ("_local_scalar_dense", "item", "nonzero", "is_nonzero", "equal", "masked_select", "unique", "_unique2")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in self.READS:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("model_type", "method", "bf16"),
    [
        *(("mpnet", method, bf16) for method in METHODS for bf16 in (False, True)),
        *((model_type, "smart", True) for model_type in FAMILIES if model_type != "mpnet"),
    ],
)
def test_no_value_is_read_inside_a_step(model_type: str, method: str, bf16: bool) -> None:
    chosen = chosen_of(method, dropout=0.1, attention_dropout=0.1)
    state = state_of(chosen, EachTime(), model_type, bf16=bf16)
    updater = state.updater
    assert isinstance(updater, FixedUpdater)
    for prepared in map(batcher_of(state, chosen, model_type), steps_of({"mood": 1, "same": 4, "near": 2})):
        with HostReads() as reads:
            pending = updater.launch(prepared, probe=True, check=True)
        assert reads.seen == []
        outcome = pending.read()
        assert outcome is not None
        assert outcome.bad is None


def test_the_counter_sees_a_read() -> None:
    with HostReads() as reads:
        float(torch.ones(()) * 2)
    assert len(reads.seen) == 1


def spoiled(batcher: Batcher, value: float) -> Batcher:
    """The same batches, where one label of the task `near` is not finite."""
    train = dict(batcher.train)
    near = train["near"]
    assert near.labels is not None
    labels = near.labels.copy()
    labels[1] = value
    train["near"] = Split(near.sides, labels, near.row_id)
    return replace(batcher, train=train)


def everything(state: PhaseState) -> dict[str, Tensor]:
    groups = state.tensors()
    kept = ("model", "optimizer", "teacher")
    return {f"{group}.{name}": t.clone() for group in kept for name, t in groups.get(group, {}).items()}


@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_bad_step_and_those_asked_for_behind_it_change_nothing(surgery: str, value: float) -> None:
    chosen = chosen_of("smart and bregman", surgery=surgery, lr=1e-2)
    state = state_of(chosen, FirstCallAgain())
    updater, batcher = state.updater, batcher_of(state, chosen)
    assert isinstance(updater, FixedUpdater)
    good = [Step(n, 1, {t: np.arange(BATCH) for t in NAMES}, False) for n in (1, 3)]
    updater.run(batcher(good[0]), probe=False)
    before = everything(state)
    bad = updater.launch(spoiled(batcher, value)(replace(good[0], number=2)), probe=False)
    behind = updater.launch(batcher(good[1]), probe=False)
    outcome = bad.read()
    assert outcome is not None
    assert (outcome.bad, outcome.bad_tasks) == ("loss", ("near",))
    assert behind.read() is None
    after = everything(state)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    updater.go_on()
    assert updater.run(batcher(good[1]), probe=False).bad is None
    assert any(not torch.equal(before[name], tensor) for name, tensor in everything(state).items())


def test_mtdnns_penalty_is_left_out_where_its_ascent_is_not_finite() -> None:
    chosen = chosen_of("mtdnn")
    state = state_of(chosen, EachTime())
    step = batcher_of(state, chosen)(steps_of({"mood": 5, "same": 5, "near": 5})[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ascent, "start_noise", lambda like, sigma, generator: torch.full_like(like, 1e38))
        outcome = state.updater.run(step, probe=False)
    assert outcome.skipped
    assert outcome.bad is None
    assert outcome.found["r_s"].values == {}


@pytest.mark.parametrize("method", ["smart", "smart on one task", "bregman", "fgm", "rdrop", "mean"])
def test_the_parts_of_two_processes_add_up_to_the_unpadded_whole(method: str) -> None:
    chosen = chosen_of(method)
    (step,) = steps_of({"mood": 1, "same": 5, "near": 3}, count=1)
    whole = state_of(chosen, None)
    (given,) = batcher_of(whole, chosen)(step).batches
    total = whole.updater.differentiate(given).total.detach()
    whole.updater.gradients.finish(whole.updater.gradients.norm(), 0.0)
    expected = {name: p.grad.clone() for name, p in whole.named if p.grad is not None}
    sums: dict[str, Tensor] = {}
    losses = torch.zeros(())
    for rank in range(2):
        state = state_of(chosen, EachTime())
        prepared = batcher_of(state, chosen, processes=Processes(rank, 2))(step)
        updater = state.updater
        assert isinstance(updater, FixedUpdater)
        for shape, flat in prepared.passes:
            updater.inputs[shape] = flat
            losses = losses + updater.differentiate(updater._read(shape)).total.detach()
        updater.gradients.finish(updater.gradients.norm(), 0.0)
        for name, p in state.named:
            if p.grad is not None:
                sums[name] = sums.get(name, torch.zeros_like(p.grad)) + p.grad
    assert_close(losses, total, rtol=1e-5, atol=1e-5)
    size = torch.cat([g.flatten() for g in expected.values()]).norm()
    for name in expected:
        assert (sums[name] - expected[name]).norm() <= 1e-5 * size, name


def test_bf16_copies_follow_the_weights_and_their_gradients_are_autocasts_own() -> None:
    chosen = chosen_of("smart", sigma=1e-5, epsilon=1e-5, step_size=1e-3)
    found = []
    for recorder in (None, EachTime()):
        state = state_of(chosen, recorder, bf16=True)
        (step,) = steps_of({"mood": 5, "same": 5, "near": 5}, count=1)
        found.append((gradients_at(state, batcher_of(state, chosen)(step))[0], state))
    expected, (fixed, state) = found[0][0], found[1]
    size = torch.cat([g.flatten() for g in expected.values()]).norm()
    assert torch.cat([(fixed[n] - expected[n]).flatten() for n in expected]).norm() <= 1e-2 * size
    assert isinstance(state.updater, FixedUpdater)
    for halves in state.updater.halves:
        for full, half in zip(halves.full, halves.half, strict=True):
            assert torch.equal(full.to(torch.bfloat16), half)


def test_buckets_grow_by_an_eighth_and_few_widths() -> None:
    assert [padded_tokens(n) for n in (1, 63, 64, 500, 511, 512, 700, 1023, 1024)] == [
        64, 64, 96, 512, 512, 576, 704, 1024, 1152,
    ]  # fmt: skip
    for n in range(1, 5000):
        assert n < padded_tokens(n) <= max(64, n * 1.125 + 32)
    assert [padded_width(n) for n in (1, 16, 17, 24, 25, 33, 49, 65, 97, 129, 200)] == [
        16, 16, 24, 24, 32, 48, 64, 96, 128, 192, 256,
    ]  # fmt: skip
