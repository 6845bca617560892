"""Stored tokens: what the tokenizer says, made once, made again when damaged, in constant memory."""

from __future__ import annotations

import stat
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from saved_rows import save_rows

from smartcli.data.ragged import Ragged, open_ragged, ragged_files, write_ragged
from smartcli.data.store import DataSet, open_data
from smartcli.data.tokens import has_tokens, open_tokens, tokens_folder
from smartcli.errors import SmartCliError
from smartcli.families.spec import read_spec
from smartcli.families.tokenizer import SentenceTokenizer
from smartcli.home import Home
from smartcli.tasks import parse_task_table
from tests.tiny import WORDS, make_tiny_encoder

TABLE = parse_task_table(
    {
        "task": [
            {"name": "mood", "kind": "classification", "text": ["line"], "label": "mood", "labels": ["bad", "good"]},
            {"name": "alike", "kind": "regression", "text": ["a", "b"], "label": "score", "range": [0, 5]},
        ]
    },
    "table",
)
ROWS = {
    "mood": {
        "train": [("1", ("the film was good",), 1.0), ("2", ("löwe 🦁\nzwei",), 0.0), ("3", ("\x01",), 0.0)],
        "test": [("4", ("NA",), None)],
    },
    "alike": {"train": [("5", ("a man walks", "a man runs in the park"), 2.5)], "dev": [("6", ("dog", "cats"), 0.0)]},
}


@pytest.fixture
def data(tmp_path: Path) -> DataSet:
    home = Home(tmp_path / "home")
    save_rows(home, "small", TABLE, ROWS)
    return open_data(home, "small")


@pytest.fixture
def tokenizer(tmp_path: Path) -> SentenceTokenizer:
    folder = make_tiny_encoder(tmp_path / "tiny")
    return SentenceTokenizer.from_folder(folder, read_spec(folder))


def test_every_side_of_every_split_is_what_the_tokenizer_says(data: DataSet, tokenizer: SentenceTokenizer) -> None:
    tokens = open_tokens(data, tokenizer)
    for task, splits in ROWS.items():
        for split, rows in splits.items():
            sides = tokens.sides(task, split)
            assert len(sides) == len(rows[0][1])
            for side, ragged in enumerate(sides):
                expected = tokenizer.encode([row[1][side] for row in rows])
                assert [ragged[i].tolist() for i in range(len(ragged))] == [ids.tolist() for ids in expected]
                assert (ragged.ids.dtype, ragged.offsets.dtype) == (np.int32, np.int64)
    assert isinstance(tokens.sides("mood", "train")[0].ids, np.memmap)
    assert tokens.sides("mood", "train")[0].lengths.tolist()[2] == 0


def test_they_are_made_once(data: DataSet, tokenizer: SentenceTokenizer) -> None:
    heard: list[tuple[int, int]] = []
    assert not has_tokens(data, tokenizer)
    open_tokens(data, tokenizer, progress=lambda done, total: heard.append((done, total)))
    assert heard[-1] == (8, 8)
    assert [done for done, _ in heard] == sorted(done for done, _ in heard)
    assert has_tokens(data, tokenizer)
    heard.clear()
    open_tokens(data, tokenizer, build=False, progress=lambda done, total: heard.append((done, total)))
    assert heard == []


def test_files_are_for_the_owner_only_and_belong_to_the_data_set(data: DataSet, tokenizer: SentenceTokenizer) -> None:
    folder = open_tokens(data, tokenizer).folder
    assert folder.parent == data.folder / "tokens"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert "mood-train-0.ids.npy" in {path.name for path in folder.iterdir()}
    assert open_data(Home(data.folder.parents[1]), "small").fingerprint == data.fingerprint


def test_another_tokenizer_or_other_rows_have_their_own(
    data: DataSet, tokenizer: SentenceTokenizer, tmp_path: Path
) -> None:
    roberta = make_tiny_encoder(tmp_path / "other", "roberta")
    other = SentenceTokenizer.from_folder(roberta, read_spec(roberta))
    assert tokens_folder(data, other) != tokens_folder(data, tokenizer)
    home = Home(tmp_path / "home")
    save_rows(home, "more", TABLE, {**ROWS, "mood": {"train": ROWS["mood"]["train"][:1]}})
    assert tokens_folder(open_data(home, "more"), tokenizer).name != tokens_folder(data, tokenizer).name
    first, second = open_tokens(data, tokenizer), open_tokens(data, other)
    assert first.sides("mood", "train")[0][0].tolist() == tokenizer.encode(["the film was good"])[0].tolist()
    assert second.sides("mood", "train")[0][0].tolist() == other.encode(["the film was good"])[0].tolist()


