"""Predictions on other splits: kept by content, and never shown when altered."""

from __future__ import annotations

from pathlib import Path

from forked import in_child, kill_at
from registry_fixtures import make_fill

from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.predictions_store import load_predictions, save_predictions
from smartcli.registry.registry import Registry


def stored(home: Home) -> tuple[Checkpoint, Path]:
    made = Registry(home).commit("x", make_fill("x"))
    return made, save_predictions(home, made, "0" * 64, "test", made.predictions())


def test_predictions_read_back_for_the_same_content_rows_and_split(home: Home) -> None:
    made, path = stored(home)
    assert path == home.predictions / f"x@{made.manifest_hash}" / f"{'0' * 64}-test.csv"
    found = load_predictions(home, made, "0" * 64, "test")
    assert found is not None
    assert found["mood"].ids == ["a", "b", "c", "d"]
    assert load_predictions(home, made, "0" * 64, "dev") is None
    assert load_predictions(home, made, "1" * 64, "test") is None


def test_altered_predictions_read_as_none_stored(home: Home) -> None:
    made, path = stored(home)
    path.write_bytes(path.read_bytes().replace(b"0.75", b"0.85"))
    assert load_predictions(home, made, "0" * 64, "test") is None


def test_a_kill_at_every_call_leaves_old_or_new_or_none(home: Home) -> None:
    made, _ = stored(home)
    call = 0
    while True:

        def work(call: int = call) -> None:
            kill_at(call)
            save_predictions(home, made, "0" * 64, "test", made.predictions())

        ended = in_child(work)
        found = load_predictions(home, made, "0" * 64, "test")
        assert found is None or found["mood"].ids == ["a", "b", "c", "d"]
        if not ended.killed:
            break
        call += 1
    assert found is not None
    assert call == 8
