"""Folds trained for real with a tiny encoder: every row predicted once, by the training that did not see it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import make_tiny_encoder
from typer.testing import Result

from smartcli.config import Settings, apply
from smartcli.data.predictions import read_predictions
from smartcli.data.store import DataSet
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.tasks import TaskTable
from smartcli.workflows.scoring.model_outputs import label_rows
from smartcli.workflows.training.training_inputs import fold_rows, train_rows
from tests.hand_made import TASKS, make_data, make_rows
from tests.saved_rows import save_rows

Smart = Callable[..., Result]
QUICK = ["--epochs", "1", "--lambda", "0", "--threads", "1", "--precision", "fp32", "--schedule", "simultaneous"]


@pytest.fixture
def data(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DataSet:
    monkeypatch.setenv("SMART_ENCODER", str(make_tiny_encoder(tmp_path / "e")))
    return make_data(home, counts={"train": 15, "dev": 6, "test": 4})


@pytest.fixture
def trained(home: Home, data: DataSet, smart: Smart) -> Result:
    return smart("finetune", *QUICK, "--folds", "3", "--name", "five")


def test_every_train_row_is_predicted_once_by_the_training_without_it(
    home: Home, data: DataSet, trained: Result
) -> None:
    assert trained.exit_code == 0, trained.stderr
    registry = Registry(home)
    made = registry.open("five")
    members = [registry.open(one.name) for one in made.meta.lineage.members]
    assert [one.meta.settings["fold"] for one in members] == ["1/3", "2/3", "3/3"]
    found = read_predictions(made.read("predictions-out-of-fold.csv"), "found")
    for task in data.tasks:
        rows = data.rows(task.name, "train")
        assert found[task.name].ids == rows.id_list()
        assert rows.labels is not None
        assert found[task.name].labels is not None
        assert found[task.name].labels.tolist() == rows.labels.tolist()
        _, folds = fold_rows(data, task, None, 3)
        texts = list(zip(*(column.to_pylist() for column in rows.texts), strict=True))
        for fold, member in enumerate(members):
            own = np.flatnonzero(folds == fold)
            expected = label_rows(home, member, task.name, [texts[i] for i in own]).predictions
            assert found[task.name].predictions[own] == pytest.approx(expected, abs=1e-5)
    assert "train rows, each predicted by the training without it: sst " in " ".join(trained.stdout.split())


def test_the_same_command_again_trains_nothing_and_makes_no_second_ensemble(
    home: Home, trained: Result, smart: Smart
) -> None:
    names = Registry(home).names()
    assert len(names) == 4
    again = smart("finetune", *QUICK, "--folds", "3", "--name", "five")
    assert again.exit_code == 0
    assert '"five" is finished already' in again.stderr
    assert again.stdout == trained.stdout
    assert Registry(home).names() == names


def test_a_start_or_teacher_that_saw_the_rows_left_out_is_named(
    home: Home, data: DataSet, trained: Result, smart: Smart
) -> None:
    assert "too good" not in trained.stdout
    assert smart("finetune", *QUICK, "--name", "whole").exit_code == 0
    started = smart("finetune", *QUICK, "--folds", "2", "--init", "whole", "--name", "two")
    assert started.exit_code == 0, started.stderr
    said = " ".join(started.stdout.split())
    assert f"--init whole had been trained on these rows of {', '.join(data.tasks.names)}: their scores" in said
    first = smart("pretrain-qqp", "--epochs", "1", "--lambda", "0", "--precision", "fp32", "--name", "qqp-first")
    assert first.exit_code == 0, first.stderr
    after = smart("finetune", *QUICK, "--folds", "2", "--init", "qqp-first", "--name", "after")
    assert "--init qqp-first had been trained on these rows of qqp: their scores" in " ".join(after.stdout.split())
    taught = smart("finetune", *QUICK, "--folds", "2", "--teacher", "five", "--name", "taught")
    assert "--teacher five had been trained on these rows" in " ".join(taught.stdout.split()), taught.stderr


def test_a_training_takes_the_rows_of_the_other_folds(data: DataSet) -> None:
    task = data.tasks.get("sst")
    for rows in (None, 14):
        every, folds = fold_rows(data, task, rows, 2)
        layer: dict[str, Any] = {"fold": "2/2", "rows": rows}
        kept = train_rows(data, task, apply(Settings(), layer, "test"))
        assert kept is not None
        assert kept.tolist() == every[folds == 0].tolist()
        assert len(every) == (rows or 15)


def test_a_pair_the_other_way_round_in_other_case_is_never_trained_on_and_scored(home: Home) -> None:
    def planted(task: str, split: str, count: int) -> list[Any]:
        rows = make_rows(TASKS.get(task), split, count)
        if split == "train" and task == "qqp":
            rows += [
                (f"again-{i}", tuple(t.upper() + " " for t in texts[::-1]), 1 - label)
                for i, (_, texts, label) in enumerate(rows[:5])
            ]
        return rows

    rows = {t.name: {split: planted(t.name, split, 12) for split in ("train", "dev")} for t in TASKS}
    data = save_rows(home, "planted", TaskTable(TASKS.tasks), rows)
    _, folds = fold_rows(data, data.tasks.get("qqp"), None, 3)
    assert folds[12:].tolist() == folds[:5].tolist()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--folds", "1"], "--folds must be at least 2, found 1"),
        (["--folds", "4"], '--folds 4 is too many: the task "sst" has 3 train rows'),
        (["--folds", "1000000000"], "--folds 1000000000 is too many"),
        (["--folds", "3", "--name", "my model"], "--name must be 1 to 64 letters"),
        (["--folds", "3", "--tasks", "sst"], "--folds makes an ensemble, which needs a head for every task"),
        (["--folds", "3", "--fold", "1/3"], "--fold is what --folds varies"),
        (["--folds", "3", "--jobs", "0"], "--jobs must be at least 1"),
        (["--folds", "x"], "folds"),
        (["--fold", "4/3"], "--fold must be I/K"),
        (["--fold", "1"], "--fold must be I/K"),
        (["--jobs", "2"], "give it with --folds"),
    ],
)
def test_bad_input_is_exit_2_and_trains_nothing(
    home: Home, data: DataSet, smart: Smart, options: list[str], expected: str
) -> None:
    result = smart("finetune", *QUICK, *options)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert Registry(home).names() == []


def test_a_name_that_something_else_has_is_refused_before_training(home: Home, data: DataSet, smart: Smart) -> None:
    assert smart("finetune", *QUICK, "--name", "taken").exit_code == 0
    result = smart("finetune", *QUICK, "--folds", "3", "--name", "taken")
    assert result.exit_code == 2
    assert "a checkpoint of that name that is not the ensemble of these trainings" in result.stderr
    assert Registry(home).names() == ["taken"]


def test_a_dry_run_shows_the_folds(home: Home, data: DataSet, smart: Smart) -> None:
    result = smart("finetune", *QUICK, "--folds", "3", "--dry-run")
    assert result.exit_code == 0
    assert "fold 3 of 3" in result.stdout
    assert json.dumps(Registry(home).names()) == "[]"
