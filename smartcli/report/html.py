"""One self-contained HTML page: scores, figures, worst errors, calibration, settings and lineage.

The page asks for nothing outside itself, and its policy forbids it: text of a data set is escaped, figures are
images (no script in them runs), and the only style and script allowed are its own, by hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources

from smartcli.report.explained import Explained
from smartcli.report.style import Drawn
from smartcli.report.worst_errors import WorstRow
from smartcli.visible import visible


@dataclass(frozen=True)
class Column:
    """A column's heading, and whether it sorts by number."""

    name: str
    number: bool = False


@dataclass(frozen=True)
class Cell:
    """What a cell shows; `number` is what it sorts by ("" for a missing number, None for text)."""

    text: str
    number: float | str | None = None


@dataclass(frozen=True)
class Grid:
    """A table: every row has a cell a column."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class ErrorTable:
    """The worst errors of a task; `columns` names the sentences, empty where they are not at hand."""

    task: str
    measure: str
    says: str
    columns: tuple[str, ...]
    rows: Sequence[WorstRow]
    explained: Sequence[Explained] = ()
    """The first of them, with words that matter and nearest training rows."""

    @property
    def confident(self) -> bool:
        """Whether the rows carry the predicted class's probability."""
        return any(row.confidence is not None for row in self.rows)


@dataclass(frozen=True)
class Section:
    """What the page says of one checkpoint."""

    name: str
    summary: str
    notes: tuple[str, ...] = ()
    figures: tuple[Drawn, ...] = ()
    calibration: Grid = field(default_factory=lambda: Grid((), ()))
    classes: Grid = field(default_factory=lambda: Grid((), ()))
    """Precision, recall and F1 of each class."""
    errors: tuple[ErrorTable, ...] = ()
    lineage: tuple[str, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Page:
    """The whole page: a score table and figures over all checkpoints, then a section for each."""

    title: str
    subtitle: str
    scores: Grid
    notes: tuple[str, ...] = ()
    figures: tuple[Drawn, ...] = ()
    sections: tuple[Section, ...] = ()


def number(value: float | None, text: str | None = None) -> Cell:
    """Return a cell that sorts by `value` and shows `text` (default: three decimals, "–" where there is none)."""
    if value is None:
        return Cell(text or "–", "")
    return Cell(f"{value:.3f}" if text is None else text, value)


def render_page(page: Page) -> str:
    """Return the page as HTML, every value escaped."""
    from jinja2 import DictLoader, Environment, StrictUndefined
    from markupsafe import Markup

    css, js = _part("page.css"), _part("page.js")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        loader=DictLoader({"page": _part("page.html.j2")}),
        trim_blocks=True,
        finalize=_shown,
    )
    return environment.get_template("page").render(
        page=page,
        # Our own files, not data: the hashes in the policy count the bytes as they stand.
        css=Markup(css),
        js=Markup(js),
        css_hash=_hash(css),
        js_hash=_hash(js),
        base64=lambda raw: base64.b64encode(raw).decode("ascii"),
    )


def _shown(value: object) -> object:
    """Return text of ours or of data with its control characters spelt out; Markup is our own and stays."""
    return visible(value) if type(value) is str else value


def _part(name: str) -> str:
    return resources.files("smartcli.report").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
