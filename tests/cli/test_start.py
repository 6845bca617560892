"""What `smart` costs before it does anything, measured in a fresh interpreter."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

HEAVY = {"torch", "pandas", "scipy", "numpy", "pyarrow", "tokenizers", "matplotlib", "transformers", "huggingface_hub"}
LIMIT = 0.4
"""Seconds for `smart --help`."""


def loaded(*arguments: str) -> set[str]:
    """Names of the heavy packages that `smart ARGUMENTS` imports."""
    code = (
        "import sys, json, atexit\n"
        f"sys.argv = ['smart', *{list(arguments)!r}]\n"
        f"heavy = {sorted(HEAVY)!r}\n"
        "atexit.register(lambda: print(json.dumps([m for m in heavy if m in sys.modules]), file=sys.stderr))\n"
        "from smartcli.__main__ import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments", [["--help"], [], ["--version"], ["finetune", "--help"], ["evaluate", "--help"], ["nonsense"]]
)
def test_starting_imports_nothing_heavy(arguments: list[str]) -> None:
    assert loaded(*arguments) == set()


def seconds(*arguments: str) -> float:
    """CPU time of a Python process, since others may share the machine."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_is_there_at_once() -> None:
    # The best of a few, since others share the machine's caches too; on a slow machine what its libraries take counts.
    limit, times = LIMIT, []
    for _ in range(5):
        times.append(seconds("-m", "smartcli", "--help"))
        if times[-1] < limit:
            return
        limit = max(limit, 3 * seconds("-c", "import typer, rich.console, rich.table"))
    assert min(times) < limit
