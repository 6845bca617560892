"""Trainings in the processes that torchrun starts: `torchrun … tests/scale_out.py HOME ENCODER JOBS OUT`.

JOBS is a JSON object, a name to the options of a training; every step of each goes to OUT.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")
Steps = dict[str, list[dict[str, Any]]]


def start(processes: int, *words: str, options: Sequence[str] = (), **env: str) -> subprocess.Popen[str]:
    """Start `torchrun OPTIONS WORDS`; each process has one thread, as torchrun has it."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return subprocess.Popen(
        [*TORCHRUN, str(processes), *options, *words],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start_apart(homes: Sequence[Path], *words: str) -> subprocess.Popen[str]:
    """Start `torchrun -m smartcli WORDS` as machines without a common file system do: each process has its own home."""
    more = {f"HOME_{number}": str(home) for number, home in enumerate(homes)}
    return start(len(homes), str(ROOT / "tests" / "scale_out.py"), "apart", *words, **more)


def steps_of(
    processes: int, shop: Any, jobs: Mapping[str, Mapping[str, Any]], out: Path, *, toy: bool = False
) -> Steps:
    """Train every job in so many processes, and return the steps that the first one reported; `toy`: with toy_term."""
    words = [str(shop.home.root), str(shop.encoder), json.dumps(jobs), str(out), *(["toy"] if toy else [])]
    running = start(processes, str(ROOT / "tests" / "scale_out.py"), *words)
    _, err = running.communicate(timeout=300)
    assert running.returncode == 0, err
    found: Steps = json.loads(out.read_text())
    return found


def collect(train: Callable[..., Any]) -> list[dict[str, Any]]:
    """Return the step and dev events that `train` gives its listener."""
    events: list[dict[str, Any]] = []
    train(listener=lambda event: events.append(event if isinstance(event, dict) else event.to_json()))
    return [event for event in events if event["event"] in ("step", "dev")]


def main(root: str, encoder: str, jobs: str, out: str, toy: str = "") -> None:
    """Train the jobs one after the other, as one of the processes."""
    import toy_term
    from training import Shop

    from smartcli import ranks
    from smartcli.home import Home
    from smartcli.workflows.training.scale_out import joined
    from smartcli.workflows.training.train import train

    shop, found = Shop(Home(Path(root)), Path(encoder)), {}
    with toy_term.registered() if toy else nullcontext(), joined() as processes:
        for name, options in json.loads(jobs).items():
            where = {"name": name, "resume": None, "argv": ["smart", "finetune"], "processes": processes}
            resolved = shop.resolve(**options)
            found[name] = collect(partial(train, shop.home, "finetune", resolved, **where))
    if ranks.rank() == 0:
        Path(out).write_text(json.dumps(found))


def apart(words: list[str]) -> None:
    """Run the command line as one of the processes, in its own home."""
    os.environ["SMART_HOME"] = os.environ[f"HOME_{os.environ['RANK']}"]
    sys.argv = ["smart", *words]
    runpy.run_module("smartcli", run_name="__main__")


if __name__ == "__main__":
    if sys.argv[1] == "apart":
        apart(sys.argv[2:])
    else:
        main(*sys.argv[1:])
