"""Arrays of rows of unequal length on disk: one .npy file with all values, one with the offsets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from smartcli.errors import SmartCliError


def within(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, …, length−1 for each length in turn, as one array of their sum."""
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0, dtype=np.int64) - np.repeat(ends - lengths, lengths)


@dataclass(frozen=True)
class Ragged:
    """Rows of token ids: row i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: NDArray[np.int32]
    """(tokens,), usually a memory map."""
    offsets: NDArray[np.int64]
    """(rows + 1,), starts with 0."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(rows,): tokens of each row."""
        return np.diff(self.offsets)

    def take(self, rows: NDArray[np.int64]) -> Ragged:
        """Return the given rows, copied."""
        lengths = self.offsets[rows + 1] - self.offsets[rows]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        return Ragged(self.ids[np.repeat(self.offsets[rows], lengths) + within(lengths)], offsets)

    def followed_by(self, other: Ragged) -> Ragged:
        """Return the rows of both, copied."""
        ids = np.concatenate([self.ids[self.offsets[0] : self.offsets[-1]], other.ids])
        starts = self.offsets - self.offsets[0]
        return Ragged(ids, np.concatenate([starts, other.offsets[1:] + starts[-1]]))

    @classmethod
    def of(cls, rows: Sequence[NDArray[np.int32]]) -> Ragged:
        """Hold `rows` in memory."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        ids = np.concatenate([np.empty(0, np.int32), *rows]).astype(np.int32, copy=False)
        return cls(ids, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]))


def ragged_files(stem: Path) -> tuple[Path, Path]:
    """Return the two files of the ragged array at `stem`."""
    return stem.with_name(stem.name + ".ids.npy"), stem.with_name(stem.name + ".offsets.npy")


def write_ragged(stem: Path, chunks: Iterable[Sequence[NDArray[np.int32]]]) -> int:
    """Write the rows of all `chunks` (int32) and return how many there were; one chunk is held in memory."""
    ids_path, offsets_path = ragged_files(stem)
    lengths: list[NDArray[np.int64]] = []
    tokens = 0
    with ids_path.open("wb") as file:
        _write_header(file, 0)
        for chunk in chunks:
            part = Ragged.of(chunk)
            file.write(part.ids.astype("<i4", copy=False).tobytes())
            lengths.append(part.lengths)
            tokens += len(part.ids)
        data_start = _write_header(file, tokens, again=True)
        assert file.tell() == data_start + 4 * tokens
    every = np.concatenate([np.zeros(1, np.int64), *lengths])
    np.save(offsets_path, np.cumsum(every), allow_pickle=False)
    return len(every) - 1


def _write_header(file: BinaryIO, tokens: int, *, again: bool = False) -> int:
    """Write the .npy header at the start of `file` and return its length; numpy pads it so that a count can grow."""
    end = file.tell()
    file.seek(0)
    npy.write_array_header_1_0(file, {"descr": "<i4", "fortran_order": False, "shape": (tokens,)})
    length = file.tell()
    if again:
        file.seek(end)
    return length


def open_ragged(stem: Path) -> Ragged:
    """Map the ragged array at `stem`; SmartCliError when its two files do not fit together."""
    ids_path, offsets_path = ragged_files(stem)
    try:
        offsets = np.load(offsets_path, allow_pickle=False)
        ids = _map(ids_path)
    except (OSError, ValueError) as error:
        raise SmartCliError(f"{stem}: stored tokens cannot be read: {error}") from error
    fits = (
        ids.dtype == np.int32
        and offsets.dtype == np.int64
        and ids.ndim == offsets.ndim == 1
        and len(offsets) > 0
        and offsets[0] == 0
        and offsets[-1] == len(ids)
        and bool((np.diff(offsets) >= 0).all())
    )
    if not fits:
        raise SmartCliError(f"{ids_path}: does not fit {offsets_path.name}; the stored tokens are damaged")
    return Ragged(ids, offsets)


def _map(path: Path) -> NDArray[np.int32]:
    with path.open("rb") as file:
        npy.read_magic(file)
        shape = npy.read_array_header_1_0(file)[0]
    if shape == (0,):  # an empty file cannot be mapped
        return np.empty(0, np.int32)
    mapped: NDArray[np.int32] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped
