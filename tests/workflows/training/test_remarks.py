"""What is hardly meant is said once, before the training, and nothing is said of other trainings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from training import Shop

from smartcli.errors import Stopped
from smartcli.home import Home
from smartcli.log_events import WarningEvent
from smartcli.workflows.training.first_process import Training
from smartcli.workflows.training.signals import stop_on_signals

IDLE = "--surgery pcgrad has no effect: gradients conflict between tasks, and "


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


# Phases qqp, sts, sst of 2, 4 and 3 batches an epoch, two epochs each.
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, []),
        ({"surgery": "pcgrad", "max_steps": "1"}, []),
        ({"surgery": "pcgrad", "tasks": "sst"}, [f"{IDLE}this run trains one alone"]),
        (
            {"surgery": "pcgrad", "schedule": "sequential"},
            [f"{IDLE}each phase of a sequential run trains one alone"],
        ),
        ({"schedule": "sequential", "max_steps": "13"}, []),
        ({"sampling": "balanced"}, []),
        (
            {"sampling": "balanced", "tasks": "sts"},
            ["--sampling balanced has no effect: no task of this training has classes"],
        ),
        (
            {"sampling": "balanced", "class_weights": "balanced"},
            [
                "--sampling balanced and class weights both favour rare classes of sst, qqp; one is mostly enough: "
                "--class-weights off leaves the weights out"
            ],
        ),
        (
            {"schedule": "sequential", "max_steps": "12"},
            [
                "--max-steps 12 counts over all phases of a sequential run: it leaves no step for sst, whose "
                "head stays as it starts"
            ],
        ),
        (
            {"schedule": "sequential", "max_steps": "3"},
            [
                "--max-steps 3 counts over all phases of a sequential run: it leaves qqp 3 of 4 steps and no step for "
                "sst, sts, whose heads stay as they start"
            ],
        ),
    ],
)
def test_what_is_hardly_meant_is_said(shop: Shop, options: dict[str, Any], said: list[str]) -> None:
    heard: list[Any] = []
    with stop_on_signals() as stop:
        Training(shop.home, "finetune", shop.resolve(**options), [], heard.append, stop).prepare()
    assert [event.message for event in heard if isinstance(event, WarningEvent)] == said


def test_a_resumed_run_does_not_say_it_again(shop: Shop) -> None:
    with pytest.raises(Stopped):
        shop.train("mine", surgery="pcgrad", tasks="sst", stop=2)
    shop.train(None, resume="mine", surgery="pcgrad", tasks="sst")
    assert not [event for event in shop.of_kind("warning") if "no effect" in event["message"]]
