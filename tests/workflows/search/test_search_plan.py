"""A search is checked as a whole before a storage is asked or anything trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.workflows.search.bounds import Choice, Range
from smartcli.workflows.search.search_plan import Search, plan_search
from tests.hand_made import make_data

LAMBDA = {"lambda": Range(0.0, 5.0)}


def planned(home: Home, **more: object) -> Search:
    flags = {"encoder": "minilm", **more.pop("flags", {})}  # type: ignore[dict-item]
    return plan_search(home, more.pop("bounds", LAMBDA), flags, trials=4, **more)  # type: ignore[arg-type]


def test_a_wrong_search_is_refused(home: Home, tmp_path: Path) -> None:
    make_data(home)
    for more, said in [
        ({"flags": {"lambda": "1"}}, "--lambda is what this search varies"),
        ({"flags": {"resume": "ckpt3"}}, "the cells find their own runs"),
        ({"flags": {"lr": "-1"}}, "--lr must be a number"),
        ({"flags": {"name": "../../evil"}}, "--name must be 1 to 64 letters"),
        ({"bounds": {"surgery": Choice(("none", "pcgrat"))}}, "pcgrat"),
        ({"top": 5}, "--top must be from 2 to the 4 trials"),
        ({"top": 1}, "--top must be from 2 to the 4 trials"),
        ({"storage": str(tmp_path)}, "it is a folder"),
    ]:
        with pytest.raises(UserError, match=said):
            planned(home, **more)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="--trials must be at least 1, found 0"):
        plan_search(home, LAMBDA, {"encoder": "minilm"}, trials=0)
    assert not home.studies.exists()


def test_the_same_search_has_the_same_file_and_another_one_another(home: Home) -> None:
    make_data(home)
    first = planned(home)
    assert planned(home).place == first.place
    assert first.place.path is not None
    assert first.place.path.parent == home.studies
    others = [
        planned(home, bounds={"lambda": Range(0.0, 4.0)}),
        planned(home, flags={"lr": "1e-4"}),
        planned(home, flags={"name": "x"}),
        planned(home, flags={"encoder": "other/encoder"}),
    ]
    make_data(home, "more", word="another ")
    others.append(planned(home, flags={"data": "more"}))
    assert len({one.place.shown for one in [first, *others]}) == 6
    assert planned(home, flags={"threads": "1", "dropout": "0.1", "data": "demo"}).about == first.about
    assert planned(home, flags={"seed": "3"}).about != first.about


def test_a_trials_name_follows_from_its_number_values_and_settings(home: Home) -> None:
    make_data(home)
    search = planned(home)
    one = search.planned(7, {"lambda": 2.5})
    assert one.name.startswith("sweep-trial7-s0-")
    assert search.planned(7, {"lambda": 2.5}).name == one.name
    assert one.cell.label == "trial 7: λ 2.5"
    names = {search.planned(8, {"lambda": 2.5}).name, search.planned(7, {"lambda": 2.6}).name, one.name}
    assert len(names) == 3
