"""`smart finetune` and `smart pretrain-qqp` as typed: exit codes, messages, and signals to a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from training import Shop, assert_same_training, save_small

from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.registry.run_folders import Runs

QUICK = ("--threads", "1", "--precision", "fp32", "--batch-size", "4", "--lambda", "0")
LONG = {"sst": 240, "qqp": 240, "sts": 240}
STEPS = 120


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def test_finetune_prints_scores_on_stdout_and_the_rest_on_stderr(shop: Shop, smart: Callable[..., Any]) -> None:
    found = smart("finetune", "--encoder", shop.encoder, "--name", "first", "--epochs", "1", *QUICK)
    assert found.exit_code == 0, found.stderr
    assert "first: dev scores" in found.stdout
    assert "sst accuracy" in found.stdout
    assert "small (the one prepared last)" in found.stderr
    assert "registered as first" in found.stderr
    again = smart("finetune", "--encoder", shop.encoder, "--name", "first", "--epochs", "1", *QUICK, "--resume")
    assert again.exit_code == 0
    assert '"first" is finished already, with these settings; nothing to do' in again.stderr
    assert again.stdout == found.stdout


def test_a_resumed_run_prints_its_own_settings(shop: Shop, smart: Callable[..., Any]) -> None:
    shop.stopped("mine", stop=1, dropout="0.25")
    save_small(shop.home, "newer", seed=1)
    found = smart("finetune", "--resume")
    assert found.exit_code == 0, found.stderr
    assert "data set: small, encoder: " in found.stderr
    assert "(run mine)" in found.stderr
    (line,) = [line for line in found.stderr.splitlines() if line.strip().startswith("--dropout")]
    assert line.split()[1:] == ["0.25", "run", "mine"]
    assert "prepared last" not in found.stderr


def test_pretrain_then_finetune_from_it(shop: Shop, smart: Callable[..., Any]) -> None:
    assert smart("pretrain-qqp", "--encoder", shop.encoder, "--name", "pre", *QUICK).exit_code == 0
    found = smart("finetune", "--init", "pre", "--max-steps", "1", *QUICK)
    assert found.exit_code == 0, found.stderr
    assert shop.open_checkpoint("ckpt1").meta.method == "concat simultaneous init"
    assert [task["name"] for task in shop.open_checkpoint("pre").meta.tasks] == ["qqp"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--dropout", "1.5"), "--dropout"),
        (("--lambda", "-1"), "--lambda"),
        (("--lambda", "sts=1,foo=2"), '--lambda: there is no task "foo"'),
        (("--name", "../x"), "--name"),
        (("--max-length", "999"), "--max-length is 999"),
        (("--resume", "nobody"), 'no run "nobody"'),
        (("--init", "nobody"), "nobody"),
        (("--data", "nothing"), "nothing"),
    ],
)
def test_wrong_input_exits_2_with_one_message_and_leaves_nothing(
    shop: Shop, smart: Callable[..., Any], words: tuple[str, str], message: str
) -> None:
    found = smart("finetune", "--encoder", shop.encoder, *QUICK, *words)
    assert found.exit_code == 2
    assert message in found.stderr
    assert found.stderr.count("error:") == 1
    assert "Traceback" not in found.stderr
    assert found.stdout == ""
    assert not shop.home.runs.exists()
    assert not shop.home.checkpoints.exists()


class Typed:
    """`smart …` in a process of its own, stopped once it has trained a step."""

    def __init__(self, shop: Shop, name: str) -> None:
        self.shop, self.name = shop, name
        command = [sys.executable, "-m", "smartcli", "finetune", "--encoder", str(shop.encoder), "--name", name]
        self.process = subprocess.Popen(
            [*command, *QUICK, "--data", "long", "--epochs", "1", "--batch-size", "2"],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def has_trained(self) -> bool:
        log = self.shop.home.runs / self.name / "log.jsonl"
        assert self.process.poll() is None, self.process.communicate()
        return log.exists() and b'"step"' in log.read_bytes()

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=60)
        return self.process.returncode, errors


def test_signals_end_a_process_with_a_save_and_the_command_to_go_on(shop: Shop) -> None:
    save_small(shop.home, "long", train=LONG)
    cases = {"ctrl-c": (signal.SIGINT, 130), "term": (signal.SIGTERM, 143), "usr1": (signal.SIGUSR1, 138)}
    typed = {name: Typed(shop, name) for name in cases}
    waiting, until = set(cases), time.monotonic() + 120
    while waiting and time.monotonic() < until:
        for name in [name for name in waiting if typed[name].has_trained()]:
            typed[name].process.send_signal(cases[name][0])
            waiting.remove(name)
        time.sleep(0.001)
    assert not waiting
    for name, (_, code) in cases.items():
        found, errors = typed[name].end()
        assert found == code, errors
        step = Runs(shop.home).open(name).position()["total"]
        assert f"stopped after step {step}, and saved; go on with: smart finetune --resume {name}" in errors
        assert "Traceback" not in errors
        assert 1 <= step < STEPS
    assert Runs(shop.home).names() == ["ctrl-c", "term", "usr1"]

    for name in cases:
        shop.train(None, resume=name, **dict.fromkeys(("epochs", "batch_size", "lr", "lambda", "encoder")))
    shop.train("whole", data="long", epochs="1", batch_size="2", lr=None)
    for name in cases:
        assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint(name))
    assert Registry(shop.home).verify() == []
