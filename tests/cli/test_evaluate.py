from __future__ import annotations

import csv
import io
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from smartcli.config import Settings, apply
from smartcli.home import Home
from smartcli.registry.predictions_store import save_predictions
from tests.hand_made import make_checkpoint, make_data, make_model, predict
from tests.tiny import make_tiny_encoder

Smart = Callable[..., Result]


def test_empty_registry_says_what_to_do_next(home: Home, smart: Smart) -> None:
    result = smart("evaluate")
    assert result.exit_code == 2
    assert "smart prepare demo" in result.stderr
    assert "smart finetune" in result.stderr
    assert result.stdout == ""
    assert not home.root.exists()


def test_prepared_data_without_checkpoint_says_to_finetune(home: Home, smart: Smart) -> None:
    make_data(home)
    result = smart("evaluate")
    assert result.exit_code == 2
    assert "smart finetune" in result.stderr
    assert "prepare" not in result.stderr


def test_json_has_exactly_the_designed_form(home: Home, smart: Smart) -> None:
    data = make_data(home)
    settings = apply(Settings(), {"lambda": 5, "dropout": 0.2, "seed": 3}, "test").to_json()
    make_checkpoint(home, "ckpt1", data, predict(data, wrong=[0, 1, 2]), settings=settings)
    make_checkpoint(home, "ckpt2", data, predict(data, tasks=["qqp"]), kind="pretrain-qqp", method="concat sequential")
    result = smart("evaluate", "ckpt1", "ckpt2", "--json")
    assert result.exit_code == 0
    assert result.stdout.endswith("}\n")
    found = json.loads(result.stdout)
    r = found["rows"][0]["sts"]["pearson"]
    assert found == {
        "data": {"name": "demo", "fingerprint": data.fingerprint},
        "split": "dev",
        "rows": [
            {
                "checkpoint": "ckpt1",
                "kind": "finetune",
                "method": "concat simultaneous smart",
                "lambda": 5,
                "dropout": 0.2,
                "seed": 3,
                "sst": {"accuracy": 0.5, "n": 6},
                "qqp": {"accuracy": 0.5, "n": 6},
                "sts": {"pearson": r, "n": 6},
                "overall": pytest.approx((0.5 + 0.5 + (r + 1) / 2) / 3),
            },
            {
                "checkpoint": "ckpt2",
                "kind": "pretrain-qqp",
                "method": "concat sequential",
                "lambda": 1,
                "dropout": 0.1,
                "seed": 0,
                "sst": None,
                "qqp": {"accuracy": 1.0, "n": 6},
                "sts": None,
                "overall": None,
            },
        ],
    }
    assert [list(row) for row in found["rows"]] == [list(found["rows"][0])] * 2
    assert list(found["rows"][0]) == [
        "checkpoint", "kind", "method", "lambda", "dropout", "seed", "sst", "qqp", "sts", "overall",
    ]  # fmt: skip


def test_pearson_in_json_is_the_one_worked_by_hand(home: Home, smart: Smart) -> None:
    data = make_data(home)
    make_checkpoint(home, "a", data, predict(data, wrong=[0, 1, 2]))
    found = json.loads(smart("evaluate", "--json").stdout)["rows"][0]["sts"]["pearson"]
    # truth 0 1 2 3 4 5: mean 2.5, centred squares 17.5
    # found 2.5 2.5 2.5 3 4 5: mean 3.25, centred squares 3·.5625 + .0625 + .5625 + 3.0625 = 5.375
    # products 1.875 + 1.125 + .375 − .125 + 1.125 + 4.375 = 8.75
    assert found == pytest.approx(8.75 / (17.5 * 5.375) ** 0.5)


@pytest.mark.parametrize(
    ("given", "expected"),
    [("sst=5", {"sst": 5, "qqp": 1, "sts": 1}), ("sst=1,qqp=1", 1), ("sst=2,qqp=2,sts=2", 2), (0.5, 0.5)],
)
def test_lambda_is_a_number_unless_it_differs_by_task(
    home: Home, smart: Smart, given: object, expected: object
) -> None:
    settings = apply(Settings(), {"lambda": given}, "test").to_json()
    make_checkpoint(home, "a", make_data(home), settings=settings)
    assert json.loads(smart("evaluate", "--json").stdout)["rows"][0]["lambda"] == expected


def test_no_name_means_every_checkpoint_of_the_data_set_in_natural_order(home: Home, smart: Smart) -> None:
    data = make_data(home, "first")
    for name in ("ckpt10", "ckpt2"):
        make_checkpoint(home, name, data)
    other = make_data(home, "second", word="other ")
    make_checkpoint(home, "elsewhere", other)

    def names(*arguments: str) -> list[str]:
        return [row["checkpoint"] for row in json.loads(smart("evaluate", "--json", *arguments).stdout)["rows"]]

    assert names("--data", "first") == ["ckpt2", "ckpt10"]
    assert names() == ["elsewhere"]
    assert names("ckpt10", "ckpt2") == ["ckpt10", "ckpt2"]
    assert names("ckpt*") == ["ckpt2", "ckpt10"]


