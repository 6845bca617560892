"""A checkpoint as a repository on a Hugging Face hub: written by one commit, and read back into the registry."""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from smartcli.errors import SmartCliError, UserError
from smartcli.families.encoder_files import MINILM
from smartcli.families.hub_checks import SHA1, SHA256, digest_of
from smartcli.families.hub_client import (
    DEFAULT_REVISION,
    TIMEOUT,
    HubFiles,
    endpoint,
    fetch,
    is_offline,
    library,
    progress_bars,
    shown_endpoint,
)
from smartcli.families.hub_errors import HubUnreachable, is_transient, status_of
from smartcli.hidden import reason_of
from smartcli.home import Home
from smartcli.registry.checkpoint import Checkpoint
from smartcli.registry.manifest import MANIFEST
from smartcli.registry.meta import META
from smartcli.workflows.checkpoints.checkpoint_import import Imported, already_here, import_folder
from smartcli.workflows.scoring.sources import Say
from smartcli.workflows.sharing.hub_card import MINILM_LICENCE, base_models, hub_card
from smartcli.workflows.sharing.pushed import Pushed

FOLDER, EXPORTED, CARD = "checkpoint", "hf", "README.md"
"""In a repository: the registry's own folder byte for byte, a folder a task for transformers, and the page."""
_HUBS_OWN = frozenset({".gitattributes"})
_ADVICE = "`smart checkpoints push NAME URL` shares it without a hub"


def push_to_hub(
    home: Home,
    checkpoint: Checkpoint,
    repository: str,
    *,
    force: bool,
    private: bool,
    licence: str | None,
    export: bool,
    say: Say,
) -> Pushed:
    """Write a verified checkpoint to `repository` by one commit, and compare what the hub then lists by its hashes.

    A repository that holds something else is a UserError unless `force`, which replaces its files (its history stays).
    One that a broken push left empty is filled; the hub keeps large files that it got, so that they are not sent
    again. UserError: no token, a wrong one, no right to write there. HubUnreachable: the connection broke.
    """
    hub = library()
    if is_offline():
        raise UserError("HF_HUB_OFFLINE is set, so nothing can be pushed to a hub; unset it")
    if not hub.get_token():
        raise UserError("pushing to the hub needs a token that may write: set HF_TOKEN, or run `hf auth login`")
    api = hub.HfApi(endpoint=endpoint(), library_name="smartcli")
    try:
        parent = _open_repository(api, repository, private)
        there = _listed(api, repository, parent)
        same = there.get(f"{FOLDER}/{MANIFEST}")
        if same is not None and digest_of(checkpoint.folder / MANIFEST, same) == same and not force:
            _compare(repository, there, _own_files(checkpoint))
            return Pushed(f"{shown_endpoint()}/{repository}", already=True)
        if there.keys() - _HUBS_OWN and not force:
            raise UserError(
                f"{repository} exists already, with other files; choose another name, or add --force to replace them"
            )
        with tempfile.TemporaryDirectory(prefix="smart-push-") as temp:
            files, notes = _files(home, checkpoint, repository, Path(temp), licence, export, say, api)
            size = sum(path.stat().st_size for path in files.values())
            say(f"uploading {checkpoint.name} to {shown_endpoint()}/{repository} ({size / 1e6:,.1f} MB)")
            commit = _commit(hub, api, repository, parent, there, files, checkpoint.name)
            _compare(repository, _listed(api, repository, commit), files)
        return Pushed(f"{shown_endpoint()}/{repository}", notes=notes)
    except SmartCliError:
        raise
    except Exception as error:
        raise _explained(error, repository) from error


def pull_from_hub(home: Home, repository: str, revision: str | None, name: str | None, say: Say) -> Imported:
    """Fetch the checkpoint that `push_to_hub` wrote, verify every byte, and register it.

    The two small files that name it come first, so that a name that is taken costs no download.
    """
    advice = "`smart checkpoints list` shows what is here"
    first = fetch(repository, revision, _choose(repository, small=True), advice=advice)
    with tempfile.TemporaryDirectory(prefix="smart-pull-") as temp:
        folder = _plain_files(first, Path(temp) / "first")
        found = already_here(home, folder, name)
        if found is not None:
            return found
        # By the commit, so that the second look sees what the first saw.
        whole = fetch(repository, first.revision, _choose(repository, small=False), advice=advice, say=say)
        return import_folder(home, _plain_files(whole, Path(temp) / "whole"), name)


def _open_repository(api: Any, repository: str, private: bool) -> str:
    """Create the repository where there is none; return the commit that it stands at."""
    try:
        api.create_repo(repository, private=private or None, exist_ok=False)
    except Exception as error:
        # A token for this repository alone may not make new ones: 403 comes before 409.
        if status_of(error) not in (402, 403, 409):
            raise
        try:
            return str(api.repo_info(repository, revision=DEFAULT_REVISION, timeout=TIMEOUT).sha)
        except Exception:
            raise error from None
    return str(api.repo_info(repository, revision=DEFAULT_REVISION, timeout=TIMEOUT).sha)


def _listed(api: Any, repository: str, commit: str) -> dict[str, str]:
    """Return path and hash of each file: SHA-256 of a large one, the git blob's SHA-1 of a small one."""
    entries = api.list_repo_tree(repository, revision=commit, recursive=True)
    return {
        entry.path: entry.lfs.sha256 if entry.lfs else entry.blob_id for entry in entries if hasattr(entry, "blob_id")
    }


