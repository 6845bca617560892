from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import Result

from smartcli.data.store import DataSet
from smartcli.home import Home
from tests.hand_made import make_checkpoint, make_data, predict

Smart = Callable[..., Result]


@pytest.fixture
def data(home: Home) -> DataSet:
    """60 dev rows; `good` errs in 5 of them, `same` in the same ones, `bad` in 30 others."""
    data = make_data(home, counts={"train": 4, "dev": 60, "test": 4})
    make_checkpoint(home, "good", data, predict(data, wrong=range(5)))
    make_checkpoint(home, "same", data, predict(data, wrong=range(5)))
    make_checkpoint(home, "bad", data, predict(data, wrong=range(20, 50)))
    return data


def test_a_better_checkpoint_is_named_in_one_sentence(data: DataSet, smart: Smart) -> None:
    result = smart("compare", "bad", "good", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    first = found["tests"][0]
    assert [one["score"] for one in found["tests"]] == ["sst", "qqp", "sts", "overall"]
    assert (first["n"], first["test"], first["right_on_one_side"]) == (60, "mcnemar", {"a": 5, "b": 30})
    assert first["difference"] == pytest.approx(25 / 60)
    # binomtest(5, 35), times four for Holm at the most
    assert first["p"] == pytest.approx(2.2e-5, rel=0.1)
    assert first["p"] <= first["p_holm"] <= 4 * first["p"]
    assert first["claim"] == "good"
    assert "good is better on sst by 41.7 points, 95 % interval " in found["conclusion"]
    assert found["b"] == {"name": "good", "checkpoints": ["good"]}
    assert found["data"] == {"name": "demo", "fingerprint": data.fingerprint}
    turned = json.loads(smart("compare", "good", "bad", "--json").stdout)
    assert turned["conclusion"].startswith("good is better on sst by 41.7 points, 95 % interval ")


def test_table_and_sentence_on_a_terminal(data: DataSet, smart: Smart) -> None:
    result = smart("compare", "bad", "good")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert any("McNemar 5:30" in line and "41.7" in line for line in lines)
    assert lines[-1].startswith("good is better on sst by 41.7 points")
    assert "needs several seeds" in result.stderr or "takes several seeds" in result.stderr


@pytest.mark.parametrize("other", ["good", "same"])
def test_two_copies_of_one_checkpoint_are_no_difference(data: DataSet, smart: Smart, other: str) -> None:
    result = smart("compare", "good", other, "--json")
    found = json.loads(result.stdout)
    assert found["conclusion"] == "no difference can be claimed: both sides have the same scores"
    assert {one["p"] for one in found["tests"]} == {1.0}
    assert ("stands on both sides" in result.stderr) == (other == "good")


def test_a_difference_that_may_be_chance_says_what_it_would_take(home: Home, data: DataSet, smart: Smart) -> None:
    make_checkpoint(home, "near", data, predict(data, wrong=range(6)))
    conclusion = json.loads(smart("compare", "near", "good", "--json").stdout)["conclusion"]
    assert conclusion.startswith("no difference can be claimed: it would take about ")
    assert "rows of " in conclusion
    assert "to tell that good is better by " in conclusion


def test_globs_and_lists_of_seeds_compare_means_without_mcnemar(home: Home, data: DataSet, smart: Smart) -> None:
    for name, wrong in (("plain", range(20, 50)), ("new", range(5))):
        for seed in range(3):
            settings = {"seed": seed}
            make_checkpoint(home, f"{name}-{seed}", data, predict(data, wrong=[*wrong, 55 + seed]), settings=settings)
    result = smart("compare", "plain-*", "new-0,new-1..new-2", "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert found["b"]["checkpoints"] == ["new-0", "new-1", "new-2"]
    first = found["tests"][0]
    assert (first["test"], first["right_on_one_side"]) == ("bootstrap", None)
    assert first["a"] == {
        "mean": pytest.approx(29 / 60),
        "sd": pytest.approx(0.0),
        "values": [pytest.approx(29 / 60)] * 3,
    }
    assert first["claim"] == "new-0,new-1..new-2"
    text = smart("compare", "plain-*", "new-*").stdout
    assert "A = plain-* (3 checkpoints)" in text
    assert "±" in text


def test_what_makes_a_spread_doubtful_is_said(home: Home, data: DataSet, smart: Smart) -> None:
    for name, settings in (("x-1", {"seed": 1}), ("x-2", {"seed": 1}), ("x-3", {"seed": 2, "lr": 1.0})):
        make_checkpoint(home, name, data, settings=settings)
    result = smart("compare", "good", "x-*", "--json")
    assert result.exit_code == 0
    assert "B's checkpoints differ in more than the seed" in result.stderr
    assert "B has checkpoints of one seed" in result.stderr
    assert "one side has one checkpoint" in result.stderr


def test_an_ensemble_is_compared_like_any_checkpoint(data: DataSet, smart: Smart) -> None:
    assert smart("ensemble", "good", "same", "bad", "--name", "all").exit_code == 0
    found = json.loads(smart("compare", "bad", "all", "--json").stdout)
    assert found["tests"][0]["claim"] == "all"


def test_checkpoints_of_different_data_are_refused(home: Home, data: DataSet, smart: Smart) -> None:
    make_checkpoint(home, "other", make_data(home, "two", word="other "))
    result = smart("compare", "good", "other")
    assert result.exit_code == 2
    assert "the checkpoints were trained on different data: good on demo" in result.stderr
    assert "--data" in result.stderr


def test_a_task_that_one_side_lacks_is_left_out_with_overall(home: Home, data: DataSet, smart: Smart) -> None:
    make_checkpoint(home, "first", data, predict(data, tasks=["qqp"]), kind="pretrain-qqp")
    result = smart("compare", "first", "good", "--json")
    assert [one["score"] for one in json.loads(result.stdout)["tests"]] == ["qqp"]
    assert "sst is left out, and overall with it: first has no predictions for it" in result.stderr
    make_checkpoint(home, "second", data, predict(data, tasks=["sts"]))
    result = smart("compare", "first", "second")
    assert result.exit_code == 2
    assert "no task that all of first, second can be compared on" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("good", "goood"), 'no checkpoint "goood"; did you mean "good"'),
        (("good", "x-*"), 'no checkpoint matches "x-*"'),
        (("good,", "bad"), "A: expected a checkpoint, or several joined by commas"),
        (
            ("good", "bad", "--draws", "10"),
            "--draws must be a whole number at least 1,000 and at most 1,000,000, found 10",
        ),
        (("good", "bad", "--draws", "10000000000000000000000"), "found 10000000000000000000000"),
        (("good", "bad", "--seed", "-1"), "--seed must be a whole number at least 0"),
        (("good", "bad", "--split", "tset"), '--split must be one of dev, test; found "tset"'),
        (("good", "bad", "--data", "nowhere"), "nowhere"),
        (("good",), "B"),
    ],
)
def test_bad_input_is_exit_2(data: DataSet, smart: Smart, arguments: tuple[str, ...], expected: str) -> None:
    result = smart("compare", *arguments)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


def test_a_split_without_labels_is_refused(home: Home, smart: Smart) -> None:
    data = make_data(home, test_labels=False)
    make_checkpoint(home, "a", data)
    make_checkpoint(home, "b", data)
    result = smart("compare", "a", "b", "--split", "test")
    assert result.exit_code == 2
    assert "has no labels" in result.stderr
