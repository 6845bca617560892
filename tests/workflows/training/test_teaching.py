"""Students of real small ensembles: what they learn from, what is stored once, resume, and mistakes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import make_tiny_encoder
from training import STEPS, TASKS, TRAIN, Shop, assert_same_training, save_small, weights

from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.voting import combine
from smartcli.workflows.scoring.ensembling import ensemble
from smartcli.workflows.scoring.model_outputs import run_model
from smartcli.workflows.training.training_inputs import read_inputs

UNLABELLED = "sentence\na good film\na bad book\nthe dull play is not good\n"


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two members and their ensemble by mean; made once, copied for each test."""
    root = tmp_path_factory.mktemp("teaching")
    shop = Shop.open(Home(root / "home"), root)
    for seed in ("1", "2"):
        shop.train(f"m{seed}", seed=seed, lr="1e-2", epochs="1")
    ensemble(shop.home, ["m1", "m2"], name="both", vote="mean")
    return root


@pytest.fixture
def shop(taught: Path, home: Home) -> Shop:
    shutil.copytree(taught / "home", home.root, dirs_exist_ok=True)
    return Shop(home, taught / "encoder")


def distilled(shop: Shop, name: str, **options: Any) -> Any:
    return shop.train(name, command="distill", **{"teacher": "both", **options})


def notes(shop: Shop) -> list[str]:
    return [event["message"] for event in shop.of_kind("note") if "predicting" in event["message"]]


def targets(shop: Shop, **options: Any) -> Any:
    resolved = shop.resolve("distill", **{"teacher": "both", **options})
    return read_inputs(shop.home, resolved.data_set, resolved.settings, lambda message: None)


def test_a_student_learns_from_the_combined_members_on_every_train_row(shop: Shop) -> None:
    found, data_set = targets(shop), shop.resolve().data_set
    members = [run_model(shop.home, shop.open_checkpoint(name), data_set, "train") for name in ("m1", "m2")]
    expected = combine(tuple(data_set.tasks), members, vote="mean")
    for task in TASKS:
        rows = expected[task.name]
        own = rows.predictions[:, None] if task.kind == "regression" else rows.probabilities
        # Batches differ in what stands beside a row, and so the last bits.
        np.testing.assert_allclose(found.train[task.name].teacher, own, atol=1e-6)
        assert len(found.train[task.name]) == TRAIN[task.name]


def test_the_checkpoint_says_who_taught_it_and_how_and_keeps_the_teacher_from_removal(shop: Shop) -> None:
    distilled(shop, "student", temperature="3", label_share="0.2")
    student = shop.open_checkpoint("student")
    assert (student.kind, student.meta.method) == ("distill", "concat simultaneous distilled")
    teacher = student.meta.lineage.teacher
    assert teacher is not None
    assert [one["name"] for one in teacher["members"]] == ["m1", "m2"]
    assert (teacher["name"], teacher["temperature"], teacher["label_share"]) == ("both", 3.0, 0.2)
    assert teacher["manifest"] == shop.open_checkpoint("both").manifest_hash
    with pytest.raises(UserError, match='"both" is named by "student"'):
        Registry(shop.home).remove("both")
    assert Registry(shop.home).verify() == []


def test_the_members_predict_once_for_all_students(shop: Shop) -> None:
    distilled(shop, "one", max_steps="1")
    assert len(notes(shop)) == 6
    distilled(shop, "two", max_steps="1", seed="5", temperature="1")
    assert notes(shop) == []
    stored = sorted(path.name for path in (shop.home.predictions).rglob("*.csv"))
    assert len(stored) == 6
    (path, *_) = (shop.home.predictions).rglob("*.csv")
    path.write_bytes(path.read_bytes()[:-5])
    distilled(shop, "three", max_steps="1")
    assert len(notes(shop)) == 1, "what does not match its checksum is made again"


def test_the_teacher_changes_the_weights_and_a_label_share_of_1_does_not(shop: Shop) -> None:
    shop.train("plain")
    distilled(shop, "labels", label_share="1")
    distilled(shop, "student")
    plain, labels, student = (weights(shop.open_checkpoint(name)) for name in ("plain", "labels", "student"))
    gap = {
        name: max(float((other[key] - plain[key]).abs().max()) for key in plain)
        for name, other in (("labels", labels), ("student", student))
    }
    assert gap["labels"] < 1e-5 < 1e-4 < gap["student"]


@pytest.mark.parametrize(
    "options",
    [
        {"lambda": "1", "mu": "1", "rdrop": "1", "unlabelled": "more.csv"},
        {"schedule": "sequential", "surgery": "pcgrad", "lambda": "1"},
    ],
    ids=["simultaneous", "sequential"],
)
def test_a_resumed_student_has_the_bits_of_one_that_was_not_stopped(
    shop: Shop, options: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("more.csv").write_text(UNLABELLED)
    distilled(shop, "whole", **options)
    shop.stopped("parts", stop=4, command="distill", teacher="both", **options)
    monkeypatch.chdir("/")
    shop.train("parts", command="distill", resume="parts", **{"encoder": None, "lambda": None})
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("parts"))


def test_a_student_may_have_another_encoder_and_a_teacher_may_be_one_checkpoint(shop: Shop, tmp_path: Path) -> None:
    other = make_tiny_encoder(tmp_path / "other", "roberta", num_hidden_layers=1)
    distilled(shop, "student", teacher="m1", encoder=str(other), max_steps="2")
    lineage = shop.open_checkpoint("student").meta.lineage
    assert lineage.teacher is not None
    assert "members" not in lineage.teacher


