"""sweep, reproduce and report from the command line, and the live table of cells."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import Result

from smartcli.cli.cells_view import CellsView
from smartcli.home import Home
from smartcli.log_events import parse
from smartcli.registry.meta import CheckpointMeta, DataRecord, Lineage
from smartcli.workflows.studies.cells import Cell, Finished, Planned
from tests.hand_made import make_checkpoint, make_data
from tests.tiny import make_tiny_encoder

Smart = Callable[..., Result]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep", "--grid", "lamda=1"], 'did you mean "lambda"'),
        (["sweep", "--grid", "lambda=-1", "--encoder", "minilm"], "--grid lambda must be a number"),
        (["sweep", "--grid", "lambda=1", "--lambda", "2", "--encoder", "minilm"], "--lambda is what this grid varies"),
        (["sweep", "--seeds", "0"], "--seeds must be at least 1"),
        (["sweep", "--jobs", "0", "--encoder", "minilm"], "--jobs must be at least 1, found 0"),
        (["reproduce", "table5"], "expected one of table2, table3, table4, figure3"),
        (["reproduce", "table2", "--schedule", "sequential"], "--schedule is what table2 varies"),
        (["sweep", "--search", "tp"], "--search must be one of grid, tpe"),
        (["sweep", "--search", "tpe"], "--search tpe needs --trials N"),
        (["sweep", "--trials", "3"], "--trials is for a search; give --search tpe, or leave it out"),
        (["sweep", "--storage", "postgresql://a:s3cret@h/x"], "--storage is for a search"),
        (["sweep", "--search", "tpe", "--trials", "3", "--prune", "mean"], "--prune must be one of median, off"),
        (["sweep", "--search", "tpe", "--trials", "3", "--seeds", "2"], "--seeds and --sample are for a grid"),
        (["sweep", "--search", "tpe", "--trials", "3", "--jobs", "0"], "--jobs must be at least 1, found 0"),
        (["sweep", "--search", "tpe", "--trials", "3", "--storage", "postgresql://a:s3cret@h:p/x"], "cannot be read"),
        (["sweep", "--search", "tpe", "--trials", "3", "--grid", "lamda=0..1"], 'did you mean "lambda"'),
        (["report", "nothing-like-this"], "nothing-like-this"),
    ],
)
def test_wrong_input_is_one_message_and_exit_2(smart: Smart, home: Home, arguments: list[str], said: str) -> None:
    make_checkpoint(home, "ckpt1", make_data(home))
    found = smart(*arguments)
    assert found.exit_code == 2, found.stderr
    assert said in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr
    assert "s3cret" not in found.stderr


def test_without_a_data_set_each_says_what_to_do(smart: Smart) -> None:
    for arguments in (["sweep"], ["reproduce", "table2"]):
        found = smart(*arguments)
        assert found.exit_code == 2
        assert "smart prepare demo" in " ".join(found.stderr.split())


def test_a_dry_run_lists_the_cells_and_what_they_will_take_and_trains_nothing(
    smart: Smart, home: Home, tmp_path: Path
) -> None:
    make_data(home, counts={"train": 8, "dev": 6, "test": 4})
    encoder = make_tiny_encoder(tmp_path / "tiny")
    found = smart("reproduce", "table2", "--dry-run", "--encoder", encoder, "--max-steps", "1", "--precision", "fp32")
    assert found.exit_code == 0, found.stderr
    assert found.stdout.count("to train") == 8
    assert "for 8 trainings, one after the other" in found.stdout
    assert not home.checkpoints.exists()


@pytest.mark.parametrize("command", [["reproduce", "table2"], ["sweep"], ["sweep", "--search", "tpe", "--trials", "2"]])
def test_jobs_and_output_are_checked_before_anything_is_trained(
    smart: Smart, home: Home, tmp_path: Path, command: list[str]
) -> None:
    make_data(home)
    (tmp_path / "bytes.md").write_bytes(b"\xff\xfe")
    (tmp_path / "a-file").write_text("")
    for words, said in [
        (["--jobs", "0"], "--jobs must be at least 1, found 0"),
        (["--output", tmp_path], "expected a Markdown file that can be read"),
        (["--output", tmp_path / "bytes.md"], "expected a Markdown file that can be read"),
        (["--output", tmp_path / "a-file" / "x.md"], "a-file is a file; expected a folder"),
    ]:
        for more in ([], ["--dry-run"]):
            found = smart(*command, *words, *more, "--encoder", "minilm")
            assert found.exit_code == 2, found.stderr
            assert said in "".join(found.stderr.split("\n")).replace("  ", " ") or said in " ".join(
                found.stderr.split()
            )
    assert not home.checkpoints.exists()


def test_a_sweep_prints_its_table_and_keeps_stdout_for_data(smart: Smart, home: Home, tmp_path: Path) -> None:
    make_data(home, counts={"train": 8, "dev": 6, "test": 4})
    encoder, results = make_tiny_encoder(tmp_path / "tiny"), tmp_path / "results.md"
    command = ["sweep", "--grid", "lambda=0,1", "--encoder", encoder, "--max-steps", "1", "--epochs", "1"]
    command += ["--precision", "fp32", "--threads", "1", "--name", "grid", "--output", results]
    first = smart(*command, "--json")
    assert first.exit_code == 0, first.stderr
    value = json.loads(first.stdout)
    assert [row["label"] for row in value["rows"]] == ["λ 0", "λ 1"]
    assert all(name.startswith("grid-lambda") for name in value["checkpoints"])
    assert "| λ 0 |" in results.read_text()

    again = smart(*command)
    assert again.exit_code == 0, again.stderr
    assert again.stderr.count("reused") == 2
    assert "Sweep over lambda" in again.stdout
    assert "smart ensemble 'grid-*'" in again.stderr


def test_a_searchs_dry_run_shows_its_bounds_and_no_password_and_asks_no_storage(smart: Smart, home: Home) -> None:
    make_data(home)
    words = ["--search", "tpe", "--trials", "3", "--grid", "lambda=0..5", "--grid", "lr=1e-5..1e-3:log", "--dry-run"]
    found = smart("sweep", *words, "--encoder", "minilm", "--storage", "postgresql://a:s3cret@127.0.0.1:9/x")
    assert found.exit_code == 0, found.stderr
    assert "1e-05 to 0.001 by logarithm" in found.stdout
    assert "postgresql://a:***@127.0.0.1:9/x" in " ".join(found.stderr.split())
    assert "s3cret" not in found.stdout + found.stderr
    assert not home.studies.exists()


def test_a_report_names_its_page_on_stdout(smart: Smart, home: Home, tmp_path: Path) -> None:
    make_checkpoint(home, "ckpt1", make_data(home))
    found = smart("--quiet", "report", "--output", tmp_path / "out")
    assert found.exit_code == 0, found.stderr
    assert found.stdout.strip() == str(tmp_path / "out" / "report.html")
    assert Path(found.stdout.strip()).is_file()


def planned(count: int) -> list[Planned]:
    cells = [Cell(f"c{i}", f"λ {i}", {"lambda": i}, 0) for i in range(count)]
    return [Planned(cell, f"sweep-{cell.id}", "finetune", {}) for cell in cells]


def screen(view: CellsView) -> str:
    console = Console(file=io.StringIO(), width=100, height=view.console.height)
    console.print(view.table())
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_live_table_shows_waiting_running_and_finished_cells() -> None:
    plan = planned(3)
    view = CellsView(Console(file=io.StringIO(), force_terminal=True, width=100, height=30), plan)
    view.begin(plan[0])
    metrics = {"sst": {"accuracy": 0.5, "n": 4}, "overall": None}
    meta = CheckpointMeta(name="c", kind="pretrain", settings={}, data=DataRecord(), lineage=Lineage(), metrics=metrics)
    view.end(Finished(plan[0], meta, reused=True))
    view.begin(plan[1])
    view.record(plan[1], parse({"event": "start", "steps": 40}))
    view.record(plan[1], parse({"event": "step", "step": 7, "epoch": 2, "seconds": 1.0}))
    lines = [line.split() for line in screen(view).splitlines() if "λ" in line]
    assert lines[0] == ["λ", "0", "0", "reused", ".500", "–"]
    assert lines[1] == ["λ", "1", "0", "epoch", "2,", "step", "7/40"]
    assert lines[2] == ["λ", "2", "0", "waiting"]


def test_the_live_table_shows_every_running_cell_and_why_one_did_not_finish() -> None:
    plan = planned(3)
    view = CellsView(Console(file=io.StringIO(), force_terminal=True, width=100, height=30), plan, several=True)
    for one in plan[:2]:
        view.begin(one)
        view.record(one, parse({"event": "step", "step": 3, "epoch": 1, "seconds": 1.0}))
    view.fail(plan[1], "killed by SIGKILL")
    text = screen(view)
    assert text.count("epoch 1, step 3") == 1
    assert "not finished: killed by SIGKILL" in text


def test_plain_lines_of_several_cells_begin_with_their_place() -> None:
    plan, out = planned(2), io.StringIO()
    view = CellsView(Console(file=out, width=200), plan, several=True)
    for one in plan:
        view.begin(one)
        view.record(one, parse({"event": "start", "steps": 40, "precision": "fp32"}))
        view.record(one, parse({"event": "warning", "message": f"about {one.name}"}))
    lines = out.getvalue().splitlines()
    assert "[1/2] 40 steps, fp32" in lines
    assert "[2/2] warning: about sweep-c1" in lines


def test_a_plan_longer_than_the_terminal_shows_the_part_around_the_running_cell() -> None:
    plan = planned(40)
    view = CellsView(Console(file=io.StringIO(), force_terminal=True, width=100, height=16), plan)
    view.begin(plan[25])
    shown = [line.split()[1] for line in screen(view).splitlines() if "λ" in line]
    assert len(shown) == 10
    assert "25" in shown
    assert "0" not in shown
