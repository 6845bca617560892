from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from smartcli.home import Home
from smartcli.tasks import Task, TaskTable
from tests.hand_made import make_checkpoint, make_data, make_model
from tests.tiny import make_tiny_encoder

Smart = Callable[..., Result]

PAIRS = 'no,sentence1,note,sentence2\n7,a good film,=1+1,"a, ""great"" film"\n8,the dog runs,x,a cat sits\n'


@pytest.fixture
def model(home: Home, tmp_path: Path) -> str:
    make_model(home, "ckpt1", make_data(home), make_tiny_encoder(tmp_path / "encoder"))
    return "ckpt1"


def rows_of(text: str, delimiter: str = ",") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def test_every_format_gives_the_inputs_columns_then_prediction_and_probability(
    model: str, smart: Smart, tmp_path: Path
) -> None:
    import pyarrow.parquet as pq

    source = tmp_path / "in.csv"
    source.write_text(PAIRS)
    found = {}
    for suffix in ("csv", "tsv", "jsonl", "parquet"):
        target = tmp_path / f"out.{suffix}"
        assert smart("predict", model, "--task", "qqp", "--input", source, "--output", target).exit_code == 0
        found[suffix] = target
    lines = rows_of(found["csv"].read_text())
    assert list(lines[0]) == ["no", "sentence1", "note", "sentence2", "prediction", "probability"]
    assert [row["sentence2"] for row in lines] == ['a, "great" film', "a cat sits"]
    for row in lines:
        assert row["prediction"] in ("0", "1")
        assert 0.5 <= float(row["probability"]) <= 1
    assert rows_of(found["tsv"].read_text(), "\t") == lines
    typed = [dict(row, prediction=int(row["prediction"]), probability=float(row["probability"])) for row in lines]
    assert [json.loads(line) for line in found["jsonl"].read_text().splitlines()] == typed
    assert pq.read_table(found["parquet"]).to_pylist() == typed


def test_scores_have_no_probability(model: str, smart: Smart) -> None:
    result = smart("predict", model, "--task", "sts", "--input", "-", "--output", "-", input=PAIRS)
    assert result.exit_code == 0
    (first, second) = rows_of(result.stdout)
    assert list(first) == ["no", "sentence1", "note", "sentence2", "prediction"]
    assert float(first["prediction"]) != float(second["prediction"])


STREAMS = [
    ("sentence\ta\nthe film is good\t1\n", "sentence\ta\tprediction\tprobability\n"),
    ("\ufeffsentence,,0\nthe film is good,,7\n", "sentence,,0,prediction,probability\n"),
]


@pytest.mark.parametrize(("given", "header"), STREAMS)
def test_stdin_to_stdout_keeps_the_delimiter_and_index_columns(
    model: str, smart: Smart, given: str, header: str
) -> None:
    result = smart("predict", model, "--task", "sst", "--input", "-", input=given)
    assert result.exit_code == 0
    assert result.stdout.startswith(header)
    assert result.stdout.count("\n") == 2


def test_json_lines_keep_nested_and_late_keys(model: str, smart: Smart) -> None:
    given = '{"sentence": "a good film", "more": {"deep": [1]}}\n{"sentence": "bad", "late": null}\n'
    result = smart("predict", model, "--task", "sst", "--input", "-", input=given)
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert list(first) == ["sentence", "more", "prediction", "probability"]
    assert first["more"] == {"deep": [1]}
    assert list(second) == ["sentence", "late", "prediction", "probability"]


def test_parquet_goes_in_and_comes_out(model: str, smart: Smart, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"sentence": ["a good film", "bad"], "n": [1, None]}), tmp_path / "in.parquet")
    out = tmp_path / "out.parquet"
    assert smart("predict", model, "--task", "sst", "--input", tmp_path / "in.parquet", "--output", out).exit_code == 0
    table = pq.read_table(out)
    assert table.column_names == ["sentence", "n", "prediction", "probability"]
    assert table["n"].to_pylist() == [1, None]


def test_a_row_scores_the_same_alone_and_among_others(model: str, smart: Smart) -> None:
    whole = rows_of(smart("predict", model, "--task", "sts", "--input", "-", input=PAIRS).stdout)
    lines = PAIRS.splitlines(keepends=True)
    alone = rows_of(smart("predict", model, "--task", "sts", "--input", "-", input=lines[0] + lines[2]).stdout)
    assert float(alone[0]["prediction"]) == pytest.approx(float(whole[1]["prediction"]), abs=1e-5)