def test_rows_and_folds_take_the_teachers_word_on_their_own_rows(shop: Shop) -> None:
    whole, some, fold = targets(shop), targets(shop, rows="5"), targets(shop, rows="12", fold="1/2")
    for task in TASKS.names:
        by_id = {whole.train[task].row_id(i): whole.train[task].teacher[i] for i in range(TRAIN[task])}
        for found in (some, fold):
            split = found.train[task]
            for i, said in enumerate(split.teacher):
                np.testing.assert_allclose(said, by_id[split.row_id(i)], atol=1e-6)
        assert len(some.train[task]) == 5
        assert 0 < len(fold.train[task]) < min(12, TRAIN[task])


def test_rows_without_labels_are_trained_on_and_not_scored(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "more.csv"
    file.write_text(UNLABELLED)
    distilled(shop, "student", unlabelled=f"sst={file}", batch_size="1", epochs="1")
    (dev,) = shop.of_kind("dev")
    assert dev["train"]["sst"]["n"] == TRAIN["sst"]
    assert dev["step"] == TRAIN["sst"] + 3
    teacher = shop.open_checkpoint("student").meta.lineage.teacher
    assert teacher is not None
    assert teacher["unlabelled"]["sst"]["rows"] == 3
    assert str(tmp_path) not in str(teacher)
    found = targets(shop, unlabelled=f"sst={file}").train["sst"]
    np.testing.assert_allclose(found.teacher[-3:].sum(axis=1), 1.0, atol=1e-6)
    # Self-training: the model's own word on rows that nobody labelled.
    distilled(shop, "self", teacher="m1", unlabelled=str(file), tasks="sst", label_share="1", max_steps="2")


def test_a_changed_file_or_teacher_keeps_a_run_from_going_on(shop: Shop, tmp_path: Path) -> None:
    file = tmp_path / "more.csv"
    file.write_text(UNLABELLED)
    options = {"unlabelled": f"sst={file}"}
    shop.stopped("run", stop=2, command="distill", teacher="both", **options)
    with pytest.raises(UserError, match='"both" is named by the run "run"'):
        Registry(shop.home).remove("both")
    file.write_text(UNLABELLED + "another\n")
    with pytest.raises(UserError, match='the teacher of the run "run", or a file of --unlabelled, is not what it was'):
        shop.train("run", command="distill", resume="run", encoder=None)
    file.write_text(UNLABELLED)
    shop.train("run", command="distill", resume="run", encoder=None)


def test_a_multilabel_task_is_distilled_too(home: Home, tmp_path: Path) -> None:
    from smartcli.tasks import Task, TaskTable
    from tests.saved_rows import save_rows

    about = {"kind": "multilabel", "label": "tags", "labels_separator": "|", "metric": "micro_f1"}
    tags = Task(name="tags", text=("text",), labels=("a", "b", "c"), **about)  # type: ignore[arg-type]
    sets = ((1.0, 0.0, 1.0), (0.0, 1.0, 0.0))
    rows = [(f"r{i}", ("a good film " + "very " * (i % 3),), sets[i % 2]) for i in range(8)]
    save_rows(home, "small", TaskTable((tags,)), {"tags": {"train": rows, "dev": rows}})
    shop = Shop(home, make_tiny_encoder(tmp_path / "encoder"))
    shop.train("m")
    distilled(shop, "student", teacher="m")
    assert shop.open_checkpoint("student").meta.metrics["tags"]["n"] == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher": None}, "distill needs a teacher"),
        ({"teacher": "nobody"}, '--teacher: there is no checkpoint "nobody"'),
        ({"command": "finetune", "teacher": None, "temperature": "2"}, "--temperature says how a teacher counts"),
        ({"temperature": "0"}, "--temperature"),
        ({"label_share": "1.5"}, "--label-share"),
        ({"unlabelled": "nowhere.csv"}, "there is no such file"),
        ({"unlabelled": "sst=more.csv,sst=more.csv"}, "two files for sst"),
        ({"unlabelled": "more.csv", "tasks": "sts"}, "columns of no task that is trained"),
        ({"unlabelled": "sst=more.csv", "sampling": "balanced"}, "--sampling balanced"),
        ({"teacher": "pre"}, 'pre has no head for "sst"'),
    ],
)
def test_a_mistake_is_said_before_anything_is_written(
    shop: Shop, options: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("more.csv").write_text(UNLABELLED)
    if options.get("teacher") == "pre":
        shop.train("pre", command="pretrain-qqp", max_steps="1")
    names = Registry(shop.home).names()
    with pytest.raises(UserError) as caught:
        shop.train("student", **{"command": "distill", "teacher": "both"} | options)
    assert message in str(caught.value)
    assert Registry(shop.home).names() == names
    assert not (shop.home.runs / "student").exists()


def test_a_teacher_of_other_labels_is_refused(shop: Shop) -> None:
    from dataclasses import replace

    from smartcli.tasks import TaskTable

    renamed = TaskTable(tuple(replace(t, labels=tuple("vwxyz")) if t.name == "sst" else t for t in TASKS))
    save_small(shop.home, "other", tasks=renamed)
    with pytest.raises(UserError, match='was trained with other labels for "sst"'):
        distilled(shop, "student", data="other")


def test_the_command_takes_the_teacher_as_its_argument(shop: Shop, smart: Callable[..., Any]) -> None:
    words = ("--encoder", shop.encoder, "--lambda", "0", "--epochs", "1", "--batch-size", "4", "--threads", "1")
    result = smart("distill", "both", *words, "--name", "student")
    assert result.exit_code == 0, result.stderr
    assert shop.open_checkpoint("student").meta.steps == STEPS // 2
    clash = smart("distill", "both", "--teacher", "m1", *words)
    assert clash.exit_code == 2
    assert "--teacher is m1, but the teacher named first is both" in " ".join(clash.stderr.split())
    assert smart("evaluate", "student", "both").exit_code == 0
