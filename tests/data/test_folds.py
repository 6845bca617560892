from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from smartcli.data.folds import assign_folds, check_count, same_text
from smartcli.errors import UserError
from smartcli.tasks import Task, parse_task

KEY = "f" * 64


def task_of(kind: str, **more: Any) -> Task:
    return parse_task({"name": "t", "kind": kind, "text": "a", "label": "l", **more}, "t")


MOOD = task_of("classification", labels=["x", "y", "z"])
NEAR = task_of("regression", range=[0, 5])
SETS = task_of("multilabel", labels=["x", "y"], labels_separator=",")


def texts(n: int) -> list[tuple[str, ...]]:
    return [same_text([f"row {i}"]) for i in range(n)]


def test_the_same_text_is_the_same_whatever_case_spaces_and_order() -> None:
    assert same_text(["A  Cat ", "the dog"]) == same_text(["The\tdog", "a cat"])
    assert same_text(["a cat", "the dog"]) != same_text(["a cat", "a dog"])


def test_every_class_is_spread_evenly() -> None:
    labels = np.array([0] * 50 + [1] * 11 + [2] * 5, float)
    folds = assign_folds(MOOD, texts(66), labels, 5, KEY)
    for number, count in ((0, 50), (1, 11), (2, 5)):
        found = np.bincount(folds[labels == number], minlength=5)
        assert found.sum() == count
        assert found.max() - found.min() <= 1
    assert np.ptp(np.bincount(folds, minlength=5)) <= 1


def test_scores_low_and_high_are_in_every_fold() -> None:
    labels = np.random.default_rng(0).uniform(0, 5, 100)
    folds = assign_folds(NEAR, texts(100), labels, 5, KEY)
    assert np.bincount(folds).tolist() == [20] * 5
    for fold in range(5):
        assert np.histogram(labels[folds == fold], np.sort(labels)[[0, 25, 50, 75, 99]])[0].min() >= 4
        assert labels[folds == fold].mean() == pytest.approx(labels.mean(), abs=0.15)


def test_a_planted_leak_stays_in_one_fold() -> None:
    """Rows 0 to 9 stand once more in another case and spacing, and their pairs the other way round."""
    plain = [(f"first {i}", f"second {i}") for i in range(60)]
    planted = [(f"SECOND   {i} ", f"First {i}") for i in range(10)]
    rows = [same_text(one) for one in plain + planted]
    labels = np.array([float(i % 3) for i in range(60)] + [float((i + 1) % 3) for i in range(10)])
    folds = assign_folds(MOOD, rows, labels, 4, KEY)
    assert folds[60:].tolist() == folds[:10].tolist()
    # were each row its own text, the planted ones would not all fall where their originals do
    naive = assign_folds(MOOD, [(str(i),) for i in range(70)], labels, 4, KEY)
    assert naive[60:].tolist() != naive[:10].tolist()


def test_sets_of_labels_are_spread_by_their_rarest_label() -> None:
    labels = np.zeros((40, 2))
    labels[:30, 0] = 1
    labels[25:35, 1] = 1
    folds = assign_folds(SETS, texts(40), labels, 5, KEY)
    assert np.bincount(folds[labels[:, 1] > 0]).tolist() == [2] * 5


def test_the_same_rows_fall_into_the_same_folds_and_another_key_draws_others() -> None:
    labels = np.array([float(i % 3) for i in range(60)])
    one, again, other = (assign_folds(MOOD, texts(60), labels, 5, key) for key in (KEY, KEY, "e" * 64))
    assert one.tolist() == again.tolist()
    assert one.tolist() != other.tolist()


def test_more_folds_than_the_rarest_class_has_texts_are_refused() -> None:
    labels = np.array([0] * 20 + [2] * 4, float)
    with pytest.raises(UserError, match=r'--folds 5 is too many: the task "t" has 4 train rows .* rarest class, "z"'):
        assign_folds(MOOD, texts(24), labels, 5, KEY)
    assert Counter(assign_folds(MOOD, texts(24), labels, 4, KEY)[20:].tolist()) == dict.fromkeys(range(4), 1)
    with pytest.raises(UserError, match="--folds 4 is too many"):
        assign_folds(MOOD, [*texts(23), texts(23)[-1]], labels, 4, KEY)
    with pytest.raises(UserError, match="--folds 5 is too many"):
        assign_folds(NEAR, texts(4), np.arange(4.0), 5, KEY)


def test_one_fold_is_none() -> None:
    with pytest.raises(UserError, match="--folds must be at least 2, found 1"):
        check_count(1)
    assert check_count(2) == 2
