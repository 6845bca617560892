"""BERT's WordPiece tokenizer from vocab.txt, for folders without a tokenizer.json.

Made of the library's parts and not by its BertWordPieceTokenizer: its JSON differs, and with
it the hash by which stored tokens are found, so that every data set would be tokenized anew.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartcli.errors import UserError
from smartcli.families.files import TOKENIZER_LIMIT, read_object, read_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = {"unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]"}
MASK = {"mask_token": "[MASK]"}


def tokenizer_from_vocab(folder: Path) -> Tokenizer:
    """Build the tokenizer of `folder`/vocab.txt as transformers' BertTokenizer does.

    tokenizer_config.json, where present, gives do_lower_case (default true), strip_accents (default: as
    do_lower_case), tokenize_chinese_chars (default true) and the special tokens.
    """
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.decoders import WordPiece as Decoder
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing

    path = folder / "tokenizer_config.json"
    config = read_object(path) if path.exists() else {}
    vocabulary = _vocabulary(folder / "vocab.txt")
    special = {key: _token(config, key, default, path) for key, default in (SPECIAL | MASK).items()}
    for key in SPECIAL:
        if special[key] not in vocabulary:
            raise UserError(f'{folder / "vocab.txt"}: no "{special[key]}" ({key}); expected it among the tokens')
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token=special["unk_token"], max_input_chars_per_word=100))
    tokenizer.normalizer = BertNormalizer(
        clean_text=True,
        handle_chinese_chars=bool(_flag(config, "tokenize_chinese_chars", True, path)),
        strip_accents=_flag(config, "strip_accents", None, path),
        lowercase=bool(_flag(config, "do_lower_case", True, path)),
    )
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.decoder = Decoder(prefix="##")
    cls, sep = special["cls_token"], special["sep_token"]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(cls, vocabulary[cls]), (sep, vocabulary[sep])],
    )
    known = [token for token in special.values() if token in vocabulary]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in known])
    return tokenizer


def _vocabulary(path: Path) -> dict[str, int]:
    lines = read_text(path, TOKENIZER_LIMIT).split("\n")
    if lines and not lines[-1]:
        lines.pop()
    vocabulary = {line.rstrip("\r"): number for number, line in enumerate(lines)}
    if not vocabulary:
        raise UserError(f"{path}: empty; expected one token a line")
    return vocabulary


def _flag(config: dict[str, Any], key: str, default: bool | None, path: Path) -> bool | None:
    value = config.get(key, default)
    if value is not None and not isinstance(value, bool):
        raise UserError(f'{path}: "{key}" is {value!r}; expected true or false')
    return default if value is None else value


def _token(config: dict[str, Any], key: str, default: str, path: Path) -> str:
    value = config.get(key, default)
    if isinstance(value, dict):
        value = value.get("content")
    if not isinstance(value, str) or not value:
        raise UserError(f'{path}: "{key}" is {value!r}; expected a token')
    return value
