"""`smartcli.load` predicts as the command line does; docs/python.md runs as it stands."""

from __future__ import annotations

import csv
import doctest
import io
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from training import Shop
from typer.testing import Result

import smartcli
from smartcli.data.store import LATEST
from smartcli.home import Home
from smartcli.workflows.scoring.ensembling import ensemble

Smart = Callable[..., Result]
ROOT = Path(__file__).parents[2]
PAIRS = [("a good film", "a fine film"), ("a red car", "the dog runs in the park"), ("yes", "no")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Three checkpoints and an ensemble of them."""
    folder = tmp_path_factory.mktemp("api")
    shop = Shop.open(Home(folder / "smart"), folder)
    names = ["ckpt2", "ckpt3", "ckpt4"]
    for seed, name in enumerate(names):
        shop.train(name, max_steps="2", lr="1e-2", seed=str(seed))
    ensemble(shop.home, names, name="both")
    return shop


@pytest.fixture(autouse=True)
def shop(made: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("SMART_HOME", str(made.home.root))
    latest = made.home.data / LATEST
    before = latest.read_bytes()
    yield made
    # A training from frames makes its data set the one prepared last.
    latest.write_bytes(before)


def test_the_page_runs_as_it_stands(shop: Shop) -> None:
    failed, tried = doctest.testfile(str(ROOT / "docs" / "python.md"), module_relative=False)
    assert (failed, tried > 10) == (0, True)


@pytest.mark.parametrize("name", ["ckpt3", "both"])
@pytest.mark.parametrize("task", ["sts", "qqp"])
def test_predictions_are_the_command_lines(smart: Smart, shop: Shop, name: str, task: str) -> None:
    source = io.StringIO()
    columns = smartcli.load(name).info["tasks"]
    text = next(entry["text"] for entry in columns if entry["name"] == task)
    csv.writer(source).writerows([text, *PAIRS])
    result = smart("predict", name, "--task", task, "--input", "-", input=source.getvalue())
    assert result.exit_code == 0, result.stderr
    printed = [float(row["prediction"]) for row in csv.DictReader(io.StringIO(result.stdout))]
    assert smartcli.load(name, home=shop.home.root).predict(task, PAIRS).tolist() == printed


def test_an_ensemble_combines_its_members(shop: Shop) -> None:
    members = [smartcli.load(name) for name in ("ckpt2", "ckpt3", "ckpt4")]
    both = smartcli.load("both")
    median = np.median([member.predict("sts", PAIRS) for member in members], axis=0)
    np.testing.assert_array_equal(both.predict("sts", PAIRS), median)
    mean = np.mean([member.predict_proba("sst", ["a good film"]) for member in members], axis=0)
    np.testing.assert_allclose(both.predict_proba("sst", ["a good film"]), mean, rtol=0, atol=1e-12)


def test_no_rows_give_no_predictions(shop: Shop) -> None:
    for name in ("ckpt3", "both"):
        model = smartcli.load(name)
        assert model.predict("sts", []).shape == (0,)
        assert model.predict_proba("sst", []).shape == (0, 5)


def test_rows_that_do_not_fit_the_task_are_named(shop: Shop) -> None:
    model = smartcli.load("ckpt3")
    for task, rows, message in (
        ("sts", [("a", "b"), ("a", "b", "c")], '"sts", row 1: expected a pair'),
        ("sts", [("a", None)], '"sts", row 0: expected a pair'),
        ("sst", [("a", "b")], '"sst", row 0: expected a string'),
        ("sst", [3], '"sst", row 0: expected a string'),
        ("sst", "one string", "expected a list of rows"),
    ):
        with pytest.raises(smartcli.UserError, match=message):
            model.predict(task, rows)  # type: ignore[arg-type]
    with pytest.raises(smartcli.UserError, match="has no probabilities"):
        model.predict_proba("sts", PAIRS)
    with pytest.raises(smartcli.UserError, match='did you mean "ckpt3"'):
        smartcli.load("ckpt33")


def test_a_damaged_file_is_named_at_loading(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMART_HOME", str(shutil.copytree(shop.home.root, tmp_path / "copy")))
    path = tmp_path / "copy" / "checkpoints" / "ckpt3" / "heads.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(smartcli.SmartCliError, match=r"heads\.safetensors: its content does not match"):
        smartcli.load("ckpt3")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc is told how to keep memory")
def test_loading_leaves_the_callers_malloc_as_it_was(shop: Shop) -> None:
    script = """
import ctypes, sys
import smartcli

class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("arena", "ordblks", "smblks", "hblks", *"abcdef")]

