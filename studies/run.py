"""`python -m studies.run path/to/my_study.py [flags]`: a study from a file anywhere."""

from __future__ import annotations

import sys

from studies.errors import InputError
from studies.runner.cli import main
from studies.study_file import load

USAGE = "usage: python -m studies.run path/to/my_study.py [flags]; with --help it lists the flags"


def run() -> None:
    """The file is the first argument, all others are the study's flags."""
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        print(USAGE, file=sys.stderr)
        raise SystemExit(InputError.exit_code)
    path = sys.argv.pop(1)
    try:
        study = load(path)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error
    main(study)


if __name__ == "__main__":
    run()
