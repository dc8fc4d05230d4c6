"""Which run is published: decided by validation scores, on fresh seeds where there are any."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from analysis.models.winner import WinnerError, choose, named
from analysis.tracker import runs
from analysis.tracker.client import Record
from analysis.tracker.results import StudyResults
from studies.tracker import names


def run(
    key: str,
    value: float | None,
    *,
    seed: int = 0,
    like: str = "",
    status: str = "finished",
    reference: bool = False,
    test: float | None = None,
) -> Record:
    phase = key.partition("-")[0] if "-" in key else "search"
    tags = {
        names.ROLE: "trial", names.TRIAL: key, names.PHASE: phase, names.STATUS: status,
        names.SEED: str(seed), names.LIKE: like, names.CONFIG: f"config of {like or key}",
        names.REFERENCE: str(reference).lower(),
    }  # fmt: skip
    metrics = {"val/mse": value, "test/mse": test}
    known = {name: each for name, each in metrics.items() if each is not None}
    return Record(f"id-{key}", "FINISHED", 0, 1, {}, known, dict.fromkeys(known, 3), tags)


def study(*records: Record, direction: str = "minimize", seeds: int = 1) -> StudyResults:
    info = {
        "objectives": [{"metric": "val/mse", "direction": direction}],
        "settings": {"seeds": seeds},
    }
    return StudyResults("s", runs.frame(records), Mock(), info=info)


SEARCH = (run("0000", 0.30, reference=True), run("0001", 0.10), run("0002", 0.20))


def confirmed(
    like: str, values: list[float | None], number: int, **changes: object
) -> list[Record]:
    return [
        run(
            f"confirm-{number + i:04d}", value, seed=1000 + i, like=like,
            status="finished" if value is not None else "diverged", **changes,  # type: ignore[arg-type]
        )
        for i, value in enumerate(values)
    ]  # fmt: skip


def test_without_confirmation_the_best_of_the_search_wins_and_says_that_it_is_unconfirmed() -> None:
    found = choose(study(*SEARCH))
    assert (found.trial, found.run_id) == ("0001", "id-0001")
    assert "3 finished trials" in found.why
    assert "unconfirmed" in found.why
    assert choose(study(*SEARCH, direction="maximize")).trial == "0000"


def test_pruned_failed_and_nan_trials_never_win() -> None:
    others = (
        run("0003", 0.01, status="pruned"),
        run("0004", 0.01, status="failed"),
        run("0005", float("nan")),
    )
    assert choose(study(*SEARCH, *others)).trial == "0001"


def test_a_confirmation_overrules_the_luck_of_the_search() -> None:
    lucky = confirmed("0001", [0.25, 0.27], 0)
    solid = confirmed("0002", [0.22, 0.20], 2)
    found = choose(study(*SEARCH, *lucky, *solid))
    assert found.trial == "confirm-0003"  # the better of its two seeds
    assert "Trial 0002 is the best of 2 configurations" in found.why
    assert "over 2 fresh seeds" in found.why
    assert "0.21000" in found.why


def test_test_scores_have_no_say() -> None:
    first = confirmed("0001", [0.20, 0.20], 0, test=0.90)
    second = confirmed("0002", [0.21, 0.21], 2, test=0.01)
    assert choose(study(*SEARCH, *first, *second)).trial == "confirm-0000"


def test_the_reference_may_win() -> None:
    first = confirmed("0001", [0.4, 0.4], 0)
    second = confirmed("0000", [0.2, 0.3], 2, reference=True)
    found = choose(study(*SEARCH, *first, *second))
    assert found.trial == "confirm-0002"
    assert found.why.startswith("The reference is the best")


def test_the_only_confirmed_configuration_is_not_called_the_best_of_one() -> None:
    found = choose(study(*SEARCH, *confirmed("0002", [0.2, 0.3], 0)))
    assert found.why.startswith("Trial 0002 is the only configuration that was confirmed")


def test_larger_is_better_where_the_study_says_so() -> None:
    first, second = confirmed("0001", [0.4, 0.5], 0), confirmed("0002", [0.2, 0.3], 2)
    found = choose(study(*SEARCH, *first, *second, direction="maximize"))
    assert found.trial == "confirm-0001"


def test_a_configuration_that_broke_on_a_seed_is_not_published() -> None:
    broken = confirmed("0001", [0.01, None], 0)
    whole = confirmed("0002", [0.2, 0.3], 2)
    assert choose(study(*SEARCH, *broken, *whole)).trial == "confirm-0002"


def test_a_half_finished_confirmation_is_judged_on_the_seeds_that_all_have() -> None:
    first = confirmed("0001", [0.20, 0.60], 0)
    second = confirmed("0002", [0.30], 2)
    found = choose(study(*SEARCH, *first, *second))
    assert found.trial == "confirm-0000"
    assert "over 1 fresh seed." in found.why


def test_a_confirmation_without_a_common_seed_leaves_it_to_the_search() -> None:
    under_way = run("confirm-0000", 0.5, like="0001", seed=1000, status="running")
    assert choose(study(*SEARCH, under_way)).trial == "0001"
    broken = confirmed("0001", [None, None], 0)
    assert choose(study(*SEARCH, *broken)).trial == "0001"


def test_nothing_finished_is_said_in_words() -> None:
    with pytest.raises(WinnerError, match="no finished trial with a finite val/mse"):
        choose(study(run("0000", 0.1, status="running")))
    with pytest.raises(WinnerError, match="no finished trial"):
        choose(study(run("0000", None)))


def test_a_run_may_be_named_by_id_or_key_if_it_has_weights() -> None:
    results = study(*SEARCH, run("0003", 0.1, status="pruned"))
    assert named(results, "id-0002").trial == named(results, "0002").trial == "0002"
    with pytest.raises(WinnerError, match="has no run '0009'"):
        named(results, "0009")
    with pytest.raises(WinnerError, match="trial 0003 is pruned"):
        named(results, "0003")


def test_a_winner_tells_its_scores() -> None:
    found = choose(study(run("0000", 0.5, seed=7, test=0.6)))
    assert found.title == "trial 0000, seed 7"
    assert found.scores == {"test/mse": 0.6, "val/mse": 0.5}
