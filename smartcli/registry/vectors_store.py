"""Sentence vectors of a checkpoint's training rows, made once, kept beside its stored predictions.

A cache: a folder with `vectors.npy` (n, D) in fp32, mapped into memory, and a sealed `vectors.json` that says what they
are of. Whatever does not fit reads as none stored. They go with the checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from smartcli.atomic import DISK, new_folder
from smartcli.data.sealed import seal, unseal
from smartcli.disk import hash_file
from smartcli.errors import SmartCliError
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint

FORMAT = 1
HEADER, VALUES = "vectors.json", "vectors.npy"
REMEDY = "it is only a cache: remove the folder, and the vectors are made again"

Vectors = NDArray[np.float32]


def vectors_folder(home: Home, checkpoint: Checkpoint, fingerprint: str, task: str, rows: str) -> Path:
    """Return where vectors of exactly this content lie; `rows` says which train rows, as a part of a file's name."""
    return home.predictions / f"{checkpoint.name}@{checkpoint.manifest_hash}" / f"{fingerprint}-{task}-{rows}.vectors"


def load_vectors(folder: Path, shape: tuple[int, int]) -> Vectors | None:
    """Return the stored vectors; None where there are none of this shape, or they are not as they were written."""
    with suppress(OSError, SmartCliError, ValueError, KeyError):
        header = unseal((folder / HEADER).read_bytes(), str(folder / HEADER), REMEDY)
        path = folder / VALUES
        if header != _header(shape, header["file_sha256"]) or path.is_symlink():
            return None
        if hash_file(path) != header["file_sha256"]:
            return None
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if found.dtype == np.float32 and found.shape == shape:
            mapped: Vectors = found
            return mapped
    return None


def save_vectors(
    folder: Path, shape: tuple[int, int], blocks: Iterable[Vectors], checkpoint: Checkpoint
) -> Vectors | None:
    """Write the rows of all `blocks` (fp32) and return them mapped; a block is held in memory at a time.

    None where the checkpoint was removed meanwhile: nothing of it is left then.
    """
    with new_folder(folder, replace=True) as temp:
        with (temp / VALUES).open("wb") as file:
            npy.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
            rows = 0
            for block in blocks:
                file.write(np.ascontiguousarray(block, dtype="<f4").tobytes())
                rows += len(block)
        assert rows == shape[0], (rows, shape)
        digest = hash_file(temp / VALUES)
        DISK.write(temp / HEADER, seal(_header(shape, digest)))
    if not checkpoint.unchanged():
        DISK.remove_tree(folder.parent)
        return None
    return load_vectors(folder, shape)


def _header(shape: tuple[int, int], digest: str) -> dict[str, Any]:
    return {"format": FORMAT, "shape": list(shape), "file_sha256": digest}
