"""The best checkpoints as an ensemble: both ways of choosing, by hand-made predictions."""

from __future__ import annotations

import pytest

from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.voting import combine, halves
from smartcli.workflows.studies.best_members import choose, scores_on, select_members
from tests.hand_made import make_checkpoint, make_data, predict

COUNTS = {"train": 4, "dev": 24, "test": 4}
WRONG = {"a": [0, 1], "b": [2, 3], "c": [4, 5], "d": range(12), "e": range(10)}


def test_the_best_on_dev_are_combined_and_three_that_err_apart_are_all_right(home: Home) -> None:
    data = make_data(home, counts=COUNTS)
    candidates = {name: predict(data, wrong=list(rows)) for name, rows in WRONG.items()}
    tasks = tuple(data.tasks)
    found = choose(tasks, candidates, 3, data.fingerprint)
    assert sorted(found.members) == ["a", "b", "c"]
    label, scores = found.rows["ensemble"]
    assert "selected on this split" in label
    assert scores["overall"] == pytest.approx(1.0)
    assert found.rows["best-member"][1]["overall"] == scores_on(tasks, candidates[found.members[0]])["overall"] < 1.0


def test_the_median_member_is_the_middle_one_by_dev_overall(home: Home) -> None:
    data = make_data(home, counts=COUNTS)
    tasks = tuple(data.tasks)
    wrong = {"a": range(1), "b": range(2), "c": range(4), "d": range(6), "e": range(8), "f": range(10)}
    candidates = {name: predict(data, wrong=list(rows)) for name, rows in wrong.items()}
    five, four = (choose(tasks, candidates, top, data.fingerprint).rows["median-member"][1] for top in (5, 4))
    assert five == scores_on(tasks, candidates["c"])
    assert four == scores_on(tasks, candidates["b"]), "of two in the middle the better one"


def test_the_half_rows_choose_on_one_half_and_report_on_the_other(home: Home) -> None:
    data = make_data(home, counts=COUNTS)
    tasks = tuple(data.tasks)
    candidates = {name: predict(data, wrong=list(rows)) for name, rows in WRONG.items()}
    found = choose(tasks, candidates, 2, data.fingerprint)
    first = {name: halves(rows, data.fingerprint)[0] for name, rows in candidates.items()}
    second = {name: halves(rows, data.fingerprint)[1] for name, rows in candidates.items()}
    chosen = sorted(first, key=lambda name: -(scores_on(tasks, first[name])["overall"] or -1))[:2]
    assert found.rows["best-member-half"][1] == scores_on(tasks, second[chosen[0]])
    assert found.rows["ensemble-half"][1] == scores_on(tasks, combine(tasks, [second[name] for name in chosen]))
    assert "other half" in found.rows["ensemble-half"][0]


def test_there_must_be_as_many_candidates_as_asked_for(home: Home) -> None:
    data = make_data(home, counts=COUNTS)
    with pytest.raises(UserError, match="from 2 to the 1 finished cells"):
        choose(tuple(data.tasks), {"a": predict(data)}, 2, data.fingerprint)


def test_the_ensemble_is_registered_once_and_a_glob_over_members_leaves_it_out(home: Home) -> None:
    data = make_data(home, counts=COUNTS)
    for name, rows in WRONG.items():
        make_checkpoint(home, f"sweep-{name}", data, predict(data, wrong=list(rows)))
    registry = Registry(home)
    members = registry.expand(["sweep-*"])
    first = select_members(home, members, 3, "sweep", ["smart", "sweep"])
    assert first.name is not None
    assert registry.open(first.name).kind == "ensemble"
    assert select_members(home, members, 3, "sweep", ["smart", "sweep"]).name == first.name
    assert registry.expand(["sweep-*"]) == members
