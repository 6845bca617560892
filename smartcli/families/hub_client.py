"""Files of a repository on the Hugging Face hub, by the commit that a revision stands for, checked and cached."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smartcli.errors import SmartCliError, UserError
from smartcli.families.hub_checks import RemoteFile, check_cached, check_files
from smartcli.families.hub_errors import explain, is_transient, wait_before_retry
from smartcli.families.hub_progress import plain_lines
from smartcli.hidden import hidden

RETRY_DELAYS = (0.5, 1.0, 2.0)
COMMIT = re.compile(r"[0-9a-f]{40}")
DEFAULT_REVISION = "main"
TIMEOUT = 15.0

Choose = Callable[[Sequence[str]], Sequence[str]]
"""From the paths in a repository to those that are wanted; raises when what is needed is not there."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class HubFiles:
    """Downloaded files of one commit."""

    id: str
    revision: str
    """Commit hash."""
    folder: Path


def library() -> Any:
    """Import huggingface_hub, set up for us; UserError that says how to install it."""
    # The plain download is resumed after a drop and works with mirrors; the other one (xet) is a second, opaque path.
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Before the first import only: the library's own warnings repeat what our messages say.
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    try:
        import huggingface_hub
        import huggingface_hub.utils
    except ImportError as error:
        raise UserError(
            "files from the hub need huggingface_hub; install it with: pip install 'smart-finetune[hub]'. "
            "Without a network, `--encoder minilm` and `smart prepare demo` need none"
        ) from error
    return huggingface_hub


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def cache_folder() -> Path:
    """Return the hub's cache, as the library finds it from the environment."""
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    return Path(os.path.expandvars(named or os.path.join(home, "hub"))).expanduser()


def endpoint() -> str:
    """Return the hub's address: HF_ENDPOINT, else huggingface.co."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def shown_endpoint() -> str:
    """Return the hub's address for messages, without a user or password that may stand in it."""
    return hidden(endpoint())


def find_cached(repo_id: str, revision: str | None, probe: str, *, repo_type: str = "model") -> HubFiles | None:
    """Return the cached commit of `revision` if it holds the file `probe`; its files are checked by their hashes."""
    found = library().try_to_load_from_cache(
        repo_id, probe, cache_dir=cache_folder(), revision=revision or DEFAULT_REVISION, repo_type=repo_type
    )
    if not isinstance(found, str):
        return None
    folder = Path(found)
    for _ in Path(probe).parts:
        folder = folder.parent
    check_cached(folder, repo_id)
    return HubFiles(repo_id, folder.name, folder)


def fetch(
    repo_id: str,
    revision: str | None,
    choose: Choose,
    *,
    repo_type: str = "model",
    advice: str,
    say: Say | None = None,
) -> HubFiles:
    """Download the chosen files of `repo_id` at `revision` (default: main) into the hub's cache and check them.

    A dropped connection, a busy or broken server is tried again with growing pauses. UserError for ids and
    revisions that are not there or not open to the user, HubUnreachable when the hub does not answer; both end in
    `advice`. `say` hears one line before a download and, off a terminal, one every few seconds; without it there is
    no progress bar either.
    """
    page = f"{shown_endpoint()}/{'datasets/' if repo_type == 'dataset' else ''}{repo_id}"
    for delay in (*RETRY_DELAYS, None):
        try:
            return _download(repo_id, revision or DEFAULT_REVISION, choose, repo_type, say)
        except SmartCliError:
            raise
        except Exception as error:
            if delay is None or not is_transient(error):
                raise explain(error, repo_id, revision, page, advice) from error
            time.sleep(wait_before_retry(error, delay))
    raise AssertionError("the last attempt returns or raises")


def _download(repo_id: str, revision: str, choose: Choose, repo_type: str, say: Say | None) -> HubFiles:
    hub = library()
    api = hub.HfApi(endpoint=endpoint(), library_name="smartcli")
    commit = api.repo_info(repo_id, revision=revision, repo_type=repo_type, timeout=TIMEOUT).sha
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        raise SmartCliError(f"{repo_id}: the server names no commit for {revision}; is HF_ENDPOINT a hub?")
    listed = {
        entry.path: RemoteFile(entry.path, entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id)
        for entry in api.list_repo_tree(repo_id, revision=commit, recursive=True, repo_type=repo_type)
        if hasattr(entry, "blob_id")
    }
    wanted = [listed[path] for path in choose(sorted(listed))]
    missing = [file for file in wanted if not _is_cached(hub, repo_id, commit, file, repo_type)]
    if say is not None and missing:
        say(f"downloading {repo_id} ({sum(file.size for file in missing) / 1e6:,.1f} MB) from {shown_endpoint()}")
    with progress_bars(say is not None and bool(missing)):
        snapshot = hub.snapshot_download(
            repo_id,
            repo_type=repo_type,
            # By name, so that the cache learns which commit the name stands for; offline runs need that.
            revision=revision,
            cache_dir=cache_folder(),
            endpoint=endpoint(),
            allow_patterns=[file.path for file in wanted],
            library_name="smartcli",
            tqdm_class=None if say is None or sys.stderr.isatty() else plain_lines(say),
        )
    folder = Path(snapshot)
    if folder.name != commit:
        raise ConnectionError("the revision moved to another commit meanwhile")
    absent = [file.path for file in wanted if not (folder / file.path).is_file()]
    if absent:
        raise ConnectionError(f"not downloaded: {absent}")
    check_files(folder, wanted, repo_id)
    return HubFiles(repo_id, commit, folder)


def _is_cached(hub: Any, repo_id: str, commit: str, file: RemoteFile, repo_type: str) -> bool:
    found = hub.try_to_load_from_cache(
        repo_id, file.path, cache_dir=cache_folder(), revision=commit, repo_type=repo_type
    )
    return isinstance(found, str)


@contextmanager
def progress_bars(wanted: bool) -> Iterator[None]:
    """Keep the library's progress bars off, unless they are wanted."""
    utils = library().utils
    if wanted or utils.are_progress_bars_disabled():
        yield
        return
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.enable_progress_bars()
