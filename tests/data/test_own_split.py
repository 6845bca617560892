"""One file divided: shares by label, texts kept together, the same for everyone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from smartcli.data.own_split import assign, group_keys, strata, text_of
from smartcli.data.store import open_data
from smartcli.errors import UserError
from smartcli.home import Home
from smartcli.task_keys import Shares
from smartcli.tasks import SPLITS, parse_task
from smartcli.workflows.preparing.preparation import prepare

TABLE = """
[[task]]
name = "topic"
kind = "classification"
text = {text}
label = "topic"
train = "all.jsonl"
split = {split}
"""


def folder_with(
    path: Path, rows: list[dict[str, object]], split: str = "{dev = 0.1, test = 0.1}", text: str = '"line"'
) -> Path:
    path.mkdir(exist_ok=True)
    (path / "tasks.toml").write_text(TABLE.format(text=text, split=split))
    (path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(count: int, rare: int = 0) -> list[dict[str, object]]:
    labels = ["waste"] * (count - rare) + ["parks"] * rare if rare else ["waste", "parks"] * (count // 2)
    return [{"line": f"row number {i}", "topic": label} for i, label in enumerate(labels)]


def test_pairs_in_either_order_letters_case_and_spaces_are_one_text() -> None:
    assert text_of(("A  cat", "a DOG ")) == text_of(("a dog", "a cat"))
    assert text_of(("a cat", "a dog")) != text_of(("a cat a dog",))


def test_pairs_that_share_a_sentence_have_one_key_whatever_their_order() -> None:
    alone = [(f"one {i}", f"other {i}") for i in range(40)]
    chain = [("a cat", "a dog"), ("A dog", "a bird"), ("a fish", "a bird")]
    keys, apart = group_keys([*alone, *chain])
    assert apart == 0
    assert keys[:40] == [text_of(pair) for pair in alone], "as if nothing were shared"
    assert len(set(keys[40:])) == 1
    again, _ = group_keys([*reversed(chain), *alone])
    assert set(again[:3]) == set(keys[40:])


def test_a_chain_that_holds_too_many_rows_is_divided_and_counted() -> None:
    rows = [("the same question", f"answer {i % 20}") for i in range(30)] + [(f"a {i}", f"b {i}") for i in range(30)]
    keys, apart = group_keys(rows)
    assert apart == 30
    assert keys == [text_of(pair) for pair in rows]


def test_sentences_of_single_texts_are_their_own_keys() -> None:
    assert group_keys([("a",), ("b",), ("A ",)]) == (["a", "b", "a"], 0)


def test_no_sentence_of_a_pair_stands_on_two_sides(home: Home, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = [{"a": f"question {i // 2}", "b": f"reply {i}", "topic": str(draw.choice(["x", "y"]))} for i in range(200)]
    prepare(home, str(folder_with(tmp_path / "pairs", rows, text='["a", "b"]')), encoder="minilm")
    data = open_data(home, "pairs")
    seen = {split: {text for _, texts, _ in data.rows("topic", split).all() for text in texts} for split in SPLITS}
    assert all(16 <= len(data.rows("topic", split)) <= 24 for split in ("dev", "test"))
    assert not seen["train"] & seen["dev"]
    assert not (seen["train"] | seen["dev"]) & seen["test"]


def test_each_stratum_gives_its_shares_and_a_rare_one_at_least_a_text() -> None:
    keys = [str(i) for i in range(104)]
    stratum = np.array([0] * 100 + [1] * 4)
    place = assign(keys, stratum, Shares(0.1, 0.2, 0), "t")
    assert [int((place[:100] == part).sum()) for part in (0, 1, 2)] == [70, 10, 20]
    assert [int((place[100:] == part).sum()) for part in (0, 1, 2)] == [2, 1, 1]


def test_rows_of_one_text_go_together_and_their_order_in_the_file_does_not_count() -> None:
    keys = [str(i % 40) for i in range(120)]
    stratum = np.zeros(120, dtype=np.int64)
    place = assign(keys, stratum, Shares(0.2, 0.2, 0), "t")
    by_key = {key: {int(place[i]) for i in range(120) if keys[i] == key} for key in keys}
    assert all(len(found) == 1 for found in by_key.values())
    order = np.random.default_rng(0).permutation(120)
    again = assign([keys[i] for i in order], stratum, Shares(0.2, 0.2, 0), "t")
    assert (again == place[order]).all()


def test_a_text_that_stands_often_does_not_swell_a_part_beyond_its_share() -> None:
    keys = ["said often"] * 60 + [f"text {i}" for i in range(40)]
    for seed in range(20):
        place = assign(keys, np.zeros(100, dtype=np.int64), Shares(0.1, 0.1, seed), "t")
        assert np.bincount(place, minlength=3).tolist() == [80, 10, 10]


def test_train_keeps_a_text_of_every_label() -> None:
    keys = [f"text {i}" for i in range(40)] + ["only this"] * 10 + ["first", "second"]
    stratum = np.array([0] * 40 + [1] * 10 + [2] * 2)
    for seed in range(20):
        place = assign(keys, stratum, Shares(0.45, 0.45, seed), "t")
        assert set(stratum[place == 0]) == {0, 1, 2}


def test_a_text_with_two_labels_is_divided_alike_in_whatever_order_it_stands() -> None:
    keys = [f"text {i}" for i in range(40)] + [f"text {i}" for i in range(20)]
    stratum = np.array([0] * 40 + [1] * 20)
    place = assign(keys, stratum, Shares(0.2, 0.2, 0), "t")
    assert (assign(keys[::-1], stratum[::-1], Shares(0.2, 0.2, 0), "t")[::-1] == place).all()


def test_another_seed_and_another_task_divide_in_another_way() -> None:
    keys, stratum = [str(i) for i in range(60)], np.zeros(60, dtype=np.int64)
    found = [assign(keys, stratum, Shares(0.2, 0, seed), salt) for seed, salt in ((0, "a"), (1, "a"), (0, "b"))]
    assert not (found[0] == found[1]).all()
    assert not (found[0] == found[2]).all()


def test_scores_are_divided_by_tenths() -> None:
    labels = np.linspace(0, 5, 100)
    assert np.bincount(strata(labels, scores=True)).tolist() == [10] * 10


def test_one_file_becomes_three_splits_that_are_recorded(home: Home, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "desk", rows_of(100))
    report = prepare(home, str(folder))
    data = report.data_set
    assert [data.count("topic", split) for split in ("train", "dev", "test")] == [80, 10, 10]
    for split in ("dev", "test"):
        labels = data.rows("topic", split).labels
        assert labels is not None
        assert np.bincount(labels.astype(int)).tolist() == [5, 5]
    assert data.info["notes"] == ['task "topic": all.jsonl was divided by label, seed 0: 80 train, 10 dev, 10 test']
    assert open_data(home, "desk").tasks.get("topic").split == Shares(0.1, 0.1, 0)
    ids = [data.rows("topic", split).id_list() for split in ("train", "dev", "test")]
    assert sorted(int(name) for own in ids for name in own) == list(range(1, 101))


def test_no_text_stands_on_both_sides(home: Home, tmp_path: Path) -> None:
    rows = [
        {"one": f"Cat {i // 4}", "other": f"dog {i // 4}"}
        if i % 2
        else {"one": f"dog  {i // 4}", "other": f"cat {i // 4}"}
        for i in range(200)
    ]
    labelled = [{**row, "topic": "ab"[i // 4 % 2]} for i, row in enumerate(rows)]
    folder = folder_with(tmp_path / "pairs", labelled, text='["one", "other"]')
    data = prepare(home, str(folder)).data_set
    own = {s: {text_of(t) for _, t, _ in data.rows("topic", s).all()} for s in ("train", "dev", "test")}
    assert not own["train"] & own["dev"]
    assert not own["train"] & own["test"]
    assert not own["dev"] & own["test"]


def test_a_share_may_be_of_one_split_alone(home: Home, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "desk", rows_of(100), split="{dev = 0.2, seed = 3}")
    data = prepare(home, str(folder)).data_set
    assert data.splits("topic") == ("train", "dev")
    assert data.count("topic", "dev") == 20


def test_too_few_rows_are_refused(home: Home, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "desk", rows_of(2))
    with pytest.raises(UserError, match='task "topic": 2 rows are too few to divide; "split" left none for dev'):
        prepare(home, str(folder))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.1, "must be like"),
        ({}, "must be like"),
        ({"dev": 0.1, "val": 0.1}, "must be like"),
        ({"dev": "a tenth"}, "\"dev\" is a part of the rows from 0 to below 1, found 'a tenth'"),
        ({"dev": 1.5}, "from 0 to below 1, found 1.5"),
        ({"dev": 0.5, "test": 0.45}, "must leave a tenth of the rows"),
        ({"dev": 0.0}, "must leave a tenth of the rows"),
        ({"dev": 0.1, "seed": "x"}, '"seed" is a whole number'),
    ],
)
def test_a_wrong_share_is_named(value: object, said: str) -> None:
    entry = {"name": "t", "kind": "binary", "text": "a", "label": "b", "train": "all.csv", "split": value}
    with pytest.raises(UserError, match="split") as caught:
        parse_task(entry, "tasks.toml")
    assert said in str(caught.value)


def test_a_split_that_stands_as_a_file_too_is_refused() -> None:
    entry = {"name": "t", "kind": "binary", "text": "a", "label": "b", "train": "a.csv", "split": {"dev": 0.1}}
    with pytest.raises(UserError, match='"dev" stands twice'):
        parse_task({**entry, "dev": "d.csv"}, "tasks.toml")
    with pytest.raises(UserError, match='found no "train"'):
        parse_task({key: value for key, value in entry.items() if key != "train"}, "tasks.toml")
    assert parse_task({**entry, "test": "t.csv"}, "tasks.toml").split == Shares(0.1, 0.0, 0)
