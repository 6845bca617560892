"""What the files of a checkpoint may hold: checked without the engine, and before memory is taken."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartcli.errors import SmartCliError
from smartcli.families.safetensors_header import ITEM_BYTES, TensorInfo, read_header
from smartcli.registry.manifest import Damaged
from smartcli.registry.meta import META, CheckpointMeta, EncoderRecord

if TYPE_CHECKING:
    import numpy as np

ENCODER_FILES = ("config.json", "model.safetensors", "tokenizer.json")
_STORED = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}
_VALUES = 2**20


def check_header(folder: Path, name: str) -> dict[str, TensorInfo]:
    """Read the header of a safetensors file; Damaged when it is absurd, or a pickle under another name."""
    try:
        return read_header(folder / name)
    except SmartCliError as error:
        raise blame(folder, name, error) from None


def check_finite(folder: Path, name: str) -> None:
    """Raise Damaged where a tensor of a safetensors file holds a value that is not a finite number."""
    import numpy as np

    tensors = check_header(folder, name)
    counts = {tensor: math.prod(info.shape) for tensor, info in tensors.items()}
    # The header was checked: the tensors fill the rest of the file without gaps.
    data = sum(count * ITEM_BYTES[tensors[tensor].dtype] for tensor, count in counts.items())
    base = (folder / name).stat().st_size - data
    for tensor, info in tensors.items():
        if info.dtype not in _STORED or counts[tensor] == 0:
            continue
        kind, start = _STORED[info.dtype], base + info.start
        values = np.memmap(folder / name, dtype=kind, mode="r", offset=start, shape=(counts[tensor],))
        for part in _parts(values):
            # A bfloat16 with all bits of its exponent set is infinite or not a number.
            finite = (part & 0x7F80) != 0x7F80 if info.dtype == "BF16" else np.isfinite(part)
            if not finite.all():
                raise Damaged(folder, name, f'tensor "{tensor}" holds values that are not finite numbers')


def check_encoder(folder: Path, meta: CheckpointMeta) -> None:
    """Raise Damaged where config.json, the weights and the tokenizer do not fit each other, or not smart.json."""
    from smartcli.families.spec import read_spec
    from smartcli.families.tokenizer import SentenceTokenizer
    from smartcli.families.weights import open_weights

    config, weights, tokenizer = ENCODER_FILES
    file = config
    try:
        spec = read_spec(folder)
        file = weights
        open_weights(folder, spec)
        file = tokenizer
        check_tokenizer(folder, SentenceTokenizer.from_folder(folder, spec).hash, meta.encoder)
    except SmartCliError as error:
        raise blame(folder, file, error) from None


def check_tokenizer(folder: Path, found: str, encoder: EncoderRecord | None) -> None:
    """Raise Damaged where a tokenizer's hash is not the one that smart.json names."""
    expected = None if encoder is None else encoder.tokenizer
    if expected is not None and found != expected:
        raise Damaged(
            folder,
            ENCODER_FILES[2],
            f"not the tokenizer of the training: its hash is {found[:12]}, {META} says {str(expected)[:12]}",
        )


def blame(folder: Path, name: str, error: SmartCliError) -> Damaged:
    """Return `error` as one about the file `name`, without saying its name twice."""
    if isinstance(error, Damaged):
        return error
    text = str(error)
    for start in (f"{folder / name}", name):
        text = text.removeprefix(start)
    return Damaged(folder, name, text.lstrip(":, ") or "it is damaged")


def _parts(values: np.ndarray[Any, Any]) -> Iterator[np.ndarray[Any, Any]]:
    for start in range(0, len(values), _VALUES):
        yield values[start : start + _VALUES]
