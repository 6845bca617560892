"""Requests of several clients in one batch: while the model runs, those that arrive wait, and then run together.

The model runs on one thread of its own. When it gets idle it takes every request that waits, up to a number of tokens.
A batch is worth a short wait where others are likely to come: after a batch that several requests shared, or during
which others arrived, the thread waits until as many are there again, and `wait_ms` at most. One client that asks
for one thing after another never waits so.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from smartcli.data.predictions import TaskPredictions
from smartcli.tasks import Task
from smartcli.voting import take
from smartcli.workflows.serving.limits import Limits

CHARACTERS_PER_TOKEN = 4
SPECIAL_TOKENS = 3
FIRST_RATE = 1000.0
"""Tokens per second that are assumed until the first batch has been timed."""

Rows = Sequence[Sequence[str]]
Label = Callable[[Task, Rows], TaskPredictions]
"""A model: predictions for rows of one or two texts each."""


@dataclass(frozen=True, eq=False)
class Job:
    """One request: its rows, about how many tokens they have, and where its answer goes."""

    task: Task
    rows: Rows
    tokens: int
    answer: Future[TaskPredictions] = field(default_factory=Future)


@dataclass(frozen=True)
class BatchDone:
    """What a batch was."""

    requests: int
    rows: int
    tokens: int
    seconds: float


def about_tokens(rows: Rows, longest: int) -> int:
    """Return about how many tokens a model reads of the rows that truncates each at `longest`."""
    sizes = (sum(len(text) // CHARACTERS_PER_TOKEN + SPECIAL_TOKENS for text in row) for row in rows)
    return sum(min(size, longest) for size in sizes)


class DynamicBatches:
    """A thread that answers requests in shared batches; made by `start`, ended by `close`."""

    def __init__(
        self, label: Label, limits: Limits, longest: int, heard: Callable[[BatchDone], None] = lambda done: None
    ) -> None:
        """`label` is the model, `longest` the most tokens that it reads of a row; `heard` is told of each batch."""
        self._label, self._limits, self._longest, self._heard = label, limits, longest, heard
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._expected = 1
        self._tokens = 0
        self._running = 0
        self._rate = FIRST_RATE
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="smart-serve-model", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Answer what waits, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread is there to answer."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Number of requests that no batch has taken yet."""
        return len(self._waiting)

    def seconds_ahead(self) -> float:
        """Return about how long what waits and runs will take."""
        return (self._tokens + self._running) / self._rate

    def submit(self, task: Task, rows: Rows) -> Future[TaskPredictions]:
        """Put a request in the queue; cancelling its future before a batch takes it removes it."""
        job = Job(task, rows, about_tokens(rows, self._longest))
        with self._changed:
            if self._closed:
                raise RuntimeError("the server is stopping")
            self._waiting.append(job)
            self._tokens += job.tokens
            # An idle thread is woken once, and then when its wait is over: not by each of a crowd.
            if len(self._waiting) in (1, self._expected) or self._tokens >= self._limits.batch_tokens:
                self._changed.notify()
        job.answer.add_done_callback(lambda answer: self._forget(job) if answer.cancelled() else None)
        return job.answer

    def _forget(self, job: Job) -> None:
        """Take a cancelled request out of the queue, unless a batch has taken it already."""
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
                self._tokens -= job.tokens

    def _work(self) -> None:
        while jobs := self._next_batch():
            started = time.perf_counter()
            live = [job for job in jobs if job.answer.set_running_or_notify_cancel()]
            for task_jobs in _by_task(live):
                self._answer(task_jobs)
            seconds = time.perf_counter() - started
            tokens = sum(job.tokens for job in live)
            if live:
                self._rate += 0.3 * (tokens / max(seconds, 1e-6) - self._rate)
                self._heard(BatchDone(len(live), sum(len(job.rows) for job in live), tokens, seconds))
            with self._changed:
                self._running = 0
                self._expected = max(1, len(live) + len(self._waiting))

    def _next_batch(self) -> list[Job]:
        """Return the requests of the next batch, at least one; none when the thread shall end."""
        limit = self._limits.batch_tokens
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            end = time.monotonic() + self._limits.wait_ms / 1000
            while len(self._waiting) < self._expected and self._tokens < limit and not self._closed:
                left = end - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            jobs: list[Job] = []
            used = 0
            while self._waiting and (not jobs or used + self._waiting[0].tokens <= limit):
                jobs.append(self._waiting.popleft())
                used += jobs[-1].tokens
            self._tokens -= used
            self._running = used
            return jobs

    def _answer(self, jobs: Sequence[Job]) -> None:
        """Answer jobs of one task; where their batch fails each is tried alone, so that one spoils no other's."""
        try:
            found = self._label(jobs[0].task, [row for job in jobs for row in job.rows])
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].answer.set_exception(error)
                return
            for job in jobs:
                self._answer([job])
            return
        start = 0
        for job in jobs:
            stop = start + len(job.rows)
            job.answer.set_result(take(found, range(start, stop)))
            start = stop


def _by_task(jobs: Sequence[Job]) -> list[list[Job]]:
    found: dict[str, list[Job]] = {}
    for job in jobs:
        found.setdefault(job.task.name, []).append(job)
    return list(found.values())
