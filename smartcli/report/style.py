"""One look for every figure, and figures as PNG and SVG bytes that are the same each time."""

from __future__ import annotations

import io
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from smartcli.atomic import write_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart with every common colour vision; yellow is left out (pale on white).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")
RED = "#D00000"
GREY = "#6B6B6B"
RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.dpi": 100,
    "savefig.dpi": 160,
    "savefig.pad_inches": 0.1,
    "savefig.bbox": "tight",
    "svg.hashsalt": "smartcli",
    "svg.fonttype": "path",
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Drawn:
    """A figure as files: its title for the page, a sentence for who cannot see it, and its bytes."""

    stem: str
    title: str
    alt: str
    png: bytes
    svg: bytes

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write `STEM.png` and `STEM.svg` into `folder`, each whole or not at all; return their paths."""
        paths = (folder / f"{self.stem}.png", folder / f"{self.stem}.svg")
        write_file(paths[0], self.png)
        write_file(paths[1], self.svg)
        return paths


@contextmanager
def style() -> Iterator[None]:
    """Apply the look; data-set text is drawn as it stands (a `$` starts no formula)."""
    import matplotlib

    with matplotlib.rc_context(cast(Any, RC)), warnings.catch_warnings():
        # A sentence may hold characters that the font lacks: a box is drawn, and that is all there is to say.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def new_figure(width: float, height: float, layout: Literal["constrained", "compressed"] = "constrained") -> Figure:
    """Return an empty figure (inches) outside pyplot, so that no global state or display is touched.

    `compressed` keeps labels beside axes of a fixed aspect ratio.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def render(figure: Figure, stem: str, title: str, alt: str) -> Drawn:
    """Return `figure` as PNG and SVG bytes, without a date, so that equal input gives equal files."""
    png, svg = io.BytesIO(), io.BytesIO()
    with style():
        figure.savefig(png, format="png", metadata={"Software": None})
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    return Drawn(stem, title, alt, png.getvalue(), svg.getvalue())


def look(index: int) -> dict[str, Any]:
    """Return colour, marker and line of the n-th series: never told apart by colour alone."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index % len(LINES)],
    }


def whole_ticks(axes: Axes) -> None:
    """Put ticks of the x axis on whole numbers (epochs, steps)."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))


def plain_text(text: str, limit: int = 220) -> str:
    """Return `text` on one line, without control characters, cut at `limit` characters with an ellipsis."""
    kept = "".join(" " if c.isspace() else c for c in text if c.isspace() or unicodedata.category(c)[0] != "C")
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def short(value: float) -> str:
    """Return a score with three decimals and no leading zero, as the paper writes it: .545, -.021, 1.000."""
    text = f"{value:.3f}"
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text