def _own_files(checkpoint: Checkpoint) -> dict[str, Path]:
    names = (*checkpoint.manifest.files, MANIFEST)
    return {f"{FOLDER}/{name}": checkpoint.folder / name for name in names}


def _files(
    home: Home,
    checkpoint: Checkpoint,
    repository: str,
    temp: Path,
    licence: str | None,
    export: bool,
    say: Say,
    api: Any,
) -> tuple[dict[str, Path], list[str]]:
    """Return every file of the repository by its path there, and what the user should know."""
    from smartcli.workflows.checkpoints.export_folders import export_checkpoint

    files, notes, left_out = _own_files(checkpoint), [], {}
    exported: Sequence[str] = ()
    if checkpoint.meta.ensemble:
        members = ", ".join(one.name for one in checkpoint.meta.lineage.members)
        notes.append(f"an ensemble is its members' names and its own predictions; push its members too: {members}")
    elif export:
        try:
            done = export_checkpoint(home, checkpoint.name, temp / EXPORTED, "hf", say)
            exported, left_out = list(done.folders), done.left_out
        except UserError as error:
            notes.append(f"without folders for transformers: {error}")
        for path in sorted(temp.rglob("*")):
            if path.is_file():
                files[path.relative_to(temp).as_posix()] = path
    licence = licence or _licence(api, checkpoint)
    if licence is None:
        notes.append("the licence of the encoder is not known, and stands as unknown; --license ID states it")
    (temp / CARD).write_text(hub_card(checkpoint, repository, licence, exported, left_out), encoding="utf-8")
    files[CARD] = temp / CARD
    return files, notes


def _licence(api: Any, checkpoint: Checkpoint) -> str | None:
    """Return the licence of the encoder, as the hub or the package of `minilm` says; None where nobody says."""
    if set(checkpoint.meta.encoder_ids) == {MINILM}:
        return MINILM_LICENCE
    for model in base_models(checkpoint.meta):
        try:
            card = api.model_info(model, timeout=TIMEOUT).card_data
        except Exception:
            return None
        found = getattr(card, "license", None)
        return found if isinstance(found, str) else None
    return None


def _commit(
    hub: Any, api: Any, repository: str, parent: str, there: dict[str, str], files: dict[str, Path], name: str
) -> str:
    """Make one commit of all files; those that are there and not among them go. Nobody sees a part of it."""
    operations: list[Any] = [hub.CommitOperationAdd(path, str(file)) for path, file in files.items()]
    gone = sorted(there.keys() - files.keys() - _HUBS_OWN)
    operations += [hub.CommitOperationDelete(path, is_folder=False) for path in gone]
    with progress_bars(sys.stderr.isatty()), _plain_uploads(hub):
        made = api.create_commit(repository, operations, commit_message=f"Checkpoint {name}", parent_commit=parent)
    return str(made.oid)


@contextlib.contextmanager
def _plain_uploads(hub: Any) -> Iterator[None]:
    """Send large files by plain HTTP, which mirrors take too, also where the library was loaded before us."""
    constants = hub.constants
    before, constants.HF_HUB_DISABLE_XET = constants.HF_HUB_DISABLE_XET, True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = before


def _compare(repository: str, there: dict[str, str], files: dict[str, Path]) -> None:
    for path, file in files.items():
        expected = there.get(path, "")
        known = SHA256.fullmatch(expected) or SHA1.fullmatch(expected)
        if not known or digest_of(file, expected) != expected:
            raise SmartCliError(
                f"{repository}: the hub does not list {path} as it was sent; push it again with --force"
            )


def _choose(repository: str, *, small: bool) -> Any:
    def choose(paths: Sequence[str]) -> Sequence[str]:
        inside = [path for path in paths if path.startswith(f"{FOLDER}/") and path.count("/") == 1]
        if f"{FOLDER}/{MANIFEST}" not in inside or f"{FOLDER}/{META}" not in inside:
            raise UserError(
                f"{repository} holds no checkpoint of smart-finetune ({FOLDER}/{MANIFEST} is missing); its files may "
                f"do as an encoder: --encoder {repository}"
            )
        return [path for path in inside if path.partition("/")[2] in (MANIFEST, META)] if small else inside

    return choose


def _plain_files(found: HubFiles, folder: Path) -> Path:
    """Copy the checkpoint's files out of the cache, which consists of links."""
    folder.mkdir(mode=0o700)
    for path in (found.folder / FOLDER).iterdir():
        if path.is_file():
            shutil.copyfile(path, folder / path.name)
    return folder


def _explained(error: Exception, repository: str) -> SmartCliError:
    """Return what a failed push means; never the library's own text where a status says it."""
    status = status_of(error)
    if status == 401:
        return UserError(f"{repository}: the hub refuses the token (401); set HF_TOKEN to a valid one that may write")
    if status in (402, 403):
        return UserError(
            f"{repository}: this token may not write there ({status}); take a token with write access, or another "
            f"organisation; {_ADVICE}"
        )
    if status in (404, 409, 412):
        return SmartCliError(
            f"{repository}: it was changed or removed by somebody else meanwhile ({status}); run the command again"
        )
    if status is not None and 400 <= status < 500 and status != 429:
        return SmartCliError(f"{repository}: the hub refused the request ({status}): {reason_of(error)}")
    if status is not None or is_transient(error):
        what = f"the hub answers {status}" if status else "the connection dropped, or the hub cannot be reached"
        return HubUnreachable(
            f"{repository}: {what}. Nothing of this push can be seen there; run the same command again, and what the "
            "hub got already is not sent twice"
        )
    return SmartCliError(f"{repository}: the push failed ({reason_of(error)}); {_ADVICE}")
