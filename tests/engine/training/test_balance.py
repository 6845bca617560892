"""What all ways to learn tasks' weights share: Adam by torch's, the loss they weigh, resume, bad steps, bad options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scale_out import steps_of
from small_model import CPU, NAMES, TASKS, _template, phase_state, settings, small_model, small_splits, small_step
from torch.testing import assert_close
from training import Shop, assert_same_training, log_of

from smartcli.config import PerTask
from smartcli.engine.training.balance import Adam, Balance
from smartcli.engine.training.batches import Batcher
from smartcli.engine.training.phase_state import PhaseState
from smartcli.engine.training.replay import FirstCallAgain
from smartcli.engine.training.schedule import Phase, Step
from smartcli.errors import UserError
from smartcli.home import Home

WAYS = ("uncertainty", "gradnorm")


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def balance_of(state: PhaseState) -> Balance:
    assert state.balance is not None
    return state.balance


def test_adam_is_torchs_for_what_moves_and_stands_still_for_the_rest() -> None:
    own, x = Adam(3, 0.1, CPU), torch.zeros(3, dtype=torch.float64)
    theirs = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    reference = torch.optim.Adam([theirs], lr=0.1)
    for number in range(1, 6):
        gradient = torch.tensor([number - 3.0, 0.1 * number**2, 7.0], dtype=torch.float64)
        new = own.change(gradient, torch.tensor([True, True, False]))
        x = x + new.pop("by")
        own.tensors = new
        theirs.grad = gradient[:2].clone()
        reference.step()
    assert_close(x[:2], theirs.detach(), rtol=1e-12, atol=1e-12)
    assert x[2] == 0
    assert own.tensors["count"].tolist() == [5.0, 5.0, 0.0]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
def test_gradients_are_those_of_the_same_weights_fixed(way: str, surgery: str) -> None:
    """Penalties included, and beside fixed weights: near counts half by its table, three times that by the option."""
    more: dict[str, Any] = {"lam": 1.0, "mu": 1.0, "surgery": surgery, "task_weights": PerTask(1.0, (("near", 3.0),))}
    state = phase_state(settings(balance=way, **more))
    learnt = torch.tensor([0.5, 0.25, 2.0], dtype=torch.float64)
    balance_of(state).weights.copy_(learnt)
    by_hand = phase_state(
        settings(**more | {"task_weights": PerTask(1.0, (("mood", 0.5), ("same", 0.25), ("near", 6.0)))})
    )
    for each in (state, by_hand):
        if surgery == "none":
            each.updater.differentiate(*small_step(each.updater.settings).batches)
        else:
            each.updater.differentiate_apart(small_step(each.updater.settings).gradients)
    for (name, one), (_, other) in zip(state.named, by_hand.named, strict=True):
        if one.grad is not None:
            assert other.grad is not None
            assert_close(one.grad, other.grad, rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize("way", WAYS)
def test_the_parts_are_before_weights_and_sum_to_the_total(way: str) -> None:
    chosen = settings(lam=2.0, balance=way)
    state = phase_state(chosen)
    (given,) = small_step(chosen).batches
    loss = state.updater.differentiate(given)
    for task in NAMES:
        assert_close(loss.parts[task], loss.found["loss"].values[task] + 2.0 * loss.found["r_s"].values[task])
    weights = balance_of(state).weights
    expected = sum(weights[at] * TASKS.get(task).weight * loss.parts[task] for at, task in enumerate(NAMES))
    assert_close(loss.total.detach(), expected)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
def test_fixed_shapes_learn_the_same_and_nothing_from_a_bad_step(way: str, surgery: str) -> None:
    chosen = settings(
        lam=0.0, balance=way, balance_lr=0.1, surgery=surgery, lr=1e-3, dropout=0.0, attention_dropout=0.0,
        batch_size=PerTask(4),
    )  # fmt: skip
    plain = phase_state(chosen, torch.float32, steps=20)
    model = small_model(chosen, torch.float32)
    state = PhaseState(model, Phase(NAMES, 1, 20, 20), chosen, CPU, False, recorder=lambda _: FirstCallAgain())
    words = len(model.encoder.words.weight)
    batcher = Batcher(small_splits(), _template("bert"), chosen, 64, CPU, vocabulary=words)
    for number in range(1, 14):
        rows = {task: (np.arange(4) + number) % 24 for task in NAMES}
        one = plain.updater.run(small_step(chosen, torch.float32, rows=rows, number=number), probe=False)
        other = state.updater.run(batcher(Step(number, 1, rows, False)), probe=False)
        assert one.bad is None
        assert other.weights == pytest.approx(one.weights, rel=1e-3)
    assert balance_of(state).weights.tolist() != [1.0, 1.0, 1.0]
    before = {name: tensor.clone() for name, tensor in balance_of(state).tensors().items()}
    splits = small_splits()
    assert splits["near"].labels is not None
    splits["near"].labels[:] = np.nan
    bad = Batcher(splits, _template("bert"), chosen, 64, CPU, vocabulary=words)
    outcome = state.updater.run(bad(Step(14, 1, {task: np.arange(4) for task in NAMES}, False)), probe=False)
    assert outcome.bad is not None
    for name, tensor in balance_of(state).tensors().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize(
    ("way", "more"),
    [
        ("uncertainty", {"ema": "0.9"}),
        ("uncertainty", {"surgery": "pcgrad", "lambda": "1"}),
        ("gradnorm", {"lambda": "1"}),
        ("gradnorm", {"surgery": "pcgrad", "accumulate": "2"}),
    ],
)
def test_it_resumes_bit_for_bit_and_its_weights_stand_in_the_log(
    shop: Shop, way: str, more: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smartcli.engine.training.gradnorm.START", 2)
    options = {"balance": way, "balance_lr": "0.2", **more}
    shop.train("whole", **options)
    shop.stopped("cut", stop=4, **options)
    shop.train("cut", resume="auto", **options)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))
    logged = [e["task_weight"] for e in log_of(shop.open_checkpoint("whole")) if e["event"] == "step"]
    start = {"sst": 1.0, "qqp": 1.0, "sts": 0.5 if way == "uncertainty" else 1.0}
    assert logged[0] == start
    assert all(logged[-1][task] != start[task] for task in start)


def test_off_no_bit_and_no_key_changes(shop: Shop) -> None:
    shop.train("off", balance="none", task_weights="1")
    shop.train("never")
    assert_same_training(shop.open_checkpoint("off"), shop.open_checkpoint("never"))
    assert not any("task_weight" in event for event in log_of(shop.open_checkpoint("off")))


@pytest.mark.slow
def test_two_processes_learn_the_same(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    common = {"balance_lr": "0.1", "epochs": "5", "max_steps": "14"}
    jobs = {
        "uncertainty": {"balance": "uncertainty", **common},
        "gradnorm": {"balance": "gradnorm", "lambda": "1", **common},
        "surgery": {"balance": "gradnorm", "surgery": "pcgrad", **common},
    }
    found = steps_of(2, shop, jobs, tmp_path / "steps.json")
    for name, options in jobs.items():
        shop.train(f"{name}-alone", **options)
        alone, several = ([e for e in es if e["event"] == "step"] for es in (shop.events, found[name]))
        assert len(alone) == len(several) == 14
        for one, other in zip(alone, several, strict=True):
            assert other["task_weight"] == pytest.approx(one["task_weight"], rel=1e-4)
        assert alone[-1]["task_weight"] != alone[0]["task_weight"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balance": "magic"}, "--balance must be one of none, uncertainty, gradnorm"),
        ({"balance": "gradnorm", "balance_alpha": "-1"}, "--balance-alpha must be a number at least 0 and at most 3"),
        ({"balance": "gradnorm", "balance_alpha": "nan"}, "--balance-alpha must be a number"),
        ({"balance": "uncertainty", "balance_lr": "0"}, "--balance-lr must be a number above 0"),
        ({"balance": "uncertainty", "tasks": "sst"}, "--balance uncertainty weighs the tasks of a step"),
        ({"balance": "gradnorm", "schedule": "sequential"}, "--balance gradnorm weighs the tasks of a step"),
        ({"balance": "gradnorm", "freeze_encoder": True}, "--balance gradnorm compares gradients of the encoder"),
    ],
)
def test_wrong_options_are_refused(shop: Shop, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        shop.resolve(**options)
