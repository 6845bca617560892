"""`smart checkpoints`, `smart show` and `smart runs`: what they print, and their exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from registry_fixtures import make_fill
from typer.testing import Result

from smartcli.cli.output import size_text
from smartcli.cli.show import sparkline
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import RunHeader, Runs

Smart = Callable[..., Result]


@pytest.fixture
def filled(home: Home) -> Home:
    """Two checkpoints, an ensemble of them, and an interrupted run."""
    registry = Registry(home)
    made = [registry.commit(name, make_fill(name)).reference().to_json() for name in ("ckpt1", "ckpt2")]
    registry.commit("both", make_fill("both", kind="ensemble", lineage={"init": None, "members": made}))
    run = Runs(home).create("going", RunHeader(argv=["smart", "finetune", "--name", "[red]"]))
    run.save(lambda folder: None, {"step": 1234})
    return home


def test_list_shows_each_checkpoint_with_score_and_size(smart: Smart, filled: Home) -> None:
    result = smart("checkpoints", "list")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines() if "simultaneous" in line]
    assert [line[:2] for line in lines] == [["both", "ensemble"], ["ckpt1", "finetune"], ["ckpt2", "finetune"]]
    assert "0.750" in lines[1]
    assert "3 checkpoints, " in result.stderr


def test_list_as_json_is_data_alone(smart: Smart, filled: Home) -> None:
    rows = json.loads(smart("checkpoints", "list", "--json").stdout)
    assert [row["name"] for row in rows] == ["both", "ckpt1", "ckpt2"]
    assert rows[1]["overall"] == 0.75
    assert rows[1]["size"] == Registry(filled).open("ckpt1").size


def test_empty_registry_says_what_to_do_next(smart: Smart) -> None:
    result = smart("checkpoints", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "`smart finetune` makes one" in result.stderr
    assert json.loads(smart("checkpoints", "list", "--json").stdout) == []
    assert smart("checkpoints", "verify").exit_code == 0


def test_verify_exits_1_and_names_the_file_at_fault(smart: Smart, filled: Home) -> None:
    assert smart("checkpoints", "verify").exit_code == 0
    path = filled.checkpoints / "ckpt2" / "README.md"
    path.write_bytes(b"# ckpt3\n")
    result = smart("checkpoints", "verify")
    assert result.exit_code == 1
    assert "ckpt2/README.md: its content does not match the manifest" in result.stderr
    assert smart("checkpoints", "verify", "ckpt1", "both").exit_code == 0
    assert json.loads(smart("checkpoints", "verify", "--json", "ckpt*").stdout)[0]["file"] == "README.md"
    assert smart("checkpoints", "verify", "ckpt3").exit_code == 2


def test_a_damaged_checkpoint_is_listed_as_damaged(smart: Smart, filled: Home) -> None:
    (filled.checkpoints / "ckpt2" / "smart.json").write_text("{}")
    result = smart("checkpoints", "list")
    assert result.exit_code == 0
    assert "damaged" in result.stdout
    assert "warning: ckpt2: smart.json: expected" in result.stderr


def test_rm_refuses_a_member_and_takes_ensemble_and_members_together(smart: Smart, filled: Home) -> None:
    result = smart("checkpoints", "rm", "ckpt1")
    assert result.exit_code == 2
    assert 'error: "ckpt1" is named by "both"' in result.stderr
    result = smart("checkpoints", "rm", "ckpt1..ckpt2", "both", "--yes")
    assert result.exit_code == 0, result.stderr
    assert Registry(filled).names() == []
    assert smart("checkpoints", "rm", "ckpt1").exit_code == 2


def test_rm_with_force_removes_a_member(smart: Smart, filled: Home) -> None:
    assert smart("checkpoints", "rm", "ckpt1", "--force").exit_code == 0
    assert Registry(filled).names() == ["both", "ckpt2"]
    assert "ckpt1 (removed or damaged), ckpt2" in smart("show", "both").stdout


@pytest.mark.parametrize("command", [("show",), ("checkpoints", "show")])
def test_show_is_a_card(smart: Smart, filled: Home, command: tuple[str, ...]) -> None:
    result = smart(*command, "ckpt1")
    assert result.exit_code == 0
    for part in (
        "finetune, concat simultaneous smart",
        "lambda 1.0",
        "minilm",
        "smart finetune --name ckpt1",
        '"both"',
    ):
        assert part in result.stdout, part
    assert "▁█▅ 0.500 → 0.625" in result.stdout
    assert len(result.stdout.splitlines()) <= 30
    card = json.loads(smart(*command, "ckpt1", "--json").stdout)
    assert card["curve"] == {"mood": [0.5, 0.75, 0.625], "overall": [0.5, 0.75, 0.625]}


def test_show_prints_hostile_text_as_text(smart: Smart, home: Home) -> None:
    Registry(home).commit("x", make_fill("x", command=["smart", "finetune", "--data", "[red]\x1b[31mx"]))
    result = smart("show", "x")
    assert "[red]\\x1b[31mx" in result.stdout
    assert "\x1b" not in result.stdout


def test_runs_are_listed_and_removed(smart: Smart, filled: Home) -> None:
    result = smart("runs", "list")
    assert "interrupted" in result.stdout
    assert "1,234" in result.stdout
    assert "'[red]'" in result.stdout
    row = json.loads(smart("runs", "list", "--json").stdout)[0]
    assert (row["name"], row["state"], row["step"]) == ("going", "interrupted", 1234)
    assert smart("runs", "rm", "going").exit_code == 0
    assert "no run is in progress" in smart("runs", "list").stderr
    result = smart("runs", "rm", "going")
    assert result.exit_code == 2
    assert 'there is no run "going"' in result.stderr


def test_a_damaged_run_can_be_listed_and_removed(smart: Smart, filled: Home) -> None:
    (filled.runs / "going" / "run.json").write_text("{}")
    assert "damaged" in smart("runs", "list").stdout
    assert smart("runs", "rm", "going").exit_code == 0


def test_sparkline_by_hand() -> None:
    assert sparkline([0.0, 0.5, 1.0]) == "▁▅█"
    assert sparkline([0.3, 0.3]) == "▄▄"
    assert sparkline([]) == ""


def test_sizes_as_people_read_them() -> None:
    assert [size_text(size) for size in (0, 999, 1000, 91_234_567, 5 * 10**12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "91.2 MB",
        "5000.0 GB",
    ]
