"""Token ids of every sentence of a data set, made once for each tokenizer and mapped into memory.

They lie in the data set's folder under `tokens/KEY/`: two .npy files for each side of each split and a sealed
`tokens.json` with their hashes. They are a cache: where they are damaged they are made again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartcli.atomic import DISK, new_folder
from smartcli.data.ragged import Ragged, open_ragged, ragged_files, write_ragged
from smartcli.data.rows import SplitRows
from smartcli.data.sealed import seal, unseal
from smartcli.data.store import TOKENS, DataSet
from smartcli.disk import hash_file
from smartcli.errors import SmartCliError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from smartcli.families.tokenizer import SentenceTokenizer

HEADER = "tokens.json"
FORMAT = 1
CHUNK_ROWS = 8_192
REMEDY = "it is only a cache: remove the folder, and the tokens are made again"

Progress = Callable[[int, int], None]
"""Called with sentences done and sentences in all."""


@dataclass(frozen=True)
class Tokens:
    """The stored tokens of a data set."""

    folder: Path
    tasks: dict[str, dict[str, int]]
    """Task -> split -> sides."""
    _opened: dict[tuple[str, str], tuple[Ragged, ...]] = field(default_factory=dict, repr=False, compare=False)

    def sides(self, task: str, split: str) -> tuple[Ragged, ...]:
        """Return the token ids of a split: one Ragged for each of the one or two sentences of a row."""
        key = (task, split)
        if key not in self._opened:
            count = self.tasks.get(task, {}).get(split)
            if count is None:
                raise SmartCliError(f'{self.folder}: no tokens of task "{task}", split {split}')
            self._opened[key] = tuple(open_ragged(self.folder / _stem(task, split, side)) for side in range(count))
        return self._opened[key]


def open_tokens(
    data_set: DataSet, tokenizer: SentenceTokenizer, build: bool = True, progress: Progress | None = None
) -> Tokens:
    """Return the tokens of `data_set`, making them first where they are missing or damaged.

    With `build` off, missing or damaged tokens are a SmartCliError.
    """
    folder = tokens_folder(data_set, tokenizer)
    try:
        return _open(folder, data_set, tokenizer)
    except (FileNotFoundError, SmartCliError) as error:
        if not build:
            reason = "are not stored yet" if isinstance(error, FileNotFoundError) else f"are damaged ({error})"
            raise SmartCliError(f'data set "{data_set.name}": the tokens of this encoder {reason}') from error
    try:
        _build(folder, data_set, tokenizer, progress)
    except (SmartCliError, OSError):
        # Another process may have made the same tokens meanwhile; then its folder is in the way, and as good.
        try:
            return _open(folder, data_set, tokenizer)
        except (FileNotFoundError, SmartCliError):
            pass
        raise
    return _open(folder, data_set, tokenizer)


def has_tokens(data_set: DataSet, tokenizer: SentenceTokenizer) -> bool:
    """Whether the tokens are stored whole, so that `open_tokens` need not make them."""
    try:
        _open(tokens_folder(data_set, tokenizer), data_set, tokenizer)
    except (FileNotFoundError, SmartCliError):
        return False
    return True


def tokens_folder(data_set: DataSet, tokenizer: SentenceTokenizer) -> Path:
    """Return where the tokens of these rows by this tokenizer lie or will lie."""
    key = hashlib.sha256(f"{data_set.fingerprint} {tokenizer.hash}".encode()).hexdigest()[:16]
    return data_set.folder / TOKENS / key


def _stem(task: str, split: str, side: int) -> str:
    return f"{task}-{split}-{side}"


def _open(folder: Path, data_set: DataSet, tokenizer: SentenceTokenizer) -> Tokens:
    header = unseal((folder / HEADER).read_bytes(), str(folder / HEADER), REMEDY)
    expected = {"format": FORMAT, "fingerprint": data_set.fingerprint, "tokenizer": tokenizer.hash}
    found = {key: header.get(key) for key in expected}
    if found != expected:
        raise SmartCliError(f"{folder / HEADER}: of other rows or another tokenizer; {REMEDY}")
    for name, digest in header["files"].items():
        path = folder / name
        if not path.is_file() or hash_file(path) != digest:
            raise SmartCliError(f"{path}: altered or missing; {REMEDY}")
    return Tokens(folder, header["sides"])


def _build(folder: Path, data_set: DataSet, tokenizer: SentenceTokenizer, progress: Progress | None) -> None:
    splits = [(task.name, split, data_set.rows(task.name, split)) for task in data_set.tasks
              for split in data_set.splits(task.name)]  # fmt: skip
    total = sum(len(rows) * rows.sides for _, _, rows in splits)
    done = 0

    def count(sentences: int) -> None:
        nonlocal done
        done += sentences
        if progress is not None:
            progress(done, total)

    files: dict[str, str] = {}
    sides: dict[str, dict[str, int]] = {}
    with new_folder(folder, replace=True) as temp:
        for task, split, rows in splits:
            sides.setdefault(task, {})[split] = rows.sides
            for side in range(rows.sides):
                stem = temp / _stem(task, split, side)
                write_ragged(stem, _chunks(rows, side, tokenizer, count))
                files |= {path.name: hash_file(path) for path in ragged_files(stem)}
        header: dict[str, Any] = {
            "format": FORMAT,
            "fingerprint": data_set.fingerprint,
            "tokenizer": tokenizer.hash,
            "sides": sides,
            "files": files,
        }
        DISK.write(temp / HEADER, seal(header))


def _chunks(
    rows: SplitRows, side: int, tokenizer: SentenceTokenizer, count: Callable[[int], None]
) -> Iterator[list[NDArray[np.int32]]]:
    for texts in rows.batches(side, CHUNK_ROWS):
        yield tokenizer.encode(texts)
        count(len(texts))
