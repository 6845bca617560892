"""Which special tokens stand around a sentence and a pair, learnt from the tokenizer itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from smartcli.errors import UserError
from smartcli.families.spec import EncoderSpec

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Tokens = tuple[int, ...]
PROBES = ("a", "b", "the", "1", "hello world")


@dataclass(frozen=True)
class JoinTemplate:
    """Ids and type ids around one sentence (`prefix a suffix`) and a pair (`prefix a middle b suffix`)."""

    single_prefix: Tokens
    single_suffix: Tokens
    pair_prefix: Tokens
    pair_middle: Tokens
    pair_suffix: Tokens
    single_types: tuple[int, int]
    """Type ids of prefix and sentence, and of the suffix."""
    pair_types: tuple[int, int, int]
    """Type ids of prefix and first sentence, of the middle, of second sentence and suffix."""

    @property
    def single_extra(self) -> int:
        """Special tokens around one sentence."""
        return len(self.single_prefix) + len(self.single_suffix)

    @property
    def pair_extra(self) -> int:
        """Special tokens around a pair."""
        return len(self.pair_prefix) + len(self.pair_middle) + len(self.pair_suffix)

    def single(self, ids: Tokens) -> tuple[Tokens, Tokens]:
        """Return ids and type ids of one joined sentence."""
        first, last = self.single_types
        return _join((self.single_prefix, tuple(ids), self.single_suffix), (first, first, last))

    def pair(self, first: Tokens, second: Tokens) -> tuple[Tokens, Tokens]:
        """Return ids and type ids of one joined pair."""
        parts = (self.pair_prefix, tuple(first), self.pair_middle, tuple(second), self.pair_suffix)
        a, middle, b = self.pair_types
        return _join(parts, (a, a, middle, b, b))


def _join(parts: tuple[Tokens, ...], types: tuple[int, ...]) -> tuple[Tokens, Tokens]:
    ids = tuple(token for part in parts for token in part)
    return ids, tuple(kind for part, kind in zip(parts, types, strict=True) for _ in part)


def probe_template(tokenizer: Tokenizer, spec: EncoderSpec, where: str | Path) -> JoinTemplate:
    """Join a probe sentence and a probe pair with `tokenizer` and read off what it put around them."""
    word = next((probe for probe in PROBES if tokenizer.encode(probe, add_special_tokens=False).ids), None)
    if word is None:
        raise UserError(f"{where}: it gives no ids for ordinary words; is it the tokenizer of this encoder?")
    # Models of a type that never sees the tokenizer's type ids get zeros, as transformers gives them, whatever it says.
    read = spec.family.type_ids and spec.token_types >= 2
    singles = _runs(tokenizer.encode(word), [None, 0, None], read, where)
    pairs = _runs(tokenizer.encode(word, word), [None, 0, None, 1, None], read, where)
    if not singles[0][0] + singles[2][0]:
        raise UserError(
            f"{where}: its post-processor puts no special token around a sentence; expected one that marks start or "
            "end, as the encoder saw in its training"
        )
    kinds = (_same(singles[:2], where), singles[2][1])
    pair_kinds = (_same(pairs[:2], where), pairs[2][1], _same([pairs[3], pairs[4]], where))
    largest = max(kinds + pair_kinds)
    if largest >= max(1, spec.token_types):
        raise UserError(
            f"{where}: its type ids reach {largest}, the encoder has {spec.token_types} of them; "
            "tokenizer and encoder do not belong together"
        )
    return JoinTemplate(
        single_prefix=singles[0][0],
        single_suffix=singles[2][0],
        pair_prefix=pairs[0][0],
        pair_middle=pairs[2][0],
        pair_suffix=pairs[4][0],
        single_types=kinds,
        pair_types=pair_kinds,
    )


def _same(runs: list[tuple[Tokens, int]], where: str | Path) -> int:
    kinds = {kind for tokens, kind in runs if tokens}
    if len(kinds) != 1:
        raise UserError(
            f"{where}: a sentence and the special tokens at its side have type ids {sorted(kinds)}; expected one"
        )
    return kinds.pop()


def _runs(encoding: Encoding, expected: list[int | None], read: bool, where: str | Path) -> list[tuple[Tokens, int]]:
    """Split an encoding into the expected runs of one sequence each (None: special tokens, maybe none).

    Each run has its type id, 0 where the model does not `read` any.
    """
    runs: list[tuple[Tokens, int]] = []
    at = 0
    for sequence in expected:
        start = at
        while at < len(encoding.ids) and encoding.sequence_ids[at] == sequence:
            at += 1
        kinds = set(encoding.type_ids[start:at]) if read else {0}
        if len(kinds) > 1 or (start == at and sequence is not None):
            break
        runs.append((tuple(encoding.ids[start:at]), kinds.pop() if kinds else 0))
    if len(runs) < len(expected) or at != len(encoding.ids):
        raise UserError(
            f"{where}: it joins sentences as {' '.join(encoding.tokens)}; expected the sentences in order, whole, "
            "with special tokens around them"
        )
    return runs
