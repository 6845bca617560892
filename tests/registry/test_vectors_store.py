"""Stored vectors: what was written comes back mapped, anything else reads as none; they go with the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from registry_fixtures import make_fill

from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.registry import Registry
from smartcli.registry.vectors_store import HEADER, VALUES, Vectors, load_vectors, save_vectors, vectors_folder

ROWS = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)


def blocks() -> Iterator[Vectors]:
    yield ROWS[:7]
    yield ROWS[7:]


@pytest.fixture
def made(home: Home) -> Checkpoint:
    return Registry(home).commit("x", make_fill("x"))


@pytest.fixture
def folder(home: Home, made: Checkpoint) -> Path:
    where = vectors_folder(home, made, "0" * 64, "mood", "train")
    assert save_vectors(where, ROWS.shape, blocks(), made) is not None
    return where


def test_vectors_come_back_mapped_and_lie_beside_the_predictions(home: Home, made: Checkpoint, folder: Path) -> None:
    found = load_vectors(folder, ROWS.shape)
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, ROWS)
    assert folder == home.predictions / f"x@{made.manifest_hash}" / f"{'0' * 64}-mood-train.vectors"
    assert load_vectors(folder.with_name("other"), ROWS.shape) is None


def cut(folder: Path) -> None:
    path = folder / VALUES
    path.write_bytes(path.read_bytes()[:-4])


def flip(folder: Path) -> None:
    raw = bytearray((folder / VALUES).read_bytes())
    raw[-1] ^= 1
    (folder / VALUES).write_bytes(raw)


def double(folder: Path) -> None:
    np.save(folder / VALUES, ROWS.astype(np.float64))


def objects(folder: Path) -> None:
    np.save(folder / VALUES, np.array([{}], dtype=object), allow_pickle=True)


def unsealed(folder: Path) -> None:
    (folder / HEADER).write_text("{}")


def linked(folder: Path) -> None:
    target = (folder / VALUES).rename(folder.parent / "elsewhere.npy")
    (folder / VALUES).symlink_to(target)


def gone(folder: Path) -> None:
    (folder / VALUES).unlink()


@pytest.mark.parametrize("damage", [cut, flip, double, objects, unsealed, linked, gone], ids=lambda f: f.__name__)
def test_damaged_vectors_read_as_none_stored_and_are_replaced(made: Checkpoint, folder: Path, damage) -> None:  # type: ignore[no-untyped-def]
    damage(folder)
    assert load_vectors(folder, ROWS.shape) is None
    assert save_vectors(folder, ROWS.shape, blocks(), made) is not None
    np.testing.assert_array_equal(load_vectors(folder, ROWS.shape), ROWS)


def test_vectors_of_another_shape_read_as_none_stored(folder: Path) -> None:
    assert load_vectors(folder, (10, 5)) is None
    assert load_vectors(folder, (9, 4)) is None


def test_an_error_half_way_leaves_nothing(home: Home, made: Checkpoint) -> None:
    def failing() -> Iterator[Vectors]:
        yield ROWS[:7]
        raise KeyboardInterrupt

    where = vectors_folder(home, made, "0" * 64, "mood", "train")
    with pytest.raises(KeyboardInterrupt):
        save_vectors(where, ROWS.shape, failing(), made)
    assert list(where.parent.iterdir()) == []


def test_vectors_go_with_the_checkpoint(home: Home, made: Checkpoint, folder: Path) -> None:
    Registry(home).remove("x")
    assert not folder.exists()
    # Removed while they were computed: nothing comes back.
    assert save_vectors(folder, ROWS.shape, blocks(), made) is None
    assert not folder.parent.exists()
