"""Names of cells follow from settings and data; plans are checked before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcli.config import Settings
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.registry.names import check_name
from smartcli.workflows.studies.cells import Base, Cell, check_top, plan, resolve_cell, seeds_from, shared_flags
from tests.hand_made import make_checkpoint, make_data


def names(home: Home, cell: Cell, **flags: object) -> list[str]:
    base = Base(home, "sweep", {"encoder": "minilm", **flags}, pretrain={"lambda": 0})
    return [one.name for one in plan(base, [cell])]


def cell(**changes: object) -> Cell:
    return Cell(**{"id": "lambda5", "label": "λ 5", "options": {"lambda": 5}, "seed": 0, **changes})  # type: ignore[arg-type]


def test_the_same_settings_on_the_same_data_have_the_same_name(home: Home) -> None:
    make_data(home)
    (first,) = names(home, cell())
    assert first.startswith("sweep-lambda5-s0-")
    assert names(home, cell()) == [first]
    assert names(home, cell(options={"lambda": "5.0"})) == [first]
    assert names(home, cell(), threads=2, device="cpu") == [first], "what does not change the training does not count"
    make_data(home, "copy")
    assert names(home, cell(), data="copy") == [first], "a data set's name does not count, its rows do"


def test_an_option_that_a_later_version_adds_renames_no_cell(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    make_data(home)
    (before,) = names(home, cell())
    to_json = Settings.to_json
    monkeypatch.setattr(Settings, "to_json", lambda self: {**to_json(self), "new_option": "off"})
    assert names(home, cell()) == [before]
    assert names(home, cell(), dropout=0.1) == [before], "a default that is given is the same training"


def test_other_settings_seeds_data_or_encoders_have_other_names(home: Home) -> None:
    make_data(home)
    found = names(home, cell())
    found += names(home, cell(seed=1)) + names(home, cell(options={"lambda": 1})) + names(home, cell(), rows=3)
    found += names(home, cell(), encoder="other/encoder")
    make_data(home, "more", word="another ")
    found += names(home, cell(), data="more")
    assert len(set(found)) == len(found) == 6


def test_long_ids_and_odd_values_make_names_that_a_checkpoint_may_have(home: Home) -> None:
    make_data(home)
    (name,) = names(home, cell(id="tasks" + "sst,qqp" * 12 + "..x"))
    assert check_name(name) == name
    assert ".." not in name


def test_a_pretraining_comes_first_and_once_a_seed(home: Home) -> None:
    make_data(home)
    base = Base(home, "table3", {"encoder": "minilm"}, pretrain={"lambda": 0})
    cells = [
        cell(id=f"d{d}", options={"lambda": 5, "dropout": d}, seed=s, pretrain=True) for s in (0, 1) for d in (0.1, 0.2)
    ]
    planned = plan(base, cells)
    assert [one.command for one in planned] == ["pretrain-qqp", "finetune", "finetune"] * 2
    first, second = planned[0].name, planned[3].name
    assert first != second
    assert [one.init for one in planned] == [None, first, first, None, second, second]


def test_a_wrong_value_is_reported_before_anything_is_trained(home: Home) -> None:
    make_data(home)
    with pytest.raises(UserError, match="--dropout must be a number"):
        names(home, cell(options={"dropout": 1.5}))
    with pytest.raises(UserError, match="the same training"):
        plan(Base(home, "sweep", {"encoder": "minilm"}), [cell(), cell(id="again")])


def test_an_option_that_the_cells_vary_cannot_be_given_as_well() -> None:
    with pytest.raises(UserError, match="--smart-variant is what this grid varies"):
        shared_flags({"smart_variant": "paper"}, ["smart_variant"], "this grid")
    with pytest.raises(UserError, match="--resume ckpt3"):
        shared_flags({"resume": "ckpt3"}, [], "this grid")
    assert shared_flags({"resume": "auto", "name": "x", "dry_run": True, "rows": 5}, [], "g") == {"rows": 5}


def test_seeds_count_up_from_the_users(home: Home, tmp_path: Path) -> None:
    make_data(home)
    assert seeds_from(Base(home, "x", {"seed": "7"}), 3) == [7, 8, 9]
    assert seeds_from(Base(home, "x", {}), 1) == [0]
    with pytest.raises(UserError, match="--seeds must be at least 1"):
        seeds_from(Base(home, "x", {}), 0)
    file = tmp_path / "mine.toml"
    file.write_text("seed = 3\n", encoding="utf-8")
    assert seeds_from(Base(home, "x", {}, config=file), 2) == [3, 4]
    assert seeds_from(Base(home, "x", {"seed": 5}, config=file), 1) == [5]


def test_an_ensemble_of_the_best_needs_a_head_for_every_task(home: Home) -> None:
    make_data(home)
    base = Base(home, "x", {})
    check_top(resolve_cell(base, "finetune", {}))
    with pytest.raises(UserError, match="--top makes an ensemble, which needs a head for every task"):
        check_top(resolve_cell(base, "finetune", {"tasks": "sst"}))


def test_another_start_is_another_training(home: Home) -> None:
    data = make_data(home)
    for name in ("a", "b"):
        make_checkpoint(home, name, data)
    one = cell()
    assert len({*names(home, one), *names(home, one, init="a"), *names(home, one, init="b")}) == 3
