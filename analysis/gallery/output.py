"""Where a gallery goes: files without dates, remarks, and the progress that is shown meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from analysis.tables.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150
FONT = "DejaVu Sans"  # comes with matplotlib and has the Turkish letters

INDEX_STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:1rem}"
    "main{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,26rem),1fr))}"
    "figure{margin:0}img{max-width:100%;background:#fff}"
)

T = TypeVar("T")


class Output:
    """Writes into `folder`, which is made; `files` and `remarks` tell what came of it."""

    def __init__(self, folder: Path, console: Console | None = None) -> None:
        """Raises OSError if the folder cannot be made or written to."""
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"the folder {folder} cannot be written to")
        self.folder = folder
        self.files: list[Path] = []
        self.remarks: list[str] = []
        console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def figure(self, name: str, figure: Figure) -> None:
        """A figure as PNG; `name` may begin with a folder."""
        path = self._path(name)
        figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})
        self.files.append(path)

    def text(self, name: str, text: str) -> None:
        """A text file, UTF-8."""
        path = self._path(name)
        path.write_text(text, encoding="utf-8", newline="\n")
        self.files.append(path)

    def table(self, stem: str, table: Table) -> None:
        """A table as CSV, Markdown and LaTeX."""
        self.files += table.write(self.folder, stem)

    def index(self, title: str) -> None:
        """`index.html`: every figure so far, tables and texts as links. The same every time."""
        paths = sorted(path.relative_to(self.folder).as_posix() for path in self.files)
        pictures = [path for path in paths if path.endswith(".png")]
        others = [path for path in paths if path not in pictures]
        figures = "".join(
            f'<figure><a href="{quote(path)}"><img src="{quote(path)}" alt="{escape(path)}" '
            f'loading="lazy"></a><figcaption>{escape(path)}</figcaption></figure>'
            for path in pictures
        )
        links = "".join(f'<li><a href="{quote(path)}">{escape(path)}</a></li>' for path in others)
        heading = escape(title)
        self.text(
            "index.html",
            f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{heading}</title>'
            f'<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{INDEX_STYLE}</style><h1>{heading}</h1><ul>{links}</ul>"
            f"<main>{figures}</main></html>\n",
        )

    def remark(self, text: str) -> None:
        """Something that is amiss or left out, in one sentence."""
        self.remarks.append(text)
        self.say(text)

    def say(self, text: str) -> None:
        """A line for the user."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def track(self, items: Sequence[T], what: str) -> Iterator[T]:
        """The items one by one, with a progress bar."""
        task = self._progress.add_task(what, total=len(items))
        for item in items:
            yield item
            self._progress.advance(task)
        self._progress.remove_task(task)

    @contextmanager
    def working(self, what: str) -> Iterator[None]:
        """One long step, with a moving bar."""
        task = self._progress.add_task(what, total=None)
        try:
            yield
        finally:
            self._progress.remove_task(task)

    @contextmanager
    def showing_progress(self) -> Iterator[None]:
        """Bars are shown on a terminal inside."""
        with self._progress:
            yield

    def _path(self, name: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Inside, equal input gives equal bits: fixed threads, none of the user's styles in figures."""
    import matplotlib as mpl
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(threads), mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams["font.family"] = FONT
            yield
    finally:
        torch.set_num_threads(before)
