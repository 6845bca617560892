"""Graded classes: targets by hand, near misses against far ones, and that it trains, resumes and stays out."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.testing import assert_close
from training import Shop, assert_same_training

from smartcli.config import PerTask, Settings
from smartcli.engine.terms.label_smoothing import smoothed
from smartcli.engine.terms.losses import task_loss
from smartcli.engine.terms.ordinal import graded
from smartcli.engine.terms.soft_targets import SoftTargets
from smartcli.errors import UserError
from smartcli.home import Home

DOUBLE = torch.float64


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def test_targets_by_hand() -> None:
    # κ = log 2: a class one off has half the share, one two off a sixteenth.
    found = graded(torch.tensor([1.0, 0.0], dtype=DOUBLE), 3, math.log(2.0))
    expected = torch.tensor([[1 / 4, 1 / 2, 1 / 4], [16 / 25, 8 / 25, 1 / 25]], dtype=DOUBLE)
    assert_close(found, expected)


@given(st.integers(3, 9), st.floats(0.01, 20.0))
def test_targets_are_probabilities_that_fall_with_the_distance(classes: int, sharpness: float) -> None:
    labels = torch.arange(classes, dtype=DOUBLE)
    found = graded(labels, classes, sharpness)
    assert_close(found.sum(dim=1), torch.ones(classes, dtype=DOUBLE))
    assert torch.equal(found.argmax(dim=1), labels.long())
    for y, row in enumerate(found):
        assert bool((row[:y].diff() >= 0).all())
        assert bool((row[y:].diff() <= 0).all())


def test_a_near_miss_costs_less_than_a_far_one_and_a_large_sharpness_is_the_plain_loss() -> None:
    labels = torch.zeros(1, dtype=DOUBLE)
    sure_of = [torch.full((1, 5), -4.0, dtype=DOUBLE).index_fill(1, torch.tensor([k]), 4.0) for k in range(5)]
    plain = [task_loss("classification", logits, labels).item() for logits in sure_of]
    assert plain[1] == plain[4]
    soft = [task_loss("classification", logits, labels, soft=SoftTargets(ordinal=1.0)).item() for logits in sure_of]
    assert soft == sorted(soft)
    assert len(set(soft)) == 5
    sharp = [task_loss("classification", logits, labels, soft=SoftTargets(ordinal=100.0)).item() for logits in sure_of]
    assert sharp == pytest.approx(plain, abs=1e-12)


def test_the_loss_is_cross_entropy_with_the_targets_smoothed_where_asked() -> None:
    logits = torch.randn(4, 5, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0.0, 4.0, 2.0, 1.0], dtype=DOUBLE)
    targets = smoothed(graded(labels, 5, 1.5), 0.1)
    found = task_loss("classification", logits, labels, soft=SoftTargets(smoothing=0.1, ordinal=1.5))
    assert_close(found, F.cross_entropy(logits, targets))


def test_only_classes_that_can_be_graded_are() -> None:
    chosen = Settings(ordinal=PerTask(1.0))
    assert SoftTargets.of(chosen, "a", "classification") == SoftTargets(0.0, 1.0)
    assert SoftTargets.of(chosen, "a", "binary") is None
    assert SoftTargets.of(chosen, "a", "multilabel") is None
    assert SoftTargets.of(chosen, "a", "regression") is None
    # Two classes of a classification have no order.
    z, labels = torch.tensor([[1.0, 3.0]], dtype=DOUBLE), torch.ones(1, dtype=DOUBLE)
    assert_close(
        task_loss("classification", z, labels, soft=SoftTargets(ordinal=1.0)), task_loss("classification", z, labels)
    )


@pytest.mark.parametrize("more", [{}, {"surgery": "pcgrad"}, {"schedule": "sequential", "epochs": "1"}])
def test_it_resumes_bit_for_bit(shop: Shop, more: dict[str, str]) -> None:
    shop.train("whole", ordinal="sst=1", **more)
    shop.stopped("cut", stop=3, ordinal="sst=1", **more)
    shop.train("cut", resume="auto", ordinal="sst=1", **more)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("cut"))


def test_off_it_changes_no_bit(shop: Shop) -> None:
    shop.train("off", ordinal="sst=0")
    shop.train("never")
    shop.train("on", ordinal="sst=1")
    one, other = shop.open_checkpoint("off"), shop.open_checkpoint("never")
    assert one.read("model.safetensors") == other.read("model.safetensors")
    assert shop.open_checkpoint("on").read("model.safetensors") != one.read("model.safetensors")


@pytest.mark.parametrize("value", ["-1", "nan", "much"])
def test_a_wrong_sharpness_is_refused(shop: Shop, value: str) -> None:
    with pytest.raises(UserError, match="--ordinal must be a number"):
        shop.resolve(ordinal=value)


@pytest.mark.parametrize(("task", "kind"), [("qqp", "binary task with 2 classes"), ("sts", "regression task")])
def test_a_task_without_graded_classes_is_refused_by_name(shop: Shop, task: str, kind: str) -> None:
    with pytest.raises(UserError, match=f'--ordinal: "{task}" is a {kind}; expected a classification'):
        shop.resolve(ordinal=f"{task}=1")