libc = ctypes.CDLL(None)
libc.mallinfo.restype = Mallinfo
libc.malloc.restype = ctypes.c_void_p
if sys.argv[1] == "api":
    smartcli.load("ckpt3").predict("sst", ["a good film"])
else:
    from smartcli.cli.app import run
    try:
        run(["evaluate", "ckpt3"])
    except SystemExit:
        pass
before = libc.mallinfo().hblks
libc.malloc(ctypes.c_size_t(200_000_000))
print(libc.mallinfo().hblks - before)
"""
    blocks = {
        how: subprocess.run([sys.executable, "-c", script, how], capture_output=True, text=True, check=True).stdout[-2:]
        for how in ("api", "command")
    }
    # A large block is mapped of its own by default, and part of the heap once freed memory is kept.
    assert blocks == {"api": "1\n", "command": "0\n"}


def test_importing_the_package_is_light() -> None:
    script = "import sys, smartcli; print(*sorted({'torch', 'numpy', 'pandas', 'scipy'} & set(sys.modules)), 'end')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["end"]


@pytest.mark.parametrize("task", ["sst", "sts"])
def test_a_frame_comes_back_with_the_columns_that_predict_adds_and_its_own_index(task: str) -> None:
    model = smartcli.load("both")
    columns = next(entry["text"] for entry in model.info["tasks"] if entry["name"] == task)
    texts = [pair[: len(columns)] for pair in PAIRS]
    frame = pd.DataFrame(texts, columns=columns, index=[7, 3, 3]).assign(note=[1, 2, 3])
    found = model.predict(task, frame)
    given = [text[0] for text in texts] if len(columns) == 1 else texts
    assert found["prediction"].tolist() == model.predict(task, given).tolist()
    assert list(found.index) == [7, 3, 3]
    assert list(frame.columns) == [*columns, "note"], "the frame that was given stays as it is"
    if task == "sst":
        assert found["probability"].tolist() == model.predict_proba(task, given).max(axis=1).tolist()
    else:
        assert "probability" not in found


def test_a_frame_gets_the_columns_of_the_command_and_numbers_stay_whole_below_a_threshold(smart: Smart) -> None:
    frame = pd.DataFrame({"sentence": [pair[0] for pair in PAIRS]})
    words = ("--probabilities", "--top", "2", "--threshold", "0.99")
    given = frame.to_csv(index=False)
    printed = smart("predict", "both", "--task", "sst", "--input", "-", *words, input=given).stdout
    found = smartcli.load("both").predict("sst", frame, probabilities=True, top=2, threshold=0.99)
    assert list(found.columns) == printed.splitlines()[0].split(",")
    assert found["prediction"].isna().all()
    assert found["prediction"].dtype == "Int64"


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"sentance": ["a"]}, 'the frame has no column "sentence"; found sentance; did you mean "sentance"'),
        ({"sentence": ["a", None]}, '"sst", row 1: "sentence" must be text, found'),
        ({"sentence": ["a"], "prediction": [0]}, 'has a column "prediction" already'),
    ],
)
def test_a_frame_that_does_not_fit_is_the_users_mistake(frame: dict[str, list[object]], said: str) -> None:
    with pytest.raises(smartcli.UserError, match=said):
        smartcli.load("ckpt3").predict("sst", pd.DataFrame(frame))


def test_results_are_the_table_of_evaluate(smart: Smart) -> None:
    printed = pd.read_csv(io.StringIO(smart("evaluate", "ckpt2", "both", "--csv", "-").stdout))
    found = smartcli.results("ckpt2", "both")
    assert list(found.columns) == list(printed.columns)
    assert found["checkpoint"].tolist() == ["ckpt2", "both"]
    assert found["overall"].tolist() == printed["overall"].tolist()
    assert len(smartcli.results(paper=True)) == 4 + 18
    with pytest.raises(smartcli.UserError, match="ckpt33"):
        smartcli.results("ckpt33")


def tickets(count: int = 30) -> pd.DataFrame:
    texts = [("the bin is full", "a hole in the street", "the swings are broken")[i % 3] for i in range(count)]
    topics = [("waste", "roads", "parks")[i % 3] for i in range(count)]
    return pd.DataFrame({"message": [f"{text} at {i}" for i, text in enumerate(texts)], "topic": topics})


QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 8, "lam": 0, "progress": False}


def test_training_from_a_frame_registers_a_checkpoint_that_the_commands_see(smart: Smart, shop: Shop) -> None:
    model = smartcli.finetune(tickets(), name="mine", encoder=str(shop.encoder), **QUICK)
    assert (model.name, model.tasks, model.labels("task")) == ("mine", ("task",), ("parks", "roads", "waste"))
    assert model.info["settings"]["lambda"] == 0
    labelled = model.predict("task", tickets(3), top=2)
    assert list(labelled.columns)[2:5] == ["prediction", "class", "probability"]
    assert set(labelled["prediction"]) <= {"waste", "roads", "parks"}
    assert "mine" in smart("evaluate", "mine").stdout
    again = smartcli.finetune(tickets(), name="mine", encoder=str(shop.encoder), **QUICK)
    assert again.info["created"] == model.info["created"], "a finished training is not made again"


def test_frames_by_task_and_split_with_a_table_of_tasks(shop: Shop) -> None:
    pairs = pd.DataFrame({"one": ["a cat", "a dog"] * 10, "other": ["a kitten", "a car"] * 10, "near": [4.5, 0.5] * 10})
    tasks: list[dict[str, Any]] = [
        {"name": "topic", "kind": "classification", "text": "message", "label": "topic", "class_weights": "balanced"},
        {"name": "near", "kind": "regression", "text": ["one", "other"], "label": "near", "range": [0, 5],
         "metric": "pearson"},
    ]  # fmt: skip
    frames = {"topic": tickets(), "near": {"train": pairs, "dev": pairs.head(6)}}
    model = smartcli.finetune(frames, tasks, encoder=str(shop.encoder), schedule="sequential", **QUICK)
    assert model.tasks == ("topic", "near")
    assert model.predict("near", [("a cat", "a kitten")]).shape == (1,)


@pytest.mark.parametrize(
    ("frames", "tasks", "options", "said"),
    [
        ([1], None, {}, "expected a DataFrame, frames by split, or frames by task and split, found list"),
        ({}, None, {}, "expected a DataFrame"),
        ({"topic": {"validation": 1}}, None, {}, '"topic": expected a DataFrame, or frames by train, dev, test'),
        (None, None, {"epoch": 1}, 'there is no option "epoch"; did you mean "epochs"'),
        (None, [{"name": "x"}, {"name": "y"}], {}, 'no frame for the task "x"; found task'),
        (None, [{"name": "x", "kind": "ranking", "text": "message", "label": "topic"}], {}, '"kind" must be one of'),
    ],
)
def test_what_is_wrong_with_a_training_from_frames_is_said(
    shop: Shop, frames: Any, tasks: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(smartcli.UserError) as caught:
        smartcli.finetune(
            tickets() if frames is None else frames, tasks, encoder=str(shop.encoder), progress=False, **options
        )
    assert said in str(caught.value)


def test_sentences_are_encoded_alone_in_any_batch(shop: Shop) -> None:
    model = smartcli.load("ckpt3")
    texts = ["a good film", "the dog runs in the park", "no"]
    found = model.encode(texts)
    assert found.shape == (3, 32)
    np.testing.assert_allclose(model.encode(texts, batch_size=4), found, atol=1e-6)
    np.testing.assert_allclose(model.encode(texts[1:2])[0], found[1], atol=1e-6)
    with pytest.raises(smartcli.UserError, match="an ensemble of several encoders"):
        smartcli.load("both").encode(texts)
    with pytest.raises(smartcli.UserError, match="expected a list of strings"):
        model.encode("one string")  # type: ignore[arg-type]


def test_the_device_is_one_that_there_is(shop: Shop) -> None:
    assert smartcli.load("ckpt3", device="cpu").predict("sts", PAIRS).shape == (3,)
    with pytest.raises(smartcli.UserError, match="device must be one of auto, cpu, cuda; found 'gpu'"):
        smartcli.load("ckpt3", device="gpu")


def test_frames_with_several_labels_a_row(shop: Shop) -> None:
    frame = tickets().rename(columns={"topic": "topics"})
    frame["topics"] = [[["waste"], ["roads", "waste"], [], ["parks"], ["parks", "roads"]][i % 5] for i in range(30)]
    guessed = smartcli.finetune(frame, encoder=str(shop.encoder), **QUICK)
    assert guessed.labels("task") == ("parks", "roads", "waste")
    assert guessed.predict("task", ["the bin is full"]).shape == (1, 3)
    for name in ("parks", "roads", "waste"):
        frame[name] = [int(name in own) for own in frame["topics"]]
    task = {"name": "topics", "kind": "multilabel", "text": "message", "label": ["parks", "roads", "waste"]}
    model = smartcli.finetune(frame, [task], encoder=str(shop.encoder), sampling="balanced", **QUICK)
    labelled = model.predict("topics", frame.head(2), threshold=0.0001, probabilities=True)
    assert labelled["prediction"].tolist() == ["parks|roads|waste"] * 2
    assert {"p_parks", "p_roads", "p_waste"} <= set(labelled.columns)
