"""Trainings that run out of disk or memory: a message that says what to do, nothing half-written, and on it goes."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forked import Ended, in_child
from training import Event, Shop, assert_same_training

from smartcli.errors import SmartCliError
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Runs
from smartcli.workflows.scoring.evaluation import evaluate
from tests.tiny import WORDS

OPTIONS = {"lambda": "1", "save_every": "1"}


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    opened = Shop.open(home, tmp_path)
    opened.train("whole", **OPTIONS)
    return opened


def check_refused(shop: Shop, ended: Ended, *words: str) -> None:
    assert ended.crash is None, ended
    assert ended.exit_code == 1, ended
    assert ended.error is not None
    assert str(shop.home.root) in ended.error
    assert any(word in ended.error for word in words), ended.error
    assert "bytes needed" in ended.error
    assert ".tmp-" not in ended.error
    assert [name for name in Registry(shop.home).names() if name != "whole"] == []
    assert Registry(shop.home).verify() == []
    for run in Runs(shop.home).list():
        run.load()
        assert not list(run.folder.glob(".tmp-*"))


@pytest.mark.parametrize("part", [0, pytest.param(1, marks=pytest.mark.faults)])
def test_a_file_size_limit_at_any_write_of_a_training_leaves_a_run_that_goes_on(shop: Shop, part: int) -> None:
    model = (shop.home.checkpoints / "whole" / "model.safetensors").stat().st_size
    log = (shop.home.checkpoints / "whole" / "log.jsonl").stat().st_size
    for number, limit in enumerate([(1000, model - 1), (100, log // 2, log - 50, model // 2)][part]):

        def work(limit: int = limit, number: int = number) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            shop.train(f"small{number}", resume="auto", **OPTIONS)

        check_refused(shop, in_child(work), "File too large")
        shop.train(f"small{number}", resume="auto", **OPTIONS)
        assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint(f"small{number}"))
        Registry(shop.home).remove(f"small{number}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "smartcli-test", str(folder)]
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("no tmpfs on this system")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a tmpfs may not be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    "shares", [(0.5, 5.0), pytest.param((0.0, 0.2, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5), marks=pytest.mark.faults)]
)
def test_a_disk_that_fills_up_in_a_training_leaves_a_run_that_goes_on(
    small_disk: Path, tmp_path: Path, shares: tuple[float, ...]
) -> None:
    shop = Shop.open(Home(small_disk / "home"), tmp_path)
    shop.train("whole", **OPTIONS)
    ballast = small_disk / "ballast"
    size = Registry(shop.home).open("whole").size
    refused = 0
    for share in shares:
        name = f"full{int(10 * share)}"
        free = shutil.disk_usage(small_disk).free
        ballast.write_bytes(b"\0" * max(0, int(free - 8192 - share * size)))
        ended = in_child(lambda name=name: shop.train(name, resume="auto", **OPTIONS).name)
        ballast.unlink()
        if ended.error is not None or ended.crash is not None:
            check_refused(shop, ended, "No space left")
            refused += 1
        shop.train(name, resume="auto", **OPTIONS)
        assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint(name))
        Registry(shop.home).remove(name)
    assert refused >= 1


def test_a_read_only_home_is_read_and_says_so_when_it_should_be_written(small_disk: Path, tmp_path: Path) -> None:
    shop = Shop.open(Home(small_disk / "home"), tmp_path)
    shop.train("whole", max_steps="1")
    shop.stopped("parts", stop=2)
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True)
    try:
        for name, resume in (("new", None), (None, "parts")):
            ended = in_child(lambda name=name, resume=resume: shop.train(name, resume=resume).name)
            assert ended.exit_code == 1, ended
            assert "Read-only file system" in (ended.error or "")
            assert "--home" in (ended.error or "")
        assert evaluate(shop.home, ["whole"]).rows[0].checkpoint == "whole"
        assert Registry(shop.home).verify() == []
        assert Runs(shop.home).open("parts").load() is not None
    finally:
        subprocess.run([*remount[:2], "remount,rw", remount[3]], check=True)
    assert shop.train(None, resume="parts").name == "parts"


def long_rows(split: str, count: int) -> Any:
    """Make all rows of a split `count` of 120 words each."""

    def change(rows: dict[str, dict[str, list[Any]]]) -> None:
        draw = np.random.default_rng(5)
        for task in rows.values():
            _, texts, _ = task[split][0]
            labels = [row[2] for row in task[split]]
            task[split] = [
                (f"long{i}", tuple(" ".join(draw.choice(WORDS, 120)) for _ in texts), labels[i % len(labels)])
                for i in range(count)
            ]

    return change


def limit_memory(more: int = 0) -> None:
    """Let this process's address space grow by `more` bytes at most."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def train_in_little_memory(home: str, encoder: str, split: str, options: dict[str, str]) -> None:
    """Go on with the run "short"; the limit falls before the first step, or after the last one before dev."""

    # AdamW and correlations load them: what lacks memory must be a batch, and not a library.
    import scipy.stats  # noqa: F401
    import torch._dynamo  # noqa: F401

    def hear(event: Event) -> None:
        if split == "train" and event["event"] == "start":
            limit_memory(24 << 20)  # room for the thread that packs batches
        if split == "dev" and event["event"] == "step":
            limit_memory(1 << 20)

    try:
        Shop(Home(Path(home)), Path(encoder)).train("short", resume="auto", listener=hear, **options)
    except SmartCliError as error:
        sys.exit(f"{error.exit_code}: {error}")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and needs RLIMIT_AS")
@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("train", r"1: out of memory in step 2 with 240 examples and [\d,]+ tokens"),
        pytest.param(
            "dev",
            # Where it is the reading of rows that lacks memory, there is no batch yet.
            r'1: out of memory (while predicting task "\w+", in a batch of \d+ rows with [\d,]+ tokens|after step 2)',
            marks=pytest.mark.faults,
        ),
    ],
)
def test_no_memory_names_the_batch_and_the_run_goes_on(home: Home, tmp_path: Path, split: str, words: str) -> None:
    """In a process of its own: one that trained before has memory to use again."""
    shop = Shop.open(home, tmp_path, change=long_rows(split, 160), name="long")
    options = {"data": "long", "epochs": "1", "keep": "last"}
    options |= {"batch_size": "80"} if split == "train" else {"batch_size": "4", "max_steps": "2"}
    shop.stopped("short", stop=1, **options)

    call = f"train_in_little_memory({str(home.root)!r}, {str(shop.encoder)!r}, {split!r}, {options!r})"
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", f"from tests.faults.test_training_limits import *; {call}"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "tests")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert re.search(words, ended.stderr), ended.stderr
    assert "--max-length" in ended.stderr
    position = Runs(shop.home).open("short").position()
    assert position is not None
    # What fails only after the scoring fails after the save.
    assert position["total"] == 1 or "after step 2" in ended.stderr
    shop.train("whole", **options)
    shop.train("short", resume="auto", **options)
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("short"))
