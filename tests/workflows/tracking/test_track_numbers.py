"""Events as flat numbers."""

from __future__ import annotations

from smartcli.log_events import DevEvent, EndEvent, NoteEvent, StartEvent, StepEvent
from smartcli.workflows.tracking.track_numbers import numbers_of, plain_settings


def test_a_step_has_every_number_of_its_log_line() -> None:
    step = StepEvent(
        step=7,
        epoch=1,
        phase="sts",
        lr=0.5,
        numbers={"loss": {"a": 1.0, "b": None}, "r_s": {}},
        scalars={"ascent_cosine": 0.9, "broken": float("inf")},
        cosine={"a,b": -0.25},
        grad_norm=2.0,
        bad_steps=1,
    )
    assert numbers_of(step) == {
        "epoch": 1.0, "seconds": 0.0, "examples": 0.0, "tokens": 0.0, "lr": 0.5, "loss/a": 1.0, "ascent_cosine": 0.9,
        "cosine/a-b": -0.25, "grad_norm": 2.0, "bad_steps": 1.0,
    }  # fmt: skip


def test_an_epoch_has_its_scores_without_row_counts() -> None:
    dev = DevEvent(
        epoch=2,
        step=9,
        scores={"a": {"accuracy": 0.5, "n": 6}, "b": None, "c": {"pearson": None, "n": 6}},
        overall=0.25,
        train={"a": {"accuracy": 1.0, "n": 10}},
        conflicts={"a,b": {"share": 0.5, "cosine": 0.1, "n": 4}},
    )
    assert numbers_of(dev) == {
        "dev/a/accuracy": 0.5, "dev/overall": 0.25, "dev/epoch": 2.0, "train/a/accuracy": 1.0,
        "conflicts/a-b/share": 0.5, "conflicts/a-b/cosine": 0.1,
    }  # fmt: skip


def test_the_end_has_totals_and_other_events_nothing() -> None:
    assert numbers_of(EndEvent(step=3, seconds=1.5, examples=8))["end/seconds"] == 1.5
    assert numbers_of(StartEvent(steps=3)) == {}
    assert numbers_of(NoteEvent("n")) == {}


def test_settings_are_one_value_a_name() -> None:
    settings = {"lr": 0.1, "lambda": {"sst": 1, "sts": 5.0}, "tasks": ["a", "b"], "init": None, "compile": False}
    assert plain_settings(settings) == {
        "lr": 0.1, "lambda/sst": 1, "lambda/sts": 5.0, "tasks": "a,b", "compile": False,
    }  # fmt: skip
