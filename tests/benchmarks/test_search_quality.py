"""The replay of searches and what is concluded from it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import learning_curves, search_quality
from benchmarks.curve_model import Forest
from benchmarks.replay import Replay, Replayed, with_seed
from benchmarks.search_quality import Replays
from studies.runner import pins
from studies.runner.planning import make_plan
from studies.runner.settings import Settings
from studies.scheduling.pruning import comparable
from tests.benchmarks.curves import table

EPOCHS = 160


@pytest.fixture(scope="module")
def model() -> Forest:
    return Forest(table(150), "val/mse", pins.suggestions(learning_curves.space))


def replayed(model: Forest, seed: int, epochs: int = EPOCHS, **settings: str) -> Replayed:
    search_quality.quiet()
    given = {"trials": 10**6, "epochs": learning_curves.EPOCHS, "seed": seed, **settings}
    made = Settings(**given)  # type: ignore[arg-type]
    return Replay(make_plan(learning_curves.STUDY, made), model, epochs).run()


def test_a_replay_uses_its_epochs_and_repeats(model: Forest) -> None:
    one = replayed(model, 1, sampler="random", scheduler="none")
    assert one.finished in (EPOCHS // learning_curves.EPOCHS, EPOCHS // learning_curves.EPOCHS - 1)
    assert one.pruned == 0
    assert np.isinf(one.best[: learning_curves.EPOCHS - 1]).all(), "nothing has finished yet"
    assert np.isfinite(one.best[2 * learning_curves.EPOCHS :]).all()
    again = replayed(model, 1, sampler="random", scheduler="none")
    assert np.array_equal(one.best, again.best)
    other = replayed(model, 2, sampler="random", scheduler="none")
    assert not np.array_equal(one.best, other.best)


def test_what_a_scheduler_ends_pays_for_further_trials(model: Forest) -> None:
    whole = replayed(model, 1, sampler="random", scheduler="none")
    ended = replayed(model, 1, sampler="random", scheduler="asha")
    assert ended.pruned > 0
    assert ended.pruned + ended.finished > whole.finished


def test_a_scheduler_compares_what_its_rule_says(model: Forest) -> None:
    """In warm-ups too: then more trials end early, over some studies."""
    search_quality.quiet()
    made = Settings(trials=10**6, epochs=learning_curves.EPOCHS, sampler="random")
    plan = make_plan(learning_curves.STUDY, made)
    rules = (search_quality.at_full_beta, comparable, search_quality.everything)
    pruned = [
        sum(Replay(with_seed(plan, s), model, EPOCHS, compared=r).run().pruned for s in range(6))
        for r in rules
    ]
    assert pruned[0] < pruned[1] < pruned[2]


@pytest.mark.slow
def test_a_sampler_that_learns_beats_chance_where_there_is_something_to_learn(
    model: Forest,
) -> None:
    def ends(sampler: str) -> float:
        runs = [replayed(model, s, 400, sampler=sampler, scheduler="none") for s in range(5)]
        return float(np.mean([run.best[-1] for run in runs]))

    assert ends("tpe") < ends("random")


def test_what_is_replayed_is_kept_and_goes_on(tmp_path: Path, model: Forest) -> None:
    search_quality.run(tmp_path, 1, ["qmc none"], model)
    first = search_quality.read(tmp_path)["qmc none"]
    search_quality.run(tmp_path, 2, ["qmc none"], model)
    both = search_quality.read(tmp_path)["qmc none"]
    assert np.array_equal(both.best[:1], first.best)
    assert both.best.shape == (2, search_quality.HORIZON)
    search_quality.run(tmp_path, 2, ["qmc none"], model)  # nothing is left
    assert np.array_equal(search_quality.read(tmp_path)["qmc none"].best, both.best)


def test_every_sampler_and_scheduler_is_a_way() -> None:
    ways = search_quality.ways()
    assert {search_quality.CHANCE, search_quality.DEFAULT} <= set(ways)
    default = Settings()
    assert ways[search_quality.DEFAULT].settings == {
        "sampler": default.sampler, "scheduler": default.scheduler,
    }  # fmt: skip


def test_the_first_epoch_of_the_median() -> None:
    regret = np.array([[9.0, 5.0, 1.0], [9.0, 3.0, 1.0], [9.0, 1.0, 1.0]])
    assert search_quality.arrives(regret, 3.0) == 2
    assert search_quality.arrives(regret, 0.5) is None


def test_ranks_share_ties() -> None:
    values = np.array([[0.1, 0.2, 0.2], [0.3, 0.1, 0.4]])
    assert search_quality.mean_ranks(values).tolist() == [1.5, 1.75, 2.75]


def test_nemenyis_difference_is_demsars() -> None:
    """Five classifiers: q is 2.728 (Demšar 2006, table 5)."""
    assert search_quality.critical_difference(5, 30) == pytest.approx(
        2.728 * math.sqrt(5 * 6 / (6 * 30)), rel=1e-3
    )


def test_bars_join_what_no_difference_parts() -> None:
    assert search_quality.alike([1.0, 1.4, 2.2, 4.0], 1.0) == [(0, 1), (1, 2)]
    assert search_quality.alike([1.0, 3.0, 5.0], 1.0) == []
    assert search_quality.alike([1.0, 1.1, 1.2], 1.0) == [(0, 2)]


def made(shift: float, count: int = 60) -> Replays:
    chance = np.random.default_rng(0)
    finals = 0.02 + 0.001 * chance.random((count, 1)) + shift
    own = 1e-5 * np.random.default_rng(round(1e6 * (shift + 1))).random((count, 1))
    best = finals + own + np.linspace(0.01, 0.0, search_quality.WHOLE)
    return Replays(best, 60.0, 0.0, 1.0)


def test_what_is_worse_than_chance_is_called_so() -> None:
    replays = {search_quality.CHANCE: made(0.0), "a": made(-0.002), "b": made(0.002)}
    assert search_quality.worse_than_chance(replays, search_quality.QUARTER) == ["b"]


def test_rows_and_figures(tmp_path: Path) -> None:
    replays = {
        search_quality.CHANCE: made(0.0),
        search_quality.DEFAULT: made(-0.002),
        f"{search_quality.DEFAULT}, eta 2": made(0.002),
    }
    lines = search_quality.rows(replays, 0.015)
    assert len(lines) == 2 + len(replays)
    assert lines[2].startswith("| random none | 60 |")
    assert "(100%)" in lines[2], "chance arrives where it ends"
    assert "| – |" in lines[4], "what is worse never does"
    search_quality.draw_regret(replays, 0.015, tmp_path / "regret.png")
    search_quality.draw_ranks(replays, 120, tmp_path / "ranks.png")
    assert all((tmp_path / name).stat().st_size > 5_000 for name in ("regret.png", "ranks.png"))
