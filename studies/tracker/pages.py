"""MLflow's own pages on a study: what its runs are called there, and the address of their table.

Whether MLflow 3.17 opens an experiment as model training or with traces and judges is a switch of
the browser's, whatever kind the experiment has; an address can set it.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from studies.tracker import names

LOCAL = "http://127.0.0.1:5000"  # where `mlflow ui` serves
EXPERIMENT = "EXPERIMENT-ID"  # in a note, until the experiment is there
CALLED = frozenset(s for s, state in names.MLFLOW_STATUS.items() if state == "FAILED") | {"pruned"}


def run_name(key: str, status: str = "") -> str:
    """Of a trial's run; where no result came of it, how it ended: the column shows 14 letters.

    >>> run_name("0003"), run_name("0004", "out_of_memory")
    ('trial-0003', 'out of memory 0004')
    """
    return f"{status.replace('_', ' ')} {key}" if status in CALLED else f"trial-{key}"


def table(experiment: str, metric: str, direction: str) -> str:
    """The part of an address behind the server's: all runs as a table, best first by `metric`.

    direction: "minimize" or "maximize".
    """
    query = urlencode(
        {
            "workflowType": "machine_learning",
            "orderByKey": f"metrics.`{metric}`",
            "orderByAsc": str(direction == "minimize").lower(),
        }
    )
    return f"#/experiments/{quote(experiment)}/runs?{query}"
