"""`smart bench-serve`: many clients against one that asks for one thing after another, in turn."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartcli.data.draws import Draws
from smartcli.data.grammars import GRAMMARS
from smartcli.data.rows_to_label import read_inputs
from smartcli.errors import SmartCliError, UserError
from smartcli.hidden import hidden
from smartcli.home import Home
from smartcli.registry.registry import Registry
from smartcli.tasks import Task, TaskTable
from smartcli.workflows.serving.http_server import TOKEN_VARIABLE, need_packages
from smartcli.workflows.serving.load_test import Side, health_of, load

SEED = "smart bench-serve"
BODIES = 512
SLICES = 4
"""How often the two sides take turns, since other work on the machine comes and goes."""
WARM_UP = 1.0
STARTUP = 300.0
READY = re.compile(r" on (http://\S+) with ")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is asked, by how many, for how long."""

    clients: int = 64
    seconds: float = 20.0
    """Of each side."""
    texts: int = 1
    """Rows of a request."""
    task: str | None = None
    source: Path | None = None
    """A file with the task's text columns; None: sentences of the demo's grammars."""

    def check(self) -> None:
        """Raise a UserError naming the option whose value makes no sense."""
        if not 0 < self.seconds < float("inf"):
            raise UserError(f"--seconds must be above 0, found {self.seconds:g}")


@dataclass(frozen=True)
class Findings:
    """One client, and many."""

    checkpoint: str
    task: str
    rows_each: int
    one: Side
    many: Side
    ratio: float | None
    """Median over the turns of how many times as many answers the many got."""

    @property
    def errors(self) -> int:
        """Number of requests without a right answer."""
        return self.one.errors.total() + self.many.errors.total()

    def to_json(self) -> dict[str, Any]:
        """Return every number."""
        return {
            "checkpoint": self.checkpoint,
            "task": self.task,
            "rows_per_request": self.rows_each,
            "one": self.one.to_json(),
            "many": self.many.to_json(),
            "ratio": None if self.ratio is None else round(self.ratio, 3),
        }


def bench(home: Home, target: str, plan: Plan, options: Sequence[str] = (), *, say: Say) -> Findings:
    """Measure the server at a URL, or one of a checkpoint that is started for it with `options` of `smart serve`."""
    plan.check()
    if "://" in target:
        if options:
            raise UserError(f"{options[0]} is for a server that is started here, and {hidden(target)} runs already")
        return _measure(target, plan, say)
    Registry(home).open(target)
    need_packages()
    with started(home, target, options) as url:
        return _measure(url, plan, say)


@contextmanager
def started(home: Home, name: str, options: Sequence[str] = ()) -> Iterator[str]:
    """Run `smart serve` in a process of its own, on a free port, and yield its URL."""
    command = [sys.executable, "-m", "smartcli", "--home", str(home.root), "serve", name, "--port", "0", *options]
    with tempfile.TemporaryFile() as said:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
        try:
            yield _wait_for_url(server, said.fileno())
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_for_url(server: subprocess.Popen[bytes], said: int) -> str:
    end = time.monotonic() + STARTUP
    while time.monotonic() < end:
        text = os.pread(said, 1_000_000, 0).decode("utf-8", "replace")
        if found := READY.search(text):
            return found[1]
        if server.poll() is not None:
            lines = text.strip().splitlines() or ["it said nothing"]
            error = UserError if server.returncode == UserError.exit_code else SmartCliError
            raise error(lines[-1].removeprefix("error: "))
        time.sleep(0.05)
    raise SmartCliError(f"the server was not ready after {STARTUP:g} seconds")


def _measure(url: str, plan: Plan, say: Say) -> Findings:
    token = os.environ.get(TOKEN_VARIABLE)
    health = health_of(url, token)
    task = _task(health, plan.task)
    bodies = bodies_for(task, plan)
    say(f"{hidden(url)}: {plan.clients} clients and one in turn, {plan.seconds:g} s each, task {task.name}")

    def ask(clients: int, seconds: float) -> Side:
        return load(url, bodies, clients=clients, seconds=seconds, rows_each=plan.texts, token=token)

    ask(1, min(WARM_UP, plan.seconds))
    ask(plan.clients, min(WARM_UP, plan.seconds))
    one, many = Side(1, plan.texts), Side(plan.clients, plan.texts)
    ratios = []
    for turn in range(SLICES):
        first, second = ask(1, plan.seconds / SLICES), ask(plan.clients, plan.seconds / SLICES)
        one.add(first)
        many.add(second)
        if first.throughput and second.throughput:
            ratios.append(second.throughput / first.throughput)
            say(f"turn {turn + 1} of {SLICES}: {second.throughput:.1f} answers a second against {first.throughput:.1f}")
    ratio = statistics.median(ratios) if ratios else None
    return Findings(str(health.get("checkpoint")), task.name, plan.texts, one, many, ratio)


def _task(health: dict[str, Any], wanted: str | None) -> Task:
    """Return the task to ask for, with what the server says of it."""
    tasks = TaskTable(
        tuple(
            Task(name=one["name"], kind=one["kind"], text=tuple(one["columns"]), label="label")
            for one in health["tasks"]
        )
    )
    return tasks.first if wanted is None else tasks.get(wanted, "--task")


def bodies_for(task: Task, plan: Plan) -> list[bytes]:
    """Return request bodies of `plan.texts` rows each: those of a file, or sentences of one to three clauses."""
    rows = read_inputs(plan.source, task).texts if plan.source is not None else _sentences(task)
    at = [(start + i) % len(rows) for start in range(0, plan.texts * min(BODIES, len(rows)), plan.texts) for i in
          range(plan.texts)]  # fmt: skip
    bodies = [[rows[i] for i in at[start : start + plan.texts]] for start in range(0, len(at), plan.texts)]
    return [
        json.dumps(
            {"task": task.name, "texts": [list(row) if task.pair else row[0] for row in body]}, ensure_ascii=False
        ).encode("utf-8")
        for body in bodies
    ]


def _sentences(task: Task) -> list[tuple[str, ...]]:
    draws = Draws(f"{SEED}: {task.name}")
    grammar = GRAMMARS["sentiment"]

    def text() -> str:
        return " ".join(grammar(draws)[0][0] for _ in range(1 + draws.below(3)))

    return [tuple(text() for _ in task.text) for _ in range(BODIES)]
