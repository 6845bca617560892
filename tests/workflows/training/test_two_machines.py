"""Two machines, as network namespaces: a slow link, a lossy one, a cut one, and a machine that goes away."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
import two_machines
from scale_out import collect
from training import Shop
from two_machines import ROOT, Machines, torchrun

from smartcli.home import Home

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(two_machines.why_not() is not None, reason=f"two machines: {two_machines.why_not()}"),
]
TOLERANCE = 1e-5
COMMON = {"epochs": "5", "max_steps": "20", "dropout": "0.2", "attention_dropout": "0.1", "lambda": "1"}
JOBS: dict[str, dict[str, Any]] = {
    "near": COMMON | {"clip_norm": "1"},
    "far": COMMON | {"mu": "1", "accumulate": "2", "batch_size": "2"},
    "surgery": COMMON | {"surgery": "pcgrad", "max_steps": "6"},
}
"""The first over a fast link, the others over a slow and lossy one."""
LONG = ("-m", "smartcli", "finetune", "--data", "small", "--epochs", "5000", "--batch-size", "4", "--save-every", "5",
        "--precision", "fp32", "--lr", "1e-3", "--lambda", "0", "--name", "long")  # fmt: skip
PATIENCE = 600
"""Seconds for a start, on a machine that is busy with other work."""
SILENT = 15
"""Seconds after which a machine counts as lost here."""


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path, train={"sst": 17, "qqp": 15, "sts": 30})


@pytest.fixture
def machines() -> Iterator[Machines]:
    with two_machines.two_machines() as found:
        yield found


def start(machines: Machines, *words: str) -> list[Popen[str]]:
    path = f"{ROOT}:{ROOT / 'tests'}"
    more = {"PYTHONPATH": path, "SMART_SILENT_SECONDS": str(SILENT)}
    return [machines.start(number, [*torchrun(machines, number), *words], **more) for number in (0, 1)]


def test_over_a_slow_and_lossy_link_the_losses_are_those_of_one_process(
    shop: Shop, machines: Machines, tmp_path: Path
) -> None:
    def worsen() -> None:
        while not (shop.home.root / "checkpoints" / "near").exists() and not machines.link.stopped:
            time.sleep(0.05)
        machines.link.delay, machines.link.loss = 0.02, 0.01

    out = tmp_path / "steps.json"
    threading.Thread(target=worsen, daemon=True).start()
    words = [str(shop.home.root), str(shop.encoder), json.dumps(JOBS), str(out)]
    running = start(machines, str(ROOT / "tests" / "scale_out.py"), *words)
    alone = {name: collect(partial(shop.train, f"{name}1", **options)) for name, options in JOBS.items()}
    for each in running:
        _, err = each.communicate(timeout=PATIENCE)
        assert each.returncode == 0, err
    assert machines.link.loss == 0.01
    found = json.loads(out.read_text())
    for name, events in alone.items():
        pairs = list(zip(events, found[name], strict=True))
        assert len(pairs) >= 6
        for one, other in pairs:
            if one["event"] == "step":
                for key in ("loss", "r_s", "bregman", "cosine"):
                    assert other.get(key, {}) == pytest.approx(one.get(key, {}), abs=TOLERANCE, rel=0), (name, key)
    assert machines.link.bytes_carried > 1e6


def begin(shop: Shop, machines: Machines) -> list[Popen[str]]:
    """Start a long training, and return once it has saved."""
    running = start(machines, *LONG, "--encoder", str(shop.encoder))
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if (shop.home.runs / "long" / "state.json").exists():
            return running
        for each in running:
            assert each.poll() is None, each.communicate()[1]
        time.sleep(0.1)
    raise AssertionError("it never saved")


def said(running: Popen[str], seconds: float) -> list[str]:
    """What a machine's processes said at the end, without torchrun's own report; they must end in that time."""
    _, err = running.communicate(timeout=seconds)
    assert running.returncode != 0
    return [line for line in err.splitlines() if re.match(r"(process \d+: )?(error:|stopped)", line)]


def goes_on(shop: Shop, message: str) -> None:
    """One process goes on from where the message says the last save is."""
    before = int(re.findall(r"since step (\d+)", message)[0])
    assert before >= 5
    left_out = {"threads": None, "precision": None, "epochs": None, "lambda": None}
    stopped = shop.stopped("long", stop=before + 3, resume="auto", **left_out)
    assert f"stopped after step {before + 3}" in str(stopped)


def test_a_cut_link_ends_both_machines_and_the_run_goes_on(shop: Shop, machines: Machines) -> None:
    first, second = begin(shop, machines)
    cut = time.monotonic()
    machines.link.cut = True
    (message,) = said(first, 300)
    assert "another process of this training ended or cannot be reached" in message
    assert len(said(second, 300)) == 1
    assert time.monotonic() - cut < 240
    assert machines.pids(0) == machines.pids(1) == []
    goes_on(shop, message)


def test_a_machine_that_goes_away_ends_the_other(shop: Shop, machines: Machines) -> None:
    first, second = begin(shop, machines)
    machines.kill(1)
    (message,) = said(first, 120)
    second.communicate()
    assert "another process of this training ended" in message
    assert machines.pids(0) == []
    goes_on(shop, message)


def test_the_first_machine_goes_away_and_the_other_says_so(shop: Shop, machines: Machines) -> None:
    first, second = begin(shop, machines)
    machines.kill(0)
    (message,) = said(second, 240)
    first.communicate()
    assert "another process of this training ended" in message
    assert sys.executable not in message
    assert machines.pids(1) == []
