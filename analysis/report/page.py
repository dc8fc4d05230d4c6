"""The page as data, and how it becomes one self-contained HTML file and the files beside it.

A page is chapters of sections of blocks. A block says what is shown; `assets/report.html.j2` says
how. Every string on the page passes `redact`, so that no address with a password can slip through.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from analysis.figures import pictures
from analysis.figures.base import Plot
from analysis.figures.pictures import Grid
from analysis.tables.table import Table
from analysis.tracker.client import redact

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.figure import Figure

ASSETS = Path(__file__).parent / "assets"
FORMATS = ("png", "svg", "pdf")
DOTS_PER_INCH = 150


@dataclass(frozen=True)
class Prose:
    """A paragraph; a `notice` is set apart, for what a reader must not overlook."""

    text: str
    tone: Literal["plain", "lead", "notice"] = "plain"
    kind: str = "prose"


@dataclass(frozen=True)
class KeyNumber:
    """A number large enough to be seen first."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class KeyNumbers:
    """Key numbers side by side."""

    numbers: tuple[KeyNumber, ...]
    kind: str = "numbers"


@dataclass(frozen=True)
class Facts:
    """Names and values, one below the other."""

    pairs: tuple[tuple[str, str], ...]
    kind: str = "facts"


@dataclass(frozen=True)
class Command:
    """A command line to copy."""

    text: str
    kind: str = "command"


@dataclass(frozen=True, eq=False)
class TableBlock:
    """A table; `stem` names its files. `note` False leaves the note to the files alone."""

    table: Table
    stem: str
    note: bool = True
    kind: str = "table"


@dataclass(frozen=True)
class Plots:
    """Plots side by side where there is room; `wide` ones take the whole width.

    `legend` has label and colour of what all of them show alike.
    """

    plots: tuple[Plot, ...]
    wide: bool = False
    legend: tuple[tuple[str, str], ...] = ()
    kind: str = "plots"


@dataclass(frozen=True)
class ParallelPlot:
    """Parallel coordinates, drawn by the page's own script."""

    plot: Plot
    kind: str = "parallel"


@dataclass(frozen=True, eq=False)
class PictureGrid:
    """A grid of images."""

    grid: Grid
    kind: str = "grid"


Block = Prose | KeyNumbers | Facts | Command | TableBlock | Plots | ParallelPlot | PictureGrid


@dataclass(frozen=True, eq=False)
class Section:
    """A heading and its blocks; `name` is its anchor."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Selection:
    """Trials that can be picked: (run id, status) by key, and commands by name.

    In a command the word TRIAL stands for the trial's key.
    """

    runs: Mapping[str, tuple[str, str]]
    commands: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Chapter:
    """One study, or the comparison of several; `prefix` keeps anchors and file names apart."""

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    prefix: str = ""
    selection: Selection | None = None

    def blocks(self) -> Iterator[Block]:
        """All blocks in order."""
        for section in self.sections:
            yield from section.blocks


@dataclass(frozen=True, eq=False)
class Page:
    """The whole report."""

    title: str
    chapters: tuple[Chapter, ...]
    made: str
    footnotes: tuple[str, ...] = ()

    @property
    def draws(self) -> bool:
        """Whether plotly is needed at all."""
        blocks = (block for chapter in self.chapters for block in chapter.blocks())
        return any(isinstance(block, Plots) for block in blocks)


def slug(text: str) -> str:
    """ASCII letters, digits and dashes; for anchors and file names.

    >>> slug("Gürültü giderme: ışık #2")
    'gurultu-giderme-isik-2'
    """
    plain = unicodedata.normalize("NFKD", text.replace("ı", "i"))
    letters = [c if c.isascii() and c.isalnum() else " " for c in plain if ord(c) < 0x300]
    return "-".join("".join(letters).lower().split()) or "study"


def render(page: Page) -> str:
    """The page as HTML: no address outside itself is ever asked."""
    html = (
        _environment()
        .get_template("report.html.j2")
        .render(
            page=page,
            style=(ASSETS / "report.css").read_text("utf-8"),
            script=(ASSETS / "report.js").read_text("utf-8"),
            plotly=_plotly() if page.draws else "",
        )
    )
    return re.sub(r"\n\s+<", "\n<", html)  # the template's indentation


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def finalize(value: Any) -> Any:
        plain = isinstance(value, str) and not isinstance(value, Markup)
        return redact(value) if plain else value

    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize,
    )
    environment.filters["spec"] = lambda spec: Markup(script_json(spec))
    environment.filters["slug"] = slug
    environment.filters["trusted"] = Markup  # our own assets, never a study's text
    environment.globals["formats"] = FORMATS
    return environment


def script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return redact(text).replace("<", "\\u003c").replace("&", "\\u0026")


@cache
def _plotly() -> str:
    """plotly's script, as its Python package ships it, as gzip in base 85: 1.8 MB in place of 4.8.

    Equal pages are equal bytes, so no time is in it. Of the alphabet of `base64.b85encode` the
    letter "<" is a full stop here: no text of HTML's own can come about.
    """
    from plotly.offline import get_plotlyjs

    packed = gzip.compress(get_plotlyjs().encode("utf-8"), compresslevel=9, mtime=0)
    return base64.b85encode(packed).decode("ascii").replace("<", ".")


def write_files(page: Page, out: Path) -> list[Path]:
    """Write every table (CSV, Markdown, LaTeX) and figure (PNG, SVG, PDF) of the page into `out`.

    Tables lie in `out` itself, figures in `out/figures`.
    """
    written: list[Path] = []
    for chapter in page.chapters:
        for block in chapter.blocks():
            if isinstance(block, TableBlock):
                written += block.table.write(out, chapter.prefix + block.stem)
            for stem, figure in _figures(block):
                written += save(figure, out / "figures", chapter.prefix + stem)
    return written


def _figures(block: Block) -> Iterable[tuple[str, Figure]]:
    if isinstance(block, Plots):
        yield from ((plot.name, plot.paper()) for plot in block.plots)
    elif isinstance(block, ParallelPlot):
        yield block.plot.name, block.plot.paper()
    elif isinstance(block, PictureGrid):
        yield block.grid.name, pictures.draw(block.grid)


def save(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """Write a figure in each of `FORMATS`, without dates, so that equal figures are equal files."""
    from matplotlib import rc_context

    folder.mkdir(parents=True, exist_ok=True)
    undated: dict[str, dict[str, Any]] = {
        "png": {},
        "svg": {"metadata": {"Date": None}},
        "pdf": {"metadata": {"CreationDate": None}},
    }
    paths = []
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: else every format does it again
    with rc_context({"svg.hashsalt": stem}):
        for extension in FORMATS:
            path = folder / f"{stem}.{extension}"
            figure.savefig(path, dpi=DOTS_PER_INCH, **undated[extension])
            paths.append(path)
    return paths
