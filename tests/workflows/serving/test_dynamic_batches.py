from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
import pytest
from serving import TASKS

from smartcli.data.predictions import TaskPredictions
from smartcli.tasks import Task
from smartcli.workflows.serving.dynamic_batches import BatchDone, DynamicBatches, about_tokens
from smartcli.workflows.serving.limits import Limits

MOOD, SAME, NEAR = TASKS


@dataclass
class Lengths:
    """A model whose score of a row is its number of characters; it stops before each batch until it may go on."""

    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    begun: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    asked: list[tuple[str, int]] = field(default_factory=list)
    seconds: float = 0.0

    def __call__(self, task: Task, rows: Sequence[Sequence[str]]) -> TaskPredictions:
        self.asked.append((task.name, len(rows)))
        self.begun.release()
        self.go.acquire()
        time.sleep(self.seconds)
        if any("fault" in text for row in rows for text in row):
            raise ValueError("a fault")
        scores = np.array([sum(map(len, row)) for row in rows], dtype=np.float64)
        return TaskPredictions(task.name, [str(i) for i in range(len(rows))], None, scores)


@pytest.fixture
def model() -> Lengths:
    return Lengths()


@pytest.fixture
def done() -> list[BatchDone]:
    return []


def make(model: Lengths, done: list[BatchDone], **limits: float) -> DynamicBatches:
    found = DynamicBatches(model, Limits(**limits), 64, done.append)
    found.start()
    return found


@pytest.fixture
def batches(model: Lengths, done: list[BatchDone]) -> Iterator[DynamicBatches]:
    found = make(model, done, wait_ms=0)
    yield found
    model.go.release(1000)
    found.close()


def scores(answer: Future[TaskPredictions]) -> list[float]:
    return list(answer.result(10).predictions)


def test_requests_that_arrive_while_the_model_runs_share_the_next_batch(
    batches: DynamicBatches, model: Lengths, done: list[BatchDone]
) -> None:
    first = batches.submit(NEAR, [("a", "b")])
    assert model.begun.acquire(timeout=10)
    others = [batches.submit(NEAR, [("x" * n, "y"), ("z", "")]) for n in range(5)]
    assert batches.waiting == 5
    model.go.release(2)
    assert scores(first) == [2]
    assert [scores(answer) for answer in others] == [[n + 1, 1] for n in range(5)]
    assert model.asked == [("near", 1), ("near", 10)]
    batches.close()
    assert [(one.requests, one.rows) for one in done] == [(1, 1), (5, 10)]


def test_tasks_of_one_batch_are_asked_apart_and_each_gets_its_own_rows(batches: DynamicBatches, model: Lengths) -> None:
    batches.submit(NEAR, [("a", "b")])
    assert model.begun.acquire(timeout=10)
    answers = [
        batches.submit(task, [("x" * n,) * len(task.text)]) for n, task in enumerate((MOOD, NEAR, MOOD, SAME), 1)
    ]
    model.go.release(9)
    assert [scores(answer) for answer in answers] == [[1], [4], [3], [8]]
    assert model.asked == [("near", 1), ("mood", 2), ("near", 1), ("same", 1)]


def test_a_batch_ends_before_the_request_that_would_make_it_too_large(model: Lengths, done: list[BatchDone]) -> None:
    batches = make(model, done, wait_ms=0, batch_tokens=25)
    batches.submit(NEAR, [("a", "b")])
    assert model.begun.acquire(timeout=10)
    # Of 10 tokens each by four characters to a token and the special ones, but the fourth, of 52, which fits nowhere.
    sizes = [10, 10, 10, 190, 10]
    answers = [batches.submit(NEAR, [("x" * n, "y" * 8)]) for n in sizes]
    model.go.release(9)
    assert [scores(answer) for answer in answers] == [[n + 8] for n in sizes]
    batches.close()
    assert [one.requests for one in done] == [1, 2, 1, 1, 1]
    assert [one.tokens for one in done] == [6, 20, 10, 55, 10]


def test_a_request_that_fails_spoils_no_other_of_its_batch(batches: DynamicBatches, model: Lengths) -> None:
    batches.submit(NEAR, [("a", "b")])
    assert model.begun.acquire(timeout=10)
    good, bad, other = (batches.submit(NEAR, [(text, "")]) for text in ("good", "a fault", "well"))
    model.go.release(9)
    assert scores(good) == scores(other) == [4]
    with pytest.raises(ValueError, match="a fault"):
        bad.result(10)
    assert batches.alive


