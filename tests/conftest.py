"""Which tests must not run beside others: `make test` takes these one after another."""

from __future__ import annotations

import pytest


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts Ray or servers, or drives a browser, is `alone`, whether it says so or not."""
    for item in items:
        if item.get_closest_marker("browser") or _uses_the_cluster(item):
            item.add_marker("alone")


def _uses_the_cluster(item: pytest.Item) -> bool:
    """Whether the test's module imports Ray or anything of the crash suite."""
    module = getattr(item, "module", None)
    origins = [getattr(value, "__module__", None) or "" for value in vars(module or item).values()]
    return hasattr(module, "ray") or any(str(o).startswith("tests.crash") for o in origins)