def test_safe_csv_guards_cells_of_the_input_alone(model: str, smart: Smart) -> None:
    plain = rows_of(smart("predict", model, "--task", "sts", "--input", "-", input=PAIRS).stdout)
    safe = rows_of(smart("predict", model, "--task", "sts", "--input", "-", "--safe-csv", input=PAIRS).stdout)
    assert [row["note"] for row in plain] == ["=1+1", "x"]
    assert [row["note"] for row in safe] == ["'=1+1", "x"]
    assert [row["prediction"] for row in safe] == [row["prediction"] for row in plain]


def test_an_ensemble_predicts_the_median_of_its_members(model: str, home: Home, smart: Smart, tmp_path: Path) -> None:
    data = make_data(home)
    for seed in (1, 2):
        make_model(home, f"ckpt{seed + 1}", data, make_tiny_encoder(tmp_path / f"e{seed}", seed=seed), seed=seed)
    assert smart("ensemble", "ckpt1..ckpt3", "--name", "all").exit_code == 0

    def scores(name: str) -> list[float]:
        done = smart("predict", name, "--task", "sts", "--input", "-", input=PAIRS)
        return [float(row["prediction"]) for row in rows_of(done.stdout)]

    members = [scores(name) for name in ("ckpt1", "ckpt2", "ckpt3")]
    assert scores("all") == [sorted(column)[1] for column in zip(*members, strict=True)]
    # a member that is replaced under its name is noticed
    assert smart("checkpoints", "rm", "ckpt2", "--yes", "--force").exit_code == 0
    gone = smart("predict", "all", "--task", "sts", "--input", "-", input=PAIRS)
    assert gone.exit_code == 2
    assert "all needs its member ckpt2" in gone.stderr


LABELS = ("waste", "billing issue", "parks")
TOPICS = TaskTable(
    (
        Task(
            name="topic",
            kind="classification",
            text=("message",),
            label="t",
            labels=("waste", "billing issue", "parks"),
        ),
        Task(name="urgent", kind="binary", text=("note",), label="u", labels=("no", "yes"), metric="mcc"),
        Task(name="same", kind="binary", text=("one", "other"), label="s", labels=("0", "1")),
    )
)
NOTES = "message,class\nthe bin is full,7\nmy bill is wrong,8\n"


@pytest.fixture
def desk(home: Home, tmp_path: Path) -> str:
    make_model(home, "desk", make_data(home, tasks=TOPICS), make_tiny_encoder(tmp_path / "encoder"))
    return "desk"


def test_classes_with_names_are_answered_by_name_and_number(desk: str, smart: Smart) -> None:
    found = rows_of(smart("predict", desk, "--input", "-", input="note\nhelp at once\n").stdout)
    assert list(found[0]) == ["note", "prediction", "class", "probability"]
    assert found[0]["prediction"] == ("no", "yes")[int(found[0]["class"])]


def test_the_task_is_the_one_whose_columns_the_rows_have(desk: str, smart: Smart, tmp_path: Path) -> None:
    pairs = rows_of(smart("predict", desk, "--input", "-", input="one,other\na cat,a dog\n").stdout)
    assert pairs[0]["prediction"] in ("0", "1"), "numbers are no names"
    assert "class" not in pairs[0]
    (tmp_path / "in.jsonl").write_text('{"message": "the bin is full"}\n')
    done = smart("predict", desk, "--input", tmp_path / "in.jsonl")
    assert json.loads(done.stdout)["prediction"] in TOPICS.get("topic").labels
    both = smart("predict", desk, "--input", "-", input="message,note\na,b\n")
    assert both.exit_code == 2
    assert "--task is needed: the rows have the columns of topic, urgent" in both.stderr
    none = smart("predict", desk, "--input", "-", input="text\na\n")
    assert none.exit_code == 2
    assert (
        "stdin: no task of desk fits the columns text: topic needs message; urgent needs note; same needs"
        in none.stderr
    )


