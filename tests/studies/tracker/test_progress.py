"""The facts of a study under way: counts, and how much is left."""

from __future__ import annotations

import math

import pytest

from studies.budget import Budget
from studies.tracker.pages import table
from studies.tracker.progress import (
    Asked,
    Progress,
    TrialProgress,
    as_line,
    as_table,
    duration,
    epochs_left,
    expected_trials,
    next_steps,
)


def trial(status: str, epochs: int, phase: str = "search", extra: bool = False) -> TrialProgress:
    return TrialProgress(phase, status, epochs, extra)


def progress(trials: list[TrialProgress], **changes: object) -> Progress:
    given = {
        "trials": trials, "asked": Asked(4, 10), "metric": "val/mse", "best": 0.0161234,
        "reference": None, "epochs_per_s": 0.5, "elapsed_s": 75.0, "hours": 0.0421,
    }  # fmt: skip
    return Progress(**(given | changes))  # type: ignore[arg-type]


def test_every_trial_is_counted_once_and_failures_of_all_kinds_together() -> None:
    statuses = ["finished", "finished", "running", "pruned", "failed", "diverged",
                "out_of_memory", "worker_lost", "interrupted"]  # fmt: skip
    facts = progress([trial(status, 3) for status in statuses]).facts()
    assert facts["finished"] == "2"
    assert (facts["running"], facts["pruned"], facts["failed"]) == ("1", "1", "4")
    assert facts["interrupted"] == "1"
    assert "interrupted" not in progress([trial("running", 1)]).facts()


def test_the_facts_read_as_one_line() -> None:
    line = as_line(progress([trial("finished", 10), trial("running", 4)]).facts())
    assert line == (
        "finished 1, running 1, pruned 0, failed 0, best val/mse 0.016123, reference –, "
        "epochs/s 0.50, elapsed 1:15, left about 0:52, CPU-hours 0.04"
    )


def test_no_time_left_is_claimed_without_speed_or_work() -> None:
    assert "left about" not in progress([trial("running", 1)], epochs_per_s=0.0).facts()
    assert "left about" not in progress([trial("finished", 10)] * 4).facts()


def test_a_title_with_brackets_is_shown_as_it_is() -> None:
    assert "[bold]" in str(as_table("my [bold] study", {"finished": "1"}).title)


@pytest.mark.parametrize(
    ("trials", "asked", "expected"),
    [
        ([], Asked(3, 10), 30),
        # pruned trials make the expected length of the others shorter: (10 + 2) / 2
        ([trial("finished", 10), trial("pruned", 2)], Asked(4, 10), 2 * 6),
        ([trial("finished", 10), trial("running", 4)], Asked(2, 10), 6),
        ([trial("pruned", 2), trial("running", 4)], Asked(2, 10), 0),
        ([trial("failed", 1), trial("interrupted", 0)], Asked(2, 10), 1),
        # two further seeds of each that finishes, never pruned
        ([trial("finished", 10)], Asked(1, 10, seeds=3), 20),
        ([trial("finished", 10), trial("finished", 10, extra=True)], Asked(1, 10, seeds=3), 10),
        ([trial("pruned", 1)], Asked(1, 10, seeds=3), 0),
        ([trial("finished", 10), trial("pruned", 2)], Asked(4, 10, seeds=2), 2 * 6 + 2 * 10),
        # confirmation, one of its runs under way
        ([trial("pruned", 2), trial("running", 4, "confirm")], Asked(1, 10, fixed_runs=3), 26),
        ([trial("finished", 10, "reference")], Asked(0, 10, fixed_runs=2), 10),
        # more than was asked for, as after a resume with fewer trials
        ([trial("finished", 10)] * 5, Asked(2, 10), 0),
    ],
)
def test_what_is_left_is_expected_from_what_trials_needed(
    trials: list[TrialProgress], asked: Asked, expected: float
) -> None:
    assert sum(epochs_left(trials, asked)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("trials", "budget", "runs", "left", "about"),
    [
        ([], "100epochs", 0, (100, 0), 10),
        # (10 + 2) / 2 epochs are typical, 88 are left: 88 / 6 more trials
        ([trial("finished", 10), trial("pruned", 2)], "100epochs", 0, (88, 0), 2 + 88 / 6),
        ([trial("finished", 10)] * 9 + [trial("pruned", 2)], "100epochs", 3, (0, 30), 10),
        ([trial("finished", 10)] * 9 + [trial("running", 2)], "100epochs", 0, (8, 0), 10),
    ],
)
def test_a_budget_of_epochs_says_how_many_trials_are_to_be_expected(
    trials: list[TrialProgress], budget: str, runs: int, left: tuple[float, float], about: float
) -> None:
    asked = Asked(math.inf, 10, fixed_runs=runs, budget=Budget.parse(budget))
    assert epochs_left(trials, asked) == pytest.approx(left)
    assert expected_trials(trials, asked, left[0]) == pytest.approx(about)


