"""A run folder while a training fills it: its log is cut to the save it goes on from, each end says how to resume."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from smartcli.engine.distributed import Lost
from smartcli.engine.training.loop import Interrupted
from smartcli.engine.training.snapshot import Position, Snapshot
from smartcli.errors import SmartCliError, Stopped
from smartcli.home import Home
from smartcli.log_events import Event, StartEvent, StepEvent, WarningEvent
from smartcli.registry.run_folders import Run, RunHeader, Runs
from smartcli.workflows.training.kept_run import KeptRun
from smartcli.workflows.training.signals import StopFlag

MACHINE = {"cpu": "one", "device": "cpu", "torch": "2", "processes": 1, "threads": 2, "precision": "fp32"}


@pytest.fixture
def heard() -> list[Event]:
    return []


@pytest.fixture
def run(home: Home) -> Run:
    return Runs(home).create("mine", RunHeader(command="finetune", machine=MACHINE))


def kept(home: Home, run: Run, hear: Callable[[Event], None], argv: Sequence[str] = (), threads: int = 2) -> KeptRun:
    stop = StopFlag()
    stop.signal = signal.SIGTERM
    return KeptRun(home, run, "finetune", argv, {**MACHINE, "threads": threads}, hear, stop)


def lines(path: Path) -> list[tuple[str, int | None]]:
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(event["event"], event.get("step")) for event in events]


def train(one: KeptRun, steps: Sequence[int], saved: int) -> None:
    """Log `steps`, save after `saved`."""
    snapshot = one.last_save()
    with one.recording(StartEvent(name="mine"), snapshot) as callbacks:
        for step in steps:
            callbacks.record(StepEvent(step=step))
            if step == saved:
                callbacks.save(Snapshot(Position(total=step), {"model": {"w": torch.full((2,), float(step))}}))


def test_a_resumed_log_is_cut_to_the_save_and_says_that_it_goes_on(home: Home, run: Run, heard: list[Event]) -> None:
    one = kept(home, run, heard.append)
    train(one, [1, 2, 3], saved=2)
    assert lines(run.log_path) == [("start", None), ("step", 1), ("step", 2), ("step", 3)]
    found = one.last_save()
    assert found is not None
    assert (found.position.total, found.tensors["model"]["w"].tolist()) == (2, [2.0, 2.0])
    train(one, [3, 4], saved=4)
    assert lines(run.log_path) == [("start", None), ("step", 1), ("step", 2), ("resume", 2), ("step", 3), ("step", 4)]
    # The screen is told of the start again, the log is not.
    assert [event.event for event in heard].count("start") == 2


def test_a_second_listener_hears_what_is_logged_and_no_more(home: Home, run: Run, heard: list[Event]) -> None:
    one, logged = kept(home, run, heard.append), []
    with one.recording(StartEvent(), None, logged.append) as callbacks:
        callbacks.record(StepEvent(step=1))
        callbacks.tick(StepEvent(step=2))
    assert [event.event for event in logged] == ["start", "step"]
    assert len(heard) == 3


def test_another_number_of_threads_is_warned_of_before_it_goes_on(home: Home, run: Run, heard: list[Event]) -> None:
    train(kept(home, run, heard.append), [1], saved=1)
    heard.clear()
    assert kept(home, run, heard.append, threads=4).last_save() is not None
    (warning,) = heard
    assert isinstance(warning, WarningEvent)
    assert warning.message.startswith("threads is 4, but the run started with 2: it goes on")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Interrupted(), 143, "stopped after step 1, and saved; go on with: smart finetune --resume mine"),
        (KeyboardInterrupt(), 130, "stopped at once; what was trained since step 1 is lost; go on with: smart"),
        (Lost("a process is gone"), 1, "a process is gone; what was trained since step 1 is lost; go on with: smart"),
    ],
)
def test_each_end_says_where_it_goes_on(home: Home, run: Run, error: BaseException, code: int, said: str) -> None:
    one = kept(home, run, lambda _: None)
    train(one, [1], saved=1)
    with pytest.raises(Stopped if code != 1 else SmartCliError) as caught, one.ending():
        raise error
    assert caught.value.exit_code == code
    assert str(caught.value).startswith(said)


def test_the_command_to_go_on_has_the_home_that_this_one_was_given(home: Home, run: Run) -> None:
    one = kept(home, run, lambda _: None, ["smart", f"--home={home.root}", "finetune"])
    assert one.resume_command() == f"smart --home {home.root} finetune --resume mine"
