from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from analysis.tracker.client import Tracker, TrackerError
from analysis.tracker.results import StudyResults, collect
from studies.tracker import names
from tests.analysis import bulk_studies, pictured


def with_trials(**columns: list[Any]) -> StudyResults:
    """The plain study with other trials."""
    count = len(next(iter(columns.values())))
    defaults: dict[str, list[Any]] = {
        "trial": [f"{i:04d}" for i in range(count)],
        "phase": ["search"] * count,
        "status": ["finished"] * count,
        "reference": [False] * count,
        "config": [f"c{i}" for i in range(count)],
        "seed": [0] * count,
    }
    return replace(bulk_studies.results("plain"), trials=pd.DataFrame({**defaults, **columns}))


def test_the_winner_would_not_be_the_best_finished_trial() -> None:
    results = bulk_studies.results("plain")
    frame = results.trials
    finished = frame[(frame["status"] == "finished") & (frame["phase"] == "search")]
    assert results.winner is not None
    assert results.winner["trial"] == finished.loc[finished["metrics.val/mse"].idxmin(), "trial"]


def test_a_maximized_objective_would_crown_the_worst() -> None:
    results = bulk_studies.results("maximized")
    assert results.winner is not None
    assert results.winner["metrics.val/psnr"] == results.ranked["metrics.val/psnr"].max()


def test_a_pruned_or_diverged_trial_could_win() -> None:
    results = with_trials(
        **{
            "metrics.val/mse": [0.001, float("nan"), 0.02, 0.03],
            "status": ["pruned", "finished", "finished", "finished"],
        }
    )
    assert results.ranked["trial"].tolist() == ["0002", "0003"]


def test_a_confirmation_run_could_win_the_search() -> None:
    results = with_trials(
        **{"metrics.val/mse": [0.02, 0.01], "phase": ["search", "confirm"]},
        trial=["0000", "confirm-0000"],
    )
    assert results.ranked["trial"].tolist() == ["0000"]


def test_seeds_would_not_be_averaged() -> None:
    results = with_trials(
        **{"metrics.val/mse": [0.01, 0.05, 0.02, 0.02, 0.001]},
        config=["a", "a", "b", "b", "c"],
        seed=[0, 1, 0, 1, 0],
        status=["finished", "finished", "finished", "finished", "finished"],
    )
    results = replace(results, info={"settings": {"seeds": 2}})
    ranked = results.ranked
    assert ranked["trial"].tolist()[-2:] == ["0002", "0000"]
    assert ranked["metrics.val/mse"].tolist()[-2:] == pytest.approx([0.02, 0.03])


def test_a_study_of_reference_runs_alone_would_show_nothing() -> None:
    results = with_trials(
        **{"metrics.val/mse": [0.03, 0.02]},
        phase=["reference", "reference"],
        reference=[True, True],
        trial=["reference-0000", "reference-0001"],
    )
    assert results.winner is not None
    assert results.winner["trial"] == "reference-0001"
    assert len(results.search) == 2


def test_no_finished_trial_would_raise() -> None:
    for key in ("empty", "unfinished", "without_objective"):
        results = bulk_studies.results(key)
        assert results.winner is None
        assert results.ranked.empty


def test_without_study_json_nothing_would_be_known_of_the_search() -> None:
    results = bulk_studies.results("poor")
    assert results.objective.metric == "val/mse"
    assert "latent_dim" in results.varied
    assert "batch_size" not in results.varied or results.search["params.batch_size"].nunique() > 1
    assert results.distributions == {}


def test_a_missing_parent_would_be_passed_over_in_silence() -> None:
    results = bulk_studies.results("orphans")
    assert results.parent is None
    assert any("parent run is missing" in note for note in results.notes)
    assert results.winner is not None


def test_foreign_runs_would_not_be_counted() -> None:
    written = bulk_studies.written("orphans")
    client = pictured.client(written)
    run = client.create_run(written.experiment_id, run_name="someone else's")
    try:
        results = collect("orphans", Tracker(written.tracking_uri))
        assert results.foreign_runs == 1
        assert run.info.run_id not in results.trials["run_id"].tolist()
    finally:
        client.delete_run(run.info.run_id)


def test_an_experiment_of_others_would_pass_for_a_study() -> None:
    written = bulk_studies.written("plain")
    client = pictured.client(written)
    experiment = client.create_experiment("not ours")
    client.create_run(experiment)
    with pytest.raises(TrackerError, match="holds 1 runs but no study of this project"):
        collect("not ours", Tracker(written.tracking_uri))


def test_broken_artifacts_would_end_the_report() -> None:
    broken = {
        names.STUDY_FILE: ("{broken", "is not JSON"),
        names.BASELINES_FILE: ('{"a": 1}', "should hold a list"),
        names.EXAMPLES_FILE: ("not a zip", "cannot be used"),
        names.PROVENANCE_FILE: ("[]", "should hold a dict"),
    }
    written = bulk_studies.written("broken")
    assert written.parent_id is not None
    for name, (content, _) in broken.items():
        pictured.client(written).log_text(written.parent_id, content, name)
    results = collect("broken", Tracker(written.tracking_uri))
    assert results.winner is not None
    for name, (_, note) in broken.items():
        assert any(name in each and note in each for each in results.notes)


@pytest.mark.parametrize(
    "content",
    [
        {"objectives": ["val/mse"]},
        {"objectives": [{"metric": "val/mse", "direction": "down"}]},
        {"distributions": {"lr": "uniform"}},
        {"settings": "trials 8"},
    ],
)
def test_a_study_file_of_another_kind_would_end_the_report(content: dict[str, Any]) -> None:
    written = bulk_studies.written("broken")
    assert written.parent_id is not None
    pictured.client(written).log_dict(written.parent_id, content, names.STUDY_FILE)
    results = collect("broken", Tracker(written.tracking_uri))
    assert results.objective.metric == "val/mse"
    assert results.winner is not None
    (note,) = [each for each in results.notes if names.STUDY_FILE in each]
    assert next(iter(content)) in note


def test_statistics_would_not_find_their_columns() -> None:
    results = bulk_studies.results("whole")
    frame = results.for_statistics()
    expected = {"trial", "status", "budget", *results.distributions, "val/mse", "val/probe"}
    assert set(frame) == expected
    assert len(frame) == len(results.search)
