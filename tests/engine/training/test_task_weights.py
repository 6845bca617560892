"""Fixed weights of tasks: the total by hand, beside the task table's, in every kind of step, and bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_model import NAMES, TASKS, phase_state, settings, small_step
from torch.testing import assert_close
from training import Shop, weights

from smartcli.config import PerTask
from smartcli.engine.training.task_weights import task_weights
from smartcli.errors import UserError
from smartcli.home import Home


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def test_they_multiply_the_weights_of_the_table() -> None:
    chosen = settings(task_weights=PerTask(2.0, (("near", 3.0),)))
    assert task_weights(chosen, TASKS) == {"mood": 2.0, "same": 2.0, "near": 1.5}


def test_the_total_is_the_weighted_sum_of_losses_and_penalties() -> None:
    chosen = settings(lam=2.0, mu=0.5, task_weights=PerTask(1.0, (("mood", 3.0), ("near", 0.1))))
    state = phase_state(chosen)
    loss = state.updater.differentiate(*small_step(chosen).batches)
    by_task = {"mood": 3.0, "same": 1.0, "near": 0.1 * 0.5}
    found = {name: measured.values for name, measured in loss.found.items()}
    expected = sum(
        by_task[task] * (found["loss"][task] + 2.0 * found["r_s"][task] + 0.5 * found["bregman"][task])
        for task in NAMES
    )
    assert_close(loss.total, expected)


@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
def test_a_task_of_a_thousandth_has_a_thousandth_of_the_gradient(surgery: str) -> None:
    norms = []
    for weight in (1.0, 1e-3):
        chosen = settings(lam=1.0, surgery=surgery, task_weights=PerTask(1.0, (("near", weight),)))
        norms.append(phase_state(chosen).updater.run(small_step(chosen), probe=True).norms)
    assert norms[1]["near"] == pytest.approx(1e-3 * norms[0]["near"])
    assert norms[1]["mood"] == pytest.approx(norms[0]["mood"])


def test_a_training_stores_them_and_learns_otherwise(shop: Shop) -> None:
    shop.train("plain")
    shop.train("weighted", task_weights="sts=0.04")
    checkpoint = shop.open_checkpoint("weighted")
    assert checkpoint.meta.settings["task_weights"] == {"default": 1.0, "sts": 0.04}
    one, other = weights(shop.open_checkpoint("plain")), weights(checkpoint)
    assert any(not tensor.equal(other[name]) for name, tensor in one.items())


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("sts=0", "--task-weights must be a number above 0, found 0"),
        ("sts=-1", "--task-weights must be a number above 0, found -1"),
        ("sts=inf", "--task-weights must be a number above 0"),
        ("sts=much", "--task-weights must be a number, found 'much'"),
        ("sts=1,sts=2", "each task once"),
        ("stt=1", '--task-weights: there is no task "stt"'),
    ],
)
def test_wrong_weights_are_refused(shop: Shop, value: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        shop.resolve(task_weights=value)


def test_one_task_alone_is_told_that_they_do_little(shop: Shop) -> None:
    heard: list[Any] = []
    shop.train("one", tasks="sts", task_weights="sts=0.04", epochs="1", listener=heard.append)
    assert any("--task-weights has hardly any effect" in str(event.get("message")) for event in heard)
