"""Tables: the same numbers in every format, read back by other programs' parsers."""

from __future__ import annotations

import csv
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import markdown as python_markdown
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from analysis.statistics.quantities import quantity
from analysis.tables.table import Cell, Column, Table, TableError

NAMES = ["Gürültü çalışması #2", "a_b & c|d", "50 % [of] *all*", "-", "C:\\x^2~{y}", "$x$ <b> `q`"]

COLUMNS = (
    Column("study", "Study_name"),
    Column.of(quantity("test/psnr"), "psnr", low="psnr_low", high="psnr_high"),
    Column.of(quantity("test/mse"), "mse"),
    Column("trials", "trials", spec="d"),
    Column("gain", "gain", "%", spec=".1f"),
)
FRAME = pd.DataFrame(
    {
        "study": NAMES,
        "psnr": [18.456, 18.449, 17.0, math.nan, 16.5, 18.46],
        "psnr_low": [18.3, 18.2, math.nan, math.nan, 16.0, 18.4],
        "psnr_high": [18.6, 18.7, math.nan, math.nan, 17.0, 18.5],
        "mse": [0.016, 0.0161, 0.02, 0.0159, None, 0.03],
        "trials": [100, 20, 3, 0, 7, math.nan],
        "gain": [-0.04, -3.25, 12.0, 0.0, 1.0, 2.0],
    }
)
TABLE = Table(COLUMNS, FRAME, caption="Studies of A & B", note="Intervals: 95 %_t.")

EXPECTED = [
    ["18.46 [18.30, 18.60]", "0.01600", "100", "0.0"],
    ["18.45 [18.20, 18.70]", "0.01610", "20", "-3.2"],
    ["17.00", "0.02000", "3", "12.0"],
    ["–", "0.01590", "0", "0.0"],
    ["16.50 [16.00, 17.00]", "–", "7", "1.0"],
    ["18.46 [18.40, 18.50]", "0.03000", "–", "2.0"],
]