def test_a_budget_of_time_leaves_its_rest_and_what_comes_after_it() -> None:
    asked = Asked(math.inf, 10, fixed_runs=2, budget=Budget.parse("1h"))
    begun = [trial("finished", 10), trial("pruned", 2), trial("running", 6)]
    progress = Progress(begun, asked, "val/mse", None, None, 0.5, 600.0, 0.0, searched_s=600.0)
    facts = progress.facts()
    assert facts["left about"] == duration(3000 + 20 / 0.5)
    assert facts["trials about"] == f"{3 + 3000 * 0.5 / 6:.0f}"
    over = Progress(begun[:2], asked, "val/mse", None, None, 0.5, 600.0, 0.0, searched_s=3590.0)
    assert over.facts()["left about"] == duration(20 / 0.5)  # nothing that fits is begun any more


def test_what_was_asked_follows_from_the_flags() -> None:
    flags = {"trials": 20, "seeds": 2, "confirm_top": 3, "confirm_seeds": 5}
    assert Asked.of(flags, 10) == Asked(20, 10, 2, 20)
    assert Asked.of(flags | {"confirm_top": 0}, 10) == Asked(20, 10, 2, 0)
    assert Asked.of(flags | {"confirm_only": True}, 10) == Asked(0, 10, 2, 20)
    assert Asked.of(flags | {"reference": True}, 10, references=2) == Asked(0, 10, 1, 4)
    assert Asked.of({}, 10) == Asked(0, 10)
    hour = Budget.parse("1h")
    assert Asked.of({"budget": "1h"}, 10) == Asked(math.inf, 10, budget=hour)
    assert Asked.of({"budget": "1h", "trials": 5}, 10) == Asked(5, 10, budget=hour)


def test_the_next_steps_can_be_pasted_into_a_shell() -> None:
    where = "--study 'ışık 1' --tracking-uri sqlite:///runs/mlflow.db"
    assert next_steps("ışık 1", "sqlite:///runs/mlflow.db", winner=True) == [
        f"report:     python -m analysis.report {where} --out report",
        f"publish:    python -m analysis.publish {where}",
        "MLflow:     mlflow ui --backend-store-uri sqlite:///runs/mlflow.db",
    ]
    served = next_steps("s", "http://host:5000", winner=False)
    assert served[-1] == "MLflow:     open http://host:5000"
    page = table("7", "val/mse", "minimize")
    *_, before, last = next_steps("s", "sqlite:///m.db", winner=False, page=page)
    assert before.endswith("--backend-store-uri sqlite:///m.db")
    assert last.startswith("            open http://127.0.0.1:5000/#/experiments/7/runs?workflow")
    served = next_steps("s", "http://host:5000/", winner=False, page=page)
    assert served[-1] == f"MLflow:     open http://host:5000/{page}"
    assert not any("publish" in step for step in served)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59.9, "0:59"), (60, "1:00"), (3599, "59:59"), (3600, "1:00:00")],
)
def test_durations_read_like_a_clock(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_population_trains_all_epochs_between_its_members_until_it_has_ended() -> None:
    asked = Asked.of({"trials": 2, "scheduler": "pbt"}, epochs=9)
    members = [TrialProgress("search", s, e) for s, e in (("running", 4), ("pruned", 3))]
    heir = TrialProgress("search", "interrupted", 1)
    assert epochs_left([], asked) == (18, 0)
    assert epochs_left([*members, heir], asked) == (18 - 8, 0)
    ended = [TrialProgress("search", s, e) for s, e in (("finished", 9), ("diverged", 7))]
    assert epochs_left(ended, asked) == (0, 0), "who failed behind the last judgement has no heir"