def test_a_label_column_called_class_stays_and_the_number_is_left_out(desk: str, smart: Smart) -> None:
    done = smart("predict", desk, "--task", "topic", "--input", "-", input=NOTES)
    found = rows_of(done.stdout)
    assert list(found[0]) == ["message", "class", "prediction", "probability"]
    assert 'stdin has a column "class" already, which stays; the class number is left out' in done.stderr
    assert [row["class"] for row in found] == ["7", "8"]


def test_probabilities_and_the_best_classes_stand_in_columns_of_their_own(desk: str, smart: Smart) -> None:
    words = ("--task", "topic", "--input", "-", "--probabilities", "--top", "2")
    (row, _) = rows_of(smart("predict", desk, *words, input=NOTES).stdout)
    names = ["p_waste", "p_billing issue", "p_parks", "top1", "top1_probability", "top2", "top2_probability"]
    assert list(row)[4:] == names
    shares = {name.removeprefix("p_"): float(row[name]) for name in names[:3]}
    assert sum(shares.values()) == pytest.approx(1)
    best = sorted(shares, key=lambda label: -shares[label])[:2]
    assert [row["top1"], row["top2"]] == best
    assert (row["prediction"], row["top1_probability"]) == (best[0], row["probability"])


def test_below_the_threshold_a_prediction_is_empty_in_every_format(desk: str, smart: Smart, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    words = ("predict", desk, "--task", "topic", "--input", "-", "--threshold", "0.99")
    assert [row["prediction"] for row in rows_of(smart(*words, input=NOTES).stdout)] == ["", ""]
    for suffix in ("jsonl", "parquet"):
        assert smart(*words, "--output", tmp_path / f"out.{suffix}", input=NOTES).exit_code == 0
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["prediction"] is None
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["prediction"].to_pylist() == [None, None]
    # The types do not hang on whether any row is sure enough.
    assert str(table.schema.field("prediction").type) == "string"


FOREIGN = TaskTable(
    (
        Task(name="topic", kind="binary", text=("message",), label="t", labels=("no", "yes"), encoding="cp1252"),
        Task(name="tone", kind="binary", text=("note",), label="u", labels=("no", "yes"), sheet="Notes"),
    )
)


def test_rows_are_read_in_the_encoding_and_from_the_sheet_of_the_task_that_they_fit(
    home: Home, smart: Smart, tmp_path: Path
) -> None:
    import openpyxl

    make_model(home, "desk", make_data(home, tasks=FOREIGN), make_tiny_encoder(tmp_path / "encoder"))
    for encoding in ("cp1252", "utf-16", "utf-8"):
        (tmp_path / "in.csv").write_bytes("message\nthe café is full\n".encode(encoding))
        done = smart("predict", "desk", "--input", tmp_path / "in.csv")
        assert [row["message"] for row in rows_of(done.stdout)] == ["the café is full"], done.stderr
    book = openpyxl.Workbook()
    book.active.append(["other"])
    book.create_sheet("Notes").append(["note"])
    book["Notes"].append(["help at once"])
    book.save(tmp_path / "in.xlsx")
    (row,) = rows_of(smart("predict", "desk", "--input", tmp_path / "in.xlsx").stdout)
    assert (row["note"], row["prediction"] in ("no", "yes")) == ("help at once", True)
    wrong = smart("predict", "desk", "--task", "topic", "--input", tmp_path / "in.xlsx")
    assert wrong.exit_code == 2
    assert 'in.xlsx: expected one sheet, found "Sheet", "Notes"; keep the one to label' in wrong.stderr


def test_what_fits_no_task_because_it_cannot_be_read_says_why(desk: str, smart: Smart, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes("message\nthe café is full\n".encode("cp1252"))
    for file, said in (
        ("in.csv", "in.csv:2: expected UTF-8 text, found byte 0xe9; it reads as Windows-1252: say --encoding cp1252"),
        ("none.csv", "none.csv: no such file"),
    ):
        done = smart("predict", desk, "--input", tmp_path / file)
        assert done.exit_code == 2
        assert said in done.stderr


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_rows_may_have_another_form_than_the_tasks_own_files(
    desk: str, smart: Smart, tmp_path: Path, delimiter: str, encoding: str
) -> None:
    rows = delimiter.join(("nr", "message")) + "\n" + delimiter.join(("1", "the café, the bin")) + "\n"
    if delimiter == ",":
        rows = rows.replace("the café, the bin", '"the café, the bin"')
    (tmp_path / "in.csv").write_bytes(rows.encode(encoding))
    words = ["--encoding", "cp1252"] if encoding == "cp1252" else []
    done = smart("predict", desk, "--input", tmp_path / "in.csv", "--output", tmp_path / "out.csv", *words)
    assert done.exit_code == 0, done.stderr
    (row,) = rows_of((tmp_path / "out.csv").read_text(encoding="utf-8"))
    assert (row["nr"], row["message"]) == ("1", "the café, the bin")
    assert row["prediction"]


def test_an_encoding_that_there_is_not_is_named(desk: str, smart: Smart) -> None:
    done = smart("predict", desk, "--input", "-", "--encoding", "cp1552", input=NOTES)
    assert done.exit_code == 2
    assert '--encoding: "encoding" must be the name of a text encoding' in done.stderr
    assert 'did you mean "cp1252"?' in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--threshold", "1.5"], "--threshold must be a probability above 0 and below 1, found 1.5"),
        (["--top", "4"], '--top must be from 1 to 3, the classes of "topic"; found 4'),
        (["--top", "0"], "--top must be from 1 to 3"),
    ],
)
def test_a_wish_that_cannot_be_is_refused(desk: str, smart: Smart, words: list[str], said: str) -> None:
    done = smart("predict", desk, "--task", "topic", "--input", "-", *words, input=NOTES)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_scores_have_neither_threshold_nor_top(model: str, smart: Smart) -> None:
    for words in (["--threshold", "0.5"], ["--top", "1"], ["--probabilities"]):
        done = smart("predict", model, "--task", "sts", "--input", "-", *words, input=PAIRS)
        assert done.exit_code == 2
        assert f'{words[0]} is for classes, and "sts" is a task of scores; leave it out' in done.stderr


