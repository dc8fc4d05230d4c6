from __future__ import annotations

import pytest

from analysis.figures import curves
from analysis.figures.curves import Curve, Curves
from analysis.tracker import runs
from tests.analysis import bulk_studies
from tests.analysis.figures import drawn


def curves_of(key: str, metric: str = "val/mse") -> Curves:
    results = bulk_studies.results(key)
    chosen = curves.choose(results)
    history = runs.histories(chosen["run_id"], [metric], tracker=results.tracker)
    return curves.info(results, chosen, history, metric)


def test_the_sample_would_lose_the_best_or_the_reference() -> None:
    results = bulk_studies.results("plain")
    chosen = curves.choose(results, 12)
    assert len(chosen) == 12
    assert chosen["reference"].any()
    assert set(results.ranked["trial"][:3]) <= set(chosen["trial"])
    assert (chosen["status"] == "pruned").any()
    assert chosen["trial"].is_unique


def test_the_same_study_would_give_another_picture() -> None:
    results = bulk_studies.results("plain")
    assert (
        curves.choose(results, 12)["trial"].tolist() == curves.choose(results, 12)["trial"].tolist()
    )


def test_a_curve_would_not_be_the_trials_own() -> None:
    results, found = bulk_studies.results("plain"), curves_of("plain")
    assert results.winner is not None
    (best,) = found.of("best")
    assert best.trial == results.winner["trial"]
    assert best.epochs == tuple(range(1, 21))
    assert best.values[-1] == results.winner["metrics.val/mse"]
    (reference,) = found.of("reference")
    assert reference.trial == "0000"
    assert {c.trial for c in found.of("pruned")} <= set(
        results.trials.loc[results.trials["status"] == "pruned", "trial"]
    )


def test_the_counts_in_the_text_would_be_wrong() -> None:
    found = curves_of("plain")
    started = (bulk_studies.results("plain").search["epochs"] > 0).sum()
    assert (found.shown, found.total) == (started, started)
    assert f"{started} of {started} trials" in curves.describe(found)


def test_the_start_of_training_would_hide_its_end() -> None:
    falling = [Curve(str(i), "finished", (1, 2, 3), (100.0, 5.0, 1.0 + i / 10)) for i in range(4)]
    limits = curves.visible_range(Curves("val/mse", tuple(falling), 4, 4))
    assert limits is not None
    low, high = limits
    assert low < 1.0
    assert 1.3 < high < 5


def test_lines_of_two_trials_would_be_joined() -> None:
    two = (Curve("a", "pruned", (1, 2), (3.0, 2.0)), Curve("b", "pruned", (1,), (4.0,)))
    (trace,) = curves.spec(Curves("val/mse", two, 2, 2))["data"]
    assert trace["x"] == [1, 2, None, 1, None]
    assert trace["y"] == [3.0, 2.0, None, 4.0, None]
    assert trace["text"] == ["a", "b"], "one key for each curve, which the gaps keep apart"
    assert trace["connectgaps"] is False


@pytest.mark.parametrize("key", ["plain", "unfinished", "one"])
def test_the_figure_could_not_be_drawn(key: str) -> None:
    drawn.check(curves.plot(curves_of(key)))


def test_small_multiples_would_each_have_a_scale_of_their_own() -> None:
    few = Curves("val/mse", (Curve("a", "finished", (1, 2), (0.9, 0.5)),), 1, 1)
    more = Curves("val/mse", (Curve("b", "finished", (1, 2, 3), (0.3, 0.2, 0.1)),), 1, 1)
    view = curves.common_view([few, more])
    assert view.limits[0] < 0.1 < 0.9 < view.limits[1]
    assert view.epochs == 3
    first, second = (curves.spec(panel, view)["layout"] for panel in (few, more))
    assert first["yaxis"]["range"] == second["yaxis"]["range"] == list(view.limits)
    assert first["xaxis"]["range"] == second["xaxis"]["range"]
    drawn.check(curves.plot(few, view))
