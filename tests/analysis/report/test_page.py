from __future__ import annotations

import json
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.figures.base import Plot
from analysis.figures.pictures import Cell, Grid, Row
from analysis.report import page
from analysis.report.page import (
    Chapter,
    Command,
    Facts,
    KeyNumber,
    KeyNumbers,
    Page,
    ParallelPlot,
    PictureGrid,
    Plots,
    Prose,
    Section,
    TableBlock,
)
from analysis.tables.table import Column, Table

EVIL = "<script>alert('x')</script>\"' & {{ 7*7 }}"
SECRET = "http://ada:s3cret@host/x"


class Outline(HTMLParser):
    """What a browser or a screen reader would find."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        (self.scripts if self._open else self.text).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def plot(name: str = "p") -> Plot:
    spec = {"data": [{"type": "scatter", "x": [1], "y": [2], "text": [EVIL]}], "layout": {}}
    return Plot(name, EVIL, f"alt {EVIL} {SECRET}", "", spec, lambda: Figure(figsize=(3, 3)))


def table(rows: int = 2) -> Table:
    frame = pd.DataFrame({"a": [EVIL] * rows, "b": np.arange(rows) / 3, "s": [SECRET] * rows})
    columns = (Column("a", EVIL), Column("b", "b", "dB", "maximize", ".2f"), Column("s", "s"))
    return Table(columns, frame, f"caption {EVIL}")


def everything(prefix: str = "") -> Chapter:
    cell = Cell(np.zeros((28, 28), np.uint8), f"alt {EVIL}", EVIL)
    blocks = (
        Prose(EVIL), Prose(SECRET, "notice"), KeyNumbers((KeyNumber(EVIL, EVIL, EVIL),)),
        Facts(((EVIL, SECRET),)), Command(SECRET), TableBlock(table(), "same"),
        Plots((plot("same"), plot("other")), legend=((EVIL, "--best"),)),
        ParallelPlot(Plot("same-lines", "t", EVIL, "", {"trials": [EVIL], "axes": []},
                          lambda: Figure(figsize=(3, 3)))),
        PictureGrid(Grid("same", EVIL, EVIL, (Row(EVIL, (cell, cell), EVIL),), ("x", "y"))),
    )  # fmt: skip
    return Chapter(EVIL, EVIL, (Section("same", EVIL, blocks),), prefix)


def outline(*chapters: Chapter) -> tuple[str, Outline]:
    html = page.render(Page(EVIL, chapters, "made", (SECRET,)))
    return html, Outline(html)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Gürültü giderme: ışık #2", "gurultu-giderme-isik-2"),
        ("<script>", "script"),
        ("日本", "study"),
        ("../../etc/passwd", "etc-passwd"),
    ],
)
def test_a_file_name_would_keep_what_a_file_system_dislikes(name: str, expected: str) -> None:
    assert page.slug(name) == expected


def test_a_studys_text_could_run_as_script() -> None:
    html, found = outline(everything())
    assert "<script>alert" not in html
    assert "49" not in "".join(found.text)
    assert EVIL in "".join(found.text)
    assert not any(name.startswith("on") for _, attributes in found.tags for name in attributes)


def test_a_password_would_be_on_the_page() -> None:
    html, _ = outline(everything())
    assert "s3cret" not in html
    assert "http://***@host/x" in html


def test_the_page_would_ask_the_network() -> None:
    _, found = outline(everything())
    for tag, attributes in found.tags:
        for name in ("src", "href", "data", "srcset", "action"):
            value = attributes.get(name) or ""
            assert not value.startswith(("http", "//")), (tag, value)
    policy = next(each for each in found.all("meta") if each.get("http-equiv"))
    assert "default-src 'none'" in str(policy["content"])


def test_an_image_or_a_plot_would_have_no_alternative() -> None:
    _, found = outline(everything())
    assert all(image.get("alt") for image in found.all("img"))
    ids = {attributes.get("id") for _, attributes in found.tags}
    drawn = [each for _, each in found.tags if each.get("role") == "img"]
    assert len(drawn) == 3
    assert all(each.get("aria-labelledby") in ids for each in drawn)


def test_two_things_would_share_an_anchor() -> None:
    _, found = outline(everything("1-"), everything("2-"))
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(each["href"]) for each in found.all("a") if str(each["href"]).startswith("#")]
    assert links
    assert all(link[1:] in ids for link in links)


def test_tables_would_lack_caption_or_scope() -> None:
    _, found = outline(everything())
    assert len(found.all("caption")) == len(found.all("table"))
    assert all(each.get("scope") in ("col", "row") for each in found.all("th"))


def test_headings_would_jump() -> None:
    for chapters in ((everything(),), (everything("1-"), everything("2-"))):
        _, found = outline(*chapters)
        levels = [int(tag[1]) for tag, _ in found.tags if tag in ("h1", "h2", "h3", "h4")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert max(b - a for a, b in pairwise(levels)) == 1


def test_sorting_would_compare_rounded_numbers() -> None:
    _, found = outline(everything())
    values = [each["data-value"] for each in found.all("td") if "data-value" in each]
    assert f"{1 / 3:.9g}" in values


def test_json_could_end_its_script_element() -> None:
    value = {"a": "</script><b>&", "b": [1.5, None]}
    text = page.script_json(value)
    assert "<" not in text
    assert json.loads(text) == value


def test_nan_would_reach_the_browser() -> None:
    with pytest.raises(ValueError, match="JSON"):
        page.script_json([float("nan")])


def test_a_page_without_plots_would_carry_plotly() -> None:
    section = Section("a", "A", (Prose("text"),))
    html, _ = outline(Chapter("c", "", (section,)))
    assert len(html) < 50_000


def test_files_would_not_be_those_that_the_page_links(tmp_path: Path) -> None:
    chapter = everything("1-")
    whole = Page("t", (chapter,), "made")
    written = {str(path.relative_to(tmp_path)) for path in page.write_files(whole, tmp_path)}
    _, found = outline(chapter)
    links = {str(each["href"]) for each in found.all("a") if not str(each["href"]).startswith("#")}
    assert links == written
    assert (tmp_path / "figures/1-same.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figures/1-same.pdf").read_bytes().startswith(b"%PDF")


def test_the_same_figure_would_give_other_bytes(tmp_path: Path) -> None:
    def drawn() -> Figure:
        figure = Figure(figsize=(2, 2), layout="constrained")
        figure.subplots().plot([1, 2], [3, 4])
        return figure

    first = [path.read_bytes() for path in page.save(drawn(), tmp_path / "a", "x")]
    second = [path.read_bytes() for path in page.save(drawn(), tmp_path / "b", "x")]
    assert first == second
