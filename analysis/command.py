"""What the commands of this package share: quiet libraries, errors in one line, exit codes.

0 done; 1 a fault of ours, or some of many inputs refused; 2 bad input; 130 Ctrl-C.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from analysis.tracker.client import one_line

WHERE = "Where from, where to"
HELP = "Help"

Study = Annotated[str, typer.Option(help="The study's name.", rich_help_panel=WHERE)]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        help="MLflow's address; default: MLFLOW_TRACKING_URI, else runs/mlflow.db.",
        rich_help_panel=WHERE,
    ),
]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=HELP)
]


@contextmanager
def one_line_errors(*expected: type[Exception], debug: bool = False) -> Iterator[None]:
    """Print an error as `error: ...` and exit: 2 for those `expected` of bad input, else 1."""
    try:
        yield
    except (typer.Exit, BrokenPipeError):  # the latter is no error: `... | head` has seen enough
        raise
    except expected as error:
        if debug:
            raise
        typer.echo(f"error: {one_line(error)}", err=True)
        raise typer.Exit(2) from error
    except Exception as error:
        if debug:
            raise
        name = type(error).__name__
        typer.echo(f"error: {name}: {one_line(error)} (--debug shows where)", err=True)
        raise typer.Exit(1) from error


def quiet_libraries() -> None:
    """Warnings of libraries' own concern are not a command's output."""
    for name in ("mlflow", "alembic", "matplotlib", "fontTools"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")  # it sets its own level at import
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
