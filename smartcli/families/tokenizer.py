"""An encoder's tokenizer: sentences to ids, and how single sentences and pairs are joined."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from smartcli.errors import UserError
from smartcli.families.files import TOKENIZER_LIMIT, parse_object, read_text
from smartcli.families.spec import EncoderSpec
from smartcli.families.template import JoinTemplate, probe_template
from smartcli.families.word_pieces import tokenizer_from_vocab

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ids = npt.NDArray[np.int32]
# An emoji, a letter of a rare script and a control character: what a vocabulary without an unknown token trips over.
RARE_TEXT = "\U0001f9ff ꙮ \x01"


class SentenceTokenizer:
    """Turns sentences into ids without special tokens; `template` says which special tokens go around them."""

    def __init__(self, content: dict[str, Any], spec: EncoderSpec, where: str | Path) -> None:
        """Build from the content of a tokenizer.json; its own padding and truncation are switched off."""
        self._content = {**content, "padding": None, "truncation": None}
        self._tokenizer = _build(self._content, where)
        _check_vocabulary(self._tokenizer, spec, where)
        _check_encoding(self._tokenizer, where)
        self.template: JoinTemplate = probe_template(self._tokenizer, spec, where)
        canonical = json.dumps(self._content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
        self.hash: str = hashlib.sha256(canonical.encode("ascii")).hexdigest()

    @classmethod
    def from_folder(cls, folder: Path, spec: EncoderSpec) -> SentenceTokenizer:
        """Read tokenizer.json of `folder`, or build WordPiece from vocab.txt and tokenizer_config.json."""
        path = folder / "tokenizer.json"
        if path.exists():
            return cls(parse_object(read_text(path, TOKENIZER_LIMIT), path), spec, path)
        if (folder / "vocab.txt").exists() and spec.family.word_pieces:
            built = tokenizer_from_vocab(folder)
            return cls(json.loads(built.to_str()), spec, folder / "vocab.txt")
        found = "vocab.txt alone does not say how this type splits words" if (folder / "vocab.txt").exists() else ""
        expected = "tokenizer.json or vocab.txt" if spec.family.word_pieces else "tokenizer.json"
        raise UserError(
            f"{folder}: no {expected}{'; ' + found if found else ''}. Make one once, elsewhere: "
            "load the tokenizer with transformers' AutoTokenizer and call save_pretrained(FOLDER)"
        )

    @classmethod
    def from_json(cls, text: str | bytes, spec: EncoderSpec, where: str | Path) -> SentenceTokenizer:
        """Read what `to_json` wrote; errors name `where`."""
        return cls(parse_object(text, where), spec, where)

    def encode(self, texts: Sequence[str]) -> list[Ids]:
        """Return the ids of each text, without special tokens, in the order of `texts`."""
        encoded = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [np.array(one.ids, dtype=np.int32) for one in encoded]

    @property
    def content(self) -> dict[str, Any]:
        """What its tokenizer.json holds."""
        return self._content

    def vocabulary(self) -> dict[str, int]:
        """Return each piece's id, added tokens included."""
        return dict(self._tokenizer.get_vocab(with_added_tokens=True))

    def ends(self, text: str) -> list[int]:
        """Return where each token of `text` ends, in characters, as `encode` finds the tokens."""
        return [stop for _, stop in self._tokenizer.encode(text, add_special_tokens=False).offsets]

    def to_json(self) -> str:
        """Return the tokenizer.json that gives this tokenizer (and this hash) again."""
        return json.dumps(self._content, ensure_ascii=False, indent=2) + "\n"


def _build(content: dict[str, Any], where: str | Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(json.dumps(content))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library raises plain Exception, and a panic is no Exception at all
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{where}: not a tokenizer that can be read: {reason}") from error


def _check_vocabulary(tokenizer: Tokenizer, spec: EncoderSpec, where: str | Path) -> None:
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    if not vocabulary:
        raise UserError(f"{where}: its vocabulary is empty")
    token, largest = max(vocabulary.items(), key=lambda item: item[1])
    if largest >= spec.vocab_size:
        raise UserError(
            f'{where}: token {json.dumps(token)} has id {largest}, but config.json says "vocab_size" '
            f"{spec.vocab_size}; tokenizer and encoder do not belong together"
        )
    if len(vocabulary) > spec.vocab_size:
        raise UserError(
            f'{where}: {len(vocabulary)} tokens, but config.json says "vocab_size" {spec.vocab_size}; '
            "tokenizer and encoder do not belong together"
        )


def _check_encoding(tokenizer: Tokenizer, where: str | Path) -> None:
    try:
        tokenizer.encode(RARE_TEXT)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise UserError(
            f"{where}: it cannot encode a character outside its vocabulary ({error}); it lacks its unknown token"
        ) from error
