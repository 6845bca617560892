"""What the shell is offered, asked as the completion scripts ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from registry_fixtures import make_fill
from saved_rows import save_rows

from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.tasks import parse_task_table

ROOT = Path(__file__).parents[2]
TASKS = {
    "task": [
        {"name": "mood", "kind": "classification", "text": ["s"], "label": "y", "labels": ["0", "1"]},
        {"name": "alike", "kind": "regression", "text": ["a", "b"], "label": "y", "range": [0, 5]},
    ]
}


@pytest.fixture
def filled(home: Home) -> Home:
    for name in ("ckpt1", "ckpt2", ".tmp-x"):
        (home.checkpoints / name).mkdir(parents=True)
    (home.runs / "halfway").mkdir(parents=True)
    one, two = [("1", ("good",), 1.0)], [("1", ("one", "two"), 1.0)]
    rows = {"mood": {"train": one, "dev": one}, "alike": {"train": two, "dev": two}}
    save_rows(home, "mine", parse_task_table(TASKS, "t"), rows)
    return home


def offered(line: str) -> list[str]:
    """Words that bash is offered at the end of `line`."""
    words = line.split(" ")
    env = {**os.environ, "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_SMART_COMPLETE": "complete_bash"}
    code = "import sys; sys.argv = ['smart']; from smartcli.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("smart fin", ["finetune"]),
        ("smart finetune --init ", ["ckpt1", "ckpt2"]),
        ("smart finetune --data ", ["mine"]),
        ("smart finetune --tasks mo", ["mood"]),
        ("smart finetune --tasks mood,", ["mood,alike"]),
        ("smart finetune --lambda a", ["alike="]),
        ("smart finetune --recipe pa", ["paper"]),
        ("smart finetune --resume h", ["halfway"]),
        ("smart finetune --surgery p", ["pcgrad"]),
        ("smart prepare --encoder mini", ["minilm"]),
        ("smart reproduce f", ["figure3"]),
        ("smart evaluate --split t", ["test"]),
        ("smart explain ckpt1 --swap-file g", ["gender"]),
        ("smart explain ckpt1 --split t", ["train", "test"]),
        ("smart checkpoints export ckpt1 --format o", ["onnx"]),
        ("smart finetune --schedule s", ["sequential", "simultaneous"]),
        ("smart finetune --lamb", ["--lambda"]),
    ],
)
def test_names_are_offered(filled: Home, line: str, words: list[str]) -> None:
    assert offered(line) == words


def test_a_checkpoints_own_tasks_are_offered_for_it(filled: Home) -> None:
    Registry(filled).commit("own", make_fill("own"))
    assert offered("smart predict own --task ") == ["mood"]
    # Not a whole checkpoint: nothing, and no message.
    assert offered("smart predict ckpt1 --task ") == []


def test_an_empty_home_offers_nothing_and_says_nothing(home: Home) -> None:
    assert offered("smart finetune --init ") == []
    assert offered("smart finetune --tasks ") == []


def test_the_bash_script_works_in_bash(filled: Home, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    runner = tmp_path / "smart"
    runner.write_text(f"#!/bin/sh\nexec {sys.executable} -c 'from smartcli.cli.app import run; run()' \"$@\"\n")
    runner.chmod(0o755)
    script = (
        f"source {ROOT / 'completions' / 'smart.bash'}\n"
        "COMP_WORDS=(smart finetune --init ckpt); COMP_CWORD=3; _smart_completion smart\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([bash, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["ckpt1", "ckpt2"]
