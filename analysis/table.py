"""One table of a report with chosen rows and columns, for a paper: LaTeX, Markdown or CSV.

    python -m analysis.table --study NAME comparison_test --row winner --row wiener --column psnr

`of_study` gives the tables; `main` is the command.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.command import Debug, Study, TrackingUri, one_line_errors, quiet_libraries
from analysis.tables.table import Table, TableError
from analysis.tracker.client import Tracker, TrackerError

if TYPE_CHECKING:
    from analysis.tracker.results import StudyResults

WHAT = "What to print"


class Format(StrEnum):
    """How a table is written."""

    LATEX = "tex"
    MARKDOWN = "md"
    CSV = "csv"


def of_study(results: StudyResults) -> dict[str, Table]:
    """The tables of a study's report by the names of their files: comparisons, findings, space."""
    from analysis.report.page import TableBlock
    from analysis.report.sections import audit, comparison, confirmed, overview, search

    sections = (
        comparison.section(results, comparison.entries_of(results)),
        confirmed.section(results),
        overview.spent_section(results),
        search.pareto(results),
        audit.section(results),
    )
    blocks = (block for section in sections if section for block in section.blocks)
    return {block.stem: block.table for block in blocks if isinstance(block, TableBlock)}


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    table: Annotated[str, typer.Argument(help="Its file's name in the report, without the end.")],
    study: Study,
    row: Annotated[
        list[str] | None,
        typer.Option(help="Rows that hold this text; repeatable.", rich_help_panel=WHAT),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="A column's key or label, as psnr; repeatable.", rich_help_panel=WHAT),
    ] = None,
    file_format: Annotated[
        Format, typer.Option("--format", help="How it is written.", rich_help_panel=WHAT)
    ] = Format.LATEX,
    tracking_uri: TrackingUri = None,
    debug: Debug = False,
) -> None:
    """Print a table of the report with the rows and columns that fit a page."""
    from analysis.tracker.results import collect

    quiet_libraries()
    with one_line_errors(TrackerError, TableError, debug=debug):
        tables = of_study(collect(study, Tracker(tracking_uri)))
        if table not in tables:
            raise TableError(f"there is no table {table!r}: there are {', '.join(tables)}")
        excerpt = tables[table].only(row or [], column or [])
        label = f"tab:{table}"
        written = {
            Format.LATEX: lambda: excerpt.to_latex(label),
            Format.MARKDOWN: excerpt.to_markdown,
            Format.CSV: excerpt.to_csv,
        }
        typer.echo(written[file_format](), nl=False)


if __name__ == "__main__":
    app(prog_name="python -m analysis.table")
