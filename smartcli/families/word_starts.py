"""Which pieces of a vocabulary begin a word, which are special, and which one stands for a masked token.

Axes: V pieces of the vocabulary.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartcli.errors import UserError
from smartcli.families.tokenizer import SentenceTokenizer

MASKS = ("[MASK]", "<mask>")
BYTE_SPACES = ("Ġ", "Ċ", "ĉ", "č")
"""How byte-level BPE writes a space, a line's end, a tab and a carriage return."""
_SPACE = "▁"


@dataclass(frozen=True)
class WordTable:
    """What masking whole words needs to know of a vocabulary."""

    starts: NDArray[np.bool_]
    """(V,) whether a piece begins a word, where it does not stand first in its sentence."""
    special: NDArray[np.bool_]
    """(V,) whether it is a special token, or none at all; such are neither masked nor put in for others."""
    mask: int
    """Id of the mask token."""


def word_table(tokenizer: SentenceTokenizer, size: int, where: str | Path) -> WordTable:
    """Return the table of a tokenizer for an encoder of `size` V words; UserError where it has no mask token.

    Word pieces that continue a word have the model's prefix (`##`); in byte-level BPE and sentence pieces a word's
    first piece begins with a space (written Ġ or ▁), and punctuation is a word of its own. Where neither is known each
    piece is a word.
    """
    content, vocabulary = tokenizer.content, tokenizer.vocabulary()
    mask = next((vocabulary[token] for token in MASKS if token in vocabulary), None)
    if mask is None:
        raise UserError(
            f"{where}: its tokenizer has no mask token ({' or '.join(MASKS)}), which masked-language-model training "
            "needs; take another encoder"
        )
    starts, special = np.ones(size, np.bool_), np.ones(size, np.bool_)
    begins = _rule(content)
    for token, number in vocabulary.items():
        starts[number], special[number] = begins(token), False
    template = tokenizer.template
    around = {*template.single_prefix, *template.single_suffix, *template.pair_middle, mask}
    around |= {entry["id"] for entry in content.get("added_tokens") or () if entry.get("special")}
    special[sorted(around)] = True
    return WordTable(starts, special, mask)


def _rule(content: Mapping[str, Any]) -> Any:
    model = content.get("model") or {}
    parts = {part.get("type"): part for key in ("pre_tokenizer", "decoder") for part in _parts(content.get(key))}
    prefix = model.get("continuing_subword_prefix")
    if model.get("type") == "WordPiece" or prefix:
        return lambda token: not token.startswith(prefix or "##")
    if "ByteLevel" in parts:
        return lambda token: token.startswith(BYTE_SPACES) or token[:1] in string.punctuation
    if "Metaspace" in parts:
        space = parts["Metaspace"].get("replacement") or _SPACE
        return lambda token: token.startswith(space) or token[:1] in string.punctuation
    return lambda token: True


def _parts(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield a part of a tokenizer.json and all parts inside it."""
    if isinstance(value, Mapping):
        yield value
        for inner in value.values():
            yield from _parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner)
