"""Several processes train what one trains, rank 0 alone writes, and the end of one is the end of all."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file
from scale_out import Steps, collect, start, start_apart, steps_of
from tiny import vocabulary
from training import Shop, log_of

from smartcli.errors import SmartCliError
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Runs

FIRST = 20
"""Steps in which the losses must agree; afterwards Adam amplifies rounding."""
TOLERANCE = 1e-5
COMMON = {"epochs": "5", "max_steps": "20", "dropout": "0.2", "attention_dropout": "0.1"}
SOME = {
    # Both penalties of one task and one of each other; clipping; a process without a row of a task.
    "some": {
        "lambda": "sst=2,qqp=0,sts=1",
        "mu": "qqp=1,sst=1,sts=0",
        "batch_size": "sst=1,qqp=4,sts=3",
        "clip_norm": "1",
    },
    "surgery": {"lambda": "1", "surgery": "pcgrad", "max_steps": "6"},
    "apart": {"lambda": "1", "schedule": "sequential", "pair_mode": "separate", "pooling": "mean", "max_steps": "7"},
}
REST: dict[str, dict[str, Any]] = {
    "plain": {"lambda": "0", "batch_size": "1"},
    "paper": {"lambda": "5", "ascent_steps": "2", "norm": "2"},
    "same": {"lambda": "1", "smart_dropout": "same", "pair_mode": "cosine", "pooling": "pooler"},
    "off": {"lambda": "1", "smart_dropout": "off", "freeze_encoder": True, "threads": "2"},
    "mtdnn": {"lambda": "1", "smart_variant": "mtdnn"},
    "bregman": {"lambda": "0", "mu": "1", "beta": "0.5"},
    "accumulated": {
        "lambda": "1",
        "mu": "1",
        "accumulate": "4",
        "batch_size": "1",
        "surgery": "pcgrad",
        "clip_norm": "1",
    },
    "sequential": {"lambda": "1", "mu": "1", "schedule": "sequential", "epochs": "1"},
    "weighted": {"lambda": "qqp=1,sst=0,sts=0", "surgery": "pcgrad", "lr_schedule": "linear", "warmup": "0.3"},
}


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path, train={"sst": 17, "qqp": 15, "sts": 30})


def alone(shop: Shop, jobs: dict[str, dict[str, Any]]) -> Steps:
    return {name: collect(partial(shop.train, f"{name}1", **options)) for name, options in jobs.items()}


def numbers(events: list[dict[str, Any]], keys: tuple[str, ...]) -> list[dict[str, float]]:
    """Of each of the first steps what is to be compared, under names."""
    steps = [event for event in events if event["event"] == "step"][:FIRST]
    return [{f"{key} {task}": value for key in keys for task, value in event.get(key, {}).items()} for event in steps]


def assert_same_curves(one: Steps, several: Steps) -> None:
    assert set(one) == set(several)
    for name, events in one.items():
        for key in ("step", "epoch", "examples", "tokens", "lr", "phase", "skipped_penalties"):
            assert [event.get(key) for event in several[name]] == [event.get(key) for event in events], (name, key)
        keys = ("loss", "r_s", "r_s_zero", "bregman", "cosine")
        pairs = list(zip(numbers(events, keys), numbers(several[name], keys), strict=True))
        assert len(pairs) >= 6
        for at, (expected, found) in enumerate(pairs, 1):
            assert found == pytest.approx(expected, abs=TOLERANCE, rel=0), (name, at)


def test_two_processes_give_the_loss_curve_of_one(shop: Shop, tmp_path: Path) -> None:
    jobs = {name: COMMON | options for name, options in SOME.items()}
    assert_same_curves(alone(shop, jobs), steps_of(2, shop, jobs, tmp_path / "steps.json"))
    assert Registry(shop.home).verify() == []
    assert Runs(shop.home).names() == []
    for name in jobs:
        one, two = (shop.open_checkpoint(found) for found in (f"{name}1", name))
        assert (one.meta.machine["processes"], two.meta.machine["processes"]) == (1, 2)
        assert [event["event"] for event in log_of(two)] == [event["event"] for event in log_of(one)]
        assert two.meta.best_epoch == one.meta.best_epoch
        for task, scores in one.meta.metrics.items():
            assert two.meta.metrics[task] == pytest.approx(scores, abs=1e-3), (name, task)


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_so_they_do_with_every_method(shop: Shop, tmp_path: Path, processes: int) -> None:
    jobs = {name: COMMON | options for name, options in REST.items()}
    assert_same_curves(alone(shop, jobs), steps_of(processes, shop, jobs, tmp_path / "steps.json"))


LONG = ("-m", "smartcli", "finetune", "--data", "small", "--epochs", "2000", "--batch-size", "4", "--save-every", "5",
        "--precision", "fp32", "--lr", "1e-3")  # fmt: skip


class Job:
    """A long training by the command line in two processes."""

    def __init__(self, shop: Shop, *words: str, options: Sequence[str] = ()) -> None:
        self.shop = shop
        self.torchrun = start(2, *LONG, "--encoder", str(shop.encoder), *words, options=options)

    def wait_for_a_save(self, name: str) -> None:
        for _ in range(600):
            if (self.shop.home.runs / name / "state.json").exists():
                return
            assert self.torchrun.poll() is None, self.torchrun.communicate()[1]
            time.sleep(0.1)
        raise AssertionError("it never saved")

    def rank(self, number: int) -> int:
        """The pid of one of the processes."""
        children = Path(f"/proc/{self.torchrun.pid}/task/{self.torchrun.pid}/children").read_text().split()
        found = [
            int(pid) for pid in children if f"RANK={number}" in Path(f"/proc/{pid}/environ").read_text().split("\0")
        ]
        assert len(found) == 1
        return found[0]

    def said(self) -> list[str]:
        """What the training said at its end, without torchrun's own report."""
        _, err = self.torchrun.communicate(timeout=60)
        return [line for line in err.splitlines() if re.match(r"(process \d+: )?(error:|stopped)", line)]


