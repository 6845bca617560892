"""The page: nothing of the data runs in it, it asks for nothing outside itself, and its tables sort and search."""

from __future__ import annotations

import html.parser
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smartcli.report.confusion import confusion_figure
from smartcli.report.html import Cell, Column, ErrorTable, Grid, Page, Section, number, render_page
from smartcli.report.style import render
from smartcli.report.worst_errors import WorstRow
from tests.report import browser

NASTY = "<script>window.hacked = 1</script> <img src=x onerror='window.hacked = 1'> & \"quoted\" [red] \x1b[31m"


def make_page() -> Page:
    drawn = render(confusion_figure(np.array([[3, 1], [1, 2]]), ["0", "1"]), "m", "mood: matrix", f"alt {NASTY}")
    rows = [
        WorstRow("r1", (NASTY, "plain words"), "bad", "good", 0.9, 0.8),
        WorstRow("r2", ("a blue house", "a green tree"), "good", "bad", 0.125, None),
        WorstRow("r3", ("the blue river", "a stone"), "good", "bad", 0.5, 0.6),
    ]
    scores = Grid(
        (Column("checkpoint"), Column("overall", True)),
        ((Cell("ckpt2"), number(0.7)), (Cell("ckpt10"), number(None)), (Cell("ckpt1"), number(0.75))),
    )
    section = Section(
        "ckpt1",
        "finetune",
        figures=(drawn,),
        calibration=Grid((Column("task"), Column("ECE", True)), ((Cell("mood"), number(0.0425)),)),
        classes=Grid(
            (Column("task"), Column("class"), Column("recall", True)), ((Cell("mood"), Cell(NASTY), number(0.25)),)
        ),
        errors=(ErrorTable("mood", "1 − p(true)", "3 of 7 rows", ("first", "second"), rows),),
        lineage=("started from ckpt0",),
        settings=(("lambda", "5"), ("name", NASTY)),
    )
    return Page("Report", "dev scores", scores, notes=(NASTY,), sections=(section,))


class Tags(html.parser.HTMLParser):
    """Every tag of a page with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_text_of_the_data_is_shown_and_never_markup():
    page = render_page(make_page())
    found = Tags(page).found
    assert [tag for tag, _ in found].count("script") == 1
    assert [tag for tag, _ in found].count("img") == 1
    assert not [name for _, attributes in found for name in attributes if name.startswith("on")]
    assert "&lt;script&gt;window.hacked" in page


def test_escape_sequences_and_turned_text_are_spelt_out() -> None:
    page = render_page(replace(make_page(), subtitle="a \x1b[31m \u202e b", notes=("\x9b1m",)))
    assert "a \\x1b[31m \\u202e b" in page
    assert not {"\x1b", "\x9b", "\u202e"} & set(page)


def test_the_page_names_no_address_outside_itself():
    page = render_page(make_page())
    links = [
        attributes[key] or "" for _, attributes in Tags(page).found for key in ("src", "href") if key in attributes
    ]
    assert len(links) == 4
    assert all(link.startswith(("data:", "#")) for link in links)
    assert "default-src 'none'" in page


def test_what_the_page_must_hold_is_in_it():
    page = render_page(make_page())
    for word in (
        "ckpt10",
        "0.750",
        "mood: worst errors",
        "3 of 7 rows",
        "0.043",
        "started from ckpt0",
        "lambda",
        "mood: matrix",
    ):
        assert word in page


@pytest.mark.skipif(browser.CHROMIUM is None or browser.DRIVER is None, reason=browser.MISSING)
def test_in_chromium_tables_sort_and_search_without_console_errors(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(render_page(make_page()), encoding="utf-8")
    with browser.chromium() as chromium:
        chromium.open(page)
        rows = "[...document.querySelectorAll('#{} tbody tr')].filter(row => !row.hidden)"
        column = f"return {rows}.map(row => row.cells[{{}}].textContent)"
        click = "document.querySelectorAll('#{} th button')[{}].click()"

        errors = "errors-1-1"
        assert chromium.run(column.format(errors, 0)) == ["0.900", "0.125", "0.500"]
        chromium.run(click.format(errors, 0))
        assert chromium.run(column.format(errors, 0)) == ["0.125", "0.500", "0.900"]
        chromium.run(click.format(errors, 0))
        assert chromium.run(column.format(errors, 0)) == ["0.900", "0.500", "0.125"]
        chromium.run(click.format(errors, 3))
        assert chromium.run(column.format(errors, 3)) == ["0.600", "0.800", "–"], "a missing number stays last"

        chromium.run(click.format("table-scores", 0))
        assert chromium.run(column.format("table-scores", 0)) == ["ckpt1", "ckpt2", "ckpt10"]
        assert (
            chromium.run("return document.querySelector('#table-scores th').getAttribute('aria-sort')") == "ascending"
        )

        search = "const box = document.querySelector('input'); box.value = '{}'; box.dispatchEvent(new Event('input'))"
        chromium.run(search.format("BLUE a"))
        assert chromium.run(column.format(errors, 6)) == ["r3", "r2"]
        assert chromium.run("return document.getElementById('errors-1-1-count').textContent") == "2 of 3 rows"
        chromium.run(search.format(""))

        assert chromium.run("return window.hacked ?? null") is None
        assert chromium.run("return document.querySelector('figure img').naturalWidth") > 100
        assert chromium.screenshot(tmp_path / "page.png").startswith(b"\x89PNG")
        assert [entry for entry in chromium.console() if entry["level"] in ("SEVERE", "WARNING")] == []
        # chrome: is the start page of the browser itself.
        asked = [url for url in chromium.requests() if not url.startswith(("data:", "chrome:"))]
        assert asked == [page.as_uri()]
