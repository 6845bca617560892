"""FGM: its step by hand, what it does to the loss, and that it resumes, distributes and stays out of the way."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from scale_out import collect, steps_of
from small_model import MODES, NAMES, objective_of, settings, small_batch, small_model, words_of
from torch.testing import assert_close
from training import Shop, assert_same_training, log_of

from smartcli.engine.streams import Streams
from smartcli.engine.terms.fgm import adversarial_step
from smartcli.errors import UserError
from smartcli.home import Home

QUIET = {"lam": 0.0, "dropout": 0.0, "attention_dropout": 0.0}


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def test_the_step_by_hand_has_the_radius_in_every_sentence_and_none_without_a_gradient() -> None:
    # Sentence 0: norm 5; sentence 1: no gradient; sentence 2: norm 1e-30, which must not underflow.
    gradient = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0], [0.0, 1e-30]], dtype=torch.float64)
    found = adversarial_step(gradient, torch.tensor([0, 0, 1, 2]), 3, 0.5)
    assert_close(found, torch.tensor([[0.3, 0.0], [0.0, 0.4], [0.0, 0.0], [0.0, 0.5]], dtype=torch.float64))


def losses(fgm: float, **changes: Any) -> dict[str, dict[str, float]]:
    chosen = settings(fgm=fgm, **{**QUIET, **changes})
    model, given = small_model(chosen), small_batch(chosen)
    found = objective_of(model, chosen).loss(given, words_of(model, given), Streams(0, "p")).found
    return {name: {task: value.item() for task, value in m.values.items()} for name, m in found.items()}


@pytest.mark.parametrize("pair_mode", MODES)
def test_a_small_step_raises_every_tasks_loss_by_the_norm_of_its_gradient(pair_mode: str) -> None:
    radius = 1e-5
    found = losses(radius, pair_mode=pair_mode)
    chosen = settings(pair_mode=pair_mode, **QUIET)
    model, given = small_model(chosen), small_batch(chosen)
    for task in NAMES:
        words = words_of(model, given)
        value = objective_of(model, chosen).loss(given, words, Streams(0, "p")).found["loss"].values[task]
        (gradient,) = torch.autograd.grad(value, words)
        sizes = [gradient[given.batch.sentence == s].norm() for s in range(given.batch.sentences)]
        rise = found["fgm"][task] - found["loss"][task]
        assert rise > 0
        # To first order the loss rises by ε·‖∇ℓ‖₂, sentence by sentence.
        assert rise == pytest.approx(radius * float(torch.stack(sizes).sum()), rel=1e-2)


def test_the_total_is_the_loss_and_the_loss_at_the_step() -> None:
    chosen = settings(fgm=0.3, **QUIET)
    model, given = small_model(chosen), small_batch(chosen)
    loss = objective_of(model, chosen).loss(given, words_of(model, given), Streams(0, "p"))
    expected = sum(
        model.tasks.get(task).weight * (loss.found["loss"].values[task] + loss.found["fgm"].values[task])
        for task in NAMES
    )
    assert_close(loss.total, expected, rtol=1e-12, atol=0.0)


def test_it_uses_the_clean_passs_masks_so_that_no_radius_means_no_difference() -> None:
    found = losses(1e-300, dropout=0.5, attention_dropout=0.5)
    assert found["fgm"] == found["loss"]


@pytest.mark.parametrize(
    "more",
    [{}, {"surgery": "pcgrad", "lambda": "1"}, {"schedule": "sequential", "epochs": "1"}, {"precision": "bf16"},
     {"freeze_encoder": True}],
    ids=lambda more: ",".join(more) or "plain",
)  # fmt: skip
def test_it_trains_is_logged_and_resumes_bit_for_bit(shop: Shop, more: dict[str, Any]) -> None:
    shop.train("whole", fgm="0.5", **more)
    shop.stopped("cut", stop=3, fgm="0.5", **more)
    shop.train("cut", resume="auto", fgm="0.5", **more)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))
    steps = [event for event in log_of(shop.open_checkpoint("whole")) if event["event"] == "step"]
    assert all(set(event["fgm"]) == set(event["loss"]) for event in steps)
    assert " fgm" in shop.open_checkpoint("whole").meta.method


def test_off_it_changes_no_bit(shop: Shop) -> None:
    shop.train("off", fgm="0")
    shop.train("never")
    assert_same_training(shop.open_checkpoint("off"), shop.open_checkpoint("never"))
    assert "fgm" not in shop.open_checkpoint("off").meta.method


def test_two_processes_have_one_processs_values(shop: Shop, tmp_path: Path) -> None:
    jobs = {"fgm": {"fgm": "0.5", "lambda": "1", "max_steps": "4"}}
    alone = collect(partial(shop.train, "alone", **jobs["fgm"]))
    found = steps_of(2, shop, jobs, tmp_path / "steps.json")["fgm"]
    steps = [[event["fgm"] for event in events if event["event"] == "step"] for events in (alone, found)]
    assert len(steps[0]) == 4
    for one, two in zip(*steps, strict=True):
        assert two == pytest.approx(one, abs=1e-5)


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "much"])
def test_a_wrong_radius_is_refused(shop: Shop, value: str) -> None:
    with pytest.raises(UserError, match="--fgm must be a number"):
        shop.resolve(fgm=value)
