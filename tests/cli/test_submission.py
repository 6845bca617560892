from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

from smartcli.data.predictions import TaskPredictions
from smartcli.home import Home
from smartcli.registry.predictions_store import save_predictions
from tests.hand_made import make_checkpoint, make_data, make_model, predict
from tests.tiny import make_tiny_encoder

Smart = Callable[..., Result]
Change = Callable[[TaskPredictions], TaskPredictions]

FILES = [f"{prefix}-{split}-output.csv" for prefix in ("para", "sst", "sts") for split in ("dev", "test")]
DEV = {
    "sst": "id \t Predicted_Sentiment \n" + "".join(f"sst-dev-{i} , {i % 5} \n" for i in range(6)),
    "para": "id \t Predicted_Is_Paraphrase \n" + "".join(f"qqp-dev-{i} , {i % 2}.0 \n" for i in range(6)),
    "sts": "id \t Predicted_Similiary \n" + "".join(f"sts-dev-{i} , {i}.0 \n" for i in range(6)),
}


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_six_files_are_written_byte_by_byte_as_the_course_wants(home: Home, smart: Smart, tmp_path: Path) -> None:
    data = make_data(home, test_labels=False)
    checkpoint = make_checkpoint(home, "ckpt1", data)
    save_predictions(home, checkpoint, data.fingerprint, "test", predict(data, "test"))
    result = smart("predict", "ckpt1", "--submission", tmp_path / "sub")
    assert result.exit_code == 0
    assert listed(tmp_path / "sub") == FILES
    for prefix, text in DEV.items():
        assert (tmp_path / "sub" / f"{prefix}-dev-output.csv").read_bytes() == text.encode()
        test = (tmp_path / "sub" / f"{prefix}-test-output.csv").read_text().splitlines()
        assert len(test) == 5
        assert test[0] + "\n" == text.splitlines(keepends=True)[0]


def test_files_from_before_that_are_not_written_again_are_named(home: Home, smart: Smart, tmp_path: Path) -> None:
    data = make_data(home, test_labels=False)
    for name in ("ckpt1", "ckpt2"):
        checkpoint = make_checkpoint(home, name, data)
        save_predictions(home, checkpoint, data.fingerprint, "test", predict(data, "test"))
    assert "from before" not in smart("predict", "ckpt1", "--submission", tmp_path / "sub").stderr
    assert "from before" not in smart("predict", "ckpt2", "--submission", tmp_path / "sub").stderr
    later = smart("predict", "ckpt2", "--submission", tmp_path / "sub", "--split", "dev")
    assert later.exit_code == 0
    named = "holds sst-test-output.csv, para-test-output.csv, sts-test-output.csv from before"
    assert named in later.stderr.replace("\n", " ")


def test_an_ensembles_members_run_on_the_test_split_once(home: Home, smart: Smart, tmp_path: Path) -> None:
    data = make_data(home, test_labels=False)
    for seed in (1, 2):
        make_model(home, f"ckpt{seed}", data, make_tiny_encoder(tmp_path / f"e{seed}", seed=seed), seed=seed)
    assert smart("ensemble", "ckpt1", "ckpt2", "--name", "both").exit_code == 0
    first = smart("predict", "both", "--submission", tmp_path / "one")
    assert first.exit_code == 0
    assert listed(tmp_path / "one") == FILES
    assert first.stderr.count("predicting the test split") == 2
    again = smart("predict", "both", "--submission", tmp_path / "two", "--split", "test")
    assert "predicting" not in again.stderr
    assert listed(tmp_path / "two") == [file for file in FILES if "test" in file]
    for file in listed(tmp_path / "two"):
        assert (tmp_path / "two" / file).read_bytes() == (tmp_path / "one" / file).read_bytes()
    # scores of the ensemble on test are the means of two members, which is their median
    scores = [
        [float(line.split(" , ")[1]) for line in lines.splitlines()[1:]]
        for lines in ((tmp_path / "one" / "sts-test-output.csv").read_text(), _member(smart, tmp_path, "ckpt1"))
    ]
    other = [float(line.split(" , ")[1]) for line in _member(smart, tmp_path, "ckpt2").splitlines()[1:]]
    assert scores[0] == pytest.approx(np.mean([scores[1], other], axis=0).tolist())


def _member(smart: Smart, folder: Path, name: str) -> str:
    assert smart("predict", name, "--submission", folder / name, "--split", "test").exit_code == 0
    return (folder / name / "sts-test-output.csv").read_text()


def test_rows_that_prepare_skipped_are_listed(home: Home, smart: Smart, tmp_path: Path) -> None:
    skipped = [
        {"task": "qqp", "split": "dev", "file": "quora-dev.csv", "line": 9, "reason": "no sentence2"},
        {"task": "qqp", "split": "train", "file": "quora-train.csv", "line": 3, "reason": "no is_duplicate"},
    ]
    make_checkpoint(home, "ckpt1", make_data(home, info={"skipped": skipped}))
    result = smart("predict", "ckpt1", "--submission", tmp_path / "sub", "--split", "dev")
    assert result.exit_code == 0
    assert "1 dev row that prepare skipped" in result.stderr
    assert "quora-dev.csv:9: no sentence2" in result.stderr
    assert "quora-train" not in result.stderr