class _HtmlTable(HTMLParser):
    """The text of a page's table cells and which of them hold bold text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.bold: set[tuple[int, int]] = set()
        self._open = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self._open = True
        elif tag == "strong" and self._open:
            self.bold.add((len(self.rows) - 1, len(self.rows[-1]) - 1))
        elif self._open:
            self.rows[-1][-1] += f"<unexpected {tag}>"

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._open = False

    def handle_data(self, data: str) -> None:
        if self._open:
            self.rows[-1][-1] += data


RENDERERS = {
    "GitHub's": lambda text: (
        MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)
    ),
    "Python's": lambda text: python_markdown.markdown(text, extensions=["tables"]),
}


@pytest.mark.parametrize("renderer", RENDERERS)
def test_markdown_renders_to_the_names_and_numbers(renderer: str) -> None:
    read = _HtmlTable(RENDERERS[renderer](TABLE.to_markdown()))
    assert read.rows[0] == ["Study_name", "test PSNR (dB) ↑", "test MSE ↓", "trials", "gain (%)"]
    assert [row[0] for row in read.rows[1:]] == NAMES
    assert [row[1:] for row in read.rows[1:]] == EXPECTED


@pytest.mark.parametrize("renderer", RENDERERS)
def test_markdown_sets_the_best_in_bold(renderer: str) -> None:
    read = _HtmlTable(RENDERERS[renderer](TABLE.to_markdown()))
    # Both 18.46 are best, as a reader cannot tell them apart; trials and gain have no direction.
    assert read.bold == {(1, 1), (6, 1), (4, 2)}


def test_csv_has_the_same_numbers_with_intervals_in_columns_of_their_own() -> None:
    header, *rows = csv.reader(io.StringIO(TABLE.to_csv()))
    assert header == [
        "Study_name",
        "test PSNR (dB)",
        "test PSNR low (dB)",
        "test PSNR high (dB)",
        "test MSE",
        "trials",
        "gain (%)",
    ]
    for name, expected, row in zip(NAMES, EXPECTED, rows, strict=True):
        numbers = re.findall(r"-?[\d.]+", expected[0])
        assert row[0] == name
        assert row[1:4] == [*numbers, "", "", ""][:3]
        assert row[4:] == [each.replace("–", "") for each in expected[1:]]


def test_pandas_reads_the_csv_as_numbers() -> None:
    read = pd.read_csv(io.StringIO(TABLE.to_csv()))
    assert read["test PSNR (dB)"].tolist()[:3] == [18.46, 18.45, 17.0]
    assert read["gain (%)"].tolist() == [0.0, -3.2, 12.0, 0.0, 1.0, 2.0]


TEX_WORDS = {
    "textbackslash": "\\",
    "textasciigrave": "`",
    "textasciitilde": "~",
    "textasciicircum": "^",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
    "textendash": "–",
    "textbf": "",
}
TEX_TOKEN = re.compile(r"\\symbol\{34\}|\$[^$]*\$|\\[A-Za-z]+ *|\\.|--|''|,,|.")


def _read_tex(source: str) -> str:
    """What LaTeX would typeset; fails on characters and ligatures that would not come out."""
    read, depth = "", 0
    for token in TEX_TOKEN.findall(source):
        assert token not in ("&", "%", "#", "_", "^", "~", "--", "''", ",,"), source
        depth += {"{": 1, "}": -1}.get(token, 0)
        if token in ("\\symbol{34}", "$-$"):
            read += '"' if "symbol" in token else "-"
        elif token.startswith("\\") and token[1:].strip().isalpha():
            read += TEX_WORDS[token[1:].strip()]
        elif token not in "{}":
            read += token.removeprefix("\\")
    assert depth == 0, source
    return read.strip()


def _tex_rows(latex: str) -> list[list[str]]:
    body = latex.split("\\midrule\n")[1].split("\n\\bottomrule")[0]
    return [
        [_read_tex(cell) for cell in re.split(r"(?<!\\)&", line.removesuffix(r"\\"))]
        for line in body.split("\n")
    ]


def test_latex_typesets_the_names_and_numbers() -> None:
    rows = _tex_rows(TABLE.to_latex())
    assert [row[0] for row in rows] == NAMES
    assert [row[1:] for row in rows] == EXPECTED


def test_latex_is_a_booktabs_table_with_caption_label_and_bold() -> None:
    lines = TABLE.to_latex(label="tab:a").splitlines()
    assert lines[:7] == [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        r"\caption{Studies of A \& B}",
        r"\label{tab:a}",
        r"\begin{tabular}{lrrrr}",
        r"\toprule",
    ]
    assert lines[7] == (
        r"Study\_name & test PSNR (dB) $\uparrow$ & test MSE $\downarrow$ & trials & gain (\%) \\"
    )
    assert r"\textbf{18.46} {[}18.30, 18.60{]}" in lines[9]
    assert r"$-$3.2" in lines[10]
    assert lines[-3:] == [
        r"\end{tabular}",
        r"\par\smallskip{\footnotesize Intervals: 95 \%\_t.}",
        r"\end{table}",
    ]


def test_no_latex_row_starts_with_what_a_line_end_would_swallow() -> None:
    table = Table((Column("name", "name"),), pd.DataFrame({"name": ["[32, 64]", "*"]}))
    for line in table.to_latex().splitlines():
        assert not line.startswith(("[", "*"))


TEXT = st.text(
    st.sampled_from("aZşğıİçöü09 -_&|%$#{}[]()*~^\\/`'\"<>+=!?:;,.@") | st.characters(codec="ascii")
).filter(lambda text: text.isprintable() and text.strip())


@settings(deadline=None, max_examples=300)
@given(TEXT)
@example("a--b---c")
@example("''quoted'' ,,text,,,")
def test_any_name_survives_every_format(name: str) -> None:
    table = Table((Column("name", "name"),), pd.DataFrame({"name": [name]}))
    plain = " ".join(name.split())
    assert next(csv.reader([table.to_csv().split("\n", 1)[1]])) == [plain]
    for renderer, render in RENDERERS.items():
        read = _HtmlTable(render(table.to_markdown())).rows[1][0]
        assert " ".join(read.split()) == plain, renderer
    assert _tex_rows(table.to_latex()) == [[plain]]


def test_a_name_over_several_lines_stays_in_its_row() -> None:
    table = Table((Column("name", "name"),), pd.DataFrame({"name": ["one\ntwo\r\n| three"]}))
    assert len(table.to_markdown().splitlines()) == 3
    assert len(table.to_csv().splitlines()) == 2
    assert len(_tex_rows(table.to_latex())) == 1


def test_cells_carry_what_a_page_sorts_by() -> None:
    first, second, *_ = TABLE.cells()
    assert first[1] == Cell("18.46", ("18.30", "18.60"), True, 18.456)
    assert second[0] == Cell(NAMES[1], None, False, NAMES[1])
    assert math.isnan(TABLE.cells()[3][1].value)  # type: ignore[arg-type]


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA])
def test_what_is_missing_is_a_dash_and_empty_in_csv(missing: object) -> None:
    frame = pd.DataFrame({"name": ["a", missing], "x": [1.0, missing]}, dtype=object)
    table = Table((Column("name", "name"), Column("x", "x", spec=".1f")), frame)
    assert [cell.text for cell in table.cells()[1]] == ["–", "–"]
    assert table.to_csv().splitlines()[2] == ","
    assert table.to_latex().splitlines()[8] == r"{\textendash} & {\textendash} \\"


def test_a_lone_value_is_not_called_best() -> None:
    frame = pd.DataFrame({"psnr": [18.0, math.nan]})
    table = Table((Column("psnr", "PSNR", "dB", "maximize", ".2f"),), frame)
    assert not any(cell.best for row in table.cells() for cell in row)


@pytest.mark.parametrize(("direction", "best"), [("maximize", [2]), ("minimize", [0, 1])])
def test_best_follows_the_direction_and_equal_prints_are_equal(
    direction: str, best: list[int]
) -> None:
    column = Column("x", "x", "", direction, ".1f")  # type: ignore[arg-type]
    cells = Table((column,), pd.DataFrame({"x": [0.11, 0.09, 3.0]})).cells()
    assert [place for place, row in enumerate(cells) if row[0].best] == best


def test_an_empty_table_still_has_its_header() -> None:
    table = Table(COLUMNS, FRAME.head(0))
    assert len(table.to_markdown().splitlines()) == 2
    assert len(table.to_csv().splitlines()) == 1
    assert r"\midrule" in table.to_latex()


def test_files_are_written_in_utf8_under_a_folder_that_is_made(tmp_path: Path) -> None:
    paths = TABLE.write(tmp_path / "a" / "b", "studies")
    assert [path.name for path in paths] == ["studies.csv", "studies.md", "studies.tex"]
    assert paths[0].read_text(encoding="utf-8") == TABLE.to_csv()
    assert paths[1].read_text(encoding="utf-8") == TABLE.to_markdown()
    assert r"\label{tab:studies}" in paths[2].read_text(encoding="utf-8")


def test_a_missing_column_is_named() -> None:
    with pytest.raises(TableError, match=r"no column \['psnr_low'\] in the data"):
        Table(COLUMNS, FRAME.drop(columns="psnr_low"))


def test_text_in_a_column_of_numbers_is_named() -> None:
    table = Table((Column("x", "x", spec=".1f"),), pd.DataFrame({"x": ["eighteen"]}))
    with pytest.raises(TableError, match="column 'x' should hold numbers, got 'eighteen'"):
        table.cells()


def test_a_column_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(TableError, match="both limits of its interval or neither"):
        Column("x", "x", spec=".1f", low="low")
    with pytest.raises(TableError, match="column 'x' is text"):
        Column("x", "x", direction="maximize")


def test_rows_and_columns_are_chosen_by_their_names() -> None:
    frame = pd.DataFrame(
        {"name": ["trial 0001 (winner)", "wiener"], "psnr": [18.5, 18.0], "mse": [0.01, 0.02]}
    )
    columns = (Column("name", "what"), Column("psnr", "PSNR", spec=".2f"), Column("mse", "MSE"))
    table = Table(columns, frame).only(rows=["Winner"], columns=["psnr"])
    assert [[cell.text for cell in row] for row in table.cells()] == [
        ["trial 0001 (winner)", "18.50"]
    ]
    with pytest.raises(TableError, match="no row holds 'r2': there are trial 0001"):
        Table(columns, frame).only(rows=["r2"])
    with pytest.raises(TableError, match="no column is called 'ssim': there are psnr, mse"):
        Table(columns, frame).only(columns=["ssim"])
