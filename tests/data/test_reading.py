"""From the course's files to accepted rows: what is skipped, what is refused, and where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from smartcli.data.cs224n import read_course, subset_title
from smartcli.data.leaks import count_leaks
from smartcli.data.reading import Reading
from smartcli.data.rows import open_rows, write_rows
from smartcli.data.saving import RowSink
from smartcli.errors import UserError
from tests.data.files import QQP, SST, STS, write_course


def read(folder: Path, strict: bool = False, **changed: str | bytes) -> tuple[Reading, RowSink]:
    out = folder / f"out{len(list(folder.iterdir()))}"
    out.mkdir()
    sink = RowSink(out)
    return read_course(write_course(folder / "course", **changed), sink, strict), sink


def test_the_course_s_files_are_read_by_header_name(tmp_path: Path) -> None:
    reading, sink = read(tmp_path)
    assert {task: {s: x.rows for s, x in own.items()} for task, own in sink.splits.items()} == {
        "sst": {"train": 3, "dev": 3, "test": 2},
        "qqp": {"train": 2, "dev": 2, "test": 2},
        "sts": {"train": 2, "dev": 2, "test": 2},
    }
    train = sink.open("sts", "train")
    assert (train.id_list(), train.text(1, 0)) == (["p1", "p2"], "A dog is running.")
    assert train.labels is not None
    np.testing.assert_array_equal(train.labels, [4.8, 0.6])
    assert not sink.splits["sst"]["test"].labelled
    assert (reading.skipped, reading.warnings) == ([], [])


def test_ids_are_stripped_and_lower_cased_as_the_course_does(tmp_path: Path) -> None:
    _, sink = read(tmp_path, ids_sst_dev=SST.replace("s1", " S1 "))
    assert sink.open("sst", "dev").id_list() == ["s1", "s2", "s3"]


def test_a_test_file_with_labels_is_labelled(tmp_path: Path) -> None:
    _, sink = read(tmp_path, ids_sst_test_student=SST)
    assert sink.splits["sst"]["test"].labelled


HOLES = QQP + '2\tq3\tonly one?\t\t\n3\tq4\ta?\tb?\t\n4\tq5\ta?\t \t1.0\n5\tq6\t"x\ny"\tz\t1\n6\tq7\t\tNA\t0\n'


def test_rows_without_a_sentence_or_label_are_skipped_and_listed(tmp_path: Path) -> None:
    reading, sink = read(tmp_path, quora_train=HOLES)
    path = tmp_path / "course" / "quora-train.csv"
    assert [str(skip) for skip in reading.skipped] == [
        f"{path}:4: no sentence2 and no is_duplicate",
        f"{path}:5: no is_duplicate",
        f"{path}:6: no sentence2",
        f"{path}:9: no sentence1",
    ]
    assert sink.open("qqp", "train").id_list() == ["q1", "q2", "q6"]


def test_strict_makes_a_skipped_row_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"quora-train\.csv:4: no sentence2 and no is_duplicate .*--strict"):
        read(tmp_path, strict=True, quora_train=HOLES)


def test_a_hole_in_a_test_split_is_always_an_error(tmp_path: Path) -> None:
    content = "\tid\tsentence1\tsentence2\n0\tt1\tone\t\n"
    with pytest.raises(UserError, match=r"quora-test-student\.csv:2: no sentence2 .*a test split must be whole"):
        read(tmp_path, quora_test_student=content)
    labelled = SST + "3\ts9\tno label here\t\n"
    with pytest.raises(UserError, match=r"ids-sst-test-student\.csv:5: no sentiment"):
        read(tmp_path, ids_sst_test_student=labelled)


WHOLE = "expected a whole number from 0 to 4"
SCORE = "expected a number from 0 to 5"


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        *(
            ("ids_sst_train", SST.replace("dull\t0", f"dull\t{cell}"), rf"sst-train\.csv:3: wrong sentiment: {WHOLE}")
            for cell in ("5", "nan", "inf", "-1", "1.5", "NA")
        ),
        *(
            ("quora_dev", QQP.replace("1.0", cell), r"quora-dev\.csv:2: wrong is_duplicate: expected one of 0, 1")
            for cell in ("2", "-1", "1.5", "nan", "yes")
        ),
        *(
            ("sts_train", STS.replace("0.6", cell), rf"sts-train\.csv:3: wrong similarity: {SCORE}")
            for cell in ("5.1", "-0.5", "nan", "inf", "many")
        ),
        ("ids_sst_dev", SST.replace("s2", "s1"), r"ids-sst-dev\.csv:3: duplicate id: 's1' stands already at .*csv:2"),
        ("ids_sst_dev", SST.replace("s2", "S1"), r"ids-sst-dev\.csv:3: duplicate id: 's1'"),
        ("ids_sst_dev", SST.replace("s2", ""), r"ids-sst-dev\.csv:3: no id"),
        ("ids_sst_dev", SST.replace("sentiment", "sentiments"), r'ids-sst-dev\.csv:1: missing column "sentiment"'),
        ("ids_sst_dev", SST.splitlines()[0] + "\n", r"ids-sst-dev\.csv:1: .* dev split: expected at least one row"),
        ("ids_sst_dev", "", r"ids-sst-dev\.csv:1: the file is empty"),
        ("sts_dev", STS.split("\n")[0] + "\n0\tp\ta\tb\t\n", r"sts-dev\.csv:1: .* every row was skipped"),
        ("sts_test_student", "\tid\tsentence1\n0\ta\tb\n", r'sts-test-student\.csv:1: missing column "sentence2"'),
        ("sts_dev", STS.encode().replace(b"cat", b"c\xe4t"), r"sts-dev\.csv:3: expected UTF-8"),
        ("sts_dev", STS.encode().replace(b"cat", b"c\0t"), r"sts-dev\.csv:3: found a NUL"),
        ("sts_dev", STS.replace("A cat", '"A cat'), r"sts-dev\.csv:3: a quoted field is not closed"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_file_and_line(tmp_path: Path, file: str, content: str | bytes, says: str) -> None:
    with pytest.raises(UserError, match=says):
        read(tmp_path, **{file: content})


def test_one_message_lists_what_is_wrong_in_any_file(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, ids_sst_train=SST.replace("\t4", "\t7"), sts_dev=STS.replace("4.8", "48"), quora_dev="")
    message = str(caught.value)
    assert "3 problems" in message
    for place in ("ids-sst-train.csv:2", "sts-dev.csv:2", "quora-dev.csv:1"):
        assert place in message


def test_a_split_of_minus_ones_alone_is_unlabelled(tmp_path: Path) -> None:
    content = STS.replace("4.8", "-1").replace("0.6", "-1.0")
    reading, sink = read(tmp_path, sts_test_student=content, sts_dev=content)
    assert not sink.splits["sts"]["test"].labelled
    assert 'task "sts": the dev split has no labels' in reading.warnings[0]
    with pytest.raises(UserError, match=r"sts-train\.csv:2: wrong similarity"):
        read(tmp_path, sts_train=content)


def test_minus_one_in_one_row_alone_is_a_wrong_label_wherever_it_stands(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sts-dev\.csv:2: wrong similarity: expected a number from 0 to 5, found '-1'"):
        read(tmp_path, sts_dev=STS.replace("4.8", "-1"))
    with pytest.raises(UserError, match=r"sts-dev\.csv:3: wrong similarity"):
        read(tmp_path, sts_dev=STS.replace("0.6", "-1"))


def test_scores_up_to_one_where_five_is_allowed_are_pointed_out(tmp_path: Path) -> None:
    reading, _ = read(tmp_path, sts_train=STS.replace("4.8", "0.96"))
    assert 'every "similarity" of task "sts" is at most 1' in reading.warnings[0]


def test_leaks_count_rows_of_dev_and_test_whose_texts_stand_in_train(tmp_path: Path) -> None:
    def rows(*texts: tuple[str, str]) -> list:
        return [(str(i), pair, 1.0) for i, pair in enumerate(texts)]

    sink = RowSink(tmp_path)
    sink.write("t", "train", rows(("a", "b"), ("c", "d")), 2)
    sink.write("t", "dev", rows(("a", "b"), ("b", "a"), ("a", "b"), ("a", "bb")), 2)
    sink.write("t", "test", rows(("x", "y")), 2)
    assert dict(count_leaks(("train", "dev", "test"), lambda s: sink.open("t", s))) == {"dev": 2, "test": 0}
    assert dict(count_leaks(("dev", "test"), lambda s: sink.open("t", s))) == {}


def test_the_hash_of_rows_does_not_depend_on_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(str(i), ("text", "more"), float(i)) for i in range(50)]
    one = write_rows(tmp_path / "a", rows, 2, True)
    monkeypatch.setattr("smartcli.data.rows.BATCH_ROWS", 7)
    many = write_rows(tmp_path / "b", rows, 2, True)
    assert (one.rows_hash, one.rows) == (many.rows_hash, 50)


def test_long_texts_are_written_and_read_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(str(i), ("x" * 40, "y"), None) for i in range(9)]
    one = write_rows(tmp_path / "a", rows, 2, False)
    monkeypatch.setattr("smartcli.data.rows.LETTERS", 100)
    few = write_rows(tmp_path / "b", rows, 2, False)
    assert pa.ipc.open_file(str(tmp_path / "b")).num_record_batches == 3
    assert few.rows_hash == one.rows_hash
    found = list(open_rows(tmp_path / "b", few, "").batches(0))
    assert [len(batch) for batch in found] == [3, 3, 3]
    assert [text for batch in found for text in batch] == [row[1][0] for row in rows]


def test_a_part_of_the_course_s_rows_is_named_as_such() -> None:
    assert subset_title("cs224n", {"sst": 8544, "qqp": 16225, "sts": 6040}) == "cs224n (QQP subset)"
    assert subset_title("cs224n", {"sst": 8544, "qqp": 283003, "sts": 6040}) == "cs224n"