def test_files_of_other_names_stay(home: Home, smart: Smart, tmp_path: Path) -> None:
    make_checkpoint(home, "ckpt1", make_data(home))
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "sst-dev-output.csv").write_text("old")
    assert smart("predict", "ckpt1", "--submission", tmp_path, "--split", "dev").exit_code == 0
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "sst-dev-output.csv").read_text() == DEV["sst"]


def other_id(found: TaskPredictions) -> TaskPredictions:
    return replace(found, ids=[*found.ids[:2], "another", *found.ids[3:]])


def one_fewer(found: TaskPredictions) -> TaskPredictions:
    return replace(found, ids=found.ids[:3], predictions=found.predictions[:3])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            other_id,
            'sts, test: row 3 of the data is "sts-test-2", but its prediction is for "another"; nothing written',
        ),
        (one_fewer, "sts, test: 3 predictions for 4 rows of the data; nothing written"),
    ],
)
def test_predictions_for_other_rows_or_for_fewer_are_refused(
    home: Home, smart: Smart, tmp_path: Path, change: Change, message: str
) -> None:
    data = make_data(home, test_labels=False)
    checkpoint = make_checkpoint(home, "ckpt1", data)
    found = predict(data, "test")
    save_predictions(home, checkpoint, data.fingerprint, "test", {**found, "sts": change(found["sts"])})
    result = smart("predict", "ckpt1", "--submission", tmp_path / "sub")
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / "sub").exists()


def test_data_changed_since_training_is_refused(home: Home, smart: Smart, tmp_path: Path) -> None:
    make_checkpoint(home, "ckpt1", make_data(home))
    make_data(home, word="changed ", force=True)
    result = smart("predict", "ckpt1", "--submission", tmp_path / "sub")
    assert result.exit_code == 2
    assert 'the data set "demo" has changed since ckpt1 was trained' in result.stderr
    assert not (tmp_path / "sub").exists()


def test_missing_head_split_and_folder_are_named(home: Home, smart: Smart, tmp_path: Path) -> None:
    data = make_data(home, counts={"train": 4, "dev": 6})
    make_checkpoint(home, "ckpt1", data)
    make_checkpoint(home, "first", data, predict(data, tasks=["qqp"]))
    (tmp_path / "file").write_text("")
    cases = [
        (["first", "--submission", tmp_path / "sub"], 'first has no head for "sst"'),
        (["ckpt1", "--submission", tmp_path / "sub"], 'the data set "demo" has no test split of "sst"'),
        (["ckpt1", "--submission", tmp_path / "sub", "--split", "train"], "--split must be one of dev, test, both"),
        (["ckpt1", "--submission", tmp_path / "file"], "a file; expected a folder"),
        (["nope", "--submission", tmp_path / "sub"], 'there is no checkpoint "nope"'),
    ]
    for arguments, message in cases:
        result = smart("predict", *arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert listed(tmp_path) == ["file"]


def test_own_tasks_have_no_submission(home: Home, smart: Smart, tmp_path: Path) -> None:
    from smartcli.tasks import parse_task_table

    entry = {"name": "mood", "kind": "binary", "text": "line", "label": "mood"}
    make_checkpoint(home, "own", make_data(home, "own", tasks=parse_task_table({"task": [entry]}, "test")))
    result = smart("predict", "own", "--submission", tmp_path / "sub")
    assert result.exit_code == 2
    assert "the course's tasks sst, qqp, sts" in result.stderr


@pytest.mark.real
def test_rows_of_the_courses_own_files_come_in_their_order(
    home: Home, smart: Smart, tmp_path: Path, real_data: Path
) -> None:
    from smartcli.data.store import open_data

    folder = real_data / "cs224n"
    assert smart("prepare", "cs224n", "--path", folder).exit_code == 0
    data = open_data(home)
    checkpoint = make_checkpoint(home, "ckpt1", data)
    save_predictions(home, checkpoint, data.fingerprint, "test", predict(data, "test"))
    result = smart("predict", "ckpt1", "--submission", tmp_path / "sub")
    assert result.exit_code == 0
    assert result.stderr.count("quora-dev.csv:") == 1
    for prefix, stem in (("sst", "ids-sst"), ("para", "quora"), ("sts", "sts")):
        for split, file in (("dev", f"{stem}-dev.csv"), ("test", f"{stem}-test-student.csv")):
            with (folder / file).open(encoding="utf-8", newline="") as lines:
                rows = list(csv.DictReader(lines, delimiter="\t"))
            whole = [row for row in rows if all(row[key].strip() for key in row if key.startswith("sentence"))]
            written = (tmp_path / "sub" / f"{prefix}-{split}-output.csv").read_text().splitlines()[1:]
            assert [line.split(" , ")[0] for line in written] == [row["id"].lower().strip() for row in whole]
