"""What stands in log.jsonl is read as it was written, also by other versions."""

from __future__ import annotations

from typing import Any

import pytest

from smartcli.errors import SmartCliError
from smartcli.log_events import (
    DevEvent,
    NoteEvent,
    OtherEvent,
    ResumeEvent,
    StepEvent,
    WarningEvent,
    parse,
    read_log,
)

STEP = {
    "event": "step",
    "step": 10,
    "epoch": 1,
    "seconds": 1.5,
    "examples": 240,
    "tokens": 3000,
    "lr": 2e-5,
    "loss": {"mood": 1.5, "near": None},
    "r_s": {},
    "grad_norm": 3.5,
}
START = {
    "event": "start",
    "command": "finetune",
    "name": "mine",
    "steps": 20,
    "epochs": {"a": 1, "b": 2},
    "settings": {"lambda": 1.0},
    "data": {"name": "d"},
    "encoder": {"id": "e"},
    "device": "cpu",
    "threads": 2,
}
LINES: list[dict[str, Any]] = [
    START,
    {"event": "resume", "step": 3, "device": "cpu", "processes": 2},
    STEP,
    STEP | {"phase": "b", "toy": {"mood": 0.25}, "toy_norm": 0.5, "cosine": {"a,b": -0.5}, "bad_steps": 1},
    STEP | {"skipped_penalties": 2},
    {
        "event": "dev",
        "epoch": 1,
        "step": 20,
        "seconds": 2.0,
        "mood": {"accuracy": 0.5, "n": 4},
        "near": None,
        "overall": None,
        "train": {"mood": {"accuracy": 0.75, "n": 8}},
    },
    {
        "event": "end",
        "step": 20,
        "seconds": 3.0,
        "examples": 480,
        "tokens": 6000,
        "truncated": 1,
        "bad_steps": 0,
        "best_epoch": None,
        "peak_memory": 2**30,
    },
    {"event": "note", "message": "compiling"},
    {"event": "warning", "message": "no dev"},
    {"event": "profile", "of": "another version"},
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line["event"])
def test_an_event_is_written_as_it_was_read_with_its_keys_in_order(line: dict[str, Any]) -> None:
    out = parse(line).to_json()
    assert out == line
    if line["event"] != "step":
        assert list(out) == list(line)


def test_a_terms_own_numbers_are_kept_apart_from_those_of_the_whole_step() -> None:
    event = parse(LINES[3])
    assert isinstance(event, StepEvent)
    assert event.numbers == {"loss": {"mood": 1.5, "near": None}, "r_s": {}, "toy": {"mood": 0.25}}
    assert event.scalars == {"toy_norm": 0.5}


def test_a_step_has_losses_and_penalties_also_where_there_are_none() -> None:
    out = StepEvent(step=1).to_json()
    assert (out["loss"], out["r_s"], out["grad_norm"]) == ({}, {}, None)
    assert not out.keys() & {"phase", "cosine", "bad_steps", "skipped_penalties"}


def test_tasks_of_a_dev_event_stand_beside_its_own_keys() -> None:
    event = DevEvent(epoch=2, step=9, scores={"mood": 0.5}, overall=0.5, conflicts={"a,b": {"share": 0.5}})
    out = event.to_json()
    assert (out["mood"], out["overall"], out["conflicts"]) == (0.5, 0.5, {"a,b": {"share": 0.5}})
    assert parse(out) == event


def test_kinds_of_message_differ() -> None:
    assert (parse(LINES[7]), parse(LINES[8])) == (NoteEvent("compiling"), WarningEvent("no dev"))
    assert isinstance(parse(LINES[9]), OtherEvent)
    assert parse(LINES[1]) == ResumeEvent(step=3, machine={"device": "cpu", "processes": 2})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"[1]", "expected one JSON object"),
        (b'{"event": "st', "expected one JSON object"),
        (b'{"event": "step"}', 'there is no "step"'),
        (b'{"event": "step", "step": "ten"}', "\"step\" must be a whole number, found 'ten'"),
    ],
)
def test_a_broken_line_is_named(line: bytes, said: str) -> None:
    with pytest.raises(SmartCliError, match=rf"log\.jsonl:2: .*{said}"):
        read_log(b'{"event": "end"}\n' + line + b"\n", "log.jsonl")
