"""Workers as real processes on one study: in a file, and on a real PostgreSQL server; one of four is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Runs
from smartcli.workflows.search.bounds import Range
from smartcli.workflows.search.search_storage import Patience, read_place
from smartcli.workflows.search.study import Study
from tests.hand_made import make_data
from tests.postgres_server import PASSWORD, Server, cannot_run, postgres_server
from tests.tiny import make_tiny_encoder

TRIALS = 6
needs_postgres = pytest.mark.skipif(cannot_run() is not None, reason=cannot_run() or "")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with postgres_server() as found:
        yield found


@dataclass
class Place:
    """A machine of the test: a home, and an encoder that all have."""

    home: Home
    encoder: Path

    def start(self, storage: str, *more: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "smartcli", "--home", str(self.home.root), "sweep", "--search", "tpe"]
        command += ["--trials", str(TRIALS), "--grid", "lr=1e-5..1e-2:log", "--grid", "dropout=0..0.4:0.1"]
        command += ["--encoder", str(self.encoder), "--epochs", "12", "--lambda", "0", "--precision", "fp32"]
        command += ["--threads", "1", "--name", "night", "--storage", storage, "--json", *more]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def machine(root: Path) -> Place:
    home = Home(root / "home")
    make_data(home, counts={"train": 8, "dev": 6, "test": 4})
    return Place(home, make_tiny_encoder(root.parent / "tiny"))


def wait(until: Callable[[], Any], seconds: float = 600) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := until():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited for {seconds:g} s")


def kill_one(workers: list[subprocess.Popen[str]], homes: list[Home]) -> subprocess.Popen[str]:
    """Kill a worker and its training, as a power cut would, once that has saved something; return the worker."""

    def saved() -> tuple[subprocess.Popen[str], int] | None:
        for home in homes:
            for run in Runs(home).list():
                owner = run.owner()
                if owner is not None and run.position() is not None:
                    parent = int(Path(f"/proc/{owner.pid}/stat").read_text().rpartition(")")[2].split()[1])
                    return next(one for one in workers if one.pid == parent), owner.pid
        return None

    worker, training = wait(saved)
    worker.send_signal(signal.SIGKILL)
    os.kill(training, signal.SIGKILL)
    worker.communicate()
    return worker


def finish(workers: list[subprocess.Popen[str]]) -> tuple[list[dict[str, Any]], str]:
    """Wait for the workers; return the tables that they print, and all that they said."""
    tables, said = [], ""
    for one in workers:
        out, errors = one.communicate(timeout=900)
        assert one.returncode == 0, errors
        tables.append(json.loads(out))
        said += out + errors
    return tables, said


def check(tables: list[dict[str, Any]], study: Study, homes: list[Home]) -> None:
    """All trials end, none counts twice, and every worker names the same best one."""
    assert all(table["trials"] == tables[0]["trials"] for table in tables)
    assert all(table["best"] == tables[0]["best"] for table in tables)
    trials = tables[0]["trials"]
    assert len(trials) == TRIALS
    assert {one["state"] for one in trials} <= {"complete", "pruned"}
    slots = study.slots()
    assert [slot.root for slot in slots if slot.result is not None] == [one["trial"] for one in trials]
    ended = [one for slot in slots for one in slot.attempts if one.state in ("complete", "pruned")]
    assert len(ended) == TRIALS, "exactly as many trials as were asked for, over all workers"
    names = [one["checkpoint"] for one in trials if one["state"] == "complete"]
    assert sorted(name for home in homes for name in Registry(home).names()) == sorted(names)
    assert max(one["attempts"] for one in trials) >= 2, "the killed worker's trial was begun again"


def study_at(storage: str) -> Study:
    """The study as it stands, read by somebody who has only the storage."""
    from smartcli.workflows.search.study import ABOUT

    bounds = {"lr": Range(1e-5, 1e-2, log=True)}
    import optuna

    from smartcli.workflows.search.search_storage import open_storage

    about = optuna.load_study(storage=open_storage(read_place(storage)), study_name="night").user_attrs[ABOUT]
    return Study(Patience(read_place(storage), print), "night", bounds, about, 0, True)


@pytest.mark.slow
def test_four_workers_on_a_file_and_a_shared_registry_one_killed(tmp_path: Path) -> None:
    place, storage = machine(tmp_path / "one"), str(tmp_path / "night.journal")
    workers = [place.start(storage) for _ in range(4)]
    dead = kill_one(workers, [place.home])
    tables, _ = finish([one for one in workers if one is not dead])
    check(tables, study_at(storage), [place.home])
    logs = [Registry(place.home).open(name).read("log.jsonl").decode() for name in Registry(place.home).names()]
    kept = [one for one in tables[0]["trials"] if one["attempts"] > 1]
    assert kept
    if kept[0]["state"] == "complete":
        assert sum('"resume"' in log for log in logs) >= 1, "it went on where the killed one had saved"
    again = place.start(storage, "--top", "2")
    (table,), _ = finish([again])
    assert table["best"] == tables[0]["best"]
    assert Registry(place.home).open(table["ensemble"]).meta.lineage.members[0].name == table["checkpoints"][0]


@pytest.mark.slow
@needs_postgres
def test_four_workers_of_two_machines_on_postgresql_one_killed(tmp_path: Path, server: Server) -> None:
    places = [machine(tmp_path / "one"), machine(tmp_path / "two")]
    workers = [place.start(server.url) for place in places for _ in range(2)]
    dead = kill_one(workers, [place.home for place in places])
    tables, said = finish([one for one in workers if one is not dead])
    check(tables, study_at(server.url), [place.home for place in places])
    assert PASSWORD not in said
    assert "postgresql://anna:***@127.0.0.1" in tables[0]["storage"]
    held = [path for path in tmp_path.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]
    assert held == []


@pytest.mark.slow
@needs_postgres
def test_a_server_that_is_started_again_is_waited_for(server: Server) -> None:
    said: list[str] = []
    study = Study(Patience(read_place(server.url), said.append), "again", {"lr": Range(1e-5, 1e-2)}, {"a": 1}, 0, True)
    attempt = study.ask()
    server.stop()
    back = threading.Timer(1.5, server.start)
    back.start()
    assert study.beat(attempt.number)
    back.join()
    assert study.complete(attempt.number, 0.5, {})
    assert study.outages >= 1
    assert PASSWORD not in " ".join(said)


@pytest.mark.slow
@needs_postgres
def test_workers_that_start_at_the_same_moment_make_the_tables_once(server: Server, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom smartcli.workflows.search.bounds import Range\n"
        "from smartcli.workflows.search.search_storage import Patience, read_place\n"
        "from smartcli.workflows.search.study import Study\n"
        "sys.stdin.readline()\n"
        "study = Study(Patience(read_place(sys.argv[1]), print), 'crowd', {'lr': Range(0.0, 1.0)}, {'a': 1}, 0, True)\n"
        "for _ in range(5): study.complete(study.ask().number, 0.5, {})\n"
    )
    import psycopg

    with psycopg.connect(server.url, autocommit=True) as made:
        made.execute("create database crowd")
    url = server.url.replace("/postgres", "/crowd")
    crowd = [
        subprocess.Popen([sys.executable, "-c", code, url], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [one.communicate("go\n")[1] for one in crowd] == [""] * 4
    assert [one.returncode for one in crowd] == [0] * 4
    study = Study(Patience(read_place(url), print), "crowd", {"lr": Range(0.0, 1.0)}, {"a": 1}, 0, True)
    slots = study.slots()
    assert [slot.root for slot in slots] == list(range(20))
    assert len({slot.params["lr"] for slot in slots}) == 20


@pytest.mark.slow
def test_a_server_that_cannot_be_reached_is_exit_1_after_five_tries_without_the_password(tmp_path: Path) -> None:
    place = machine(tmp_path / "one")
    worker = place.start(f"postgresql://anna:{PASSWORD}@127.0.0.1:9/night", "--debug")
    out, errors = worker.communicate(timeout=600)
    assert worker.returncode == 1
    assert "does not answer, after 5 tries" in " ".join(errors.split())
    assert PASSWORD not in out + errors


@pytest.mark.slow
def test_the_slurm_array_of_the_page_does_it(tmp_path: Path) -> None:
    from tests.shell import run_script  # brings torch

    place = machine(tmp_path / "one")
    page = (Path(__file__).parents[3] / "docs" / "sweep.md").read_text(encoding="utf-8")
    script = "#!/bin/bash" + page.split("```text\n#!/bin/bash")[1].split("```")[0]
    assert "--trials 60" in script
    (tmp_path / "job.sh").write_text(script.replace("--trials 60", "--trials 3"))
    (tmp_path / "bounds.toml").write_text("[lr]\nlow = 1e-5\nhigh = 1e-3\nlog = true\n")
    (tmp_path / "settings.toml").write_text('epochs = 1\nprecision = "fp32"\nthreads = 1\n')
    (tmp_path / "smart").symlink_to(place.home.root)
    starts = "for SLURM_ARRAY_TASK_ID in 1 2; do export SLURM_ARRAY_TASK_ID; (. ./job.sh) & done; wait\n"
    ran = run_script(starts, tmp_path, {"HOME": str(tmp_path), "SMART_ENCODER": str(place.encoder)})
    assert ran.code == 0, ran.stderr
    assert len(Registry(place.home).names()) == 3
    assert ran.stdout.count("3 trials: 3 completed") == 2
