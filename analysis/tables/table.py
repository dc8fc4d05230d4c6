"""The one table type: every table as CSV, Markdown and LaTeX with the same numbers in each.

A table is data; how its cells read is decided once (`Table.cells`), and the three writers, like
the HTML report, only add their own markup and escape what their format would misread.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.statistics.quantities import MISSING, Direction, Quantity, format_number

_ARROWS = {"maximize": "↑", "minimize": "↓", None: ""}

# Entities where a backslash would not be read alike by GitHub's and Python's Markdown.
_MARKDOWN: Mapping[int, str] = str.maketrans(
    {character: f"&#{ord(character)};" for character in "\\`|~$"}
    | {character: f"\\{character}" for character in "*_[]"}
    | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
)

# Brackets and stars are wrapped because LaTeX reads them as arguments after a line's end.
_LATEX: Mapping[int, str] = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {character: f"{{{character}}}" for character in "[]*"}
    | {
        "\\": "\\textbackslash{}",
        "`": "\\textasciigrave{}",
        "~": "\\textasciitilde{}",
        "^": "\\textasciicircum{}",
    }
    | {"<": "\\textless{}", ">": "\\textgreater{}", "|": "\\textbar{}", '"': "\\symbol{34}"}
    | {"–": "{\\textendash}", "−": "$-$", "±": "$\\pm$", "×": "$\\times$", "Δ": "$\\Delta$"}
    | {"β": "$\\beta$", "γ": "$\\gamma$", "σ": "$\\sigma$", "≤": "$\\leq$", "≥": "$\\geq$"}
    | {"↑": "$\\uparrow$", "↓": "$\\downarrow$", "→": "$\\rightarrow$"}
)

# Two of these in a row would be joined into a dash or a quotation mark.
_LATEX_LIGATURE = re.compile(r"([-',])(?=\1)")


class TableError(ValueError):
    """A table that its columns and its data do not agree on."""


@dataclass(frozen=True)
class Column:
    """A column: where its values are (`key`), how it is headed and, if numeric, printed.

    `spec` is a format such as '.3f', or None for text. `low` and `high` name the columns with an
    interval's limits. With a `direction` the best value is set in bold.
    """

    key: str
    label: str
    unit: str = ""
    direction: Direction | None = None
    spec: str | None = None
    low: str | None = None
    high: str | None = None

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise TableError(f"column {self.key!r} needs both limits of its interval or neither")
        if self.spec is None and (self.low is not None or self.direction is not None):
            raise TableError(f"column {self.key!r} is text: give it a spec such as '.3f'")

    @classmethod
    def of(
        cls, quantity: Quantity, key: str, *, low: str | None = None, high: str | None = None
    ) -> Column:
        """The column `key` of a quantity, with its label, unit, direction and digits."""
        return cls(key, quantity.label, quantity.unit, quantity.direction, quantity.spec, low, high)

    @property
    def header(self) -> str:
        """Label and unit, e.g. 'test PSNR (dB)'."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def arrow(self) -> str:
        """An arrow towards the better values, or nothing."""
        return _ARROWS[self.direction]

    @property
    def keys(self) -> tuple[str, ...]:
        """All columns of the data that this one needs."""
        return (self.key, *(limit for limit in (self.low, self.high) if limit is not None))


