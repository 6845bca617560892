"""Text of users and data sets shows as text in every table: no markup, no escape sequence reaches the terminal."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from registry_fixtures import make_fill
from rich.console import Console
from typer.testing import Result

from smartcli.cli.cells_output import print_results
from smartcli.cli.cells_view import CellsView
from smartcli.cli.predict import print_content
from smartcli.cli.state import CliState
from smartcli.cli.training_command import print_rows
from smartcli.home import Home
from smartcli.log_events import WarningEvent
from smartcli.registry.meta import CheckpointMeta
from smartcli.registry.registry import Registry
from smartcli.report.compare import Line
from smartcli.tasks import parse_task
from smartcli.visible import code_span
from smartcli.workflows.checkpoints.export_card import export_card
from smartcli.workflows.checkpoints.model_card import model_card
from smartcli.workflows.studies.cells import Cell, Planned
from smartcli.workflows.studies.results import Results, markdown

Smart = Callable[..., Result]
NASTY = "<script>alert(1)</script> [red]x[/red] \x1b[31mred \u202eback"
SHOWN = "<script>alert(1)</script> [red]x[/red] \\x1b[31mred \\u202eback"


def console() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=False, width=300), out


def state(home: Home) -> tuple[CliState, io.StringIO]:
    one, out = console()
    return CliState(home, False, False, one, one), out


def test_rows_of_settings_show_as_text(home: Home) -> None:
    cli, out = state(home)
    print_rows(cli, "what", [(NASTY, NASTY)])
    assert out.getvalue().count(SHOWN) == 2


def test_results_of_a_sweep_show_as_text(home: Home) -> None:
    cli, out = state(home)
    results = Results(id="x", title=NASTY, scores=("overall",), lines=(), facts=(NASTY,), notes=(NASTY,))
    print_results(cli, results, as_json=False, output=None)
    assert SHOWN in out.getvalue()
    assert " ".join(out.getvalue().split()).count("[red]x[/red] \\x1b[31mred \\u202eback") == 3


def test_the_live_table_of_a_sweep_shows_text(home: Home) -> None:
    one, out = console()
    planned = Planned(Cell("c", NASTY, {}, 0), "c-s0", "finetune", {})
    view = CellsView(one, [planned])
    view.begin(planned)
    view.record(planned, WarningEvent(NASTY))
    one.print(view.table())
    assert out.getvalue().count(SHOWN) == 3


def test_why_a_cell_did_not_finish_is_shown_as_text(home: Home) -> None:
    one, out = console()
    planned = Planned(Cell("c", "plain", {}, 0), "c-s0", "finetune", {})
    view = CellsView(one, [planned])
    view.begin(planned)
    view.fail(planned, NASTY)
    one.print(view.table())
    assert out.getvalue().count(SHOWN) == 2


@pytest.fixture
def odd_data(tmp_path: Path) -> Path:
    """Own tasks with odd text in class names, sentences, and a row without a label."""
    folder = tmp_path / "odd"
    folder.mkdir()
    text = json.dumps({"s": NASTY, "y": NASTY}, ensure_ascii=False)
    other = json.dumps({"s": "plain words", "y": "good"})
    clash = json.dumps({"s": NASTY, "y": "good"}, ensure_ascii=False)
    none = json.dumps({"s": NASTY, "y": ""}, ensure_ascii=False)
    (folder / "train.jsonl").write_text("\n".join([text, other, clash, none, ""]), encoding="utf-8")
    (folder / "dev.jsonl").write_text("\n".join([text, other, ""]), encoding="utf-8")
    label = json.dumps(NASTY)
    (folder / "tasks.toml").write_text(
        f'[[task]]\nname = "t"\nkind = "classification"\ntext = ["s"]\nlabel = "y"\nlabels = [{label}, "good"]\n'
        'train = "train.jsonl"\ndev = "dev.jsonl"\n',
        encoding="utf-8",
    )
    return folder


@pytest.mark.parametrize("command", ["check", "prepare"])
def test_commands_about_data_print_no_escape_sequence(smart: Smart, odd_data: Path, command: str) -> None:
    result = smart(command, odd_data)
    assert result.exit_code == 0, result.stderr
    assert result.stdout
    assert not any(mark in result.stdout + result.stderr for mark in "\x1b\u202e")


def test_commands_about_checkpoints_print_no_escape_sequence(smart: Smart, home: Home) -> None:
    encoder = {"id": NASTY, "revision": None, "model_type": "bert", "hash": "e" * 64}
    Registry(home).commit("one", make_fill("one", encoder=encoder, command=["smart", NASTY], method=NASTY))
    for words in (["show", "one"], ["checkpoints", "list"], ["evaluate"], ["evaluate", "one"], ["show", NASTY]):
        result = smart(*words)
        assert not any(mark in result.stdout + result.stderr for mark in "\x1b\u202e"), words
        assert "[red]x[/red]" in result.stdout + result.stderr or words[0] != "show"


def test_cards_and_results_files_hold_no_markup_of_others(home: Home) -> None:
    scores = {"mood": {"accuracy": 0.5, "n": 2}, "overall": 0.5}
    stored = {
        "name": "one", "kind": "finetune", "method": NASTY, "lineage": {},
        "settings": {"max_length": 9, "pair_mode": "concat"},
        "data": {"name": NASTY, "fingerprint": "f" * 64}, "encoder": {"id": NASTY}, "metrics": scores,
        "best_epoch": 1, "command": ["smart", NASTY],
    }  # fmt: skip
    meta = CheckpointMeta.from_json(stored)
    task = parse_task(
        {"name": "mood", "kind": "classification", "text": ["s"], "label": "y", "labels": ["a", NASTY]}, ""
    )
    line = Line("id", NASTY, {}, {})
    results = Results(id="x", title=NASTY, scores=("mood",), lines=(line,), facts=(NASTY,), notes=(NASTY,))
    for page in (model_card(meta), export_card(meta, task, "hf", types=False), markdown(results)):
        assert r"\<script\>alert(1)\</script\> \[red\]x" in page
        assert not {"\x1b", "\u202e"} & set(page)
        assert "<script>" not in page.replace(code_span("smart '" + NASTY + "'"), "")


def test_labelled_rows_on_a_terminal_show_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    print_content(f"s\tprediction\n{NASTY}\t1\n".encode())
    assert out.getvalue() == f"s\tprediction\n{SHOWN}\t1\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_everything_that_a_command_writes_is_private_under_an_open_umask(smart: Smart, home: Home) -> None:
    before = os.umask(0o000)
    try:
        assert smart("prepare", "demo").exit_code == 0
        Registry(home).commit("one", make_fill("one"))
        assert smart("checkpoints", "list").exit_code == 0
    finally:
        os.umask(before)
    paths = [home.root, *home.root.rglob("*")]
    modes = {(path.is_dir(), oct(path.stat().st_mode & 0o777)) for path in paths if path.suffix != ".lock"}
    assert modes == {(True, "0o700"), (False, "0o600")}
