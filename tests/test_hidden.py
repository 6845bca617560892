"""Secrets in the texts of libraries and in addresses."""

from __future__ import annotations

import pytest

from smartcli.hidden import has_user, hidden, reason_of


def test_passwords_tokens_and_signatures_are_blanked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "abcdef123")
    monkeypatch.setenv("MY_TOKEN", "abc")
    text = (
        "GET https://me:pass@host/a?x=1&X-Amz-Signature=5e5e5e&y=2 with abcdef123 abc "
        "Authorization: Bearer aaa.bbb-ccc s3://bucket/a@b"
    )
    assert hidden(text) == (
        "GET https://***@host/a?x=1&X-Amz-Signature=***&y=2 with *** abc Authorization: Bearer *** s3://bucket/a@b"
    )


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("sftp://lab:P@ssw0rd@host/dir/ckpt1", "sftp://***@host/dir/ckpt1"),
        ("s3://AKIAX:ab/cd+ef@bucket/ckpt1", "s3://***@bucket/ckpt1"),
        ("http://host:5000/a@b", "http://host:5000/a@b"),
    ],
)
def test_a_password_with_an_at_sign_or_a_slash_is_blanked_whole(address: str, shown: str) -> None:
    assert hidden(address) == shown


def test_a_user_in_an_address_is_seen() -> None:
    assert has_user("http://token@host")
    assert not has_user("http://host/a@b")


def test_a_reason_is_one_short_line() -> None:
    assert reason_of(ValueError("first\nsecond")) == "ValueError: first"
    assert reason_of(KeyError()) == "KeyError"
    assert len(reason_of(ValueError("x" * 1000))) < 330