def test_checkpoints_of_several_data_sets_need_a_data_option(home: Home, smart: Smart) -> None:
    make_checkpoint(home, "a", make_data(home, "first"))
    make_checkpoint(home, "b", make_data(home, "second", word="other "))
    result = smart("evaluate", "a", "b")
    assert result.exit_code == 2
    assert "a on first" in result.stderr
    assert "b on second" in result.stderr
    assert "--data" in result.stderr


def test_data_changed_since_training_is_refused(home: Home, smart: Smart) -> None:
    make_checkpoint(home, "a", make_data(home))
    make_data(home, word="changed ", force=True)
    for arguments in (["evaluate"], ["evaluate", "a"], ["evaluate", "a", "--split", "test"]):
        result = smart(*arguments)
        assert result.exit_code == 2, arguments
        assert 'the data set "demo" has changed since a was trained' in result.stderr
        assert result.stdout == ""


def test_stale_checkpoints_are_left_out_and_named(home: Home, smart: Smart) -> None:
    make_checkpoint(home, "old", make_data(home))
    make_checkpoint(home, "new", make_data(home, word="changed ", force=True))
    result = smart("evaluate", "--json")
    assert [row["checkpoint"] for row in json.loads(result.stdout)["rows"]] == ["new"]
    assert 'the data set "demo" has changed since they were trained: old' in result.stderr


def test_named_checkpoints_need_no_data_set(home: Home, smart: Smart) -> None:
    make_checkpoint(home, "a", make_data(home))
    assert smart("data", "rm", "demo", "--yes").exit_code == 0
    for arguments in (["evaluate", "a"], ["evaluate"]):
        assert smart(*arguments).exit_code == 0
    result = smart("evaluate", "a", "--split", "test")
    assert result.exit_code == 2
    assert 'the data set "demo" is not here' in result.stderr


def test_unlabelled_split_cannot_be_scored(home: Home, smart: Smart) -> None:
    make_checkpoint(home, "a", make_data(home, test_labels=False))
    result = smart("evaluate", "a", "--split", "test")
    assert result.exit_code == 2
    assert "has no labels" in result.stderr
    assert "smart predict" in result.stderr


def test_stored_predictions_of_another_split_are_used(home: Home, smart: Smart) -> None:
    data = make_data(home)
    checkpoint = make_checkpoint(home, "a", data)
    save_predictions(home, checkpoint, data.fingerprint, "test", predict(data, "test", wrong=[0]))
    found = json.loads(smart("evaluate", "a", "--split", "test", "--json").stdout)
    assert found["split"] == "test"
    assert found["rows"][0]["sst"] == {"accuracy": 0.75, "n": 4}


def test_constant_score_prediction_is_null_with_a_warning(home: Home, smart: Smart) -> None:
    data = make_data(home)
    make_checkpoint(home, "flat", data, predict(data, wrong=range(6)))
    result = smart("evaluate", "--json")
    row = json.loads(result.stdout)["rows"][0]
    assert row["sts"] == {"pearson": None, "n": 6}
    assert row["overall"] is None
    assert "warning: flat: every prediction of sts is the same, so its pearson is undefined" in result.stderr


def test_table_shows_scores_and_dashes(home: Home, smart: Smart) -> None:
    data = make_data(home, info={"title": "demo [red]\x1b[31m"})
    make_checkpoint(home, "ckpt1", data, predict(data, tasks=["sst", "qqp"], wrong=[0]))
    result = smart("evaluate")
    line = next(line for line in result.stdout.splitlines() if line.lstrip().startswith("ckpt1"))
    assert line.split() == ["ckpt1", "concat", "simultaneous", "smart", "1", "0.1", "0", "0.833", "0.833", "–", "–"]
    assert "demo [red]\\x1b[31m" in result.stdout
    assert "\x1b" not in result.stdout


def test_paper_rows_are_added_and_marked(home: Home, smart: Smart) -> None:
    make_checkpoint(home, "a", make_data(home))
    rows = json.loads(smart("evaluate", "--json", "--paper").stdout)["rows"]
    assert rows[0]["kind"] == "finetune"
    assert {row["kind"] for row in rows[1:]} == {"paper"}
    best = next(row for row in rows[1:] if row["sst"] and row["sst"]["accuracy"] == 0.545)
    assert best["overall"] == 0.8
    assert best["qqp"]["n"] == 40429


