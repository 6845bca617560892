"""Where a study is kept: a journal file or a database, its password hidden, its outages waited out."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from smartcli.errors import SmartCliError, UserError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

T = TypeVar("T")
HIDDEN = "***"
WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try at a storage that does not answer."""
CONNECT_SECONDS = 10
JOURNAL_BEGINS = b'{"op_code":'
_DRIVERS = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg"}
_SECRET_WORDS = ("pass", "secret", "token", "key")
NEEDS_EXTRA = "--search tpe needs Optuna; install it with: pip install 'smart-finetune[search]'"


class StorageGone(SmartCliError):
    """The storage did not answer, several times in a row."""


_NEARLY_URL = re.compile(r"\w[\w+]*:.*@")
_UNREADABLE = (
    "--storage: expected a file or the URL of a database, such as postgresql://USER@HOST:5432/NAME; found a URL that "
    "cannot be read (not shown, since it may hold a password); an @ or / in a password is written %40 or %2F"
)


@dataclass(frozen=True)
class Place:
    """Where a study is kept: `path` of a journal, or the `url` of a database; `shown` has no password in it."""

    shown: str
    path: Path | None = None
    url: str | None = None
    secrets: tuple[str, ...] = ()
    """The URL as it was given, and each password in it, longest first."""

    def hide(self, text: str) -> str:
        """Return `text` without the URL's password."""
        for secret in self.secrets:
            text = text.replace(secret, self.shown if "://" in secret else HIDDEN)
        return text

    def hide_in(self, argv: Sequence[str]) -> list[str]:
        """Return the words of a command line as they may be stored."""
        return [self.hide(word) for word in argv]


def read_place(text: str) -> Place:
    """Return the place that `--storage` names; a text with `://` in it is the URL of a database.

    UserErrors never show the URL: it may hold a password.
    """
    if "://" not in text:
        if _NEARLY_URL.match(text) and not Path(text).exists():
            raise UserError(_UNREADABLE)
        path = Path(text).expanduser().absolute()
        if path.is_dir() or not path.parent.is_dir():
            wrong = "it is a folder" if path.is_dir() else f"the folder {path.parent} is not there"
            raise UserError(f"--storage {text}: expected a file, which may be new, in a folder that exists; {wrong}")
        return Place(str(path), path=path)
    try:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError as error:
        raise UserError(NEEDS_EXTRA) from error
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UserError(_UNREADABLE) from None
    if "@" in f"{url.host or ''}{url.database or ''}":
        # SQLAlchemy ends a password at its first "@": the rest of it would be shown as the host.
        raise UserError(_UNREADABLE)
    if not url.database:
        raise UserError(f"--storage {url.drivername}://…: the URL names no database; expected …://USER@HOST:PORT/NAME")
    secret_keys = [key for key in url.query if any(word in key.lower() for word in _SECRET_WORDS)]
    found = [str(url.password)] if url.password else []
    found += [str(value) for key in secret_keys for value in _each(url.query[key])]
    shown = url.update_query_dict(dict.fromkeys(secret_keys, HIDDEN)).render_as_string(hide_password=True)
    raw = text.partition("://")[2].rpartition("@")[0].partition(":")[2]
    # As it was typed, percent signs and all, beside what it stands for.
    secrets = sorted({text, *filter(None, [*found, raw])}, key=len, reverse=True)
    full = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername)).render_as_string(hide_password=False)
    return Place(shown, url=full, secrets=tuple(secrets) if found else ())


def _each(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


class Patience:
    """Does what asks a storage, and again where that does not answer."""

    def __init__(self, place: Place, say: Callable[[str], None]) -> None:
        self.place, self.say = place, say
        self.outages = 0

    def tried(self, what: Callable[[], T]) -> T:
        """Return what `what` gives; StorageGone after five tries in vain.

        What was done in a try whose answer was lost is done again: `what` must take it when it finds it done.
        """
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        for wait in (*WAITS, None):
            try:
                return what()
            except (StorageInternalError, SQLAlchemyError, OSError) as error:
                self.outages += 1
                said = self.place.hide(_said(error))
            if wait is None:
                raise StorageGone(
                    f"the storage {self.place.shown} does not answer, after {len(WAITS) + 1} tries: {said}"
                ) from None
            self.say(f"the storage {self.place.shown} does not answer ({said}); trying again in {wait:g} s")
            time.sleep(wait)
        raise AssertionError("the last try returns or raises")


def _said(error: BaseException) -> str:
    """Return the first line of what the driver said: Optuna and SQLAlchemy wrap it in words of their own."""
    found: BaseException = error
    while (inner := getattr(found, "orig", None) or found.__cause__) is not None:
        found = inner
    lines = [line.strip() for line in str(found).splitlines() if line.strip()]
    return lines[0] if lines else type(found).__name__


def open_storage(place: Place) -> BaseStorage:
    """Open the journal, or connect to the database and make its tables where they are missing.

    UserError for a database whose driver is not installed, and a file that is no journal; the errors that `Patience`
    waits out pass through.
    """
    if place.path is not None:
        return _open_journal(place.path)
    from optuna.storages import RDBStorage

    assert place.url is not None
    engine: dict[str, Any] = {"pool_pre_ping": True}
    if place.url.startswith("postgresql+psycopg:"):
        # Without these a connection whose other end is gone without a word is waited for by the quarter of an hour.
        engine["connect_args"] = {"connect_timeout": CONNECT_SECONDS, "tcp_user_timeout": 1000 * CONNECT_SECONDS}
    try:
        return RDBStorage(place.url, engine_kwargs=engine)
    except ImportError:
        raise UserError(
            f"--storage {place.shown}: the driver of this database is not installed; the extra search brings "
            "PostgreSQL's: pip install 'smart-finetune[search]'"
        ) from None
    except RuntimeError as error:
        # Tables of another version of Optuna.
        raise UserError(f"--storage {place.shown}: {place.hide(_said(error))}") from None
    except Exception as error:
        if type(error).__name__ == "NoSuchModuleError":
            raise UserError(
                f"--storage {place.shown}: there is no such kind of database; expected postgresql://, mysql:// or "
                "sqlite:///"
            ) from None
        raise


def _open_journal(path: Path) -> BaseStorage:
    from optuna.storages import JournalStorage

    from smartcli.workflows.search.journal_file import Journal

    try:
        with path.open("rb") if path.exists() else BytesIO() as file:
            begin = file.read(len(JOURNAL_BEGINS))
        # Before anything is written: the file may be another one by mistake.
        if begin and not JOURNAL_BEGINS.startswith(begin):
            raise ValueError(f"it begins with {begin!r}")
        return JournalStorage(Journal(path))
    except PermissionError as error:
        raise UserError(f"--storage {path}: cannot be read and written: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise UserError(
            f"--storage {path}: expected a journal of Optuna, one JSON object a line; found something else: "
            f"{str(error) or type(error).__name__:.80}"
        ) from error
