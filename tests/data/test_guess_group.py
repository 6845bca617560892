"""A task's files to its table: read alike, all labels and scores seen, each file a split."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcli.data.guess_files import group_files
from smartcli.data.guess_group import GuessedTask, guess_group
from smartcli.data.profile import ROWS
from smartcli.data.task_guess import Open
from smartcli.errors import UserError

LABELS = ("waste", "roads", "parks")


def content(count: int = 12, delimiter: str = ",", header: str = "message,topic", word: str = "gate") -> str:
    body = [f"the {word} of garden {i} is open{delimiter}{LABELS[i % 3]}\n" for i in range(count)]
    return header.replace(",", delimiter) + "\n" + "".join(body)


def guess(folder: Path, files: dict[str, str | bytes], **said: str) -> GuessedTask:
    for name, text in files.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    (group,) = group_files([folder / name for name in files])
    task, choices = guess_group(group, said, None)
    assert not choices
    return task


def scores(numbers: list[str]) -> str:
    return "message,score\n" + "".join(f"the gate of garden {i} is open,{number}\n" for i, number in enumerate(numbers))


def test_one_file_is_divided_and_each_key_has_its_reason(tmp_path: Path) -> None:
    task = guess(tmp_path, {"desk.csv": content()})
    assert task.values["split"] == {"dev": 0.1, "test": 0.1, "seed": 0}
    assert task.values.keys() == task.reasons.keys()


def test_files_of_all_splits_are_named_and_not_divided(tmp_path: Path) -> None:
    task = guess(tmp_path, {f"desk-{split}.csv": content() for split in ("train", "dev", "test")})
    assert [task.values[split] for split in ("train", "dev", "test")] == [
        "desk-train.csv", "desk-dev.csv", "desk-test.csv",
    ]  # fmt: skip
    assert "split" not in task.values


def test_where_dev_alone_is_missing_test_is_not_divided_again(tmp_path: Path) -> None:
    task = guess(tmp_path, {"desk-train.csv": content(), "desk-test.csv": "message\nthe gate is open\n"})
    assert task.values["split"] == {"dev": 0.1, "seed": 0}


def test_a_label_after_the_rows_looked_at_is_a_label(tmp_path: Path) -> None:
    task = guess(tmp_path, {"desk.csv": content(ROWS) + "the lamp is dark,lamps\n"})
    assert task.values["labels"] == ["lamps", "parks", "roads", "waste"]


def test_a_score_of_dev_or_after_the_rows_looked_at_is_in_the_range(tmp_path: Path) -> None:
    train = scores([str(i % 8 / 2) for i in range(ROWS)] + ["8.5"])
    task = guess(tmp_path, {"desk-train.csv": train, "desk-dev.csv": scores(["-1.5", "2"])})
    assert task.values["range"] == [-2, 9]


def test_a_cell_that_is_no_score_does_not_make_classes_of_scores(tmp_path: Path) -> None:
    task = guess(tmp_path, {"desk.csv": scores([str(i / 2) for i in range(ROWS)] + ["unclear"])})
    assert (task.values["kind"], task.values["range"]) == ("regression", [0, ROWS // 2])


def test_files_of_one_unusual_delimiter_and_encoding_declare_them(tmp_path: Path) -> None:
    files = {"desk-train.csv": content(delimiter=";", word="Tür").encode("cp1252"), "desk-dev.csv": content(6, ";")}
    task = guess(tmp_path, dict(files))
    assert (task.values["delimiter"], task.values["encoding"]) == (";", "cp1252")


def test_a_file_of_one_column_has_any_delimiter(tmp_path: Path) -> None:
    task = guess(tmp_path, {"desk-train.csv": content(delimiter=";"), "desk-test.csv": "message\nthe gate is open\n"})
    assert task.values["delimiter"] == ";"


@pytest.mark.parametrize(
    ("dev", "said"),
    [
        (content(delimiter=";"), "found desk-dev.csv by semicolons, desk-train.csv by commas"),
        (content(word="Tür").encode("cp1252"), "found desk-dev.csv in cp1252, desk-train.csv in utf-8"),
        (content(header="message,theme"), r'desk-dev.csv:1: missing column "topic", the label; found message, theme'),
        (content(header="text,topic"), r'desk-dev.csv:1: missing column "message"'),
    ],
)
def test_files_that_differ_are_refused(tmp_path: Path, dev: str | bytes, said: str) -> None:
    with pytest.raises(UserError, match=said):
        guess(tmp_path, {"desk-dev.csv": dev, "desk-train.csv": content(word="lámp")})


def test_a_column_whose_name_holds_a_comma_is_one_column(tmp_path: Path) -> None:
    text = content(header="X").replace("X", '"what, where",topic', 1)
    assert guess(tmp_path, {"desk.csv": text}, text="what, where").values["text"] == ["what, where"]


def test_open_choices_are_asked_until_none_is_left(tmp_path: Path) -> None:
    (tmp_path / "desk.csv").write_text(
        "subject,body,urgency,calls\n"
        + "".join(f"the gate {i} is open,it has been so for {i} days,{i % 5},{i % 3}\n" for i in range(20))
    )
    asked: list[str] = []
    answers = {"--text": "body", "--label": "urgency", "--kind": "regression"}

    def ask(task: str, choice: Open) -> str:
        asked.append(f"{task} {choice.option}")
        assert answers[choice.option] in choice.choices
        return answers[choice.option]

    task, choices = guess_group(group_files([tmp_path / "desk.csv"])[0], {}, ask)
    assert asked == ["desk --text", "desk --label", "desk --kind"]
    assert not choices
    assert (task.values["text"], task.values["label"], task.values["range"]) == (["body"], "urgency", [0, 4])
