"""Files on a file system that fsspec names (s3://, gs://, sftp://, file://, …), with its errors in words."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from smartcli.errors import SmartCliError, UserError
from smartcli.hidden import hidden, reason_of

RETRY_DELAYS = (0.5, 2.0, 5.0)
"""Seconds before an attempt after a dropped connection."""
CHUNK = 2**20
RENAMING = frozenset({"file", "local", "sftp", "ssh", "smb", "hdfs", "arrow_hdfs"})
"""Protocols that rename a folder in one step; the others (object stores) copy one file after the other."""
_REFUSED = ("NoCredentialsError", "PartialCredentialsError", "AuthenticationException", "CredentialRetrievalError")
_FOR_GOOD = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError, ValueError)
_EXTRAS = {"s3": "s3", "s3a": "s3", "sftp": "sftp", "ssh": "sftp"}
"""Protocol -> the extra of smart-finetune that brings its package."""

T = TypeVar("T")


@dataclass(frozen=True)
class Remote:
    """A folder on a file system: fsspec's object, the path in it, and the URL without secrets."""

    files: Any
    path: str
    shown: str
    protocol: str

    @property
    def renames(self) -> bool:
        """Whether a folder is renamed in one step."""
        return self.protocol in RENAMING

    def at(self, path: str) -> Remote:
        """Return another folder of the same file system."""
        return Remote(self.files, path, f"{self.shown.removesuffix(self.path)}{path}", self.protocol)

    def child(self, name: str) -> str:
        """Return the path of a file in the folder."""
        return f"{self.path}/{name}"

    def sizes(self) -> dict[str, int]:
        """Return name and bytes of each file in the folder, those below it as `a/b`; nothing where it is not there."""
        self.files.invalidate_cache()
        with self.explained("read"):
            found = tried(lambda: self.files.find(self.path, detail=True))
        start = f"{self.path}/"
        return {
            path[path.index(start) + len(start) :]: int(info.get("size") or 0)
            for path, info in found.items()
            if start in path
        }

    def read(self, name: str, limit: int) -> bytes:
        """Return a small file; SmartCliError for one of more than `limit` bytes."""
        with self.explained("read"):
            size = int(tried(lambda: self.files.size(self.child(name))) or 0)
            if size > limit:
                raise SmartCliError(f"{self.shown}/{name}: it has {size} bytes, more than the {limit} that are read")
            return bytes(tried(lambda: self.files.cat_file(self.child(name))))

    def hash(self, name: str) -> str:
        """Return the SHA-256 (hex) of a file, read back in chunks."""

        def read_all() -> str:
            digest = hashlib.sha256()
            with self.files.open(self.child(name), "rb") as file:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
            return digest.hexdigest()

        with self.explained("read"):
            return tried(read_all)

    def put(self, source: Path, name: str) -> None:
        """Write a local file; what it was before is replaced."""
        with self.explained("write"):
            tried(lambda: self.files.put_file(str(source), self.child(name)))

    def write(self, name: str, content: bytes) -> None:
        """Write a small file whole."""
        with self.explained("write"):
            tried(lambda: self.files.pipe_file(self.child(name), content))

    def make(self) -> None:
        """Make the folder, where the file system has any; an object store might make a bucket."""
        if not self.renames:
            return
        with self.explained("write"):
            tried(lambda: self.files.makedirs(self.path, exist_ok=True))

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone is fine."""
        with self.explained("write"):
            self._gone_is_fine(lambda: self.files.rm_file(self.child(name)))

    def remove_folder(self) -> None:
        """Remove the folder and all in it."""
        with self.explained("write"):
            self._gone_is_fine(lambda: self.files.rm(self.path, recursive=True))

    def exists(self) -> bool:
        """Whether something lies there."""
        self.files.invalidate_cache()
        with self.explained("read"):
            return bool(tried(lambda: self.files.exists(self.path)))

    def rename(self, target: Remote) -> None:
        """Give the folder another path, in one step."""
        with self.explained("write"):
            self.files.mv(self.path, target.path)

    def copy(self, name: str, target: Remote) -> None:
        """Copy a file to another folder of the same file system, on its side."""
        with self.explained("write"):
            tried(lambda: self.files.copy(self.child(name), target.child(name)))

    @contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """Turn what a file system's package raises into a message without secrets."""
        try:
            yield
        except SmartCliError:
            raise
        except Exception as error:
            raise explain(error, self.shown, doing) from error

    @staticmethod
    def _gone_is_fine(what: Callable[[], object]) -> None:
        def quietly() -> None:
            try:
                what()
            except FileNotFoundError:
                return

        tried(quietly)


def open_remote(url: str) -> Remote:
    """Return the folder that `url` names; UserError where no package knows its protocol, or the one is missing."""
    from fsspec.core import url_to_fs

    protocol, _, rest = url.partition("://")
    bare = f"{protocol}://{rest.rstrip('/')}"
    shown = hidden(bare)
    try:
        files, path = url_to_fs(bare, skip_instance_cache=True)
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        install = f"pip install 'smart-finetune[{extra}]'" if extra else "the package that this message names"
        raise UserError(f"{protocol}:// needs a package that is missing ({error}); install it: {install}") from error
    except ValueError as error:
        raise UserError(f"{shown}: {reason_of(error)}; expected a URL such as s3://BUCKET/ckpt1") from error
    except Exception as error:
        raise explain(error, shown, "reach") from error
    path = str(path).rstrip("/")
    bucket_alone = "/" not in path and protocol not in RENAMING
    if not path or bucket_alone:
        raise UserError(f"{shown} names no folder below a bucket; expected a URL such as s3://BUCKET/ckpt1")
    return Remote(files, path, shown, protocol)


def tried(what: Callable[[], T]) -> T:
    """Return what `what` returns, after up to three more attempts where a connection dropped."""
    for delay in RETRY_DELAYS:
        try:
            return what()
        except _FOR_GOOD:
            raise
        except Exception as error:
            if isinstance(error, SmartCliError) or type(error).__name__ in _REFUSED:
                raise
            time.sleep(delay)
    return what()


def explain(error: Exception, shown: str, doing: str) -> SmartCliError:
    """Return the error that a user sees."""
    if isinstance(error, PermissionError) or type(error).__name__ in _REFUSED:
        return UserError(
            f"{shown}: access is refused ({reason_of(error)}); check the credentials that its package reads (for s3 "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE), and that they may read and write there"
        )
    if isinstance(error, FileNotFoundError):
        return UserError(f"{shown}: not found ({reason_of(error)}); check the URL; a bucket must be there already")
    return SmartCliError(
        f"could not {doing} {shown}: {reason_of(error)}; check the network and run the same command again: it goes on "
        "with what is there"
    )
