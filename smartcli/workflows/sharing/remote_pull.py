"""A checkpoint from a file system of fsspec's: fetched aside, resumed where it broke off, verified, then registered."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
from pathlib import Path

from smartcli.atomic import DISK, explain_os_errors, write_file
from smartcli.disk import hash_file
from smartcli.errors import SmartCliError, UserError
from smartcli.home import Home
from smartcli.registry.locks import hold
from smartcli.registry.manifest import MANIFEST, SMALL, Damaged, FileEntry, parse_manifest
from smartcli.registry.meta import META
from smartcli.workflows.checkpoints.checkpoint_import import Imported, already_here, import_folder
from smartcli.workflows.scoring.sources import Say
from smartcli.workflows.sharing.remote_files import CHUNK, Remote, open_remote, tried

INCOMING = "incoming"
"""Below the home: a folder for each pull that is going on or broke off."""
KEPT_SECONDS = 7 * 24 * 3600
_BEGUN = ".begun"


def pull_from_url(home: Home, url: str, name: str | None, say: Say) -> Imported:
    """Register the checkpoint in the folder `url` under its own name, or under `name`.

    Its files come into the home's incoming/ first; a pull that broke off goes on there. Each is compared with the
    manifest, then the whole is verified as `smart checkpoints import` does. UserError: no checkpoint there, a name
    that is taken (before anything large is fetched); SmartCliError: a file that is not what its manifest says.
    """
    source = open_remote(url)
    if MANIFEST not in source.sizes():
        raise UserError(
            f"{source.shown} holds no checkpoint ({MANIFEST} is missing): the URL names another folder, or it is still "
            "being written"
        )
    raw = source.read(MANIFEST, SMALL)
    _clean(home)
    key = hashlib.sha256(raw).hexdigest()[:16]
    with hold(home, f"incoming-{key}"):
        folder = home.root / INCOMING / key
        write_file(folder / MANIFEST, raw)
        manifest = parse_manifest(folder)
        if META in manifest.files:
            _fetch(source, META, manifest.files[META], folder)
            found = already_here(home, folder, name)
            if found is not None:
                shutil.rmtree(folder, ignore_errors=True)
                return found
        say(f"fetching {source.shown} ({manifest.size / 1e6:,.1f} MB)")
        for file, entry in manifest.files.items():
            _fetch(source, file, entry, folder)
        try:
            imported = import_folder(home, folder, name)
        except Damaged:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # Where registering fails for another reason (a full disk, a name taken meanwhile) the next pull has it all.
        shutil.rmtree(folder, ignore_errors=True)
        return imported


def _fetch(source: Remote, name: str, entry: FileEntry, folder: Path) -> None:
    """Bring a file into `folder`, from where an earlier attempt stopped."""
    path, begun = folder / name, folder / f"{name}{_BEGUN}"
    if path.is_file() and path.stat().st_size == entry.size and hash_file(path) == entry.sha256:
        return
    if begun.is_file() and begun.stat().st_size > entry.size:
        begun.unlink()
    with source.explained("read"):
        tried(lambda: _append(source, name, entry, begun))
    if begun.stat().st_size != entry.size or hash_file(begun) != entry.sha256:
        begun.unlink()
        raise SmartCliError(
            f"{source.shown}/{name}: it is not what the manifest says; push it again from where it was trained"
        )
    DISK.rename(begun, path)


def _append(source: Remote, name: str, entry: FileEntry, begun: Path) -> None:
    with explain_os_errors(begun, "write", needed=entry.size):
        out = begun.open("ab")
    with out, source.files.open(source.child(name), "rb") as file:
        at = out.tell()
        if at:
            file.seek(at)
        while at < entry.size and (chunk := file.read(min(CHUNK, entry.size - at))):
            with explain_os_errors(begun, "write", needed=entry.size):
                out.write(chunk)
                out.flush()
            at += len(chunk)
    if at < entry.size:
        # Some file systems end a read that broke off as if the file ended there.
        raise ConnectionError(f"{at} of {entry.size} bytes")


def _clean(home: Home) -> None:
    """Remove what broke off long ago."""
    with contextlib.suppress(OSError):
        for path in (home.root / INCOMING).iterdir():
            if time.time() - path.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(path, ignore_errors=True)