@pytest.mark.parametrize("name", ["mood-train-0.ids.npy", "alike-dev-1.offsets.npy", "tokens.json"])
def test_a_damaged_cache_is_made_again(data: DataSet, tokenizer: SentenceTokenizer, name: str) -> None:
    path = open_tokens(data, tokenizer).folder / name
    whole = path.read_bytes()
    for damage in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        path.write_bytes(damage)
        with pytest.raises(SmartCliError, match="the tokens of this encoder are damaged"):
            open_tokens(data, tokenizer, build=False)
        open_tokens(data, tokenizer)
        assert path.read_bytes() == whole


def test_without_build_missing_tokens_are_said(data: DataSet, tokenizer: SentenceTokenizer) -> None:
    with pytest.raises(SmartCliError, match='data set "small": the tokens of this encoder are not stored yet'):
        open_tokens(data, tokenizer, build=False)
    assert not (data.folder / "tokens").exists()


def test_a_failure_half_way_leaves_nothing(data: DataSet, tokenizer: SentenceTokenizer) -> None:
    def stop(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_tokens(data, tokenizer, progress=stop)
    assert list((data.folder / "tokens").iterdir()) == []


def test_several_at_once_end_with_the_same_tokens(data: DataSet, tokenizer: SentenceTokenizer) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            assert len(open_tokens(data, tokenizer).sides("mood", "train")[0]) == 3
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [path.name for path in (data.folder / "tokens").iterdir()] == [tokens_folder(data, tokenizer).name]


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=6), max_size=9), size=st.integers(1, 4))
def test_ragged_arrays_come_back_however_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[int]], size: int
) -> None:
    stem = tmp_path_factory.mktemp("ragged") / "x"
    arrays = [np.array(row, dtype=np.int32) for row in rows]
    assert write_ragged(stem, [arrays[i : i + size] for i in range(0, len(rows), size)]) == len(rows)
    back = open_ragged(stem)
    assert [back[i].tolist() for i in range(len(back))] == rows
    np.testing.assert_array_equal(back.offsets, Ragged.of(arrays).offsets)
    ids, offsets = (np.load(path) for path in ragged_files(stem))  # plain .npy files, whole and valid
    assert (len(ids), len(offsets)) == (sum(map(len, rows)), len(rows) + 1)


def test_offsets_that_do_not_fit_the_ids_are_refused(tmp_path: Path) -> None:
    write_ragged(tmp_path / "x", [[np.arange(3, dtype=np.int32)]])
    np.save(tmp_path / "x.offsets.npy", np.array([0, 4]))
    with pytest.raises(SmartCliError, match=r"x\.ids\.npy: does not fit x\.offsets\.npy"):
        open_ragged(tmp_path / "x")
    np.save(tmp_path / "x.offsets.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(SmartCliError, match="cannot be read"):
        open_ragged(tmp_path / "x")


def test_a_row_out_of_range_is_an_index_error() -> None:
    ragged = Ragged.of([np.arange(2, dtype=np.int32)])
    with pytest.raises(IndexError):
        ragged[1]
    with pytest.raises(IndexError):
        ragged[-1]


def test_memory_does_not_grow_with_the_rows(
    tokenizer: SentenceTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten times the rows cost less than 1 MB more: 0.3 MB of offsets, where the ids of all rows would be 4 MB."""
    monkeypatch.setattr("smartcli.data.tokens.CHUNK_ROWS", 500)
    home, table = Home(tmp_path / "home"), parse_task_table({"task": [TABLE.get("mood").to_json()]}, "table")
    peaks = []
    for count in (2_000, 20_000):
        rows = [(str(i), (" ".join(WORDS[i % 100 : i % 100 + 20]),), 1.0) for i in range(count)]
        save_rows(home, f"n{count}", table, {"mood": {"train": rows}})
        data = open_data(home, f"n{count}")
        tracemalloc.start()
        tokens = open_tokens(data, tokenizer)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(tokens.sides("mood", "train")[0].ids) == 20 * count
    assert peaks[1] - peaks[0] < 1e6
