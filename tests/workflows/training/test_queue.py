"""The SLURM script of docs/resume.md under a queue that signals, and starts what asks for it again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from training import OPTIONS, Shop, assert_same_training

from smartcli.home import Home

ROOT = Path(__file__).parents[3]
LIMIT = 120.0
"""Seconds that the test waits for anything."""
LONG = OPTIONS | {"epochs": "30", "batch_size": "4", "lambda": "1", "mu": "1", "threads": "1", "precision": "fp32"}


def script_of_the_page() -> str:
    page = (ROOT / "docs" / "resume.md").read_text(encoding="utf-8")
    found = re.search(r"```text\n(#!/bin/bash\n.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1]


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)


class Queue:
    """A stand-in for SLURM: `srun` runs a job's step, whose process gets the signal; `scontrol requeue` is heard."""

    def __init__(self, folder: Path, home: Home) -> None:
        self.folder, self.home = folder, home
        own = folder / "bin"
        own.mkdir()
        program(own, "smart", f'#!/bin/sh\nexec {sys.executable} -m smartcli "$@"\n')
        program(own, "srun", '#!/bin/sh\necho $$ > step.pid\nexec "$@"\n')
        program(own, "scontrol", '#!/bin/sh\necho "$@" > requeued\n')
        (folder / "job.sh").write_text(script_of_the_page(), encoding="utf-8")
        self.env = os.environ | {
            "PATH": f"{own}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "SMART_HOME": str(home.root),
            "SLURM_JOB_ID": "77",
        }

    def run(self, ready: Callable[[], bool] | None) -> tuple[int, bool, str]:
        """Start the job; once `ready` send SIGUSR1. Return its exit code, whether it asked to run again, its output."""
        asked = self.folder / "requeued"
        asked.unlink(missing_ok=True)
        job = subprocess.Popen(
            ["bash", "job.sh"],
            cwd=self.folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        end = time.monotonic() + LIMIT
        while ready is not None and not ready():
            assert job.poll() is None, job.communicate()[0]
            assert time.monotonic() < end
            time.sleep(0.005)
        if ready is not None:
            os.kill(int((self.folder / "step.pid").read_text()), signal.SIGUSR1)
        said = job.communicate(timeout=LIMIT)[0]
        return job.returncode, asked.is_file() and asked.read_text() == "requeue 77\n", said

    def logged_beyond(self, lines: int) -> bool:
        log = self.home.root / "runs" / "long" / "log.jsonl"
        return log.is_file() and log.read_bytes().count(b"\n") > lines


@pytest.fixture
def shop(home: Home, tmp_path: Path) -> Shop:
    return Shop.open(home, tmp_path)


def test_a_job_that_is_signalled_twice_and_requeued_ends_as_one_that_was_not(shop: Shop, tmp_path: Path) -> None:
    options = LONG | {"encoder": str(shop.encoder)}
    shop.train("whole", **options)
    lines = [f'{key} = "{value}"' for key, value in options.items()]
    (tmp_path / "long.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    queue = Queue(tmp_path, shop.home)
    for lines_before in (3, 25):
        code, again, said = queue.run(lambda most=lines_before: queue.logged_beyond(most))
        assert (code, again) == (138, True), said
        assert "and saved; go on with: smart finetune --resume long" in said
    code, again, said = queue.run(None)
    assert (code, again) == (0, False), said
    assert_same_training(shop.open_checkpoint("whole"), shop.open_checkpoint("long"))
