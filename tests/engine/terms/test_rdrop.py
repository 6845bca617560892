"""R-Drop: its value by hand from two passes, where it is nothing, and that it resumes, distributes and stays out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from scale_out import collect, steps_of
from small_model import MODES, NAMES, objective_of, settings, small_batch, small_model, words_of
from torch.nn import functional as F
from torch.testing import assert_close
from training import Shop, assert_same_training, log_of

from smartcli.engine.model.dropout import fresh_dropout
from smartcli.engine.streams import Streams
from smartcli.errors import UserError
from smartcli.home import Home


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def test_its_value_is_equation_four_of_two_passes() -> None:
    alpha = 3.0
    chosen = settings(lam=0.0, rdrop=alpha, dropout=0.3)
    model, given = small_model(chosen), small_batch(chosen)
    words = words_of(model, given)
    loss = objective_of(model, chosen).loss(given, words, Streams(0, "p"), probe=True)
    # The same streams from their start draw the same masks for the two passes.
    streams = Streams(0, "p")
    one = model(words, given.batch, fresh_dropout(streams["dropout"], given.batch))
    two = model(words, given.batch, fresh_dropout(streams["rdrop"], given.batch))
    assert not torch.equal(one["mood"], two["mood"])
    p, q = (F.log_softmax(out["mood"], dim=-1) for out in (one, two))
    kl = F.kl_div(q, p, log_target=True, reduction="batchmean") + F.kl_div(p, q, log_target=True, reduction="batchmean")
    labels = given.labels["mood"].long()
    assert_close(loss.found["loss"].values["mood"], F.nll_loss(p, labels))
    assert_close(loss.found["rdrop"].values["mood"], F.nll_loss(q, labels) + alpha * kl / 2)
    assert_close(loss.found["rdrop"].logged["rdrop_divergence"]["mood"], kl.detach())
    # One logit: the two-class KL; scores: the squared difference.
    a, b = torch.sigmoid(one["same"]), torch.sigmoid(two["same"])
    a, b = torch.stack([a, 1 - a], 1), torch.stack([b, 1 - b], 1)
    kl = ((a - b) * (a / b).log()).sum(dim=1).mean()
    expected = F.binary_cross_entropy_with_logits(two["same"], given.labels["same"]) + alpha * kl / 2
    assert_close(loss.found["rdrop"].values["same"], expected)
    expected = F.mse_loss(two["near"], given.labels["near"]) + alpha * F.mse_loss(one["near"], two["near"]) / 2
    assert_close(loss.found["rdrop"].values["near"], expected)


@pytest.mark.parametrize("pair_mode", MODES)
def test_without_dropout_it_is_the_loss_once_more(pair_mode: str) -> None:
    chosen = settings(lam=0.0, rdrop=5.0, dropout=0.0, attention_dropout=0.0, pair_mode=pair_mode)
    model, given = small_model(chosen), small_batch(chosen)
    found = objective_of(model, chosen).loss(given, words_of(model, given), Streams(0, "p")).found
    for task in NAMES:
        assert_close(found["rdrop"].values[task], found["loss"].values[task], rtol=1e-12, atol=0.0)


def test_the_gradient_goes_through_both_passes() -> None:
    chosen = settings(lam=0.0, rdrop=1.0, dropout=0.3)
    model, given = small_model(chosen), small_batch(chosen)
    words = words_of(model, given)
    loss = objective_of(model, chosen).loss(given, words, Streams(0, "p"), probe=True)
    streams = Streams(0, "p")
    one = model(words, given.batch, fresh_dropout(streams["dropout"], given.batch))["near"]
    two = model(words, given.batch, fresh_dropout(streams["rdrop"], given.batch))["near"]
    label = given.labels["near"]
    expected = F.mse_loss(two, label) + F.mse_loss(one, two) / 2
    (by_hand,) = torch.autograd.grad(expected, words)
    (found,) = torch.autograd.grad(loss.found["rdrop"].values["near"], words)
    assert_close(found, by_hand)


@pytest.mark.parametrize(
    "more",
    [{}, {"surgery": "pcgrad", "lambda": "1"}, {"schedule": "sequential", "epochs": "1"}, {"precision": "bf16"},
     {"freeze_encoder": True}],
    ids=lambda more: ",".join(more) or "plain",
)  # fmt: skip
def test_it_trains_is_logged_and_resumes_bit_for_bit(shop: Shop, more: dict[str, Any]) -> None:
    shop.train("whole", rdrop="1", **more)
    shop.stopped("cut", stop=3, rdrop="1", **more)
    shop.train("cut", resume="auto", rdrop="1", **more)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))
    steps = [event for event in log_of(shop.open_checkpoint("whole")) if event["event"] == "step"]
    assert all(set(event["rdrop"]) == set(event["loss"]) == set(event["rdrop_divergence"]) for event in steps)
    assert all(value > 0 for event in steps for value in event["rdrop_divergence"].values())
    assert " rdrop" in shop.open_checkpoint("whole").meta.method


def test_off_it_changes_no_bit(shop: Shop) -> None:
    shop.train("off", rdrop="0")
    shop.train("never")
    assert_same_training(shop.open_checkpoint("off"), shop.open_checkpoint("never"))
    assert "rdrop" not in shop.open_checkpoint("off").meta.method


def test_two_processes_have_one_processs_values(shop: Shop, tmp_path: Path) -> None:
    jobs = {"rdrop": {"rdrop": "1", "lambda": "1", "max_steps": "4"}}
    alone = collect(partial(shop.train, "alone", **jobs["rdrop"]))
    found = steps_of(2, shop, jobs, tmp_path / "steps.json")["rdrop"]
    steps = [[event["rdrop"] for event in events if event["event"] == "step"] for events in (alone, found)]
    assert len(steps[0]) == 4
    for one, two in zip(*steps, strict=True):
        assert two == pytest.approx(one, abs=1e-5)


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "much"])
def test_a_wrong_weight_is_refused(shop: Shop, value: str) -> None:
    with pytest.raises(UserError, match="--rdrop must be a number"):
        shop.resolve(rdrop=value)
