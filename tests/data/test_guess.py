"""Which columns are taken for text, label and id, and what is left open."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcli.data.guess import guess_task
from smartcli.data.profile import Profile, profile
from smartcli.data.readers.sniff import sniff
from smartcli.data.task_guess import Answers, TaskGuess
from smartcli.errors import UserError

COUNT = 24
TEXT = [f"the gate of garden {i} does not close" for i in range(COUNT)]
TOPIC = [("waste", "roads", "parks")[i % 3] for i in range(COUNT)]
HURRY = [("no", "yes")[i % 2] for i in range(COUNT)]


def table(folder: Path, **columns: list[str]) -> Profile:
    path = folder / "a.csv"
    names = [name.replace("_", " ") if name.startswith("Ticket") else name for name in columns]
    rows = [names, *map(list, zip(*columns.values(), strict=True))]
    path.write_text("".join(",".join(row) + "\n" for row in rows), encoding="utf-8")
    return profile(path, sniff(path))


def asked(guess: TaskGuess) -> dict[str, tuple[str, ...]]:
    return {choice.option: choice.choices for choice in guess.open}


def test_the_only_sentences_are_the_text_and_the_only_few_values_the_label(tmp_path: Path) -> None:
    guess = guess_task(table(tmp_path, message=TEXT, topic=TOPIC))
    assert guess.values["text"] == ["message"]
    assert guess.values["label"] == "topic"
    assert not guess.open


@pytest.mark.parametrize(
    "beside",
    [
        [f"2024-03-{i + 1:02d} 10:15:00" for i in range(COUNT)],
        [f"{i + 1}.3.2024" for i in range(COUNT)],
        [f"https://town.example/tickets/{i}" for i in range(COUNT)],
        [f"resident{i}@town.example" for i in range(COUNT)],
        [f"photos/2024/ticket-{i:05d}.jpg" for i in range(COUNT)],
        [f"{i * 37:032x}" for i in range(COUNT)],
        [str(1000 + i) for i in range(COUNT)],
        ["2024-03-01" if i % 2 else "2024-03-02" for i in range(COUNT)],
    ],
    ids=["time", "date", "page", "mail", "file", "hash", "count", "two days"],
)
def test_dates_addresses_codes_and_counts_are_neither_text_nor_label(tmp_path: Path, beside: list[str]) -> None:
    guess = guess_task(table(tmp_path, beside=beside, message=TEXT, topic=TOPIC))
    assert (guess.values["text"], guess.values["label"]) == (["message"], "topic")
    assert "beside" not in guess.values.values()


def test_text_without_spaces_is_a_text(tmp_path: Path) -> None:
    texts = [f"公園の入口にある街灯が壊れています{i}" for i in range(COUNT)]
    assert guess_task(table(tmp_path, 文=texts, topic=TOPIC)).values["text"] == ["文"]


@pytest.mark.parametrize(
    "names", [("sentence1", "sentence2"), ("premise", "hypothesis"), ("Question", "Answer"), ("text_a", "text_b")]
)
def test_two_texts_whose_names_go_together_are_a_pair(tmp_path: Path, names: tuple[str, str]) -> None:
    guess = guess_task(table(tmp_path, **{names[0]: TEXT, names[1]: TEXT[::-1], "label": HURRY}))
    assert guess.values["text"] == list(names)


def test_two_other_texts_are_open_and_an_answer_settles_them(tmp_path: Path) -> None:
    found = table(tmp_path, subject=TEXT, body=TEXT[::-1], label=HURRY)
    assert asked(guess_task(found)) == {"--text": ("subject", "body", "subject,body")}
    assert guess_task(found, Answers(text=("body",))).values["text"] == ["body"]
    assert guess_task(found, Answers(text=("subject", "body"))).values["text"] == ["subject", "body"]


def test_two_columns_that_may_be_the_label_are_open(tmp_path: Path) -> None:
    found = table(tmp_path, message=TEXT, urgent=HURRY, topic=TOPIC)
    assert asked(guess_task(found)) == {"--label": ("urgent", "topic")}
    assert guess_task(found, Answers(label="urgent")).values["kind"] == "binary"


@pytest.mark.parametrize("name", ["label", "Class", "target", "gold_label", "y"])
def test_a_name_that_labels_alone_have_settles_it_and_the_others_are_said(tmp_path: Path, name: str) -> None:
    guess = guess_task(table(tmp_path, message=TEXT, channel=HURRY, **{name: TOPIC}))
    assert guess.values["label"] == name
    assert guess.reasons["label"].endswith("channel")


def test_a_name_like_topic_settles_it_beside_numbers_alone(tmp_path: Path) -> None:
    votes = [str(i % 5) for i in range(COUNT)]
    assert guess_task(table(tmp_path, message=TEXT, votes=votes, topic=TOPIC)).values["label"] == "topic"


def test_a_column_whose_every_value_differs_and_whose_name_says_so_is_the_id(tmp_path: Path) -> None:
    ids = [f"T-{i}" for i in range(COUNT)]
    guess = guess_task(table(tmp_path, Ticket_Number=ids, message=TEXT, topic=TOPIC))
    assert guess.values["id"] == "Ticket Number"
    ids[1] = ids[0]
    assert "id" not in guess_task(table(tmp_path, Ticket_Number=ids, message=TEXT, topic=TOPIC)).values


def test_a_first_line_that_is_a_row_is_no_header(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("".join(f"{a},{b}\n" for a, b in zip(TEXT, TOPIC, strict=True)), encoding="utf-8")
    with pytest.raises(UserError, match=r'a\.csv:1: the first line looks like a row.*"waste" stands below it too'):
        guess_task(profile(tmp_path / "a.csv", sniff(tmp_path / "a.csv")))


def test_a_long_header_is_no_row(tmp_path: Path) -> None:
    columns = {"What is your message to us?": TEXT, "topic": TOPIC}
    assert guess_task(table(tmp_path, **columns)).values["text"] == ["What is your message to us?"]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (Answers(label="topik"), '--label: .*has no column "topik"; found message, topic; did you mean "topic"'),
        (Answers(text=("massage",)), '--text: .*has no column "massage"'),
        (Answers(id="key"), '--id: .*has no column "key"'),
    ],
)
def test_an_answer_that_is_no_column_is_refused(tmp_path: Path, answers: Answers, said: str) -> None:
    with pytest.raises(UserError, match=said):
        guess_task(table(tmp_path, message=TEXT, topic=TOPIC), answers)


def test_joined_names_are_the_label_and_no_text(tmp_path: Path) -> None:
    names = ["rubbish|broken roads", "rubbish", "broken roads", "green parks|rubbish", "green parks|broken roads", ""]
    guess = guess_task(table(tmp_path, message=TEXT, topics=names * 4))
    assert (guess.values["text"], guess.values["label"], guess.values["kind"]) == (["message"], "topics", "multilabel")


def test_several_columns_of_0_and_1_may_be_the_labels_together(tmp_path: Path) -> None:
    columns = {name: [str(int(i % step == 0)) for i in range(COUNT)] for name, step in (("roads", 2), ("waste", 3))}
    looked = table(tmp_path, message=TEXT, **columns)
    assert asked(guess_task(looked)) == {"--label": ("roads", "waste", "roads,waste")}
    guess = guess_task(looked, Answers(label="roads,waste"))
    assert guess.values["label"] == ["roads", "waste"]
    assert guess.values["kind"] == "multilabel"
    with pytest.raises(UserError, match='"message" holds'):
        guess_task(looked, Answers(label="message,waste", text=("message",)))
    with pytest.raises(UserError, match='has no column "waist"'):
        guess_task(looked, Answers(label="roads,waist"))
