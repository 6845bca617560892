"""`smart finetune` from flags to a registered checkpoint, with a tiny encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from saved_rows import save_rows
from tiny import make_tiny_encoder
from typer.testing import Result

from smartcli.home import Home
from smartcli.tasks import parse_task_table

Smart = Callable[..., Result]
TASKS = {
    "task": [
        {"name": "mood", "kind": "classification", "text": ["s"], "label": "y", "labels": ["0", "1"]},
        {"name": "alike", "kind": "regression", "text": ["a", "b"], "label": "y", "range": [0, 5]},
    ]
}


@pytest.fixture
def ready(home: Home, tmp_path: Path) -> Path:
    """A data set of ten and seven train rows; returns the folder of a tiny encoder."""
    moods = [(str(n), (f"{'good' if n % 2 else 'bad'} film",), float(n % 2)) for n in range(10)]
    pairs = [(str(n), ("a dog", "a cat and a dog"), n / 2) for n in range(7)]
    rows = {"mood": {"train": moods, "dev": moods[:4]}, "alike": {"train": pairs, "dev": pairs[:4]}}
    save_rows(home, "mine", parse_task_table(TASKS, "t"), rows)
    return make_tiny_encoder(tmp_path / "tiny")


def test_dry_run_counts_batches_and_steps_and_trains_nothing(smart: Smart, home: Home, ready: Path) -> None:
    flags = ["--encoder", ready, "--epochs", "3", "--batch-size", "4", "--dry-run"]
    result = smart("finetune", *flags)
    assert result.exit_code == 0, result.stderr
    shown = " ".join(result.stdout.split())
    # 10 rows in batches of 4 are 3 batches, 7 rows 2; an epoch is one pass over the first task.
    assert "mood: train rows, batches 10, 3 of 4 a pass, 3 an epoch" in shown
    assert "alike: train rows, batches 7, 2 of 4 a pass, 3 an epoch" in shown
    assert "steps 9" in shown
    assert not home.runs.exists()
    assert not home.checkpoints.exists()


def test_dry_run_of_a_sequential_run_lists_the_phases_in_order(smart: Smart, ready: Path) -> None:
    flags = ["--encoder", ready, "--schedule", "sequential", "--epochs", "mood=1", "--batch-size", "4", "--dry-run"]
    shown = " ".join(smart("finetune", *flags).stdout.split())
    assert "phases, in order alike (10 epochs), mood (1 epoch)" in shown
    assert "steps 23" in shown


def test_finetune_says_what_is_in_force_and_registers(smart: Smart, home: Home, ready: Path) -> None:
    flags = ["--encoder", ready, "--max-steps", "2", "--lambda", "0", "--name", "first"]
    result = smart("finetune", *flags)
    assert result.exit_code == 0, result.stderr
    assert "data set: mine (the one prepared last)" in result.stderr
    assert "--max-steps" in result.stderr
    assert "dev after epoch 1" in result.stderr
    assert "mood accuracy" in result.stdout
    assert "overall" in result.stdout
    assert (home.checkpoints / "first" / "smart.json").is_file()

    again = smart("finetune", *flags, "--resume")
    assert again.exit_code == 0
    assert '"first" is finished already' in again.stderr
    other = smart("finetune", *flags, "--resume", "--seed", "4")
    assert other.exit_code == 2
    assert "--seed" in other.stderr
    taken = smart("finetune", *flags)
    assert taken.exit_code == 2
    assert 'a checkpoint "first" exists already' in taken.stderr


def test_quiet_leaves_warnings_and_the_result(smart: Smart, ready: Path) -> None:
    result = smart("finetune", "--quiet", "--encoder", ready, "--max-steps", "1", "--lambda", "0")
    assert result.exit_code == 0
    assert all(line.startswith("warning: ") for line in result.stderr.splitlines())
    assert "ckpt1: dev scores" in result.stdout
