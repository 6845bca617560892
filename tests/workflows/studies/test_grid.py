"""A sweep: its grid is read strictly, its cells resume, and its table is mean and deviation over seeds."""

from __future__ import annotations

import signal
import statistics
from pathlib import Path

import pytest

from smartcli.errors import Stopped, UserError
from smartcli.home import Home
from smartcli.log_events import Event, StepEvent
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Runs
from smartcli.workflows.studies.cells import Finished, Planned
from smartcli.workflows.studies.grid import add_ensemble, default_grid, plan_sweep, read_grid, run_sweep
from tests.hand_made import make_data
from tests.tiny import make_tiny_encoder


class Silent:
    """Hears everything and ends the process's work after `limit` cells, as a kill between two would."""

    def __init__(self, limit: int = 99) -> None:
        self.limit = limit
        self.trained: list[str] = []
        self.reused: list[str] = []
        self.failed: list[tuple[str, str]] = []

    def begin(self, planned: Planned) -> None:
        if len(self.trained) >= self.limit:
            raise KeyboardInterrupt

    def record(self, planned: Planned, event: Event) -> None: ...

    def end(self, finished: Finished) -> None:
        (self.reused if finished.reused else self.trained).append(finished.planned.name)

    def fail(self, planned: Planned, reason: str) -> None:
        self.failed.append((planned.name, reason))


def test_a_grid_is_read_in_order_with_either_spelling() -> None:
    assert read_grid(["lambda=0,5", "smart-variant=paper,mtdnn"]) == {
        "lambda": ["0", "5"],
        "smart_variant": ["paper", "mtdnn"],
    }
    assert read_grid(["lambda=sst=1,qqp=0|2", "--dropout=.1"]) == {"lambda": ["sst=1,qqp=0", "2"], "dropout": [".1"]}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (["lambda"], "--grid must be OPTION=V1,V2"),
        (["lambda="], "--grid must be OPTION=V1,V2"),
        (["lambda=1,,2"], "--grid must be OPTION=V1,V2"),
        (["lamda=1"], 'no training option "lamda"; did you mean "lambda"'),
        (["lambda=1", "lambda=5"], "lambda is given twice"),
        (["lambda=1,1"], "has a value twice"),
    ],
)
def test_a_wrong_grid_is_named(entries: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_grid(entries)


def test_without_a_grid_it_is_the_papers_table_3() -> None:
    assert default_grid() == {"lambda": [1, 5], "dropout": [0.1, 0.2, 0.3, 0.4, 0.5]}


def test_wrong_plans_are_refused(home: Home) -> None:
    make_data(home)
    for grid, more, said in [
        ({"lambda": ["-1"]}, {}, "--grid lambda must be a number"),
        ({"lambda": ["x"]}, {}, "--grid lambda must be a number"),
        ({"freeze_encoder": ["perhaps"]}, {}, "expected on or off"),
        ({"lambda": ["0", "1"]}, {"sample": 3}, "--sample must be from 1 to the 2 cells"),
        ({"lambda": ["0", "1"]}, {"top": 3}, "--top must be from 2 to the 2 cells"),
        ({"seed": ["0", "1"]}, {"seeds": 2}, "give one of them"),
    ]:
        with pytest.raises(UserError, match=said):
            plan_sweep(home, grid, {"encoder": "minilm"}, **more)  # type: ignore[arg-type]


def test_a_sample_is_the_same_each_time_and_part_of_the_grid(home: Home) -> None:
    make_data(home)
    grid = {"lambda": ["0", "1", "2"], "dropout": ["0.1", "0.2"]}
    whole = {one.name for one in plan_sweep(home, grid, {"encoder": "minilm"}).planned}
    drawn = [
        tuple(one.name for one in plan_sweep(home, grid, {"encoder": "minilm"}, sample=2).planned) for _ in range(2)
    ]
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) < whole
    assert len(drawn[0]) == 2


def test_seeds_of_a_grid_are_cells_of_one_setting(home: Home) -> None:
    make_data(home)
    planned = plan_sweep(home, {"seed": ["3", "4"], "lambda": ["0"]}, {"encoder": "minilm"}).planned
    assert [one.cell.seed for one in planned] == [3, 4]


def test_a_sweep_that_is_cut_off_goes_on_and_its_table_is_mean_and_deviation(home: Home, tmp_path: Path) -> None:
    make_data(home, counts={"train": 8, "dev": 6, "test": 4})
    flags = {
        "encoder": str(make_tiny_encoder(tmp_path / "tiny")),
        "max_steps": 1,
        "epochs": 1,
        "precision": "fp32",
        "threads": 1,
    }
    plan = plan_sweep(home, {"lambda": ["0", "1"]}, flags, seeds=2, top=2)
    first = Silent(limit=3)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(plan, ["smart", "sweep"], first)
    assert first.trained == [one.name for one in plan.planned[:3]]

    second = Silent()
    results, ranked = run_sweep(plan, ["smart", "sweep"], second)
    assert second.reused == first.trained
    assert second.trained == [plan.planned[3].name]
    assert set(Registry(home).names()) == {one.name for one in plan.planned}

    overall = {one.planned.name: one.meta.metrics["overall"] for one in ranked}
    assert list(overall.values()) == sorted(overall.values(), reverse=True)
    by_cell = {line.id: line.ours["overall"] for line in results.lines}
    for cell in ("lambda0", "lambda1"):
        own = [overall[one.name] for one in plan.planned if one.cell.id == cell]
        found = by_cell[cell]
        assert found is not None
        assert found.mean == pytest.approx(statistics.fmean(own))
        assert found.sd == pytest.approx(statistics.stdev(own))
    assert results.extra["best"] == max(by_cell, key=lambda name: by_cell[name].mean)  # type: ignore[union-attr]

    more = add_ensemble(home, results, ranked, 2, ["smart", "sweep"])
    assert [line.id for line in more.lines[2:]] == [
        *("best-member", "median-member", "ensemble", "best-member-half", "ensemble-half")
    ]
    assert Registry(home).open(more.extra["ensemble"]).meta.lineage.members[0].name == results.checkpoints[0]


def test_a_cell_that_was_stopped_half_way_goes_on_with_the_same_command(home: Home, tmp_path: Path) -> None:
    make_data(home, counts={"train": 8, "dev": 6, "test": 4})
    flags = {"encoder": str(make_tiny_encoder(tmp_path / "tiny")), "max_steps": 3, "batch_size": 2, "threads": 1}
    plan = plan_sweep(home, {"lambda": ["0", "1"]}, {**flags, "precision": "fp32"})
    last = plan.planned[1].name

    class Stop(Silent):
        def record(self, planned: Planned, event: Event) -> None:
            if len(self.trained) == 1 and isinstance(event, StepEvent) and event.step == 2:
                signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Stopped, match=f"stopped in {last}; finished cells are kept: run the same command again") as end:
        run_sweep(plan, ["smart", "sweep"], Stop())
    assert end.value.exit_code == 143
    assert Runs(home).open(last).position()["total"] == 2
    again = Silent()
    run_sweep(plan, ["smart", "sweep"], again)
    assert (again.reused, again.trained) == ([plan.planned[0].name], [last])
    parts = {file: Registry(home).open(last).read(file) for file in ("model.safetensors", "heads.safetensors")}
    Registry(home).remove(last)
    run_sweep(plan, ["smart", "sweep"], Silent())
    assert {file: Registry(home).open(last).read(file) for file in parts} == parts
