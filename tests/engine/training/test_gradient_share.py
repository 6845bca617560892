"""Each task's share of the gradient: against a backward pass a task, by hand, in every kind of step and in the log."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from scale_out import steps_of
from small_model import CPU, NAMES, _template, phase_state, settings, small_model, small_splits, small_step
from torch import Tensor
from torch.testing import assert_close
from training import Shop, assert_same_training, log_of

from smartcli.config import Settings
from smartcli.engine.terms import ascent
from smartcli.engine.training.batches import Batcher
from smartcli.engine.training.gradient_share import norms_of, shares_of, squares_by_task
from smartcli.engine.training.phase_state import PhaseState
from smartcli.engine.training.replay import EachTime
from smartcli.engine.training.schedule import Phase, Step
from smartcli.home import Home

LARGE = {"epsilon": 0.1, "sigma": 0.01, "step_size": 0.1, "smart_dropout": "off"}
METHODS: dict[str, dict[str, Any]] = {
    "plain": {"lam": 0.0},
    "smart": {"lam": 1.0, **LARGE},
    "separate pairs": {"lam": 0.0, "pair_mode": "separate"},
    "bregman and fgm": {"lam": 0.0, "mu": 1.0, "fgm": 0.1},
    "surgery": {"lam": 1.0, **LARGE, "surgery": "pcgrad"},
}


def noise(like: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """The same for every token, so that no draw depends on what else is in a batch."""
    return sigma * torch.sin(torch.arange(1.0, like.shape[1] + 1, dtype=like.dtype)).expand(like.shape)


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def chosen_of(method: str) -> Settings:
    return settings(dropout=0.0, attention_dropout=0.0, **METHODS[method])


def by_backward_passes(chosen: Settings) -> dict[str, float]:
    """Each task's norm from a step and a backward pass of its own."""
    out = {}
    for task in NAMES:
        state = phase_state(chosen)
        (given,) = small_step(chosen, rows={task: range(4)}).batches
        words = state.updater.words(given)
        loss = state.updater.objective.loss(given, words, state.streams)
        (gradient,) = torch.autograd.grad(loss.total, words)
        out[task] = float(gradient.norm())
    return out


@pytest.mark.parametrize("method", ["plain", "separate pairs", "bregman and fgm", "surgery"])
def test_norms_are_those_of_a_backward_pass_for_each_task(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ascent, "start_noise", noise)
    chosen = chosen_of(method)
    found = phase_state(chosen).updater.run(small_step(chosen), probe=True)
    assert found.norms == pytest.approx(by_backward_passes(chosen), rel=1e-9)
    assert tuple(found.norms) == NAMES


def test_norms_by_hand() -> None:
    (given,) = small_step(settings(lam=0.0), rows={"mood": [0], "near": [1]}).batches
    batch = given.batch
    (mood,), (near,) = batch.outputs["mood"], batch.outputs["near"]
    gradient = torch.zeros(batch.tokens, 4, dtype=torch.float64)
    start = int(batch.starts[mood[0]])
    gradient[start], gradient[start + 1, 0] = torch.tensor([1.0, 2.0, 2.0, 4.0]), 12.0  # 5² + 12²
    gradient[int(batch.starts[near[0]]), 1] = -3.0
    squares = {task: float(value) for task, value in squares_by_task(gradient, batch).items()}
    assert squares == {"mood": 169.0, "near": 9.0}
    assert shares_of(norms_of(squares)) == {"mood": 13 / 16, "near": 3 / 16}


def test_small_gradients_do_not_underflow() -> None:
    (given,) = small_step(settings(lam=0.0), torch.float32, rows={"mood": [0], "near": [1]}).batches
    squares = squares_by_task(torch.full((given.batch.tokens, 2), 1e-25), given.batch)
    assert all(0 < float(value) < 1e-40 for value in squares.values())