@pytest.fixture
def jobs() -> Iterator[list[Popen[str]]]:
    running: list[Popen[str]] = []
    yield running
    for one in running:
        if one.poll() is None:
            one.kill()
            one.communicate()


@pytest.mark.faults
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_job_and_leaves_a_run_that_any_number_goes_on_with(
    shop: Shop, jobs: list[Popen[str]], rank: int
) -> None:
    job = Job(shop, "--name", "long")
    jobs.append(job.torchrun)
    job.wait_for_a_save("long")
    os.kill(job.rank(rank), signal.SIGKILL)
    said = job.said()
    assert job.torchrun.returncode != 0
    assert len(said) == 1
    assert "another process of this training ended" in said[0]
    assert "torchrun --nproc-per-node 2 -m smartcli finetune --resume long" in said[0]
    before = int(re.findall(r"since step (\d+)", said[0])[0])
    assert before >= 5
    stopped = shop.stopped("long", stop=before + 3, resume="auto", threads=None, precision=None, epochs=None,
                           **{"lambda": None})  # fmt: skip
    assert f"stopped after step {before + 3}" in str(stopped)
    assert any("processes is 1, but the run started with 2" in event["message"] for event in shop.of_kind("warning"))


@pytest.mark.faults
@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGTERM, ()),
        (signal.SIGHUP, ()),
        (signal.SIGUSR1, ("--signals-to-handle", "SIGTERM,SIGINT,SIGUSR1", "--shutdown-timeout", "100")),
    ],
)
def test_a_signal_to_torchrun_saves_and_two_processes_go_on(
    shop: Shop, jobs: list[Popen[str]], sighup_heard: None, number: int, options: Sequence[str]
) -> None:
    job = Job(shop, "--name", "long", options=options)
    jobs.append(job.torchrun)
    job.wait_for_a_save("long")
    job.torchrun.send_signal(number)
    (said,) = job.said()
    assert job.torchrun.returncode != 0
    at = int(re.findall(r"stopped after step (\d+), and saved", said)[0])
    position = Runs(shop.home).open("long").position()
    assert position is not None
    assert position["total"] == at
    again = Job(shop, "--resume", "long")
    jobs.append(again.torchrun)
    for _ in range(600):
        position = Runs(shop.home).open("long").position()
        assert position is not None
        if position["total"] > at:
            break
        time.sleep(0.1)
    os.kill(again.rank(1), number)
    assert "stopped after step" in again.said()[0]


