"""The ladder: its files name what exists, its table says what `smart compare` says, and it goes on where it stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.ladder import ladder_steps
from benchmarks.ladder.__main__ import main
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.visible import markdown as shown
from smartcli.workflows.scoring.comparison import compare
from smartcli.workflows.studies.cells import Base, plan
from tests.hand_made import make_checkpoint, make_data
from tests.tiny import make_tiny_encoder

TOY = """title = "Toy ladder"

[common]
lambda = 0
epochs = 1
batch_size = 2

[[step]]
id = "plain"
label = "plain"

[[step]]
id = "smoothing"
label = "label smoothing"
options = { label_smoothing = 0.1, dropout = 0.2 }

[[step]]
id = "student"
label = "student of the three"
options = { teacher = "ensemble-toy-smoothing-6" }

[[stage]]
id = "short"
title = "six rows a task"
rows = 6
seeds = 2
steps = ["plain", "smoothing"]
ensemble_of = "smoothing"
members = 3

[[stage]]
id = "students"
title = "one model of three"
rows = 6
seeds = 1
steps = ["smoothing", "student"]
beside = [["ensemble-toy-smoothing-6", "toy-student-6-*"]]
"""


@pytest.fixture
def toy(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    make_data(home, counts={"train": 12, "dev": 20, "test": 4})
    (tmp_path / "toy.toml").write_text(TOY, encoding="utf-8")
    monkeypatch.setattr(ladder_steps, "FOLDER", tmp_path)
    encoder = str(make_tiny_encoder(tmp_path / "tiny"))
    return ["toy", "--data", "demo", "--encoder", encoder, "--precision", "fp32", "--home", str(home.root)]


@pytest.mark.parametrize("name", ladder_steps.names())
def test_every_ladder_can_be_planned_and_its_globs_take_one_step_each(name: str, home: Home) -> None:
    data = make_data(home)
    ladder = ladder_steps.read(name)
    for start in {step.options["init"] for stage in ladder.stages for step in stage.steps if "init" in step.options}:
        make_checkpoint(home, start, data)
    flags = {**ladder.common, "data": "demo"}
    for stage in ladder.stages:
        cells = [one.name for one in plan(Base(home, name, flags), stage.cells())]
        for step in stage.steps:
            mine = [cell for cell in cells if cell.startswith(f"{name}-{stage.cell_id(step)}-s")]
            assert len(mine) == max(stage.seeds, stage.members if step.id == stage.ensemble_of else 0)
            assert mine == [cell for cell in cells if cell.startswith(f"{name}-{stage.cell_id(step)}-")]


def test_ladder_reports_what_compare_says_and_trains_nothing_twice(
    toy: list[str], home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "results.md"
    page.write_text("# Results\n\nKept.\n", encoding="utf-8")
    assert main([*toy, "--output", str(page)]) == 0
    registry = Registry(home)
    names = registry.names()
    assert len([name for name in names if name.startswith("toy-smoothing-6-s")]) == 3
    assert len([name for name in names if name.startswith("toy-plain-6-s")]) == 2
    text = page.read_text(encoding="utf-8")
    expected = compare(home, "toy-plain-6-*", "toy-smoothing-6-*")
    assert "Kept." in text
    assert f"`smart compare 'toy-plain-6-*' 'toy-smoothing-6-*'`: {expected.sentence()}" in text
    assert "--label-smoothing 0.1 --dropout 0.2" in text
    stored = json.loads((tmp_path / "results" / "toy-short.json").read_text(encoding="utf-8"))
    assert stored["lines"][1]["compare"] == expected.to_json()
    assert stored["lines"][2]["label"] == "ensemble of 3"
    beside = compare(home, "ensemble-toy-smoothing-6", "toy-student-6-*")
    assert f"'ensemble-toy-smoothing-6' 'toy-student-6-*'`: {shown(beside.sentence())}" in text
    (student,) = (name for name in names if name.startswith("toy-student-6-s0-"))
    assert (registry.open(student).meta.lineage.teacher or {})["name"] == "ensemble-toy-smoothing-6"
    made = {name: registry.open(name).read("log.jsonl") for name in names if "ensemble" not in name}
    capsys.readouterr()
    assert main([*toy, "--output", str(page)]) == 0
    assert {name: registry.open(name).read("log.jsonl") for name in made} == made
    assert page.read_text(encoding="utf-8") == text


def test_bad_jobs_are_refused_without_traceback(toy: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*toy, "--jobs", "0"]) == 2
    assert "--jobs must be at least 1, found 0" in capsys.readouterr().err