def test_csv_holds_what_the_table_holds(home: Home, smart: Smart, tmp_path: Path) -> None:
    data = make_data(home)
    make_checkpoint(home, "a", data, predict(data, tasks=["sst"]))
    assert smart("evaluate", "--csv", tmp_path / "t.csv").exit_code == 0
    (row,) = csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text()))
    assert row == {
        "checkpoint": "a", "kind": "finetune", "method": "concat simultaneous smart", "lambda": "1", "dropout": "0.1",
        "seed": "0", "sst_accuracy": "1.0", "sst_n": "6", "qqp_accuracy": "", "qqp_n": "", "sts_pearson": "",
        "sts_n": "", "overall": "",
    }  # fmt: skip
    assert smart("evaluate", "--csv", "-").stdout == (tmp_path / "t.csv").read_text()


BAD = [
    (["evaluate", "nope"], 'there is no checkpoint "nope"'),
    (["evaluate", "ckpt"], 'did you mean "ckpt1"'),
    (["evaluate", "x*"], 'no checkpoint matches "x*"'),
    (["evaluate", "--split", "train"], "--split must be one of dev, test"),
    (["evaluate", "--data", "nope"], '--data: there is no data set "nope"'),
    (["evaluate", "--csv", "missing/t.csv"], "there is no folder missing"),
    (["evaluate", "--csv", "-", "--json"], "both go to stdout"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_wrong_arguments_exit_2_with_one_message(home: Home, smart: Smart, arguments: list[str], message: str) -> None:
    make_checkpoint(home, "ckpt1", make_data(home))
    result = smart(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""


def test_paper_rows_need_the_papers_tasks(home: Home, smart: Smart) -> None:
    from smartcli.tasks import parse_task_table

    entry = {"name": "mood", "kind": "binary", "text": "line", "label": "mood"}
    make_checkpoint(home, "own", make_data(home, "own", tasks=parse_task_table({"task": [entry]}, "test")))
    assert smart("evaluate").exit_code == 0
    result = smart("evaluate", "--paper")
    assert result.exit_code == 2
    assert "--paper: the paper's tasks are sst, qqp, sts, but this data set has mood" in result.stderr


def test_ten_checkpoints_are_scored_in_under_three_seconds_without_torch_or_scipy(home: Home) -> None:
    data = make_data(home, counts={"train": 4, "dev": 2000, "test": 4})
    for i in range(10):
        make_checkpoint(home, f"ckpt{i + 1}", data, predict(data, wrong=range(i, 2000, 7)))
    code = (
        "import sys\n"
        "from smartcli.cli.app import run\n"
        "try:\n"
        "    run(['evaluate'])\n"
        "finally:\n"
        "    print(sorted({'torch', 'pandas', 'scipy'} & set(sys.modules)), file=sys.stderr)\n"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Processor time: other processes of the machine do not count.
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert done.stderr.strip() == "[]"
    assert sum("ckpt" in line for line in done.stdout.splitlines()) == 10
    assert seconds < 3


def test_other_labelled_data_runs_the_model_once(home: Home, smart: Smart, tmp_path: Path) -> None:
    make_model(home, "ckpt1", make_data(home), make_tiny_encoder(tmp_path / "encoder"))
    other = make_data(home, "other", word="the film ")
    first = smart("evaluate", "ckpt1", "--data", "other", "--json")
    assert first.exit_code == 0
    found = json.loads(first.stdout)
    assert found["data"] == {"name": "other", "fingerprint": other.fingerprint}
    assert found["rows"][0]["sst"]["n"] == 6
    assert "ckpt1: predicting the dev split of other" in first.stderr
    again = smart("evaluate", "ckpt1", "--data", "other", "--json")
    assert again.stdout == first.stdout
    assert again.stderr == ""


def test_data_whose_task_is_another_kind_is_refused(home: Home, smart: Smart) -> None:
    from smartcli.tasks import parse_task_table

    make_checkpoint(home, "ckpt1", make_data(home))
    entry = {"name": "sst", "kind": "binary", "text": "line", "label": "mood"}
    make_data(home, "own", tasks=parse_task_table({"task": [entry]}, "test"))
    result = smart("evaluate", "ckpt1", "--data", "own")
    assert result.exit_code == 2
    assert 'its head for "sst" is for classification of sentences into 5 classes' in result.stderr


def test_an_encoder_that_knew_the_data_is_named_below_the_table(home: Home, smart: Smart) -> None:
    make_checkpoint(home, "a", make_data(home, "synthetic"))
    data = make_data(home, "real", source="cs224n", word="other ")
    make_checkpoint(home, "b", data)
    make_checkpoint(home, "c", data)
    assert "Quora" not in smart("evaluate", "a").stdout
    assert " ".join(smart("evaluate", "b").stdout.split()).count("minilm: This encoder's own training had seen") == 1
    assert " ".join(smart("ensemble", "b", "c", "--name", "d").stdout.split()).count("own training had seen") == 1
    assert "own training had seen" in " ".join(smart("evaluate", "d").stdout.split())