@pytest.mark.faults
@pytest.mark.parametrize("surgery", ["none", "pcgrad"])
def test_a_row_that_is_not_finite_in_one_process_stops_both_as_it_stops_one(
    home: Home, tmp_path: Path, surgery: str
) -> None:
    def spoil(rows: dict[str, dict[str, list[Any]]]) -> None:
        name, _, label = rows["sst"]["train"][3]
        rows["sst"]["train"][3] = (name, ("zoo",), label)

    shop = Shop.open(home, tmp_path, change=spoil)
    path = shop.encoder / "model.safetensors"
    tensors = load_file(path)
    tensors["embeddings.word_embeddings.weight"][vocabulary()["##o"]] = 3e38
    save_file(tensors, path, metadata={"format": "pt"})
    options = {"data": "small", "surgery": surgery, "epochs": "1", "batch_size": "4", "lr": "1e-3", "save_every": "1"}
    with pytest.raises(
        SmartCliError, match=r"the loss of sst is not finite; nothing was updated.*sst-train-3"
    ) as alone:
        shop.train("alone", **options)
    flags = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", value)]
    more = ("--encoder", str(shop.encoder), "--precision", "fp32", "--lambda", "0", "--name", "both")
    running = start(2, "-m", "smartcli", "--quiet", "finetune", *flags, *more)
    _, err = running.communicate(timeout=120)
    assert running.returncode != 0
    assert err.count("error:") == 1
    assert f"error: {alone.value}\n" in err
    positions = [Runs(home).open(name).position() for name in ("alone", "both")]
    assert [position and position["total"] for position in positions] == [positions[0] and positions[0]["total"]] * 2


@pytest.mark.faults
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["finetune", "--nonsense"], "smart finetune has no option --nonsense"),
        (["finetune", "--data", "none"], 'there is no data set "none"'),
        (["finetune", "--data", "small", "--dry-run"], "--dry-run runs in one process, and torchrun started 2"),
        (["evaluate"], "smart evaluate runs in one process, and torchrun started 2"),
    ],
)
def test_a_mistake_is_said_once(shop: Shop, words: list[str], message: str) -> None:
    running = start(2, "-m", "smartcli", *words, SMART_ENCODER=str(shop.encoder))
    out, err = running.communicate(timeout=120)
    assert running.returncode != 0
    assert out == ""
    assert err.count(message) == 1
    assert "process 1:" not in err
    assert re.findall(r"exitcode: (\d+)", err)[0] == "2"


def short(shop: Shop, *words: str) -> tuple[str, ...]:
    options = ("--epochs", "1", "--batch-size", "4", "--precision", "fp32", "--lambda", "0", "--name", "apart")
    return ("--quiet", "finetune", "--data", "small", "--encoder", str(shop.encoder), *options, *words)


@pytest.mark.faults
def test_what_is_wrong_on_one_machine_leaves_no_run_on_the_first(shop: Shop, tmp_path: Path) -> None:
    other = Shop.open(Home(tmp_path / "second"), tmp_path / "other", train={"sst": 18, "qqp": 15, "sts": 30})
    running = start_apart([shop.home.root, other.home.root], *short(shop))
    _, err = running.communicate(timeout=120)
    assert running.returncode != 0
    assert "not the same as in the first process: data set" in err
    assert Runs(shop.home).names() == []


@pytest.mark.faults
def test_an_old_run_of_that_name_on_another_machine_is_not_gone_on_with(shop: Shop, tmp_path: Path) -> None:
    second = Home(tmp_path / "second")
    shutil.copytree(shop.home.root, second.root)
    Shop(second, shop.encoder).stopped("apart", stop=3, epochs="9", batch_size="4")
    running = start_apart([shop.home.root, second.root], *short(shop))
    _, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert Registry(shop.home).open("apart").meta.machine["processes"] == 2