BAD = [
    ("in.csv", "sentence1,other\na,b\n", [], 'in.csv:1: missing column "sentence2"'),
    ("in.csv", "sentence1,sentence2\na,\n,b\n", [], 'in.csv: no row has a text in "sentence1" and "sentence2"'),
    ("in.csv", "sentence1,sentence2\na,b\nc\n", [], "in.csv:3: expected 2 fields"),
    ("in.csv", 'sentence1,sentence2\na,"b\n', [], "in.csv:2: a quoted field is not closed"),
    ("in.csv", b"sentence1,sentence2\na,caf\xe9\n", [], "in.csv:2: expected UTF-8"),
    ("in.csv", "", [], "in.csv:1: the file is empty"),
    ("in.csv", "sentence1,sentence2\n", [], "in.csv: a header but no rows"),
    ("in.csv", "sentence1,sentence2,prediction\na,b,c\n", [], 'has a column "prediction" already'),
    ("in.jsonl", '{"sentence1": "a", "sentence2": true}\n', [], 'in.jsonl:1: "sentence2" is True; expected a sentence'),
    ("in.jsonl", "[1]\n", [], "in.jsonl:1: not a JSON object"),
    ("in.xlsx", "x", [], "in.xlsx: not a readable xlsx file: File is not a zip file"),
    ("in.docx", "x", [], "in.docx: unknown kind of file"),
    ("in.csv", PAIRS, ["--output", "out.docx"], "--output out.docx: unknown kind of file"),
    (
        "in.csv",
        PAIRS,
        ["--output-encoding", "utf-9"],
        '--output-encoding: "encoding" must be the name of a text encoding',
    ),
    ("in.csv", PAIRS, ["--output-delimiter", "::"], '--output-delimiter: "delimiter" must be one character'),
    ("in.jsonl", '{"sentence1": "a", "sentence2": "b"}\n', ["--output-delimiter", ";"], "is for csv and tsv"),
    ("in.csv", PAIRS, ["--output", "missing/out.csv"], "there is no folder missing"),
    ("in.csv", PAIRS, ["--task", "mood"], 'there is no task "mood"'),
    ("in.csv", PAIRS, ["--split", "dev"], "--split has no place here"),
    ("in.csv", PAIRS, ["--submission", "sub"], "has no place here"),
]


