"""The live view of a training: plain lines off a terminal, a bar on one, nothing with --quiet."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from smartcli.cli import progress
from smartcli.cli.progress import TrainingView, clock
from smartcli.log_events import parse

START = {"event": "start", "steps": 100, "epochs": 2, "precision": "fp32"}


def step(number: int, seconds: float, **more: Any) -> dict[str, Any]:
    loss, smooth = {"sst": 1.609, "qqp": 0.5}, {"sst": 0.0812}
    return {
        "event": "step",
        "step": number,
        "epoch": 1,
        "seconds": seconds,
        "examples": number * 24,
        "tokens": 1,
        "loss": loss,
        "r_s": smooth,
        **more,
    }


DEV = {
    "event": "dev",
    "epoch": 1,
    "sst": {"accuracy": 0.4512, "n": 9},
    "qqp": 0.8,
    "sts": None,
    "overall": 0.7004,
    "seconds": 3.0,
}


def lines(*events: dict[str, Any], quiet: bool = False) -> list[str]:
    """What is printed where there is no terminal."""
    out = io.StringIO()
    with TrainingView(Console(file=out, width=200), quiet=quiet) as view:
        for event in events:
            view.record(parse(event))
    return out.getvalue().splitlines()


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (59, "59s"), (185, "3:05"), (7385, "2:03:05")])
def test_durations(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_the_start_says_what_is_ahead() -> None:
    assert lines(START) == ["100 steps, 2 epochs, fp32"]


def test_rate_and_time_left_come_from_the_steps_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    shown = lines(START, step(50, 100.0), step(60, 105.0))
    assert shown[1] == "epoch 1/2, step 50/100, sst 1.61 (R_s 0.0812), qqp 0.5"
    # 10 steps of 24 examples in 5 s; 40 steps are left.
    assert shown[2] == "epoch 1/2, step 60/100, 48 examples/s, sst 1.61 (R_s 0.0812), qqp 0.5, 20s left"


def test_off_a_terminal_a_line_comes_every_few_seconds_only() -> None:
    assert len(lines(START, *(step(number, number / 10) for number in range(1, 40)))) == 2


def test_a_dev_line_has_every_scored_task_and_the_overall() -> None:
    assert lines(DEV) == ["dev after epoch 1: sst 0.451, qqp 0.800, overall 0.700"]


def test_unknown_and_incomplete_events_are_passed_over() -> None:
    assert lines({"event": "profile"}, {}, {"event": "end"}) == []


def test_quiet_is_silent() -> None:
    assert lines(START, step(1, 1.0), DEV, {"event": "end", "seconds": 3.0}, quiet=True) == []


def test_a_task_name_is_text_and_not_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_SECONDS", 0.0)
    assert "[red]" in lines(START, step(1, 1.0, loss={"[red]": 1.0}, r_s=None))[1]


def test_on_a_terminal_the_bar_is_drawn_and_dev_lines_stay() -> None:
    out = io.StringIO()
    with TrainingView(Console(file=out, width=100, force_terminal=True, color_system=None)) as view:
        for event in (START, step(50, 10.0), step(60, 11.0), DEV):
            view.record(parse(event))
        assert view.live
    text = out.getvalue()
    assert "step 60/100" in text
    assert "━" in text
    assert "dev after epoch 1" in text


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    view = TrainingView(Console(file=io.StringIO(), force_terminal=True))
    assert not view.live
