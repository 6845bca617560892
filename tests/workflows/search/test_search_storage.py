"""Where a study is kept: its password is nowhere to be read, and an outage is waited out."""

from __future__ import annotations

from pathlib import Path

import pytest

from smartcli.errors import SmartCliError, UserError
from smartcli.workflows.search import search_storage
from smartcli.workflows.search.search_storage import Patience, StorageGone, open_storage, read_place

URL = "postgresql://anna:s3%40cret@db.example:5432/studies"


def test_a_text_without_a_scheme_is_a_file(tmp_path: Path) -> None:
    place = read_place(str(tmp_path / "try.journal"))
    assert (place.path, place.url, place.shown) == (tmp_path / "try.journal", None, str(tmp_path / "try.journal"))
    for wrong in (tmp_path, tmp_path / "none" / "x"):
        with pytest.raises(UserError, match="expected a file, which may be new, in a folder that exists"):
            read_place(str(wrong))


def test_a_url_keeps_its_password_and_never_shows_it() -> None:
    place = read_place(URL)
    assert place.url == "postgresql+psycopg://anna:s3%40cret@db.example:5432/studies"
    assert place.shown == "postgresql://anna:***@db.example:5432/studies"
    said = place.hide(f"cannot reach {URL}: s3@cret and s3%40cret are wrong")
    assert "cret" not in said
    assert place.shown in said
    assert "cret" not in " ".join(place.hide_in(["smart", "sweep", f"--storage={URL}", "--storage", URL]))


def test_a_password_in_the_query_is_hidden_too() -> None:
    place = read_place("postgresql://db/studies?user=anna&password=s3cret&sslpassword=s4cret")
    assert "cret" not in place.shown
    assert "cret" not in place.hide("no: s3cret, s4cret")
    assert place.url is not None
    assert "s3cret" in place.url


def test_a_url_without_a_password_is_shown_as_it_is() -> None:
    place = read_place("postgresql://anna@db/studies")
    assert place.shown == "postgresql://anna@db/studies"
    assert place.hide_in(["--storage", place.shown]) == ["--storage", place.shown]


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://u:s3cret@h:port/x",
        "://u:s3cret@h/x",
        "postgresql://u:s3cret@[::1/x",
        "postgresql://u:p@s3cret@h:5432/x",
        "postgresql://u:a/b@s3cret@h/x",
        "postgresql:/u:s3cret@h/x",
        "postgresql+psycopg:u:s3cret@h/x",
    ],
)
def test_a_url_that_cannot_be_read_is_not_shown(text: str) -> None:
    with pytest.raises(UserError, match="--storage: expected a file or the URL of a database") as error:
        read_place(text)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("postgresql://u:s3cret@h", "the URL names no database"),
        ("nosuch://u:s3cret@h/x", "there is no such kind of database"),
        ("oracle://u:s3cret@h/x", "the driver of this database is not installed"),
    ],
)
def test_a_database_that_cannot_be_spoken_to_is_the_users_mistake(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        open_storage(read_place(text))
    assert "s3cret" not in str(error.value)


def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path: Path) -> None:
    for content in (b"my notes", b"a,b\n1,2\n", b'{"op_code":0}\n', b'{"op_code":"x"}\n', b'{"op_code":99}\n'):
        path = tmp_path / "notes.txt"
        path.write_bytes(content)
        with pytest.raises(UserError, match="expected a journal of Optuna"):
            open_storage(read_place(str(path)))
        assert path.read_bytes() == content


def test_an_outage_is_waited_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(search_storage.time, "sleep", waited.append)
    said: list[str] = []
    patience = Patience(read_place(URL), said.append)
    answers = iter([OSError("s3@cret refused"), OSError("again"), None])

    def ask() -> str:
        error = next(answers)
        if error is not None:
            raise error
        return "here"

    assert patience.tried(ask) == "here"
    assert (waited, patience.outages) == ([1.0, 2.0], 2)
    assert said[0] == (
        "the storage postgresql://anna:***@db.example:5432/studies does not answer (*** refused); trying again in 1 s"
    )


def test_a_storage_that_stays_away_is_exit_1_after_five_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_storage, "WAITS", (0.0,) * 4)
    # Port 9 of this machine, on which nobody listens.
    place = read_place("postgresql://anna:s3cret@127.0.0.1:9/studies")
    said: list[str] = []
    with pytest.raises(StorageGone, match=r"does not answer, after 5 tries: .*refused") as error:
        Patience(place, said.append).tried(lambda: open_storage(place))
    assert isinstance(error.value, SmartCliError)
    assert error.value.exit_code == 1
    assert len(said) == 4
    assert "s3cret" not in " ".join([*said, str(error.value)])


def test_another_error_passes_through_at_once() -> None:
    with pytest.raises(KeyError):
        Patience(read_place(URL), print).tried(lambda: {}["x"])
