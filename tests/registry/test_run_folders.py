"""Runs: whatever happens while a state is saved, the last whole one is what resume gets."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from forked import Child, in_child, kill_at
from registry_fixtures import make_fill

from smartcli.errors import SmartCliError, UserError
from smartcli.home import Home
from smartcli.registry.meta import DataRecord
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Run, RunHeader, Runs

HEADER = RunHeader(command="finetune", settings={"seed": 1, "dropout": 0.1}, data=DataRecord(fingerprint="f"))


def save(run: Run, step: int) -> None:
    def fill(folder: Path) -> None:
        (folder / "weights").write_bytes(str(step).encode() * 100)

    run.save(fill, {"step": step, "best": None, "share": 0.1 + 0.2})


def saved_step(run: Run) -> int:
    found = run.load()
    assert found is not None
    folder, position = found
    step = position["step"]
    assert position == {"step": step, "best": None, "share": 0.1 + 0.2}
    assert (folder / "weights").read_bytes() == str(step).encode() * 100
    return int(step)


def test_a_run_reads_back_what_it_was_given(home: Home) -> None:
    run = Runs(home).create("mine", HEADER)
    assert run.load() is None
    assert run.position() is None
    save(run, 1)
    save(run, 2)
    again = Runs(home).open("mine")
    assert again.header == HEADER
    assert saved_step(again) == 2
    assert again.position() == {"step": 2, "best": None, "share": 0.1 + 0.2}
    assert sorted(path.name for path in run.folder.iterdir()) == ["log.jsonl", "run.json", "state-2", "state.json"]
    assert {oct(path.stat().st_mode & 0o777) for path in run.folder.rglob("*") if path.is_file()} == {"0o600"}


def test_a_kill_before_every_call_of_a_save_leaves_a_whole_state(home: Home) -> None:
    run = Runs(home).create("mine", HEADER)
    save(run, 0)
    steps: list[int] = []
    while True:
        step, call = len(steps) + 1, len(steps)

        def work(step: int = step, call: int = call) -> None:
            with run.lock():
                kill_at(call)
                save(run, step)

        before = saved_step(run)
        ended = in_child(work)
        after = saved_step(run)
        assert after in (before, step)
        steps.append(after)
        with run.lock():
            assert saved_step(run) == after
            assert len(list(run.folder.iterdir())) == 4, "leftovers are tidied by the next owner"
        if not ended.killed:
            assert ended.crash is None
            break
    assert steps[-1] == len(steps)
    assert len(steps) > 12


def test_a_failing_save_keeps_the_old_state(home: Home) -> None:
    run = Runs(home).create("mine", HEADER)
    save(run, 1)

    def fill(folder: Path) -> None:
        (folder / "weights").write_bytes(b"half")
        raise RuntimeError("Io Error: No space left on device (os error 28)")

    with pytest.raises(SmartCliError, match="free some space"):
        run.save(fill, {})
    assert saved_step(run) == 1
    assert len(list(run.folder.iterdir())) == 4


def test_only_runs_without_a_live_process_are_interrupted(home: Home) -> None:
    runs = Runs(home)
    run = runs.create("mine", HEADER)
    runs.create("other", HEADER)

    def train() -> None:
        with run.lock():
            time.sleep(60)

    child = Child(train)
    while run.owner() is None:
        time.sleep(0.005)
    assert [found.name for found in runs.interrupted()] == ["other"]
    with pytest.raises(UserError, match=f"in use by process {child.pid}"):
        runs.remove("mine")
    child.kill()
    child.wait()
    assert [found.name for found in runs.interrupted()] == ["mine", "other"]
    runs.remove("mine")
    assert runs.names() == ["other"]


def test_a_registered_checkpoint_ends_its_run(home: Home) -> None:
    with Registry(home).claim("mine") as name:
        run = Runs(home).create(name, HEADER)
        Registry(home).commit(name, make_fill(name))
        assert Runs(home).names() == []
        Runs(home).remove(name)
    with pytest.raises(UserError, match='the run "mine" is gone'), run.lock():
        pass


def test_names_of_runs_are_taken_once(home: Home) -> None:
    Runs(home).create("mine", HEADER)
    with pytest.raises(UserError, match='a run "mine" exists already'):
        Runs(home).create("mine", HEADER)
    with pytest.raises(UserError, match='no run "mien"; did you mean "mine"'):
        Runs(home).open("mien")
    with pytest.raises(UserError, match="run name must be"):
        Runs(home).remove("../mine")


@pytest.mark.parametrize("file", ["state-1/weights", "state-1/position.json", "state-1/manifest.json", "state.json"])
def test_any_flipped_byte_of_a_state_is_refused(home: Home, file: str) -> None:
    run = Runs(home).create("mine", HEADER)
    save(run, 1)
    path = run.folder / file
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        with pytest.raises(SmartCliError, match=path.name):
            run.load()
    path.write_bytes(whole[:-1])
    with pytest.raises(SmartCliError, match=path.name):
        run.load()
    path.unlink()
    path.symlink_to("/etc/hostname")
    with pytest.raises(SmartCliError, match=path.name):
        run.load()


def test_an_altered_header_is_refused(home: Home) -> None:
    run = Runs(home).create("mine", HEADER)
    path = run.folder / "run.json"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(SmartCliError, match=r"run\.json: altered or incomplete"):
        Runs(home).open("mine")
    assert Runs(home).names() == ["mine"]
    Runs(home).remove("mine")
    assert Runs(home).names() == []
