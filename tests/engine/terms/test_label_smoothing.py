"""Label smoothing: targets and losses by hand, for each kind of task, and that it trains, resumes and stays out."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from small_model import objective_of, settings, small_batch, small_model, words_of
from torch.nn import functional as F
from torch.testing import assert_close
from training import Shop, assert_same_training

from smartcli.config import PerTask
from smartcli.engine.streams import Streams
from smartcli.engine.terms.label_smoothing import smoothed, smoothed_apart
from smartcli.engine.terms.losses import task_loss
from smartcli.engine.terms.soft_targets import SoftTargets
from smartcli.errors import UserError
from smartcli.home import Home

DOUBLE = torch.float64


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def test_targets_by_hand() -> None:
    assert_close(smoothed(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), 0.2), torch.tensor([[0.85, 0.05, 0.05, 0.05]]))
    assert_close(smoothed_apart(torch.tensor([0.0, 1.0]), 0.2), torch.tensor([0.1, 0.9]))


def test_the_loss_of_classes_is_torchs_own_label_smoothing_class_weights_included() -> None:
    logits = torch.randn(6, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 3, 1, 0], dtype=DOUBLE)
    found = task_loss("classification", logits, labels, soft=SoftTargets(smoothing=0.3))
    assert_close(found, F.cross_entropy(logits, labels.long(), label_smoothing=0.3))
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=DOUBLE)
    found = task_loss("classification", logits, labels, weights=weights.tolist(), soft=SoftTargets(smoothing=0.3))
    each = F.cross_entropy(logits, labels.long(), label_smoothing=0.3, reduction="none")
    assert_close(found, (each * weights[labels.long()]).mean())


def test_one_logit_and_two_have_the_same_loss() -> None:
    z = torch.tensor([2.0, -1.0], dtype=DOUBLE)
    labels = torch.tensor([1.0, 1.0], dtype=DOUBLE)
    soft = SoftTargets(smoothing=0.2)
    # −(.9·log σ(z) + .1·log σ(−z))
    expected = sum(0.9 * math.log1p(math.exp(-x)) + 0.1 * math.log1p(math.exp(x)) for x in (2.0, -1.0)) / 2
    assert task_loss("binary", z, labels, soft=soft).item() == pytest.approx(expected, abs=1e-12)
    two = torch.stack([torch.zeros_like(z), z], dim=1)
    assert task_loss("binary", two, labels, soft=soft).item() == pytest.approx(expected, abs=1e-12)


def test_each_of_several_labels_is_smoothed_alone() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5]], dtype=DOUBLE)
    labels = torch.tensor([[1.0, 0.0, 1.0]], dtype=DOUBLE)
    target = torch.tensor([[0.95, 0.05, 0.95]], dtype=DOUBLE)
    expected = F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
    assert_close(task_loss("multilabel", logits, labels, soft=SoftTargets(smoothing=0.1)), expected)


def test_the_least_loss_is_at_the_targets_and_not_at_infinite_logits() -> None:
    soft = SoftTargets(smoothing=0.2)
    at = smoothed(torch.tensor([[1.0, 0.0]], dtype=DOUBLE), 0.2).log().requires_grad_(True)
    loss = task_loss("classification", at, torch.zeros(1, dtype=DOUBLE), soft=soft)
    (gradient,) = torch.autograd.grad(loss, at)
    assert_close(gradient, torch.zeros_like(gradient), atol=1e-12, rtol=0.0)


def test_named_tasks_alone_are_smoothed_and_scores_never() -> None:
    losses = []
    for share in (PerTask(0.0), PerTask(0.0, (("mood", 0.2), ("near", 0.2)))):
        chosen = settings(lam=0.0, label_smoothing=share)
        model, given = small_model(chosen), small_batch(chosen)
        found = objective_of(model, chosen).loss(given, words_of(model, given), Streams(0, "p")).found["loss"].values
        losses.append({task: value.item() for task, value in found.items()})
    assert losses[0]["mood"] != losses[1]["mood"]
    assert losses[0]["same"] == losses[1]["same"]
    assert losses[0]["near"] == losses[1]["near"]


@pytest.mark.parametrize("more", [{}, {"surgery": "pcgrad"}, {"rdrop": "1", "fgm": "0.1"}, {"pair_mode": "cosine"}])
def test_it_resumes_bit_for_bit(shop: Shop, more: dict[str, str]) -> None:
    shop.train("whole", label_smoothing="0.1", **more)
    shop.stopped("cut", stop=3, label_smoothing="0.1", **more)
    shop.train("cut", resume="auto", label_smoothing="0.1", **more)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))


def test_off_it_changes_no_bit(shop: Shop) -> None:
    shop.train("off", label_smoothing="0")
    shop.train("never")
    shop.train("on", label_smoothing="0.1")
    assert_same_training(shop.open_checkpoint("off"), shop.open_checkpoint("never"))
    assert shop.open_checkpoint("on").read("model.safetensors") != shop.open_checkpoint("off").read("model.safetensors")


@pytest.mark.parametrize("value", ["-0.1", "1", "nan", "much", "sst=2"])
def test_a_wrong_share_is_refused(shop: Shop, value: str) -> None:
    with pytest.raises(UserError, match="--label-smoothing must be a number"):
        shop.resolve(label_smoothing=value)


def test_an_unknown_task_is_refused(shop: Shop) -> None:
    with pytest.raises(UserError, match='--label-smoothing: there is no task "ssst"'):
        shop.resolve(label_smoothing="ssst=0.1")