@dataclass(frozen=True)
class Cell:
    """What a reader sees: `text` in plain characters, `interval` as (low, high) or None.

    `value` is what to sort by: the number (NaN where missing) or the text itself.
    """

    text: str
    interval: tuple[str, str] | None
    best: bool
    value: float | str


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of `frame` under `columns`, a caption above and a note below.

    `plain` names a column of booleans: rows that are never bold, whatever their values.
    Raises TableError where `frame` lacks a column.
    """

    columns: tuple[Column, ...]
    frame: pd.DataFrame
    caption: str = ""
    note: str = ""
    plain: str = ""

    def __post_init__(self) -> None:
        needed = [key for column in self.columns for key in column.keys]
        needed += [self.plain] if self.plain else []
        if absent := [key for key in needed if key not in self.frame.columns]:
            raise TableError(f"no column {absent} in the data, which has {list(self.frame)}")

    def only(self, rows: Sequence[str] = (), columns: Sequence[str] = ()) -> Table:
        """The rows whose first cell holds any of `rows`, under the first and these `columns`.

        Columns go by key or label, upper and lower case alike; nothing given means all. Raises
        TableError naming what there is where one fits nothing.
        """
        first, *others = self.columns
        labels = [str(text) for text in self.frame[first.key]]
        selected = [column for column in others if not columns or _named(column, columns)]
        kept = [not rows or any(_holds(label, text) for text in rows) for label in labels]
        for text in rows:
            if not any(_holds(label, text) for label in labels):
                raise TableError(f"no row holds {text!r}: there are {', '.join(labels)}")
        for text in columns:
            if not any(_named(column, [text]) for column in others):
                there = ", ".join(column.key for column in others)
                raise TableError(f"no column is called {text!r}: there are {there}")
        return replace(self, columns=(first, *selected), frame=self.frame.loc[kept])

    def cells(self) -> list[list[Cell]]:
        """The table's body, row by row."""
        columns = [self._column_cells(column) for column in self.columns]
        return [list(row) for row in zip(*columns, strict=True)]

    def _column_cells(self, column: Column) -> list[Cell]:
        values = self.frame[column.key].tolist()
        if column.spec is None:
            texts = [_plain(value) for value in values]
            return [Cell(text, None, False, text) for text in texts]
        numbers = [_number(value, column.key) for value in values]
        spec = column.spec
        texts = [format_number(number, spec) for number in numbers]
        plain = self.frame[self.plain].tolist() if self.plain else [False] * len(numbers)
        rivals = [math.nan if out else number for out, number in zip(plain, numbers, strict=True)]
        best = _best(rivals, texts, column.direction)
        rows = zip(texts, self._intervals(column), numbers, plain, strict=True)
        return [
            Cell(text, interval, text == best and not out, number)
            for text, interval, number, out in rows
        ]

    def _intervals(self, column: Column) -> list[tuple[str, str] | None]:
        if column.low is None or column.high is None or column.spec is None:
            return [None] * len(self.frame)
        lows, highs = (
            [format_number(_number(value, key), column.spec) for value in self.frame[key].tolist()]
            for key in (column.low, column.high)
        )
        return [
            None if MISSING in (low, high) else (low, high)
            for low, high in zip(lows, highs, strict=True)
        ]

    def to_csv(self) -> str:
        """Comma-separated values; an interval takes two columns, what is missing stays empty."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([name for column in self.columns for name in _csv_headers(column)])
        for row in self.cells():
            pairs = zip(self.columns, row, strict=True)
            writer.writerow([text for column, cell in pairs for text in _csv_cell(column, cell)])
        return out.getvalue()

    def to_markdown(self) -> str:
        """A table for GitHub and MkDocs; the best value of a column in bold."""
        headers = [f"{_markdown(column.header)} {column.arrow}".strip() for column in self.columns]
        rules = [":---" if column.spec is None else "---:" for column in self.columns]
        body = [[_markdown_cell(cell) for cell in row] for row in self.cells()]
        lines = [f"| {' | '.join(row)} |" for row in (headers, rules, *body)]
        above = [f"**{_markdown(self.caption)}**", ""] if self.caption else []
        below = ["", _markdown(self.note)] if self.note else []
        return "\n".join([*above, *lines, *below]) + "\n"

    def to_latex(self, label: str = "") -> str:
        """A floating table for the booktabs package; the best value of a column in bold.

        Needs LaTeX of 2020 or later: it reads UTF-8 (Turkish letters) without further packages.
        """
        headers = [
            f"{_latex(column.header)} {_latex(column.arrow)}".strip() for column in self.columns
        ]
        body = [[_latex_cell(cell) for cell in row] for row in self.cells()]
        sides = "".join("l" if column.spec is None else "r" for column in self.columns)
        rows = [" & ".join(row) + r" \\" for row in body]
        lines = [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            *([rf"\caption{{{_latex(self.caption)}}}"] if self.caption else []),
            *([rf"\label{{{label}}}"] if label else []),
            rf"\begin{{tabular}}{{{sides}}}",
            r"\toprule",
            " & ".join(headers) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            *([rf"\par\smallskip{{\footnotesize {_latex(self.note)}}}"] if self.note else []),
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path, stem: str) -> tuple[Path, ...]:
        """Write `stem`.csv, .md and .tex (UTF-8) into `folder`, which is made; return the paths."""
        folder.mkdir(parents=True, exist_ok=True)
        texts = {
            "csv": self.to_csv(),
            "md": self.to_markdown(),
            "tex": self.to_latex(label=f"tab:{stem}"),
        }
        paths = []
        for extension, text in texts.items():
            paths.append(folder / f"{stem}.{extension}")
            paths[-1].write_text(text, encoding="utf-8")
        return tuple(paths)


def _holds(label: str, text: str) -> bool:
    return text.casefold() in label.casefold()


def _named(column: Column, names: Sequence[str]) -> bool:
    own = {column.key.casefold(), column.label.casefold()}
    return any(name.casefold() in own for name in names)


def _number(value: Any, key: str) -> float:
    if value is None or value is pd.NA:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TableError(f"column {key!r} should hold numbers, got {value!r}") from error


def _plain(value: Any) -> str:
    """`value` on one line; nothing and NaN as a dash."""
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    return " ".join(str(value).split())


def _best(numbers: list[float], texts: list[str], direction: Direction | None) -> str | None:
    """The text of the best of two or more numbers: all that print alike are equally best."""
    present = [number for number in numbers if not math.isnan(number)]
    if direction is None or len(present) < 2:
        return None
    return texts[numbers.index(max(present) if direction == "maximize" else min(present))]


def _csv_headers(column: Column) -> list[str]:
    if column.low is None:
        return [column.header]
    unit = f" ({column.unit})" if column.unit else ""
    return [column.header, f"{column.label} low{unit}", f"{column.label} high{unit}"]


def _csv_cell(column: Column, cell: Cell) -> list[str]:
    text = "" if cell.text == MISSING else cell.text
    return [text] if column.low is None else [text, *(cell.interval or ("", ""))]


def _markdown(text: str) -> str:
    return text.translate(_MARKDOWN)


def _markdown_cell(cell: Cell) -> str:
    text = f"**{_markdown(cell.text)}**" if cell.best else _markdown(cell.text)
    return f"{text} \\[{cell.interval[0]}, {cell.interval[1]}\\]" if cell.interval else text


def _latex(text: str) -> str:
    return _LATEX_LIGATURE.sub(r"\1{}", text.translate(_LATEX))


def _latex_cell(cell: Cell) -> str:
    text = _latex_number(cell.text) if isinstance(cell.value, float) else _latex(cell.text)
    text = rf"\textbf{{{text}}}" if cell.best else text
    if cell.interval is None:
        return text
    low, high = map(_latex_number, cell.interval)
    return f"{text} {{[}}{low}, {high}{{]}}"


def _latex_number(text: str) -> str:
    """A number with a minus sign in place of LaTeX's hyphen."""
    return f"$-${text[1:]}" if text.startswith("-") else _latex(text)
