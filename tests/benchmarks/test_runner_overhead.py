"""The benchmark of the runner speaks the workers' language of today."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray

from benchmarks.runner_overhead import ours

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.parametrize(("mode", "reports"), [("tune", 2), ("cohort", 1)])
def test_simulated_trials_come_to_their_end(mode: str, reports: int) -> None:
    row = ours(mode, trials=12, concurrent=1, slots=4, reports=reports)
    assert row["results_per_s"] > 0
    assert row["memory_end_mib"] > 0
