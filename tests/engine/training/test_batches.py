"""From rows to packed examples: what an example holds, and the thread that makes them ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from small_model import NAMES, PerTask, settings, small_splits, small_step

from smartcli.engine.training.batches import ahead
from smartcli.engine.training.row_sets import take

ROWS = {"mood": [3, 0], "same": [5, 2, 1], "near": [4]}


def sentence(batch: Any, index: int) -> list[int]:
    start = int(batch.starts[index])
    return batch.ids[start : start + int(batch.lengths[index])].tolist()


@pytest.mark.parametrize("mode", ["concat", "separate"])
def test_a_step_is_one_packed_pass_with_each_rows_tokens_and_label(mode: str) -> None:
    prepared = small_step(settings(pair_mode=mode, lam=0), rows=ROWS)
    (example,) = prepared.batches
    splits = small_splits()
    assert tuple(example.batch.outputs) == NAMES
    for task, rows in ROWS.items():
        split = splits[task]
        assert example.labels[task].tolist() == pytest.approx(split.labels[rows].tolist())
        for place, row in enumerate(rows):
            words = [token for side in split.sides for token in side[row].tolist()]
            found = [t for side in example.batch.outputs[task] for t in sentence(example.batch, int(side[place]))]
            assert [token for token in found if token >= 70] == words
    sequences = {"concat": 6, "separate": 2 + 2 * 3 + 2 * 1}[mode]
    assert example.batch.sentences == sequences
    assert prepared.count == 6
    assert prepared.tokens == example.batch.tokens


def test_with_surgery_each_task_is_a_pass_of_its_own() -> None:
    prepared = small_step(settings(surgery="pcgrad"), rows=ROWS)
    assert [tuple(example.batch.outputs) for example in prepared.batches] == [("mood",), ("same",), ("near",)]
    assert prepared.count == 6
    assert len(small_step(settings(surgery="pcgrad"), rows={"mood": [1]}).batches) == 1


def test_regularised_tasks_are_a_sub_batch_and_none_is_none() -> None:
    (example,) = small_step(settings(lam=PerTask(0.0, (("same", 2.0),)), mu=0), rows=ROWS).batches
    assert "r_s" in example.of_term
    assert tuple(example.of_term["r_s"].batch.outputs) == ("same",)
    assert "bregman" not in example.of_term
    (example,) = small_step(settings(lam=0, mu=1), rows=ROWS).batches
    assert "r_s" not in example.of_term
    assert example.of_term["bregman"].batch is example.batch


def test_taken_rows_keep_tokens_labels_and_ids() -> None:
    whole = small_splits()["near"]
    rows = np.array([4, 0, 23])
    part = take(whole, rows)
    assert len(part) == 3
    for place, row in enumerate(rows):
        for side in (0, 1):
            assert part.sides[side][place].tolist() == whole.sides[side][row].tolist()
        assert part.row_id(place) == whole.row_id(int(row))
    assert part.labels is not None
    assert part.labels.tolist() == whole.labels[rows].tolist()


def test_items_come_in_order_whatever_their_making_takes() -> None:
    assert list(ahead(range(20), lambda i: time.sleep(0.001 * (i % 3)) or i * i)) == [i * i for i in range(20)]
    assert list(ahead([], lambda i: i)) == []


def test_no_more_is_made_ahead_than_asked_for() -> None:
    made: list[int] = []
    items = ahead(range(100), lambda i: made.append(i) or i, depth=2)
    next(items)
    time.sleep(0.05)
    assert len(made) <= 4  # one handed out, two waiting, one in hand
    items.close()


def test_an_error_on_the_thread_reaches_the_consumer_in_its_place() -> None:
    def make(i: int) -> int:
        if i == 2:
            raise ValueError("row 2")
        return i

    items = ahead(range(5), make)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(ValueError, match="row 2"):
        next(items)


def test_an_error_in_the_items_reaches_the_consumer() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise KeyError("gone")

    with pytest.raises(KeyError):
        list(ahead(items(), lambda i: i))


def packing_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "packing"]


def test_the_thread_ends_with_its_consumer() -> None:
    items = ahead(iter(int, 1), lambda i: i)
    next(items)
    assert len(packing_threads()) == 1
    items.close()
    assert packing_threads() == []


def test_a_batch_on_the_cpu_is_itself() -> None:
    (example,) = small_step(settings()).batches
    assert example.batch.to(torch.device("cpu")) is example.batch
