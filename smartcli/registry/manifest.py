"""What a finished folder holds: size and SHA-256 of each file, sealed by a hash of itself."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from smartcli.data.sealed import seal, unseal
from smartcli.disk import hash_file
from smartcli.errors import SmartCliError
from smartcli.strictjson import canonical_json

MANIFEST = "manifest.json"
FORMAT = 1
SMALL = 64 * 2**20
"""Bytes that a JSON file may have before it is read into memory."""
_CHUNK = 2**20


class Damaged(SmartCliError):
    """A file is not what was committed; `file` is its name and `reason` the rest of the message."""

    def __init__(self, folder: Path, file: str, reason: str) -> None:
        super().__init__(f"{folder / file if file else folder}: {reason}")
        self.file, self.reason = file, reason


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and SHA-256 (hex) of one file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The files of a folder, and the hash that stands for all of them."""

    files: dict[str, FileEntry]

    @cached_property
    def hash(self) -> str:
        """The SHA-256 that stands in manifest.json as its last key."""
        return hashlib.sha256(canonical_json(_content(self.files))).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files together, the manifest aside."""
        return sum(entry.size for entry in self.files.values())


def build_manifest(folder: Path) -> Manifest:
    """Hash every file of `folder`, which may hold plain files alone."""
    files: dict[str, FileEntry] = {}
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not entry.is_file(follow_symlinks=False) or entry.name == MANIFEST:
            raise SmartCliError(f"{entry.path} cannot be committed; expected plain files, none called {MANIFEST}")
        files[entry.name] = FileEntry(entry.stat(follow_symlinks=False).st_size, hash_file(folder / entry.name))
    return Manifest(files)


def manifest_bytes(manifest: Manifest) -> bytes:
    """Return the content of manifest.json."""
    return seal(_content(manifest.files))


def _content(files: dict[str, FileEntry]) -> dict[str, Any]:
    listed = {name: {"size": entry.size, "sha256": entry.sha256} for name, entry in files.items()}
    return {"format": FORMAT, "files": listed}


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest and compare it with what lies in `folder`: names, kinds and sizes, no hashes.

    Raises Damaged for the first file at fault, FileNotFoundError when the folder is gone.
    """
    manifest = parse_manifest(folder)
    for problem in listing_problems(folder, manifest):
        raise problem
    return manifest


def parse_manifest(folder: Path) -> Manifest:
    """Read the manifest alone."""
    mode = folder.lstat().st_mode
    if not stat.S_ISDIR(mode):
        raise Damaged(folder, "", f"expected a folder, found {_kind(mode)}; remove it")
    value = read_sealed(folder, MANIFEST)
    try:
        files = {name: FileEntry(entry["size"], entry["sha256"]) for name, entry in value["files"].items()}
        plain = all(type(entry.size) is int and entry.size >= 0 for entry in files.values())
        named = all(name not in ("", ".", "..", MANIFEST) and not set("/\0") & set(name) for name in files)
        same = plain and named and canonical_json(value) == canonical_json(_content(files))
    except (KeyError, TypeError, ValueError, AttributeError):
        same = False
    if not same:
        raise Damaged(folder, MANIFEST, f"it is not a manifest of format {FORMAT}")
    return Manifest(files)


def read_sealed(folder: Path, name: str) -> dict[str, Any]:
    """Return what `seal` wrote into a small file of `folder`; Damaged when a byte of it differs."""
    try:
        return unseal(_read_small(folder, name), name, "it was altered after it was written")
    except Damaged:
        raise
    except SmartCliError as error:
        raise Damaged(folder, name, str(error).removeprefix(f"{name}: ")) from None


def listing_problems(folder: Path, manifest: Manifest) -> Iterator[Damaged]:
    """Yield what differs between the folder's listing and the manifest."""
    found = {entry.name: entry.stat(follow_symlinks=False) for entry in os.scandir(folder)}
    for name, entry in manifest.files.items():
        if name not in found:
            yield Damaged(folder, name, "the file is missing; the manifest lists it")
        elif not stat.S_ISREG(found[name].st_mode):
            yield Damaged(folder, name, f"expected a plain file, found {_kind(found[name].st_mode)}")
        elif found[name].st_size != entry.size:
            yield Damaged(folder, name, f"expected {entry.size} bytes, found {found[name].st_size}")
    for name in sorted(found.keys() - manifest.files.keys() - {MANIFEST}):
        yield Damaged(folder, name, "the manifest does not list it; remove it")


def read_verified(folder: Path, name: str, manifest: Manifest, limit: int = 2**40) -> bytes:
    """Return the bytes of a listed file; Damaged where size or hash differ, before they are used."""
    entry = entry_of(folder, name, manifest)
    if entry.size > limit:
        raise Damaged(folder, name, f"it has {entry.size} bytes, more than the {limit} that are read")
    with open_plain(folder, name) as file:
        raw = file.read(entry.size + 1)
    if len(raw) != entry.size or hashlib.sha256(raw).hexdigest() != entry.sha256:
        raise Damaged(folder, name, "its content does not match the manifest")
    return raw


def verify_file(folder: Path, name: str, manifest: Manifest) -> None:
    """Hash a listed file in chunks; Damaged where it differs."""
    entry = entry_of(folder, name, manifest)
    with open_plain(folder, name) as file:
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != entry.sha256:
        raise Damaged(folder, name, "its content does not match the manifest")


def entry_of(folder: Path, name: str, manifest: Manifest) -> FileEntry:
    """Return the manifest's entry for `name`; Damaged when it has none."""
    if name not in manifest.files:
        raise Damaged(folder, name, "the manifest does not list such a file")
    return manifest.files[name]


def open_plain(folder: Path, name: str) -> BinaryIO:
    """Open a plain file for reading; Damaged for a link, a special file or one that cannot be read."""
    try:
        handle = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not os.path.lexists(folder):
            raise
        raise Damaged(folder, name, f"it cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise Damaged(folder, name, "expected a plain file")
    return os.fdopen(handle, "rb")


def _read_small(folder: Path, name: str) -> bytes:
    with open_plain(folder, name) as file:
        raw = file.read(SMALL + 1)
    if len(raw) > SMALL:
        raise Damaged(folder, name, f"it has more than {SMALL} bytes")
    return raw


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a folder" if stat.S_ISDIR(mode) else "a file" if stat.S_ISREG(mode) else "a special file"