def test_a_cancelled_request_is_not_run(batches: DynamicBatches, model: Lengths) -> None:
    batches.submit(NEAR, [("a", "b")])
    assert model.begun.acquire(timeout=10)
    left, kept = batches.submit(NEAR, [("x", "")] * 3), batches.submit(NEAR, [("xyz", "")])
    assert left.cancel()
    model.go.release(9)
    assert scores(kept) == [3]
    assert model.asked == [("near", 1), ("near", 1)]


def test_a_cancelled_request_leaves_the_queue_at_once(batches: DynamicBatches, model: Lengths) -> None:
    first = batches.submit(NEAR, [("a", "b")])
    assert model.begun.acquire(timeout=10)
    ahead = batches.seconds_ahead()
    second = batches.submit(NEAR, [("twelve letters", "")] * 40)
    assert batches.waiting == 1
    assert batches.seconds_ahead() > ahead
    assert second.cancel()
    assert batches.waiting == 0
    assert batches.seconds_ahead() == ahead
    model.go.release(9)
    assert scores(first) == [2]


def test_closing_answers_what_waits_and_then_takes_nothing(batches: DynamicBatches, model: Lengths) -> None:
    answers = [batches.submit(NEAR, [("x" * n, "")]) for n in range(20)]
    model.go.release(50)
    batches.close()
    assert [scores(answer) for answer in answers] == [[n] for n in range(20)]
    assert not batches.alive
    with pytest.raises(RuntimeError):
        batches.submit(NEAR, [("x", "y")])


def test_one_client_alone_never_waits_for_others(model: Lengths, done: list[BatchDone]) -> None:
    batches = make(model, done, wait_ms=60_000)
    model.go.release(100)
    for _ in range(20):
        assert scores(batches.submit(NEAR, [("x", "y")])) == [2]
    batches.close()


def test_after_a_shared_batch_the_model_waits_until_as_many_are_there_again(
    model: Lengths, done: list[BatchDone]
) -> None:
    batches = make(model, done, wait_ms=60_000)
    first = batches.submit(NEAR, [("x", "y")])
    assert model.begun.acquire(timeout=10)
    second = batches.submit(NEAR, [("x", "y")])
    model.go.release(100)
    assert scores(first) == [2]
    # The second came while the first ran: two clients, and the next batch waits for both.
    time.sleep(0.01)
    assert not second.done()
    assert scores(batches.submit(NEAR, [("x", "y")])) == scores(second) == [2]
    for _ in range(5):
        one = batches.submit(NEAR, [("x", "y")])
        time.sleep(0.01)
        assert not one.done()
        assert scores(batches.submit(NEAR, [("x", "y")])) == scores(one) == [2]
    batches.close()
    assert [one.requests for one in done] == [1, 2, 2, 2, 2, 2, 2]


def test_the_wait_for_others_has_an_end(model: Lengths, done: list[BatchDone]) -> None:
    batches = make(model, done, wait_ms=20)
    model.go.release(100)
    batches._expected = 10
    started = time.monotonic()
    assert scores(batches.submit(NEAR, [("x", "y")])) == [2]
    assert time.monotonic() - started >= 0.02
    batches.close()


def test_how_long_a_queue_takes_follows_from_the_batches_so_far(model: Lengths, done: list[BatchDone]) -> None:
    batches = make(model, done, wait_ms=0)
    model.seconds = 0.02
    model.go.release(12)
    for _ in range(12):
        assert scores(batches.submit(NEAR, [("x" * 28, "y" * 28)])) == [56]
    batches.submit(NEAR, [("x" * 28, "y" * 28)])
    one = batches.seconds_ahead()
    # The machine may be slow, but a batch of 20 tokens never took less than it slept.
    assert 0.015 < one < 2
    batches.submit(NEAR, [("x" * 28, "y" * 28)] * 9)
    assert batches.seconds_ahead() == pytest.approx(10 * one)
    model.go.release(20)
    batches.close()


def test_tokens_are_guessed_by_characters_and_bounded_by_truncation() -> None:
    assert about_tokens([("abcd" * 5,), ("",)], 64) == 8 + 3
    assert about_tokens([("abcd" * 5, "abcd" * 5)], 64) == 16
    assert about_tokens([("abcd" * 500,)], 64) == 64


def test_many_threads_get_their_own_answers(done: list[BatchDone]) -> None:
    model = Lengths()
    model.go.release(100_000)
    batches = make(model, done, wait_ms=1, batch_tokens=200)
    faults: list[str] = []

    def ask(place: int) -> None:
        for n in range(50):
            found = scores(batches.submit(TASKS.tasks[(n + place) % 3], [("x" * place, "y" * n)]))
            faults.extend([] if found == [place + n] else [f"{place} {n} {found}"])

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    batches.close()
    assert faults == []
    assert sum(one.requests for one in done) == 800
    assert len(done) < 800
