"""Gradient accumulation: N batches give the update of one N times as large, by every method; resume, processes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_model import (
    CPU,
    NAMES,
    _template,
    gradients_of,
    moved_teacher,
    phase_state,
    settings,
    small_model,
    small_splits,
    teacher_of,
)
from torch.testing import assert_close
from training import Shop, assert_same_training

from smartcli.config import PerTask, Settings
from smartcli.engine.distributed import ALONE, Processes
from smartcli.engine.model.part import DrawnOnce
from smartcli.engine.terms.mtdnn import find_perturbation
from smartcli.engine.training.accumulation import cut
from smartcli.engine.training.batches import Batcher, Prepared
from smartcli.engine.training.recorder import not_recorded
from smartcli.engine.training.schedule import Step, plan, steps, update_sizes
from smartcli.errors import UserError
from smartcli.home import Home

ROWS = {"mood": 9, "same": 16, "near": 3}
"""With batches of 4: three, four and one."""
QUIET: dict[str, Any] = {"dropout": 0.0, "attention_dropout": 0.0}
METHODS: dict[str, dict[str, Any]] = {
    "plain": {"lam": 0.0},
    "smart": {"lam": 2.0, "ascent_steps": 2},
    "smart of one task": {"lam": PerTask(0.0, (("near", 3.0),))},
    "mtdnn": {"lam": 1.0, "smart_variant": "mtdnn"},
    "two-norm": {"lam": 1.0, "norm": "2", "epsilon": 1e-2, "sigma": 1e-2, "ascent_steps": 3},
    "bregman": {"lam": 0.0, "mu": 1.0},
    "rdrop and fgm": {"lam": 0.0, "rdrop": 1.0, "fgm": 1e-2},
    "several samples": {"lam": 0.0, "dropout_samples": 3},
    "soft labels": {"lam": 0.0, "label_smoothing": PerTask(0.1), "ordinal": PerTask(0.0, (("mood", 1.0),))},
    "unit range": {"lam": 1.0, "regression_loss": "unit", "pair_mode": "cosine"},
    "apart": {"lam": 1.0, "pair_mode": "separate", "pooling": "mean"},
    "frozen": {"lam": 1.0, "freeze_encoder": True},
}


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path, train={"sst": 13, "qqp": 7, "sts": 30})


def update(
    chosen: Settings,
    dtype: torch.dtype = torch.float64,
    *,
    rows: Mapping[str, int] = ROWS,
    number: int = 1,
    **more: Any,
) -> Prepared:
    """An update of `rows`, with labels of `dtype`."""
    step = Step(number, 1, {task: (np.arange(n) + number) % 24 for task, n in rows.items()}, False)
    prepared = Batcher(small_splits(), _template("bert"), chosen, 64, CPU, **more)(step)
    batches = [replace(b, labels={t: v.to(dtype) for t, v in b.labels.items()}) for b in prepared.batches]
    return replace(prepared, batches=tuple(batches))


def pair(**options: Any) -> tuple[Settings, Settings]:
    """One large batch, and four that are as large together."""
    large = settings(**QUIET, batch_size=PerTask(16), **options)
    return large, replace(large, batch_size=PerTask(4), accumulate=4)


@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
@pytest.mark.parametrize("method", METHODS)
def test_the_gradients_are_those_of_the_large_batch(method: str, surgery: str) -> None:
    large, small = pair(surgery=surgery, **METHODS[method])
    one, other = phase_state(large), phase_state(small)
    for state in (one, other):
        if teacher_of(state.updater.objective) is not None:
            moved_teacher(state.updater.objective)
    expected, found = gradients_of(one, update(large)), gradients_of(other, update(small))
    assert set(found) == set(expected)
    assert found
    for name, gradient in expected.items():
        assert_close(found[name], gradient, rtol=1e-8, atol=1e-11, msg=name)


@pytest.mark.parametrize("model_type", ["mpnet", "deberta-v2", "modernbert"])
def test_a_part_without_a_row_of_the_smoothed_task_is_taken_by_every_kind_of_attention(model_type: str) -> None:
    large, small = pair(**METHODS["smart of one task"])
    one, other = (phase_state(chosen, model=small_model(chosen, model_type=model_type)) for chosen in (large, small))
    expected, found = gradients_of(one, update(large)), gradients_of(other, update(small))
    for name, gradient in expected.items():
        assert_close(found[name], gradient, rtol=1e-8, atol=1e-11, msg=name)


@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
def test_losses_norm_cosines_and_measurements_are_those_of_the_large_batch(surgery: str) -> None:
    large, small = pair(surgery=surgery, lam=1.0, mu=1.0, rdrop=1.0, clip_norm=0.1)
    one, other = (phase_state(c).updater.run(update(c), probe=True) for c in (large, small))
    assert set(one.found) == set(other.found)
    for name, numbers in one.found.items():
        assert other.found[name].values == pytest.approx(numbers.values, abs=1e-10), name
        assert other.found[name].logged.keys() == numbers.logged.keys()
        for key, values in numbers.logged.items():
            assert other.found[name].logged[key] == pytest.approx(values, abs=1e-10), key
    assert other.grad_norm == pytest.approx(one.grad_norm, rel=1e-9)
    assert other.cosines == pytest.approx(one.cosines, abs=1e-9)
    assert bool(one.cosines) == (surgery == "pcgrad")


@pytest.mark.parametrize("balance", ["uncertainty", "gradnorm"])
@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
def test_balanced_tasks_have_the_updates_of_the_large_batch(balance: str, surgery: str) -> None:
    both = pair(lam=1.0, surgery=surgery, balance=balance, lr=1e-3)
    one, other = (phase_state(chosen) for chosen in both)
    for number in range(1, 5):
        for state, chosen in zip((one, other), both, strict=True):
            assert state.updater.run(update(chosen, number=number), probe=False).bad is None
    for (name, p), (_, q) in zip(one.named, other.named, strict=True):
        assert_close(q, p, rtol=1e-7, atol=1e-10, msg=name)


def test_class_weights_divide_by_the_whole_update() -> None:
    large, small = pair(lam=0.0)
    states = []
    for chosen in (large, small):
        model = small_model(chosen)
        mood = replace(model.tasks.get("mood"), class_weights=(5.0, 0.1, 1.0, 2.0, 0.5))
        model.tasks = replace(model.tasks, tasks=(mood, *model.tasks.tasks[1:]))
        states.append(phase_state(chosen, model=model))
    one, other = (gradients_of(state, update(c)) for state, c in zip(states, (large, small), strict=True))
    plain = gradients_of(phase_state(large), update(large))
    assert not torch.equal(plain["heads.mood.linear.weight"], one["heads.mood.linear.weight"])
    for name, gradient in one.items():
        assert_close(other[name], gradient, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
@pytest.mark.parametrize("size", [2, 3])
def test_the_parts_of_processes_add_up(size: int, surgery: str, monkeypatch: pytest.MonkeyPatch) -> None:
    large, small = pair(lam=1.0, smart_variant="mtdnn", surgery=surgery)
    # Nobody is there to ask; a penalty that holds is not asked about in one process either.
    monkeypatch.setattr(Processes, "any", lambda self, value: value)
    prepared = [update(small, processes=Processes(rank, size)) for rank in range(size)]
    tokens = [[given.batch.tokens for given in one.batches] for one in prepared]
    assert sum(map(sum, tokens)) == prepared[0].tokens == update(large).tokens
    for at, whole in enumerate(given.batch.whole_tokens for given in prepared[0].batches):
        assert sum(own[at] for own in tokens) == whole
    if surgery == "none":
        whole = phase_state(large)
        expected = whole.updater.differentiate(*update(large).batches).total
        states = [phase_state(small) for _ in prepared]
        losses = [state.updater.differentiate(*own.batches) for state, own in zip(states, prepared, strict=True)]
        total = torch.stack([loss.total.detach() for loss in losses]).sum()
        assert_close(total, expected.detach(), rtol=1e-9, atol=1e-12)
        for name, p in whole.named:
            if p.grad is not None and p is not whole.model.encoder.words.weight:
                own = [dict(state.named)[name].grad for state in states]
                assert_close(torch.stack([g for g in own if g is not None]).sum(0), p.grad, rtol=1e-8, atol=1e-11)


def test_with_dropout_each_batch_draws_masks_of_its_own_and_resume_needs_the_streams_alone() -> None:
    chosen = replace(settings(lam=1.0), batch_size=PerTask(4), accumulate=4)
    one, other = phase_state(chosen, torch.float32), phase_state(chosen, torch.float32)
    for state in (one, other):
        state.updater.run(update(chosen, torch.float32), probe=False)
    other.streams.restore(one.streams.state())
    for state in (one, other):
        state.updater.run(update(chosen, torch.float32, number=2), probe=False)
    assert all(torch.equal(p, q) for (_, p), (_, q) in zip(one.named, other.named, strict=True))


def test_noise_is_drawn_once_an_update_and_let_go() -> None:
    drawn: list[int] = []

    def draw() -> torch.Tensor:
        drawn.append(len(drawn))
        return torch.tensor(float(len(drawn)))

    noise = DrawnOnce(3)
    assert [noise.read(draw).item() for _ in range(7)] == [1, 1, 1, 2, 2, 2, 3]
    assert noise._drawn is not None
    small = pair(lam=1.0)[1]
    state = phase_state(small)
    before = state.streams["noise"].get_state()
    prepared = update(small)
    state.updater.run(prepared, probe=False)
    large = phase_state(pair(lam=1.0)[0])
    large.updater.run(update(pair(lam=1.0)[0]), probe=False)
    assert not torch.equal(state.streams["noise"].get_state(), before)
    assert torch.equal(state.streams["noise"].get_state(), large.streams["noise"].get_state())
    assert all(b.batch.part is not None and b.batch.part.update is not None for b in prepared.batches)
    assert all(b.batch.part.update.noise._drawn is None for b in prepared.batches if b.batch.part.update)  # type: ignore[union-attr]


def test_rows_are_cut_in_order_and_a_task_may_have_none_left() -> None:
    found = cut({"a": 9, "b": 3}, {"a": 4, "b": 4})
    assert [list(part["a"]) for part in found] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    assert [list(part["b"]) for part in found] == [[0, 1, 2], [], []]
    assert len(cut({"a": 1}, {"a": 8})) == 1
    prepared = update(pair(lam=1.0)[1])
    assert [given.batch.examples for given in prepared.batches] == [
        {"mood": 4, "same": 4, "near": 3},
        {"mood": 4, "same": 4, "near": 0},
        {"mood": 1, "same": 4, "near": 0},
        {"mood": 0, "same": 4, "near": 0},
    ]
    apart = update(pair(lam=1.0, surgery="pcgrad")[1])
    assert [len(own) for own in apart.gradients] == [3, 4, 1]


def test_epochs_and_steps_count_updates() -> None:
    chosen = replace(settings(), batch_size=PerTask(8, (("near", 2),)), accumulate=4, epochs=PerTask(3))
    sizes = {"mood": 70, "same": 20, "near": 30}
    assert update_sizes(chosen, NAMES) == {"mood": 32, "same": 32, "near": 8}
    (phase,) = plan(small_model(chosen).tasks, chosen, sizes)
    assert phase.steps == 3 * math.ceil(70 / 32)
    large = replace(chosen, batch_size=PerTask(32, (("near", 8),)), accumulate=1)
    for one, other in zip(
        steps(0, sizes, update_sizes(chosen, NAMES), NAMES, 3),
        steps(0, sizes, update_sizes(large, NAMES), NAMES, 3),
        strict=True,
    ):
        assert (one.number, one.epoch, one.ends_epoch) == (other.number, other.epoch, other.ends_epoch)
        assert all(np.array_equal(one.rows[task], other.rows[task]) for task in NAMES)


def test_a_penalty_that_does_not_hold_in_one_batch_is_left_out_there(monkeypatch: pytest.MonkeyPatch) -> None:
    small = pair(lam=1.0, smart_variant="mtdnn")[1]
    calls: list[int] = []

    def climb(divergence_at: Any, start: torch.Tensor, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
        delta, holds = find_perturbation(divergence_at, start, **options)
        calls.append(1)
        return delta, holds & (len(calls) != 2)

    monkeypatch.setattr("smartcli.engine.terms.mtdnn.find_perturbation", climb)
    outcome = phase_state(small).updater.run(update(small), probe=False)
    assert len(calls) == 4
    assert outcome.skipped
    assert outcome.found["r_s"].values == {}
    assert outcome.bad is None


@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
def test_a_batch_that_is_not_finite_changes_nothing(surgery: str) -> None:
    small = pair(lam=0.0, surgery=surgery, lr=1e-2)[1]
    state, prepared = phase_state(small), update(small)
    # Of the batches that have scores at all, those with surgery stand last and the others first.
    at = next(number for number, given in enumerate(prepared.batches) if len(given.labels.get("near", ())))
    spoiled = prepared.batches[at].labels | {"near": torch.full((3,), math.inf, dtype=torch.float64)}
    batches = list(prepared.batches)
    batches[at] = replace(batches[at], labels=spoiled)
    before = {name: p.detach().clone() for name, p in state.named}
    outcome = state.updater.run(replace(prepared, batches=tuple(batches)), probe=False)
    assert (outcome.bad, outcome.bad_tasks) == ("loss", ("near",))
    assert all(torch.equal(before[name], p) for name, p in state.named)
    assert all(p.grad is None or p.grad.abs().max() == 0 for _, p in state.named)
    assert state.updater.run(update(small, number=2), probe=False).bad is None


def test_twenty_steps_of_a_training_are_those_of_the_large_batch(shop: Shop) -> None:
    common = {"epochs": "10", "dropout": "0", "attention_dropout": "0", "lr_schedule": "linear",
              "warmup": "0.3", "lambda": "1", "clip_norm": "1", "ema": "0.9"}  # fmt: skip
    shop.train("large", batch_size="sst=8,qqp=4,sts=12", **common)
    large = [event for event in shop.events if event["event"] in ("step", "dev")]
    shop.train("small", batch_size="sst=2,qqp=1,sts=3", accumulate="4", **common)
    small = [event for event in shop.events if event["event"] in ("step", "dev")]
    assert len([event for event in small if event["event"] == "step"]) == 20
    for one, other in zip(large, small, strict=True):
        for key in ("event", "step", "epoch", "examples", "tokens", "lr"):
            assert one.get(key) == other.get(key)
        for key in ("loss", "r_s"):
            assert other.get(key, {}) == pytest.approx(one.get(key, {}), abs=1e-5, rel=0), (one["step"], key)


@pytest.mark.parametrize("more", [{"surgery": "pcgrad", "mu": "1"}, {"schedule": "sequential", "epochs": "1"}],
                         ids=lambda more: ",".join(more))  # fmt: skip
def test_it_resumes_bit_for_bit_in_mid_epoch(shop: Shop, more: dict[str, Any]) -> None:
    options = {"accumulate": "3", "batch_size": "2", "lambda": "1"} | more
    shop.train("whole", **options)
    shop.stopped("cut", stop=2, **options)
    shop.train("cut", resume="auto", **options)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))


def test_off_it_changes_no_bit(shop: Shop) -> None:
    shop.train("off", accumulate="1")
    shop.train("never")
    assert_same_training(shop.open_checkpoint("off"), shop.open_checkpoint("never"))
    prepared = update(settings())
    assert prepared.sums == ()
    assert prepared.batches[0].batch.part is None


def test_a_gpu_does_not_record_it_and_says_why() -> None:
    reason = not_recorded(replace(settings(), accumulate=4), torch.device("cuda"), ALONE)
    assert reason == "--accumulate 4 sums several passes of any shape"
    assert not_recorded(settings(), torch.device("cuda"), ALONE) is None


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many"])
def test_a_wrong_number_is_refused(shop: Shop, value: str) -> None:
    with pytest.raises(UserError, match="--accumulate must be a whole number"):
        shop.resolve(accumulate=value)
