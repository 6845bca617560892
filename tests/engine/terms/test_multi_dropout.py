"""Multi-sample dropout: the mean over samples by hand, where it is plain training, and resume, processes, limits."""

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


def test_the_total_is_the_mean_loss_over_all_samples() -> None:
    chosen = settings(lam=0.0, dropout_samples=4, dropout=0.5)
    model, given = small_model(chosen), small_batch(chosen)
    words = words_of(model, given)
    loss = objective_of(model, chosen).loss(given, words, Streams(0, "p"))
    streams = Streams(0, "p")
    vectors: dict[str, list[torch.Tensor]] = {}
    logits = model(words, given.batch, fresh_dropout(streams["dropout"], given.batch), vectors)
    dropout = fresh_dropout(streams["multi_dropout"], given.batch)
    total = torch.zeros((), dtype=torch.float64)
    for task in NAMES:
        head, label = model.head(task), given.labels[task]
        outs = [logits[task]]
        for _ in range(3):
            outs.append(head([dropout(side, 0.5, f"example:{task}", "anywhere") for side in vectors[task]]))
        losses = [
            F.cross_entropy(out, label.long())
            if task == "mood"
            else F.mse_loss(out, label)
            if task == "near"
            else F.binary_cross_entropy_with_logits(out, label)
            for out in outs
        ]
        assert len({value.item() for value in losses}) == 4
        total = total + model.tasks.get(task).weight * torch.stack(losses).mean()
    assert_close(loss.total, total, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("pair_mode", MODES)
def test_without_dropout_all_samples_are_the_same(pair_mode: str) -> None:
    totals = []
    for samples in (1, 5):
        chosen = settings(lam=1.0, dropout_samples=samples, dropout=0.0, attention_dropout=0.0, pair_mode=pair_mode)
        model, given = small_model(chosen), small_batch(chosen)
        totals.append(objective_of(model, chosen).loss(given, words_of(model, given), Streams(0, "p")).total)
    assert_close(totals[0], totals[1], rtol=1e-12, atol=0.0)


def test_the_encoder_gets_the_mean_of_the_samples_gradients() -> None:
    chosen = settings(lam=0.0, dropout_samples=3, dropout=0.5)
    model, given = small_model(chosen), small_batch(chosen)
    words = words_of(model, given)
    loss = objective_of(model, chosen).loss(given, words, Streams(0, "p"))
    (found,) = torch.autograd.grad(loss.total, words, retain_graph=True)
    parts = [
        model.tasks.get(task).weight * share * value
        for name, share in (("loss", 1 / 3), ("multi_dropout", 2 / 3))
        for task, value in loss.found[name].values.items()
    ]
    (expected,) = torch.autograd.grad(torch.stack(parts).sum(), words)
    assert_close(found, expected, rtol=1e-10, atol=1e-14)
    assert found.norm() > 0


@pytest.mark.parametrize(
    "more",
    [{}, {"surgery": "pcgrad", "lambda": "1"}, {"schedule": "sequential", "epochs": "1"},
     {"precision": "bf16", "lambda": "1"}, {"freeze_encoder": True}, {"pair_mode": "cosine"}],
    ids=lambda more: ",".join(more) or "plain",
)  # fmt: skip
def test_it_trains_is_logged_and_resumes_bit_for_bit(shop: Shop, more: dict[str, Any]) -> None:
    shop.train("whole", dropout_samples="3", **more)
    shop.stopped("cut", stop=3, dropout_samples="3", **more)
    shop.train("cut", resume="auto", dropout_samples="3", **more)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))
    steps = [event for event in log_of(shop.open_checkpoint("whole")) if event["event"] == "step"]
    assert all(set(event["multi_dropout"]) == set(event["loss"]) for event in steps)


def test_off_it_changes_no_bit(shop: Shop) -> None:
    shop.train("off", dropout_samples="1")
    shop.train("never")
    assert_same_training(shop.open_checkpoint("off"), shop.open_checkpoint("never"))


def test_two_processes_have_one_processs_values(shop: Shop, tmp_path: Path) -> None:
    jobs = {"multi": {"dropout_samples": "3", "max_steps": "4"}}
    alone = collect(partial(shop.train, "alone", **jobs["multi"]))
    found = steps_of(2, shop, jobs, tmp_path / "steps.json")["multi"]
    steps = [[event["multi_dropout"] for event in events if event["event"] == "step"] for events in (alone, found)]
    assert len(steps[0]) == 4
    for one, two in zip(*steps, strict=True):
        assert two == pytest.approx(one, abs=1e-5)


@pytest.mark.parametrize("value", ["0", "-1", "65", "1.5", "much"])
def test_a_wrong_number_is_refused(shop: Shop, value: str) -> None:
    with pytest.raises(UserError, match="--dropout-samples must be a whole number"):
        shop.resolve(dropout_samples=value)
