"""Packing by hand-counted offsets, a round trip, and sub-batches that keep their parent's groups."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smartcli.data.joining import Sequences
from smartcli.engine.model.packing import PackedBatch, pack, split_groups
from smartcli.engine.model.sub_batch import select


def sequences(*rows: list[int], kind: int = 0) -> Sequences:
    flat = [token for row in rows for token in row]
    lengths = np.array([len(row) for row in rows], np.int64)
    return Sequences(np.array(flat, np.int64), np.full(len(flat), kind, np.int64), lengths, 0)


def sentence(batch: PackedBatch, index: int) -> list[int]:
    start = int(batch.starts[index])
    return batch.ids[start : start + int(batch.lengths[index])].tolist()


def test_two_tasks_by_hand() -> None:
    batch = pack(
        {
            "a": [sequences([1, 7, 7, 2], [1, 2])],
            "b": [sequences([1, 5, 2], [1, 9, 9, 9, 2], kind=1), sequences([1, 2], [1, 6, 2])],
        }
    )
    # By length, ties in order of arrival: a1, b.1.0, b.0.0, b.1.1, a0, b.0.1.
    assert batch.lengths.tolist() == [2, 2, 3, 3, 4, 5]
    assert batch.starts.tolist() == [0, 2, 4, 7, 10, 14]
    assert batch.ids.tolist() == [1, 2, 1, 2, 1, 5, 2, 1, 6, 2, 1, 7, 7, 2, 1, 9, 9, 9, 2]
    assert batch.positions.tolist() == [0, 1, 0, 1, 0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 0, 1, 2, 3, 4]
    assert batch.sentence.tolist() == [0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5]
    assert batch.types.tolist() == [0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert [index.tolist() for index in batch.outputs["a"]] == [[4, 0]]
    assert [index.tolist() for index in batch.outputs["b"]] == [[2, 5], [1, 3]]
    assert batch.vocabulary.tolist() == [1, 2, 5, 6, 7, 9]
    assert batch.vocabulary[batch.word].tolist() == batch.ids.tolist()
    assert (batch.tokens, batch.sentences, batch.examples) == (19, 6, {"a": 2, "b": 2})


def test_a_group_pads_to_its_longest_by_hand() -> None:
    batch = pack({"a": [sequences([1, 2], [1, 5, 2])]}, most_groups=1)
    (group,) = batch.groups
    assert (group.first, group.last, group.width, len(group)) == (0, 5, 3, 2)
    assert (batch.slots.tolist(), batch.grid_rows) == ([0, 1, 3, 4, 5], 6)
    assert group.mask[:, 0, 0].tolist() == [[0.0, 0.0, -np.inf], [0.0, 0.0, 0.0]]


def test_groups_split_where_padding_costs_most() -> None:
    assert split_groups(np.array([5, 5, 5, 60, 60], np.int64)) == [(0, 3), (3, 5)]
    assert split_groups(np.array([5, 5, 5, 5], np.int64)) == [(0, 4)]  # nothing to save
    assert split_groups(np.array([5, 60], np.int64), most=1) == [(0, 2)]
    assert split_groups(np.array([], np.int64)) == []


rows_of_tokens = st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=40), min_size=1, max_size=12)


@given(rows_of_tokens, rows_of_tokens, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_every_sentence_comes_back(first: list[list[int]], second: list[list[int]], most: int) -> None:
    batch = pack({"a": [sequences(*first)], "b": [sequences(*second)]}, most_groups=most)
    for task, rows in (("a", first), ("b", second)):
        assert [sentence(batch, int(i)) for i in batch.outputs[task][0]] == rows
    assert sum(len(group) for group in batch.groups) == batch.sentences
    assert 1 <= len(batch.groups) <= most
    for group in batch.groups:
        lengths = batch.lengths[group.start : group.stop]
        assert group.width == int(lengths.max())
        grid = batch.slots[group.first : group.last] - group.row
        assert torch.equal(grid % group.width, batch.positions[group.first : group.last])
        assert torch.equal(grid // group.width, batch.sentence[group.first : group.last] - group.start)
        assert torch.equal((group.mask[:, 0, 0] == 0).sum(dim=1), lengths)
    assert batch.grid_rows == sum(len(group) * group.width for group in batch.groups)
    assert [group.row for group in batch.groups] == [
        sum(len(before) * before.width for before in batch.groups[:number]) for number in range(len(batch.groups))
    ]


@given(rows_of_tokens, rows_of_tokens, rows_of_tokens)
@settings(max_examples=40, deadline=None)
def test_a_sub_batch_holds_its_tasks_sentences_in_the_parents_places(
    first: list[list[int]], second: list[list[int]], third: list[list[int]]
) -> None:
    batch = pack({"a": [sequences(*first)], "b": [sequences(*second), sequences(*second)], "c": [sequences(*third)]})
    part = select(batch, ["c", "a"])
    assert part.batch.examples == {"c": len(third), "a": len(first)}
    for task, rows in (("a", first), ("c", third)):
        assert [sentence(part.batch, int(i)) for i in part.batch.outputs[task][0]] == rows
    assert torch.equal(batch.ids[part.tokens], part.batch.ids)
    assert torch.equal(batch.positions[part.tokens], part.batch.positions)
    assert torch.equal(batch.lengths[part.sentences], part.batch.lengths)
    parents = {group.key: group for group in batch.groups}
    for group in part.batch.groups:
        parent = parents[group.key]
        assert group.width == parent.width
        rows_of_parent = part.group_rows[group.key] + parent.start
        assert torch.equal(part.sentences[group.start : group.stop], rows_of_parent)


def test_selecting_every_task_gives_the_batch_itself() -> None:
    batch = pack({"a": [sequences([1, 2])], "b": [sequences([1, 3, 2])]})
    part = select(batch, ["b", "a"])
    assert part.batch is batch
    assert part.tokens.tolist() == list(range(5))
