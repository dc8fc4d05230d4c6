"""The command line that every study shares: flags in, exit code out, errors in one line.

Exit codes: 0 done; 1 stopped for a reason that was printed; 2 bad input, nothing was started;
3 all was trained, but the tracker did not take all of it; 130 Ctrl-C; 143 SIGTERM.
"""

from __future__ import annotations

import atexit
import inspect
import os
import sys
import traceback
import typing
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

import typer

from studies.definition import SHOW, StudyDefinition
from studies.errors import InputError, StudyError, StudyStopped
from studies.runner.interrupts import listening
from studies.runner.settings import Settings, with_preset
from vae_trainables.source import SourceError, collect

EPILOG = (
    "Examples:  {start} --preset quick   |   {start} --trials 40 --resume   |   "
    "{start} --confirm-only --confirm-top 3"
    "\n\nExit codes:  0 done   |   1 stopped for the printed reason   |   2 bad input, nothing was "
    "started   |   3 trained, but the tracker did not take all of it   |   130 Ctrl-C   |   "
    "143 SIGTERM"
)


def main(definition: StudyDefinition) -> None:
    """Run the study by the command line's flags and exit.

    Called at the end of a study file; one that is not of this package is taken with its source.
    """
    definition = _of_main(definition)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    epilog = EPILOG.format(start=definition.command)
    app.command(help=definition.title, epilog=epilog)(_command(definition))
    app(prog_name=definition.command)


def _of_main(definition: StudyDefinition) -> StudyDefinition:
    """With the source of the file that was started, where that is a user's own."""
    main = sys.modules["__main__"]
    path, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if definition.source is not None or path is None or (spec and spec.name.startswith("studies.")):
        return definition
    try:
        return definition.with_source(collect(Path(path)), _from_here(path))
    except SourceError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(InputError.exit_code) from error


def _from_here(path: str) -> str:
    """How the file is named by who starts it here: `-m` gives the whole path.

    That of a job's code ends with the job, from its working directory it is found again.
    """
    file, here = Path(path).resolve(), Path.cwd()
    return str(file.relative_to(here)) if file.is_relative_to(here) else path


def _command(definition: StudyDefinition) -> Any:
    """A function with one parameter per field of Settings, as typer wants it."""

    def command(**values: Any) -> None:
        leave(run(definition, values))

    hints = typing.get_type_hints(Settings, include_extras=True)
    parameters = [
        inspect.Parameter(
            f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name]
        )
        for f in fields(Settings)
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {f.name: hints[f.name] for f in fields(Settings)}
    return command


def run(definition: StudyDefinition, values: dict[str, Any]) -> int:
    """Check the flags and run the study; the exit code."""
    with listening(owns_process=True) as stop:
        try:
            settings = with_preset(values)
            settings.check()
            if settings.space == SHOW:
                from studies.runner.spaces import described  # imports Optuna

                print(described(definition, settings))
                return 0
            from studies.runner.driver import run_study  # imports ray: seconds

            return run_study(definition, settings, stop)
        except StudyStopped as stopped:  # before the study was opened
            print(f"{stopped.reason}: nothing was started", file=sys.stderr)
            return stop.exit_code
        except Exception as error:  # what was recorded before is whole
            if values.get("debug"):
                traceback.print_exc()
            print(f"error: {_line(error)}", file=sys.stderr)
            return error.exit_code if isinstance(error, StudyError) else 1


def leave(code: int) -> NoReturn:
    """End the process, its modules as they are: taking torch's and Tune's apart takes a second."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # whoever read it may be gone
            stream.flush()
    os._exit(code)


def _line(error: Exception) -> str:
    """An error of ours or of a disk speaks for itself; any other is a fault, of ours or Ray's."""
    if isinstance(error, StudyError | OSError):
        return str(error)
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first} (--debug shows where)"
