from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import Result

from smartcli.home import Home
from smartcli.registry.registry import Registry
from tests.hand_made import make_checkpoint, make_data, predict

Smart = Callable[..., Result]


def three(home: Home) -> None:
    """Three members: rows 0 to 2 are each wrong in one of them, row 3 in two."""
    data = make_data(home)
    for name, wrong in (("ckpt1", [0, 3]), ("ckpt2", [1, 3]), ("ckpt3", [2])):
        make_checkpoint(home, name, data, predict(data, wrong=wrong))


def test_members_and_ensemble_stand_in_one_table_and_the_ensemble_is_registered(home: Home, smart: Smart) -> None:
    three(home)
    result = smart("ensemble", "ckpt1..ckpt3", "--name", "all", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["ensemble"] == "all"
    assert found["selection"] is None
    assert [(row["checkpoint"], row["kind"]) for row in found["rows"]] == [
        ("ckpt1", "finetune"),
        ("ckpt2", "finetune"),
        ("ckpt3", "finetune"),
        ("all", "ensemble"),
    ]
    # each of rows 0 to 2 is outvoted, row 3 is not: 5 of 6
    assert [row["sst"]["accuracy"] for row in found["rows"]] == pytest.approx([4 / 6, 4 / 6, 5 / 6, 5 / 6])
    assert found["rows"][3]["method"] == "ensemble of 3"
    assert [found["rows"][3][key] for key in ("lambda", "dropout", "seed")] == [None, None, None]
    assert json.loads(smart("evaluate", "all", "--json").stdout)["rows"] == found["rows"][3:]
    assert smart("checkpoints", "verify").exit_code == 0


def test_scores_of_the_registered_ensemble_are_medians(home: Home, smart: Smart) -> None:
    three(home)
    assert smart("ensemble", "ckpt*").exit_code == 0
    found = Registry(home).open("ckpt4")
    # row 3: truth 3, two members say 2.5; elsewhere two members say the truth
    assert found.predictions()["sts"].predictions.tolist() == [0.0, 1.0, 2.0, 2.5, 4.0, 5.0]
    assert found.predictions()["sst"].predictions.tolist() == [0.0, 1.0, 2.0, 4.0, 4.0, 0.0]
    assert [one.name for one in found.meta.lineage.members] == ["ckpt1", "ckpt2", "ckpt3"]
    assert found.meta.metrics["sst"] == {"accuracy": pytest.approx(5 / 6), "n": 6}


def test_a_member_cannot_be_removed_under_its_ensemble(home: Home, smart: Smart) -> None:
    three(home)
    smart("ensemble", "ckpt1", "ckpt2", "--name", "pair")
    result = smart("checkpoints", "rm", "ckpt1", "--yes")
    assert result.exit_code == 2
    assert "pair" in result.stderr


def test_member_without_a_head_is_an_error_that_names_it(home: Home, smart: Smart) -> None:
    data = make_data(home)
    make_checkpoint(home, "full", data)
    make_checkpoint(home, "first", data, predict(data, tasks=["qqp"]), kind="pretrain-qqp")
    result = smart("ensemble", "full", "first")
    assert result.exit_code == 2
    assert 'first has no head for "sst"' in result.stderr
    assert Registry(home).names() == ["first", "full"]


def test_members_of_different_data_are_refused(home: Home, smart: Smart) -> None:
    make_checkpoint(home, "a", make_data(home, "one"))
    make_checkpoint(home, "b", make_data(home, "two", word="other "))
    result = smart("ensemble", "a", "b")
    assert result.exit_code == 2
    assert "members must be trained on the same data: a was on one" in result.stderr


WRONG = [
    (["ensemble", "ckpt1"], "an ensemble needs at least two members, found ckpt1 alone"),
    (["ensemble", "ckpt1", "ckpt1"], "at least two members"),
    (["ensemble", "ckpt1..ckpt9"], 'there is no checkpoint "ckpt9"'),
    (["ensemble", "ckpt1", "ckpt2", "--name", "ckpt3"], '--name: a checkpoint "ckpt3" exists already'),
    (["ensemble", "ckpt1", "ckpt2", "--name", "../x"], "--name must be"),
    (["ensemble", "ckpt*", "--top", "4"], "--top must be from 2 to the number of checkpoints named, 3; found 4"),
    (["ensemble", "ckpt*", "--top", "1"], "--top must be from 2"),
    (["ensemble"], "CKPT"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_wrong_members_exit_2_and_register_nothing(
    home: Home, smart: Smart, arguments: list[str], message: str
) -> None:
    three(home)
    result = smart(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert Registry(home).names() == ["ckpt1", "ckpt2", "ckpt3"]


def test_an_ensemble_is_no_member(home: Home, smart: Smart) -> None:
    three(home)
    smart("ensemble", "ckpt1", "ckpt2", "--name", "pair")
    result = smart("ensemble", "pair", "ckpt3")
    assert result.exit_code == 2
    assert "pair is an ensemble itself" in result.stderr


def test_ensemble_of_changed_data_is_refused(home: Home, smart: Smart) -> None:
    three(home)
    make_data(home, word="changed ", force=True)
    result = smart("ensemble", "ckpt1", "ckpt2")
    assert result.exit_code == 2
    assert "has changed since ckpt1 was trained" in result.stderr


def test_top_chooses_on_one_half_and_reports_on_the_other(home: Home, smart: Smart) -> None:
    data = make_data(home, counts={"train": 4, "dev": 40, "test": 4})
    for name, wrong in (("bad", range(30)), ("good", [0]), ("fair", range(0, 40, 4))):
        make_checkpoint(home, name, data, predict(data, wrong=wrong))
    result = smart("ensemble", "bad", "good", "fair", "--top", "2", "--name", "best", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert [row["checkpoint"] for row in found["rows"]] == ["good", "fair", "best"]
    assert found["selection"]["of"] == 3
    assert found["selection"]["chosen_on"] == {"sst": 20, "qqp": 20, "sts": 20}
    assert {row["sst"]["n"] for row in found["rows"]} == {20}
    assert "chosen from 3 on one half of dev; the scores in the table are on the other half" in result.stderr
    # the registered one predicts all of dev, and evaluate says that its score there is not a fair one
    whole = smart("evaluate", "best", "--json")
    assert json.loads(whole.stdout)["rows"][0]["sst"]["n"] == 40
    assert "best: its 2 members were chosen from 3 on half of these rows" in whole.stderr


def test_vote_mean_is_stored_with_the_ensemble_and_takes_means(home: Home, smart: Smart) -> None:
    three(home)
    result = smart("ensemble", "ckpt1..ckpt3", "--name", "soft", "--vote", "mean", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["rows"][3]["method"] == "ensemble of 3 by mean"
    found = Registry(home).open("soft")
    # row 0: truth 0, one member says 2.5; row 3: truth 3, two say 2.5
    assert found.predictions()["sts"].predictions.tolist()[0] == pytest.approx(2.5 / 3)
    assert found.predictions()["sts"].predictions.tolist()[3] == pytest.approx(8 / 3)
    assert found.meta.vote == "mean"
    assert found.meta.to_json()["lineage"]["vote"] == "mean"
    assert "mean probabilities" in found.read("README.md").decode()
    assert smart("checkpoints", "verify").exit_code == 0


def test_an_ensemble_by_mode_is_stored_as_before(home: Home, smart: Smart) -> None:
    three(home)
    assert smart("ensemble", "ckpt*", "--vote", "mode").exit_code == 0
    assert "vote" not in Registry(home).open("ckpt4").meta.to_json()["lineage"]


def test_an_unknown_vote_is_refused_before_anything_is_made(home: Home, smart: Smart) -> None:
    three(home)
    result = smart("ensemble", "ckpt*", "--vote", "meen")
    assert result.exit_code == 2
    assert 'one of mode, mean; found "meen"' in result.stderr
    assert len(Registry(home).names()) == 3
