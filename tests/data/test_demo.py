"""The demo corpus: the same everywhere, no row twice, balanced, and not to be guessed from one word."""

from __future__ import annotations

from collections import Counter

import pytest

from smartcli.data.demo import demo_rows
from smartcli.data.paper import paper
from smartcli.data.rows import hash_form
from smartcli.tasks import SPLITS

TASKS = paper().table.names


@pytest.mark.parametrize("task", TASKS)
def test_there_are_enough_rows_and_none_stands_twice(task: str) -> None:
    rows = demo_rows(task)
    assert [len(rows[split]) >= least for split, least in zip(SPLITS, (600, 150, 150), strict=True)] == [True] * 3
    every = [row for split in SPLITS for row in rows[split]]
    assert len({row[1] for row in every}) == len(every)
    assert len({row[0] for row in every}) == len(every)
    assert all(row[0].startswith("demo-") for row in every)
    assert all(len(row[1]) == len(paper().table.get(task).text) for row in every)


def test_labels_cover_what_the_tasks_declare_without_one_that_wins_by_guessing() -> None:
    labels = {task: [row[2] for row in demo_rows(task)["train"]] for task in TASKS}
    classes = Counter(labels["sst"])
    assert set(classes) == {0.0, 1.0, 2.0, 3.0, 4.0}
    assert max(classes.values()) < 0.3 * len(labels["sst"])
    assert 0.35 < sum(labels["qqp"]) / len(labels["qqp"]) < 0.5
    scores = labels["sts"]
    assert min(scores) == 0.0
    assert max(scores) == 5.0
    assert {round(score) for score in scores} == {0, 1, 2, 3, 4, 5}


def test_negatives_are_hard_sharing_most_words_with_their_partner() -> None:
    def shared(first: str, second: str) -> float:
        a, b = set(first.lower().split()), set(second.lower().split())
        return len(a & b) / len(a | b)

    overlap = {label: [shared(*row[1]) for row in demo_rows("qqp")["train"] if row[2] == label] for label in (0.0, 1.0)}
    means = {label: sum(values) / len(values) for label, values in overlap.items()}
    assert means[0.0] > 0.9 * means[1.0]


def test_the_corpus_is_the_same_on_every_machine() -> None:
    from hashlib import sha256

    found = {task: sha256(hash_form(demo_rows(task)["train"])).hexdigest()[:16] for task in TASKS}
    assert found == {"sst": "d537572c892a4d22", "qqp": "109c6528c73af7cb", "sts": "10354cd13ae29379"}
