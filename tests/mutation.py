"""Mutation testing of one module: which small changes of it does no test of it notice?

    python -m tests.mutation vae_trainables/objective/losses.py --sample 60

Works on a copy of the checkout. Prints each mutant that survived as a diff, and the counts.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTED = ("analysis", "studies", "tests", "vae_trainables")
CONFIG = """
[cosmic-ray]
module-path = "{module}"
timeout = {timeout}
excluded-modules = []
test-command = "{python} -m pytest -x -q -p no:cacheprovider -m 'not slow' {tests}"

[cosmic-ray.distributor]
name = "local"
"""


def test_file(module: Path) -> Path:
    """Where the tests of a module are: the tests mirror the packages."""
    return Path("tests") / module.with_name(f"test_{module.name}")


EQUIVALENT = (
    "core/ReplaceBinaryOperator_BitOr_",  # `X | None` in annotations; unions of sets go with them
    "core/ReplaceComparisonOperator_Eq_Is",  # of the constants and enums that are compared here
    "core/ReplaceComparisonOperator_NotEq_IsNot",
)
"""Operators whose mutants change nothing that a test could see."""


def sample(session: Path, count: int, seed: int) -> int:
    """Keep so many of a session's mutants, drawn by chance; how many there were."""
    with sqlite3.connect(session) as database:
        mutants = database.execute(
            "SELECT job_id, operator_name FROM mutation_specs "
            "ORDER BY start_pos_row, start_pos_col, operator_name, occurrence"
        ).fetchall()
        worth_it = [job for job, name in mutants if not name.startswith(EQUIVALENT)]
        kept = set(random.Random(seed).sample(worth_it, min(count, len(worth_it))))
        dropped = [(job,) for job, _ in mutants if job not in kept]
        for table in ("mutation_specs", "work_items"):
            database.executemany(f"DELETE FROM {table} WHERE job_id = ?", dropped)
    return len(worth_it)


def survivors(session: Path) -> list[str]:
    """The diffs that no test noticed."""
    with sqlite3.connect(session) as database:
        return [
            diff
            for (diff,) in database.execute(
                "SELECT diff FROM work_results WHERE test_outcome = 'SURVIVED'"
            )
        ]


def main() -> None:
    """Mutate, test, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("module", type=Path)
    parser.add_argument("--sample", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=int, default=120, help="seconds per mutant")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "checkout"
        for name in TESTED:
            shutil.copytree(ROOT / name, copy / name)
        shutil.copy(ROOT / "pyproject.toml", copy)
        session = copy / "session.sqlite"
        text = CONFIG.format(
            module=options.module,
            timeout=options.timeout,
            python=sys.executable,
            tests=test_file(options.module),
        )
        (copy / "mutation.toml").write_text(text)

        def cosmic_ray(*arguments: str) -> None:
            command = [sys.executable, "-m", "cosmic_ray.cli", *arguments]
            subprocess.run(command, cwd=copy, check=True, stdout=subprocess.DEVNULL)

        cosmic_ray("baseline", "mutation.toml")
        cosmic_ray("init", "mutation.toml", str(session))
        total = sample(session, options.sample, options.seed)
        cosmic_ray("exec", "mutation.toml", str(session))
        found = survivors(session)
        for diff in found:
            print(diff)
        tried = min(options.sample, total)
        print(f"{options.module}: {tried - len(found)} of {tried} mutants killed ({total} in all)")


if __name__ == "__main__":
    main()
