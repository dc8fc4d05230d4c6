"""Twenty numbers of a confirmed study, recomputed from MLflow's raw tables with scipy alone."""

from __future__ import annotations

import sqlite3
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.report.sections import comparison, confirmed
from analysis.tables.findings import comparison_table, confirmation_table
from analysis.tables.table import Table
from tests.analysis import bulk_studies

KEY = "whole"  # its first objective is val/mse, to be minimised; three fresh seeds
QUERY = """
select r.run_uuid, m.key, m.value, m.step, t.key as tag, t.value as text
from runs r
join experiments e on e.experiment_id = r.experiment_id and e.name = ?
join tags t on t.run_uuid = r.run_uuid and t.key in
  ('vae.trial', 'vae.phase', 'vae.like', 'vae.reference', 'vae.seed', 'vae.status')
join metrics m on m.run_uuid = r.run_uuid and m.key in ('val/mse', 'test/mse', 'test/psnr')
"""


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    """A row per run: its tags and the last value of each metric."""
    path = bulk_studies.written(KEY).tracking_uri.removeprefix("sqlite:///")
    with sqlite3.connect(path) as database:
        raw = pd.read_sql_query(QUERY, database, params=(bulk_studies.STUDIES[KEY].name,))
    bulk = raw.pivot_table(index="run_uuid", columns="tag", values="text", aggfunc="first")
    last = raw.sort_values("step").groupby(["run_uuid", "key"])["value"].last().unstack()
    return bulk.join(last)


def scores(runs: pd.DataFrame, trial: str, metric: str = "test/mse") -> np.ndarray:
    own = runs[(runs["vae.phase"] == "confirm") & (runs["vae.like"] == trial)]
    return own.sort_values("vae.seed")[metric].to_numpy(dtype=float)


def interval(values: np.ndarray) -> tuple[float, float]:
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    return float(low), float(high)


def printed(table: Table, row: int) -> dict[str, tuple[str, ...]]:
    """The texts of a row's cells, with their intervals, by the column's key."""
    keys = [column.key for column in table.columns]
    cells = table.cells()[row]
    return {key: (cell.text, *(cell.interval or ())) for key, cell in zip(keys, cells, strict=True)}


def test_twenty_printed_numbers_are_those_of_mlflows_tables(runs: pd.DataFrame) -> None:
    results = bulk_studies.results(KEY)
    findings = confirmed.findings(results)
    assert findings is not None
    confirmation, _ = findings
    finished = (runs["vae.phase"] == "search") & (runs["vae.status"] == "finished")
    search = runs[finished].set_index("vae.trial")["val/mse"].astype(float)
    reference = runs.loc[runs["vae.reference"] == "true", "vae.like"].dropna().iloc[0]
    order = search.drop(reference).sort_values().index[:3].tolist()
    winner = order[0]
    ours, theirs = scores(runs, winner), scores(runs, reference)

    table = confirmation_table(confirmation)
    first, last = printed(table, 0), printed(table, len(confirmation.configurations) - 1)
    low, high = interval(ours)
    assert first["mean"] == (f"{ours.mean():.5f}", f"{low:.5f}", f"{high:.5f}")  # 1 to 3
    assert first["seeds"] == (str(len(ours)),)  # 4
    assert first["search"] == (f"{search[winner]:.5f}",)  # 5
    gap = ours.mean() - search[winner]
    reach = stats.t.ppf(0.975, 2) * ours.std(ddof=1) * np.sqrt(1 + 1 / 3)
    assert first["optimism"] == (f"{gap:.6f}", f"{gap - reach:.6f}", f"{gap + reach:.6f}")  # to 8
    low, high = interval(theirs)
    assert last["mean"] == (f"{theirs.mean():.5f}", f"{low:.5f}", f"{high:.5f}")  # 9 to 11

    against = comparison_table(confirmation)
    tests = {trial: stats.ttest_rel(theirs, scores(runs, trial)) for trial in order}
    adjusted = holm([tests[trial].pvalue for trial in order])
    for row, trial in enumerate(order[:2]):
        better = theirs - scores(runs, trial)
        low, high = interval(better)
        cells = printed(against, row)
        assert cells["mean"] == (f"{better.mean():.6f}", f"{low:.6f}", f"{high:.6f}")  # to 14, 18
        assert cells["p_t"] == (p_text(tests[trial].pvalue),)  # 15, 19
        assert cells["p_holm"] == (p_text(adjusted[row]),)  # 16, 20
    assert printed(against, 0)["p_sign_flip"] == (p_text(sign_flip(ours - theirs)),)  # 17, 21
    means = [scores(runs, trial).mean() for trial in order]
    tau = stats.kendalltau(search[order], means).statistic
    assert confirmation.order.kendall_tau == pytest.approx(tau)  # 22

    (number, *_) = comparison.confirmed_numbers(results, comparison.entries_of(results))
    assert number.value == f"{scores(runs, winner, 'test/psnr').mean():.2f} dB"  # 23


def holm(p_values: list[float]) -> list[float]:
    """Holm (1979), written anew: each p times the number of those not yet rejected, never falling.

    In the order given.
    """
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = running
    return adjusted


def sign_flip(differences: np.ndarray) -> float:
    sums = [abs(np.dot(signs, differences)) for signs in product((1, -1), repeat=len(differences))]
    return float(np.mean(np.asarray(sums) >= abs(differences.sum()) - 1e-15))


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
