"""Bounds are read strictly: what cannot be drawn from is named before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcli.errors import UserError
from smartcli.workflows.search.bounds import Choice, Range, read_bounds


def test_entries_are_ranges_by_logarithm_in_steps_or_any_and_choices() -> None:
    found = read_bounds(
        ["lr=1e-5..1e-3:log", "dropout=.1...5:.1", "lambda=0..5", "epochs=2..6", "mu=0,1", "pooling=cls,mean"], None
    )
    assert found == {
        "lr": Range(1e-5, 1e-3, log=True),
        "dropout": Range(0.1, 0.5, step=0.1),
        "lambda": Range(0.0, 5.0),
        "epochs": Range(2, 6, whole=True),
        "mu": Choice((0.0, 1.0)),
        "pooling": Choice(("cls", "mean")),
    }


def test_a_file_says_the_same_and_entries_are_added(tmp_path: Path) -> None:
    path = tmp_path / "bounds.toml"
    path.write_text(
        "[lr]\nlow = 1e-5\nhigh = 1e-3\nlog = true\n[dropout]\nlow = 0.1\nhigh = 0.5\nstep = 0.1\n"
        '[freeze-encoder]\nvalues = [true, false]\n["lambda"]\nvalues = ["sst=1,qqp=0", 2]\n'
    )
    assert read_bounds(["batch_size=4..16:4"], path) == {
        "lr": Range(1e-5, 1e-3, log=True),
        "dropout": Range(0.1, 0.5, step=0.1),
        "freeze_encoder": Choice((True, False)),
        "lambda": Choice(("sst=1,qqp=0", 2.0)),
        "batch_size": Range(4, 16, step=4, whole=True),
    }


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (["lr"], "--grid must be OPTION=LOW..HIGH"),
        (["lamda=0..1"], 'no training option "lamda"; did you mean "lambda"'),
        (["lambda=0..1", "lambda=2..3"], "the bounds of lambda are given twice"),
        (["lambda=5..1"], "low must be below high, found 5 and 1"),
        (["lambda=-1..1"], "--grid lambda must be a number at least 0"),
        (["lambda=nan..1"], "--grid lambda must be a number"),
        (["lambda=0..1:log"], "by logarithm low must be above 0"),
        (["lambda=0..1:.3"], "goes into 0..1 evenly, found '.3'"),
        (["lambda=0..1:-1"], "goes into 0..1 evenly"),
        (["lambda=0..1:loq"], "the step must be log or a number"),
        (["epochs=1..4:.5"], "the step must be log or a number"),
        (["epochs=1.5..4"], "must be a whole number"),
        (["pooling=cls..mean"], "pooling takes no numbers; list its values"),
        (["lambda=1,1.0"], "a value stands there twice"),
        (["lambda=1,,2"], "expected values such as"),
        (["freeze-encoder=perhaps"], "expected on or off"),
        (["seed=0..9"], "seed is not something to search over; give --seed one value"),
        (["data=a,b"], "data is not something to search over"),
    ],
)
def test_a_wrong_entry_is_named(entries: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_bounds(entries, None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected a table an option"),
        ("lr = 1", "expected a table with low and high, or with values"),
        ("[lr]\nlow = 1", "expected a table with low and high"),
        ("[lr]\nlow = 1e-5\nhigh = 1e-3\nlogg = true", 'unknown key "logg".*did you mean "log"'),
        ('[lr]\nlow = 1e-5\nhigh = 1e-3\nlog = "yes"', "log must be true or false"),
        ("[lr]\nlow = 1e-5\nhigh = 1e-3\nlog = true\nstep = 1", "log and step exclude each other"),
        ("[lr]\nlow = [1]\nhigh = 1e-3", "must be a number"),
        ("[lr]\nlow = 1e-5\nhigh = inf", "must be a number"),
        ("[lr]\nlow = 1e-5\nhigh = 1e-3\nstep = nan", "goes into"),
        ("[lr]\nvalues = [1]\nlow = 1", "values stand alone; leave out low"),
        ("[lr]\nvalues = 1", "values must be a list"),
        ("[lr]\nvalues = []", "found none"),
        ("[lr]\nvalues = [true]", "lr is no switch"),
        ("[lr]\nvalues = [{a = 1}]", "expected values such as"),
        ("[lr]\nlow = 1e-5\n[lr]", "expected a TOML file"),
        ("[batch_size]\nvalues = [4]\n[batch-size]\nvalues = [8]", "are given twice"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bounds.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=f"(?s)--bounds {path}.*{said}"):
        read_bounds([], path)


def test_a_missing_file_and_one_that_is_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_bounds([], tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="expected a TOML file"):
        read_bounds([], tmp_path / "bytes.toml")
