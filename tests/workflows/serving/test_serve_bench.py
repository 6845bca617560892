from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from serving import TASKS, make_served, served
from typer.testing import Result

from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.workflows.serving.serve_bench import Plan, bodies_for, started

MOOD, SAME, _ = TASKS


def test_bodies_go_round_the_rows_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("text,more\none,1\ntwo,2\nthree,3\n")
    plan = Plan(texts=2, source=tmp_path / "rows.csv")
    bodies = [json.loads(body) for body in bodies_for(MOOD, plan)]
    assert [body["texts"] for body in bodies] == [["one", "two"], ["three", "one"], ["two", "three"]]
    assert {body["task"] for body in bodies} == {"mood"}


def test_invented_sentences_are_the_same_each_time_and_fit_the_task() -> None:
    single, pairs = bodies_for(MOOD, Plan()), bodies_for(SAME, Plan())
    assert single == bodies_for(MOOD, Plan())
    assert len(set(single)) > 400
    assert all(isinstance(text, str) for text in json.loads(single[0])["texts"])
    assert all(len(row) == 2 for row in json.loads(pairs[0])["texts"])


def check_measured(ran: Result) -> None:
    assert ran.exit_code == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert (found["checkpoint"], found["task"], found["rows_per_request"]) == ("first", "same", 1)
    for side, clients in (("one", 1), ("many", 8)):
        assert found[side]["clients"] == clients
        assert found[side]["answers"] > 0
        assert found[side]["errors"] == {}
        assert 0 < found[side]["p50_ms"] <= found[side]["p99_ms"]
    assert found["ratio"] > 0


WORDS = ["--clients", "8", "--seconds", "0.2", "--task", "same"]


def test_a_running_server_is_measured(home: Home, tmp_path: Path, smart: Callable[..., Result]) -> None:
    make_served(home, tmp_path)
    with served(home, "first", tmp_path / "server") as server:
        check_measured(smart("bench-serve", server.url, *WORDS, "--json"))
        shown = smart("bench-serve", server.url, *WORDS)
        assert "8 clients get" in shown.stdout
        assert smart("bench-serve", server.url, "--task", "sam").exit_code == 2
        (tmp_path / "long.csv").write_text("one,other\na," + "b" * 30_000 + "\n")
        refused = smart("bench-serve", server.url, *WORDS, "--input", tmp_path / "long.csv")
    assert refused.exit_code == 1
    assert "413: " in refused.stderr


@pytest.mark.slow
def test_a_checkpoint_is_served_measured_and_let_go(home: Home, tmp_path: Path, smart: Callable[..., Result]) -> None:
    """The server is a process of its own, started as a user starts it."""
    make_served(home, tmp_path)
    check_measured(smart("bench-serve", "first", *WORDS, "--threads", "1", "--json"))


@pytest.mark.slow
def test_a_server_that_does_not_start_says_why(home: Home, tmp_path: Path) -> None:
    make_served(home, tmp_path)
    with pytest.raises(UserError, match="--device cuda"), started(home, "first", ["--device", "cuda"]):
        raise AssertionError("it started")