@pytest.mark.parametrize(("file", "content", "more", "message"), BAD)
def test_bad_input_exits_2_names_the_place_and_writes_nothing(
    home: Home,
    smart: Smart,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    content: str | bytes,
    more: list[str],
    message: str,
) -> None:
    # No weights are in this checkpoint: files are checked before a model is loaded.
    make_checkpoint(home, "ckpt1", make_data(home))
    monkeypatch.chdir(tmp_path)
    Path(file).write_bytes(content.encode() if isinstance(content, str) else content)
    task = [] if "--task" in more else ["--task", "qqp"]
    result = smart("predict", "ckpt1", *task, "--input", file, *more)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_rows_without_a_text_keep_their_place_and_get_no_prediction(model: str, smart: Smart, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    given = "no,sentence\n1,a good film\n2,\n3,the dog runs\n4,  \n"
    alone = smart(
        "predict", model, "--task", "sst", "--input", "-", input="no,sentence\n1,a good film\n3,the dog runs\n"
    )
    done = smart("predict", model, "--task", "sst", "--input", "-", input=given)
    assert done.exit_code == 0
    assert "warning: no text, and so no prediction, in 2 rows: stdin:3, stdin:5\n" in done.stderr
    first, empty, third, blank = done.stdout.splitlines()[1:]
    assert [empty, blank] == ["2,,,", "4,  ,,"]
    assert [line.split(",")[:3] for line in (first, third)] == [
        line.split(",")[:3] for line in alone.stdout.splitlines()[1:]
    ]
    (tmp_path / "in.jsonl").write_text('{"sentence": null, "no": 1}\n{"no": 2}\n{"sentence": "a film", "no": 3}\n')
    out = tmp_path / "out.parquet"
    done = smart("predict", model, "--task", "sst", "--input", tmp_path / "in.jsonl", "--output", out, "--top", "2")
    assert done.exit_code == 0, done.stderr
    rows = pq.read_table(out).to_pylist()
    assert [row["no"] for row in rows] == [1, 2, 3]
    assert [row["prediction"] is None for row in rows] == [True, True, False]
    assert rows[0]["top1_probability"] is None
    assert f"{tmp_path / 'in.jsonl'}:1, {tmp_path / 'in.jsonl'}:2\n" in done.stderr


def test_csv_is_written_as_a_spreadsheet_wants_it(model: str, smart: Smart, tmp_path: Path) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("sentence,no\na naïve film,1\n", encoding="utf-8")
    words = ["predict", model, "--task", "sst", "--input", source, "--output", target]
    assert smart(*words, "--output-delimiter", ";", "--output-encoding", "utf-8-sig").exit_code == 0
    assert target.read_bytes().startswith("\ufeffsentence;no;prediction;probability\r\na naïve film;1;".encode()) or (
        target.read_bytes().startswith("\ufeffsentence;no;prediction;probability\na naïve film;1;".encode())
    )
    again = smart(*words, "--output-delimiter", "tab", "--output-encoding", "cp1252")
    assert "replacing the file that was there" in again.stderr
    assert target.read_bytes().split(b"\t")[3:5][0].endswith("a naïve film".encode("cp1252"))
    before = target.read_bytes()
    source.write_text("sentence,no\na film,1\na film \U0001f600,2\n", encoding="utf-8")
    refused = smart(*words, "--output-encoding", "cp1252")
    assert refused.exit_code == 2
    assert "--output-encoding cp1252 has no '\U0001f600', which stands in line 3" in refused.stderr
    assert target.read_bytes() == before


def test_missing_options_are_named(home: Home, smart: Smart) -> None:
    make_checkpoint(home, "ckpt1", make_data(home))
    assert "--input FILE (- is stdin) or --submission DIR is needed" in smart("predict", "ckpt1").stderr
    result = smart("predict", "ckpt1", "--input", "-", input=PAIRS)
    assert result.exit_code == 2
    assert "--task is needed: the rows have the columns of qqp, sts" in result.stderr


def test_the_input_is_not_written_over(model: str, smart: Smart, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text(PAIRS)
    (tmp_path / "again.csv").symlink_to(source)
    for target in (source, tmp_path / "again.csv"):
        result = smart("predict", model, "--task", "qqp", "--input", source, "--output", target)
        assert result.exit_code == 2
        assert "this is the --input file" in result.stderr
    assert source.read_text() == PAIRS
