"""Fills a data set's token cache where the encoder's tokenizer is at hand, without the network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smartcli.data.store import DataSet
from smartcli.errors import SmartCliError
from smartcli.families.encoder_files import MINILM
from smartcli.families.find import HUB_ID, is_at_hand

if TYPE_CHECKING:
    from smartcli.families.tokenizer import SentenceTokenizer

HUB_PACKAGE = "huggingface_hub"
SAY_EVERY = 3.0
"""Seconds between two lines of progress."""


@dataclass(frozen=True)
class TokenState:
    """Whether the tokens are stored, by which encoder's tokenizer, and why not."""

    encoder: str
    stored: bool
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"encoder": self.encoder, "stored": self.stored, "reason": self.reason}


@dataclass(frozen=True)
class FoundTokenizer:
    """A tokenizer that is at hand, or the reason why there is none."""

    encoder: str
    tokenizer: SentenceTokenizer | None
    reason: str = ""


def find_tokenizer(encoder: str, *, named: bool) -> FoundTokenizer:
    """Load the tokenizer of `encoder` where it is on this machine; what is wrong with a `named` one is raised."""
    from smartcli.families.spec import read_spec
    from smartcli.families.tokenizer import SentenceTokenizer

    try:
        if (
            HUB_ID.fullmatch(encoder)
            and encoder != MINILM
            and not Path(encoder).is_dir()
            and not find_spec(HUB_PACKAGE)
        ):
            return FoundTokenizer(encoder, None, "the encoder is not here, and the extra hub is not installed")
        files = is_at_hand(encoder)
        if files is None:
            return FoundTokenizer(encoder, None, "the encoder is not on this machine yet")
        return FoundTokenizer(encoder, SentenceTokenizer.from_folder(files.folder, read_spec(files.folder)))
    except SmartCliError as error:
        if named:
            raise
        return FoundTokenizer(encoder, None, str(error))


def make_tokens(data_set: DataSet, found: FoundTokenizer, say: Callable[[str], None]) -> TokenState:
    """Store the tokens of every sentence; without a tokenizer say that the first training will do it."""
    from smartcli.data.tokens import has_tokens, open_tokens

    if found.tokenizer is None:
        return TokenState(
            found.encoder,
            False,
            f"{found.reason}; the first training downloads it (`--encoder minilm` needs no network)",
        )
    if has_tokens(data_set, found.tokenizer):
        return TokenState(found.encoder, True, "stored already")
    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > SAY_EVERY:
            last = time.monotonic()
            say(f"tokenising: {done:,} of {total:,} sentences")

    open_tokens(data_set, found.tokenizer, progress=progress)
    return TokenState(found.encoder, True, "stored")