def test_nothing_is_shared_where_every_norm_is_zero_and_nan_stays() -> None:
    assert shares_of({"a": 0.0, "b": 0.0}) == {}
    assert math.isnan(norms_of({"a": math.nan})["a"])


@pytest.mark.parametrize("method", METHODS)
def test_measuring_changes_no_bit(method: str) -> None:
    states = []
    for probe in (False, True):
        chosen = settings(**METHODS[method])
        state = phase_state(chosen)
        for number in (1, 2):
            outcome = state.updater.run(small_step(chosen, number=number), probe=probe)
            assert bool(outcome.norms) is probe
        states.append(state)
    # The probe itself draws from a generator of its own.
    for (name, one), (_, other) in zip(states[0].named, states[1].named, strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("method", METHODS)
def test_fixed_shapes_find_the_same(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ascent, "start_noise", noise)
    chosen = chosen_of(method)
    model = small_model(chosen, torch.float32)
    expected = phase_state(chosen, torch.float32, model=model).updater.run(
        small_step(chosen, torch.float32, rows={task: range(3) for task in NAMES}), probe=True
    )
    model = small_model(chosen, torch.float32)
    state = PhaseState(model, Phase(NAMES, 1, 10, 10), chosen, CPU, False, recorder=lambda _: EachTime())
    batcher = Batcher(small_splits(), _template("bert"), chosen, 64, CPU, vocabulary=len(model.encoder.words.weight))
    # Three examples in a bucket of eight: what is padded counts nothing.
    found = state.updater.run(
        batcher(Step(1, 1, {t: torch.arange(3).numpy() for t in NAMES}, False)), probe=True, check=True
    )
    assert found.norms == pytest.approx(expected.norms, rel=1e-4)


def test_a_frozen_encoder_and_a_single_task_have_none() -> None:
    frozen = settings(lam=0.0, freeze_encoder=True)
    assert phase_state(frozen).updater.run(small_step(frozen), probe=True).norms == {}
    alone = settings(lam=0.0)
    state = phase_state(alone, tasks=("near",))
    assert state.updater.run(small_step(alone, rows={"near": range(4)}), probe=True).norms == {}


def test_the_log_has_norms_by_step_and_shares_by_epoch_and_a_resumed_one_too(shop: Shop) -> None:
    shop.train("whole")
    log = log_of(shop.open_checkpoint("whole"))
    steps = [event for event in log if event["event"] == "step"]
    assert [event["step"] for event in steps] == [1, 3, 6]
    assert all(set(event["task_grad_norm"]) == {"sst", "qqp", "sts"} for event in steps)
    dev = [event for event in log if event["event"] == "dev"]
    sums = {task: sum(event["task_grad_norm"][task] for event in steps[:2]) for task in ("sst", "qqp", "sts")}
    assert dev[0]["grad_share"] == pytest.approx({task: value / sum(sums.values()) for task, value in sums.items()})
    assert_close(sum(dev[1]["grad_share"].values()), 1.0)
    shop.stopped("cut", stop=2)
    shop.train("cut", resume="auto")
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))


def test_a_sequential_log_has_none(shop: Shop) -> None:
    shop.train("one", schedule="sequential", epochs="1")
    for event in log_of(shop.open_checkpoint("one")):
        assert not {"task_grad_norm", "grad_share"} & set(event)


@pytest.mark.slow
def test_two_processes_find_the_same(shop: Shop, tmp_path: Path) -> None:
    jobs = {"plain": {}, "surgery": {"surgery": "pcgrad", "lambda": "1"}}
    found = steps_of(2, shop, jobs, tmp_path / "steps.json")
    for name, options in jobs.items():
        shop.train(f"{name}-alone", **options)
        alone = [event for event in shop.events if "task_grad_norm" in event]
        several = [event for event in found[name] if "task_grad_norm" in event]
        assert len(alone) == len(several) == 3
        for one, other in zip(alone, several, strict=True):
            assert other["task_grad_norm"] == pytest.approx(one["task_grad_norm"], rel=1e-3)
