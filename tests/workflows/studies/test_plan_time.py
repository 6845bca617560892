"""The time of a plan: each kind of training is probed once and counts as often as it stands there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from smartcli.home import Home
from smartcli.workflows.studies.cells import Base, Cell, Planned
from smartcli.workflows.studies.plan_time import kinds_of, plan_seconds
from smartcli.workflows.training import dry_run
from tests.hand_made import make_data


def planned(name: str, command: str = "finetune", **flags: object) -> Planned:
    return Planned(Cell(name, name, {}, 0), name, command, {"lambda": 1, "dropout": 0.1, "epochs": 2, **flags})


def kinds(*plan: Planned) -> list[list[str]]:
    return [[one.name for one in kind] for kind in kinds_of(plan)]


def test_seeds_folds_and_numbers_that_are_not_0_are_one_kind() -> None:
    assert kinds(
        planned("a"),
        planned("b", seed=1),
        planned("c", **{"lambda": "5"}),
        planned("d", dropout=0.5, fold="1/3"),
    ) == [["a", "b", "c", "d"]]


def test_what_changes_the_work_of_a_step_or_their_number_is_another_kind() -> None:
    found = kinds(
        planned("a"),
        planned("off", **{"lambda": 0}),
        planned("epochs", epochs=3),
        planned("surgery", surgery="pcgrad"),
        planned("first", "pretrain-qqp"),
        planned("by task", **{"lambda": "sst=1"}),
    )
    assert [len(kind) for kind in found] == [1] * 6


def test_the_time_is_that_of_each_kind_as_often_as_it_stands_there(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    make_data(home)
    seconds: Callable[..., float] = lambda home, command, resolved, listener: 10.0 * resolved.settings.lam.default  # noqa: E731
    monkeypatch.setattr(dry_run, "expected_seconds", seconds)
    probed: list[str] = []
    base = Base(home, "try", {})
    plan = [planned(name, encoder="minilm", seed=seed) for seed, name in enumerate("abc")]
    plan.append(planned("off", encoder="minilm", **{"lambda": 0}))
    found = plan_seconds(base, plan, lambda one: probed.append(one.name), lambda event: None)
    assert (found, probed) == (30.0, ["a", "off"])
