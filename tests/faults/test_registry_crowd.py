"""Eight processes at once in one registry: no name twice, no half-seen checkpoint, no exception."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from forked import Child
from registry_fixtures import make_fill

from smartcli.errors import SmartCliError, UserError
from smartcli.home import Home
from smartcli.registry.predictions_store import load_predictions, save_predictions
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import RunHeader, Runs
from smartcli.workflows.checkpoints.listing import list_checkpoints, list_runs, show_checkpoint

PROCESSES = 8


def live(home: Home, seed: int, seconds: float) -> dict[str, list[str]]:
    """Finetune, combine, evaluate, list, verify and remove at random; return names made and errors met."""
    draw = random.Random(seed)
    registry = Registry(home)
    made: list[str] = []
    errors: list[str] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            what = draw.choice([finetune, combine, evaluate, look, look, remove, name_it])
            made += what(home, registry, draw)
        except UserError as error:
            errors.append(str(error))
    return {"made": made, "errors": errors}


def finetune(home: Home, registry: Registry, draw: random.Random) -> list[str]:
    with registry.claim(None) as name:
        run = Runs(home).create(name, RunHeader(settings={}))
        with run.lock():
            run.save(lambda folder: (folder / "w").write_bytes(b"1") and None, {"step": 1})
            registry.commit(name, make_fill(name, seed=draw.randrange(100)))
            Runs(home).remove(name)
    return [name]


def name_it(home: Home, registry: Registry, draw: random.Random) -> list[str]:
    name = f"named-{draw.randrange(3)}"
    with registry.claim(name):
        registry.commit(name, make_fill(name, seed=draw.randrange(100)))
    return []


def combine(home: Home, registry: Registry, draw: random.Random) -> list[str]:
    found, _ = registry.scan()
    members = [checkpoint.reference().to_json() for checkpoint in found[:2]]
    with registry.claim(None) as name:
        registry.commit(name, make_fill(name, kind="ensemble", lineage={"init": None, "members": members}))
    return [name]


def evaluate(home: Home, registry: Registry, draw: random.Random) -> list[str]:
    names = registry.names()
    if names:
        checkpoint = registry.open(draw.choice(names))
        assert len(checkpoint.predictions()["mood"]) == 4
        save_predictions(home, checkpoint, "0" * 64, "test", checkpoint.predictions())
        found = load_predictions(home, checkpoint, "0" * 64, "test")
        assert found is None or len(found["mood"]) == 4
    return []


def look(home: Home, registry: Registry, draw: random.Random) -> list[str]:
    assert [line.problem for line in list_checkpoints(home) if line.problem] == []
    assert [line.problem for line in list_runs(home) if line.problem] == []
    assert registry.verify() == []
    names = registry.names()
    if names:
        show_checkpoint(home, draw.choice(names))
    return []


def remove(home: Home, registry: Registry, draw: random.Random) -> list[str]:
    names = registry.names()
    if len(names) > 3:
        registry.remove(draw.choice(names), force=draw.random() < 0.8)
    return []


def crowd(home: Home, seconds: float) -> int:
    children = [Child(lambda seed=seed: live(home, seed, seconds)) for seed in range(PROCESSES)]
    ended = [child.wait() for child in children]
    assert [end.crash for end in ended if end.crash] == []
    assert [end.error for end in ended if end.error] == []
    made = [name for end in ended for name in end.value["made"]]
    assert len(made) == len(set(made)), "a name was given twice"
    allowed = (
        "there is no checkpoint",
        "is named by",
        "in use by process",
        "exists already",
        "was removed or replaced",
    )
    odd = [error for end in ended for error in end.value["errors"] if not any(text in error for text in allowed)]
    assert odd == []
    assert Registry(home).verify() == []
    assert Runs(home).names() == []
    with Registry(home).claim("after"):
        left = [path.name for folder in (home.checkpoints, home.runs) for path in folder.glob(".tmp-*")]
    assert left == []
    return len(made)


def test_eight_processes_share_a_registry(home: Home) -> None:
    assert crowd(home, 2.0) > 2


@pytest.mark.faults
def test_eight_processes_share_a_registry_for_long(home: Home) -> None:
    assert crowd(home, 45.0) > 20


def test_one_of_eight_gets_a_name(home: Home) -> None:
    def take() -> str:
        try:
            with Registry(home).claim("wanted"):
                time.sleep(0.05)
                Registry(home).commit("wanted", make_fill("wanted"))
                return "mine"
        except SmartCliError as error:
            return str(error)

    ended = [child.wait() for child in [Child(take) for _ in range(PROCESSES)]]
    answers = [end.value for end in ended]
    assert answers.count("mine") == 1
    assert all("exists already" in text or "in use by process" in text for text in answers if text != "mine")


def test_the_home_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert finetune(Home(tmp_path / "link"), Registry(Home(tmp_path / "link")), random.Random(0)) == ["ckpt1"]
    assert Registry(Home(tmp_path / "real")).verify() == []
