"""A near word is suggested, and nothing that is not near."""

from __future__ import annotations

import pytest

from smartcli.errors import LONGEST_LINE, SmartCliError, suggest


@pytest.mark.parametrize(
    ("typed", "known", "meant"),
    [
        ("simultanous", ["sequential", "simultaneous"], "simultaneous"),
        ("SST", ["sst", "qqp"], "sst"),
        ("demo", ["Demo"], "Demo"),
        ("seq", ["sequential", "simultaneous"], "sequential"),
        ("s", ["sequential", "simultaneous"], ""),
        ("", ["sequential"], ""),
        ("other", ["sequential", "simultaneous"], ""),
        ("other", [], ""),
    ],
)
def test_the_nearest_word_is_suggested(typed: str, known: list[str], meant: str) -> None:
    assert suggest(typed, known) == (f'; did you mean "{meant}"?' if meant else "")


def test_an_endless_line_keeps_its_start_and_its_end() -> None:
    shown = str(SmartCliError("start " + "x" * 10 * LONGEST_LINE + " the remedy\nnext line"))
    first, second = shown.split("\n")
    assert len(first) < LONGEST_LINE
    assert first.startswith("start x")
    assert first.endswith("x the remedy")
    assert second == "next line"
