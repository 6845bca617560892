"""What a dry run counts is what the training then does; time and memory come near it; nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from training import Shop, save_small
from typer.testing import Result

from smartcli.engine.training.forecast import Forecast, count_saves, forecast, spread_out
from smartcli.engine.training.phase_state import PhaseState
from smartcli.home import Home
from smartcli.workflows.training.dry_run import dry_run, duration
from smartcli.workflows.training.first_process import Training
from smartcli.workflows.training.signals import stop_on_signals
from tests.tiny import make_tiny_encoder

Smart = Callable[..., Result]


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def expected(shop: Shop, **options: Any) -> Forecast:
    with stop_on_signals() as stop:
        training = Training(shop.home, "finetune", shop.resolve(**options), [], lambda event: None, stop)
        training.prepare()
        return forecast(training.job, lambda state: None)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"schedule": "sequential", "max_length": "8"},
        {"surgery": "pcgrad", "lambda": "1", "mu": "1", "pair_mode": "separate"},
        {"max_steps": "4", "rows": "5", "tasks": "sst,sts"},
        {"schedule": "sequential", "max_steps": "3"},
    ],
)
def test_counts_are_exactly_what_the_training_then_does(shop: Shop, options: dict[str, str]) -> None:
    found = expected(shop, **options)
    shop.train("mine", **options)
    (end,) = shop.of_kind("end")
    assert (found.steps, found.examples, found.tokens) == (end["step"], end["examples"], end["tokens"])
    assert found.parameters == sum(shape_size(shop) for shape_size in (encoder_size, head_size))


def encoder_size(shop: Shop) -> int:
    return sum(tensor.numel() for tensor in tensors(shop, "model.safetensors"))


def head_size(shop: Shop) -> int:
    return sum(tensor.numel() for tensor in tensors(shop, "heads.safetensors"))


def tensors(shop: Shop, file: str) -> list[Any]:
    from safetensors.torch import load

    return list(load(shop.open_checkpoint("mine").read(file)).values())


def test_batches_of_a_smaller_and_a_larger_task(shop: Shop) -> None:
    found = expected(shop).tasks
    # Rows 10, 7 and 13 in batches of 4; an epoch is the first task's three batches.
    assert {name: (task.batches, task.epoch_batches) for name, task in found.items()} == {
        "sst": (3, 3),
        "qqp": (2, 3),
        "sts": (4, 3),
    }


def test_a_frozen_encoder_trains_the_heads_alone(shop: Shop) -> None:
    found = expected(shop, freeze_encoder=True)
    # 5 classes, 1 logit and 1 score of width 32, each with a bias.
    assert found.trained == 7 * 33


def test_time_is_the_sum_of_steps_scores_and_saves(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work whose time is known: a step waits for 20 ms and a save for 30."""
    from smartcli.engine.training.loop import Trainer

    clock = 0.0

    def tick(seconds: float) -> None:
        nonlocal clock
        clock += seconds

    def step(self: Trainer, prepared: Any, state: PhaseState, phase: Any, *, logged: bool) -> None:
        tick(0.020 + (0.005 if logged else 0.0))

    monkeypatch.setattr(Trainer, "take_step", step)
    monkeypatch.setattr("smartcli.engine.training.forecast.time.perf_counter", lambda: clock)
    monkeypatch.setattr("smartcli.engine.training.forecast.predict", lambda *args: tick(0.1))
    with stop_on_signals() as stop:
        training = Training(shop.home, "finetune", shop.resolve(), [], lambda event: None, stop)
        training.prepare()
        found = forecast(training.job, lambda state: tick(0.030))
    # Six steps, one of them logged beside the first; two epochs of three dev and three train scores, and two saves.
    assert found.seconds["steps"] == pytest.approx(6 * 0.020 + 0.005, abs=0.006)
    assert found.seconds["dev scores"] == pytest.approx(2 * 6 * 0.1)
    assert found.seconds["saves"] == pytest.approx(2 * 0.030)


def test_nothing_is_left_behind_and_the_lines_are_complete(shop: Shop) -> None:
    before = sorted(shop.home.root.rglob("*"))
    lines = dict(dry_run(shop.home, "finetune", shop.resolve(), lambda event: None))
    new = [path for path in sorted(shop.home.root.rglob("*")) if path not in before]
    assert all("tokens" in path.parts or path.name == "precision.json" for path in new), new
    assert list(lines)[-4:] == ["parameters", "memory", "time", "measured"]
    assert re.search(r"about [\d.]+ s: steps .+, dev scores .+, saves .+ more to start", lines["time"])


@pytest.mark.parametrize(
    ("steps", "an_epoch", "every", "seconds", "saves"),
    [
        (30, 10, None, 1.0, 3),  # three epochs
        (25, 10, None, 1.0, 3),  # the last one is cut
        (30, 10, 4, 1.0, 9),  # 4, 8, 10, 12, 16, 20, 24, 28, 30
        (30, 10, None, 59.0, 3),  # an epoch takes less than the ten minutes
        (30, 10, None, 61.0, 6),  # each epoch is saved once on its way
        (30, 10, 5, 61.0, 6),
    ],
)
def test_saves_by_hand(steps: int, an_epoch: int, every: int | None, seconds: float, saves: int) -> None:
    assert count_saves(steps, an_epoch, every, seconds) == saves


@pytest.mark.slow
def test_time_and_memory_come_within_30_percent(home: Home, tmp_path: Path) -> None:
    save_small(home, train={"sst": 640, "qqp": 640, "sts": 640})
    encoder = make_tiny_encoder(
        tmp_path / "e", hidden_size=192, num_attention_heads=4, num_hidden_layers=4, intermediate_size=768
    )
    command = [sys.executable, "-m", "smartcli", "finetune", "--encoder", str(encoder), "--epochs", "2"]
    command += ["--threads", "1", "--lambda", "1"]
    env = {**os.environ, "COLUMNS": "200"}
    run = lambda *more: subprocess.run([*command, *more], env=env, capture_output=True, text=True, check=True)  # noqa: E731
    # One forecast before and one after: a shared machine may be twice as busy a minute later.
    before = forecast_of(run("--dry-run").stdout)
    run("--name", "mine")
    after = forecast_of(run("--dry-run").stdout)
    end = json.loads((home.checkpoints / "mine" / "log.jsonl").read_text().splitlines()[-1])
    for found, took in ((0, "seconds"), (1, "peak_memory")):
        low, high = sorted((before[found], after[found]))
        assert 0.7 * low <= end[took] <= 1.3 * high, took


def forecast_of(shown: str) -> tuple[float, float]:
    """Seconds and bytes that a dry run printed."""
    memory = re.search(r"about ([\d,]+) MB", shown)
    time = re.search(r"about (?:(\d+) min )?([\d.]+) s:", shown)
    assert memory is not None
    assert time is not None
    return int(time[1] or 0) * 60 + float(time[2]), float(memory[1].replace(",", "")) * 1e6


def test_places_lie_evenly_wherever_one_stops() -> None:
    assert list(spread_out(7)) == [0.5, 0.25, 0.75, 0.125, 0.625, 0.375, 0.875]
    for count in range(1, 40):
        assert abs(sum(spread_out(count)) / count - 0.5) <= 0.5 / count + 0.13


def test_durations_as_people_read_them() -> None:
    found = [duration(seconds) for seconds in (0.84, 45.2, 200, 3599.6, 7500)]
    assert found == ["0.8 s", "45 s", "3 min 20 s", "1 h 00 min", "2 h 05 min"]
