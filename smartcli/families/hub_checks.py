"""Checksums of files from the Hugging Face hub: the library compares sizes only."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from smartcli.errors import SmartCliError

SHA1 = re.compile(r"[0-9a-f]{40}")
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RemoteFile:
    """What the hub lists about a file."""

    path: str
    size: int
    digest: str
    """SHA-256 of the content for large files (LFS), else the git blob's SHA-1."""


def digest_of(path: Path, like: str) -> str:
    """Return the checksum of `path` in the form of `like`: SHA-256 (64 digits) or git blob SHA-1 (40 digits)."""
    with path.open("rb") as file:
        if SHA256.fullmatch(like):
            return hashlib.file_digest(file, "sha256").hexdigest()
        header = b"blob %d\0" % path.stat().st_size
        digest = hashlib.sha1(header, usedforsecurity=False)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
        return digest.hexdigest()


def check_files(folder: Path, files: list[RemoteFile], repo_id: str) -> None:
    """Compare the downloaded files with the hub's list; a differing one is removed and named."""
    for file in files:
        _check(folder / file.path, file.digest, repo_id)


def check_cached(folder: Path, repo_id: str) -> None:
    """Compare each file of a cached snapshot with the checksum by which the cache calls it."""
    for path in sorted(folder.rglob("*")):
        stored = path.resolve()
        # Without links (some file systems) the cache keeps no checksum.
        known = SHA256.fullmatch(stored.name) or SHA1.fullmatch(stored.name)
        if path.is_symlink() and stored.is_file() and known:
            _check(path, stored.name, repo_id)


def _check(path: Path, digest: str, repo_id: str) -> None:
    found = digest_of(path, digest)
    if found == digest:
        return
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    raise SmartCliError(
        f"{repo_id}: {path.name} differs from what the hub lists (checksum {found[:12]}…, expected {digest[:12]}…); "
        "it was removed from the cache and not used. Run the same command again; if it happens again, the server or "
        "the way to it alters files"
    )
