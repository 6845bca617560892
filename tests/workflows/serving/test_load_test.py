"""Many clients at once: no error, and every answer what one row alone gets of the model."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving import TASKS, make_served, sentence, served

from smartcli.data.answers import Wish, answers
from smartcli.errors import SmartCliError, UserError
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.workflows.scoring.panel import load_panel
from smartcli.workflows.serving.load_test import Client, Side, health_of, load

ROWS = 40
WISH = Wish(probabilities=True)


def questions() -> list[tuple[str, tuple[str, ...]]]:
    """The tasks in turn, with texts of every length, some longer than the model reads."""
    return [
        (task.name, tuple(sentence(n + 5 * side) * (1 + n % 7) for side in range(len(task.text))))
        for n in range(ROWS)
        for task in TASKS
    ]


def body(task: str, texts: tuple[str, ...]) -> bytes:
    row = texts[0] if len(texts) == 1 else list(texts)
    return json.dumps({"task": task, "texts": [row], "probabilities": TASKS.get(task).kind != "regression"}).encode()


def differences(home: Home, name: str) -> Callable[[int, Any], str | None]:
    """A check of each answer against the model's own at batch 1."""
    panel = load_panel(home, Registry(home).open(name), "cpu")
    expected = []
    for task_name, texts in questions():
        task = TASKS.get(task_name)
        columns = answers(task, panel.label(task, [texts]), WISH if task.classes else Wish())
        expected.append({column: values[0] for column, values in columns.items()})

    def check(number: int, answer: Any) -> str | None:
        (found,) = answer["predictions"]
        if list(found) != list(expected[number]):
            return f"other columns: {list(found)}"
        for column, value in expected[number].items():
            same = found[column] == value
            if not (abs(found[column] - value) <= 1e-5 if isinstance(value, float) else same):
                return f"{column} is {found[column]} for question {number}, and alone {value}"
        return None

    return check


def check_load(home: Home, place: Path, seconds: float) -> None:
    make_served(home, place)
    bodies = [body(*question) for question in questions()]
    with served(home, "first", place / "server") as server:
        side = load(server.url, bodies, clients=64, seconds=seconds, check=differences(home, "first"))
    assert side.errors == Counter()
    assert len(side.latencies) >= 64
    assert server.warnings == []
    assert server.ended is not None
    assert server.ended.exit_code == 143


def test_64_clients_get_what_one_gets(home: Home, tmp_path: Path) -> None:
    check_load(home, tmp_path, 1.5)


@pytest.mark.slow
def test_64_clients_get_what_one_gets_for_a_minute(home: Home, tmp_path: Path) -> None:
    check_load(home, tmp_path, 60)


def test_a_wrong_answer_and_a_refusal_are_errors(home: Home, tmp_path: Path) -> None:
    make_served(home, tmp_path)
    with served(home, "first", tmp_path / "server") as server:
        wrong = load(server.url, [body("mood", ("a",))], clients=2, seconds=0.05, check=lambda n, answer: "wrong")
        refused = load(server.url, [b"{"], clients=2, seconds=0.05)
        assert health_of(server.url)["checkpoint"] == "first"
    assert set(wrong.errors) == {"wrong"}
    (said,) = refused.errors
    assert said.startswith("400: ")
    gone = load(server.url, [b"{}"], clients=2, seconds=0.05)
    assert gone.latencies == []
    assert all(said.startswith("ConnectionRefusedError") for said in gone.errors)
    with pytest.raises(SmartCliError, match="no server of smart serve answers there"):
        health_of(server.url)


def test_a_side_counts_percentiles_and_adds_slices() -> None:
    side = Side(4, 2)
    side.add(Side(4, 2, 2.0, [0.01 * n for n in range(1, 51)], Counter(bad=1)))
    side.add(Side(4, 2, 2.0, [0.01 * n for n in range(51, 102)]))
    found = side.to_json()
    # Of .01 to 1.01 the middle one is .51, and a hundred steps lie between the ends.
    assert (found["p50_ms"], found["p95_ms"], found["p99_ms"]) == (510, 960, 1000)
    assert (found["answers"], found["per_second"], found["rows_per_second"]) == (101, 25.25, 50.5)
    assert found["errors"] == {"bad": 1}
    assert Side(1, 1).to_json()["p99_ms"] is None


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:99999", "nonsense"])
def test_what_is_no_url_is_named(url: str) -> None:
    with pytest.raises(UserError, match="expected"):
        Client(url)


@pytest.mark.parametrize("url", ["ftp://me:hush-hush@x", "http://me:hush-hush@x:99999"])
def test_a_password_in_a_url_is_not_shown(url: str) -> None:
    with pytest.raises(UserError) as raised:
        Client(url)
    assert "hush" not in str(raised.value)
    with pytest.raises(SmartCliError, match="no server of smart serve answers") as unreachable:
        health_of("http://me:hush-hush@127.0.0.1:9")
    assert "hush" not in str(unreachable.value)
