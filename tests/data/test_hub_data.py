"""The paper's data sets from a server that speaks the hub's protocol."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from smartcli.data.divide import assign, sizes
from smartcli.data.store import open_data
from smartcli.errors import SmartCliError, UserError
from smartcli.home import Home
from smartcli.workflows.preparing.preparation import prepare
from tests.hub_server import Hub, hub_in_use

pytest.importorskip("huggingface_hub")

SST5, QUORA, STSB = "SetFit/sst5", "sentence-transformers/quora-duplicates", "sentence-transformers/stsb"


def jsonl(n: int, word: str) -> bytes:
    rows = [{"text": f"{word} opinion {i}", "label": i % 5, "label_text": "x"} for i in range(n)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def parquet(**columns: list[Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, row_group_size=16)
    return out.getvalue()


def pairs(n: int, word: str, label: str, values: list[Any]) -> bytes:
    sides = {f"sentence{s}": [f"{word} {i} side {s}" for i in range(n)] for s in (1, 2)}
    return parquet(**sides, **{label: values})


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_in_use(monkeypatch, tmp_path / "hf") as hub:
        sst = {f"{s}.jsonl": jsonl(n, s) for s, n in (("train", 20), ("dev", 10), ("test", 5))}
        hub.add(f"datasets/{SST5}", {**sst, "README.md": b"# card"})
        half = [i % 2 for i in range(20)]
        both = {f"pair-class/train-0000{k}-of-00002.parquet": pairs(20, f"q{k}", "label", half) for k in (0, 1)}
        hub.add(f"datasets/{QUORA}", {**both, "pair/train-00000-of-00001.parquet": b"another configuration"})
        scores = {"train": 30, "validation": 12, "test": 8}
        files = {f"data/{s}-00000-of-00001.parquet": pairs(n, s, "score", [0.2] * n) for s, n in scores.items()}
        hub.add(f"datasets/{STSB}", files)
        yield hub


def counts(home: Home) -> dict[str, list[int]]:
    data = open_data(home)
    return {task: [data.count(task, split) for split in ("train", "dev", "test")] for task in data.tasks.names}


def test_the_paper_s_splits_divide_what_the_paper_divided(hub: Hub, home: Home) -> None:
    report = prepare(home, "hub", encoder="own/absent")
    assert counts(home) == {"sst": [20, 10, 5], "qqp": [28, 4, 8], "sts": [35, 5, 10]}
    data = report.data_set
    labels = data.rows("sts", "train").labels
    assert labels is not None
    np.testing.assert_array_equal(labels, np.ones(35))
    ids = [data.rows("qqp", split).id_list() for split in data.splits("qqp")]
    assert sorted((i for own in ids for i in own), key=int) == [str(i) for i in range(1, 41)]
    notes = " ".join(data.info["notes"])
    assert f"{SST5} at commit {'a' * 40}" in notes
    assert "qqp: 40 rows divided 70/10/20 by a seeded order (seed 0)" in notes
    assert not any("another" in request or "pair/" in request for request in hub.asked("/resolve/"))


def test_official_splits_are_kept_and_a_lone_train_split_is_divided(hub: Hub, home: Home) -> None:
    prepare(home, "hub", encoder="own/absent", splits="official")
    assert counts(home) == {"sst": [20, 10, 5], "qqp": [28, 4, 8], "sts": [30, 12, 8]}


def test_the_same_again_gives_the_same_and_other_splits_need_force(hub: Hub, home: Home) -> None:
    first = prepare(home, "hub", encoder="own/absent")
    again = prepare(home, "hub", encoder="own/absent")
    assert (again.already, again.data_set.fingerprint) == (True, first.data_set.fingerprint)
    with pytest.raises(UserError, match="--force"):
        prepare(home, "hub", encoder="own/absent", splits="official")


def test_a_published_test_split_without_labels_is_kept_as_such(hub: Hub, home: Home) -> None:
    repo = hub.repos[f"datasets/{STSB}"]
    repo.files["data/test-00000-of-00001.parquet"] = pairs(8, "test", "score", [-1.0] * 8)
    prepare(home, "hub", encoder="own/absent", splits="official")
    assert not open_data(home).labelled("sts", "test")
    repo.files["data/test-00000-of-00001.parquet"] = pairs(8, "test", "score", [-1.0] * 7 + [0.5])
    repo.commit = repo.refs["main"] = "b" * 40
    repo.refs["b" * 40] = "b" * 40
    with pytest.raises(UserError, match=r"test-00000-of-00001\.parquet:1: wrong score: expected a number from 0 to 1"):
        prepare(home, "hub", encoder="own/absent", splits="official", force=True)


def test_offline_the_cache_is_enough_and_without_it_the_message_says_what_to_do(
    hub: Hub, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SmartCliError, match="HF_HUB_OFFLINE is set"):
        prepare(home, "hub", encoder="own/absent")
    assert not home.data.exists()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    prepare(home, "hub", encoder="own/absent")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(hub.requests)
    assert prepare(home, "hub", encoder="own/absent").already
    assert len(hub.requests) == asked


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda hub: hub.repos.pop(f"datasets/{SST5}"), rf"{SST5}: .*smart prepare demo"),
        (lambda hub: hub.repos[f"datasets/{SST5}"].files.pop("dev.jsonl"), r"no file for dev: \*dev\*\.jsonl"),
        (
            lambda hub: hub.tampered.update({"dev.jsonl": jsonl(10, "dew")}),
            r"dev\.jsonl differs from what the hub lists",
        ),
    ],
)
def test_what_is_missing_or_altered_is_named_and_leaves_nothing(
    hub: Hub, home: Home, spoil: Callable[[Hub], Any], says: str
) -> None:
    spoil(hub)
    with pytest.raises(SmartCliError, match=says):
        prepare(home, "hub", encoder="own/absent")
    assert not home.root.exists()


def test_sizes_of_the_division_are_the_paper_s() -> None:
    assert sizes(8_628) == (6_040, 863, 1_725)
    assert sizes(404_290) == (283_003, 40_429, 80_858)


def test_the_division_is_fixed_and_takes_every_row_once() -> None:
    place = assign(1000)
    assert np.bincount(place).tolist() == [700, 100, 200]
    assert place[:12].tolist() == [0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 2]
    assert not np.array_equal(place, assign(1000, seed=1))
