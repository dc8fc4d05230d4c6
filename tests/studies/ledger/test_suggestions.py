"""What a sampler is shown of a pruned trial: the objective's values or none, never another's."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from studies.definition import Goal, Objective
from studies.ledger.suggestions import Suggestions, shown
from studies.ledger.trials import LedgerTrial, Status
from vae_trainables.config import TrialConfig

MSE = Objective("val/mse", "minimize")
ELBO = Objective("val/neg_elbo", "minimize")
PROBE = Objective("val/probe", "maximize")
REPORTS = {
    1: {"val/mse": 0.9, "val/neg_elbo": 300.0, "val/probe": 0.5},
    2: {"val/mse": 0.8, "val/neg_elbo": 280.0, "val/probe": 0.6},
}


def trial(status: Status, number: int = 0, **fields: object) -> LedgerTrial:
    given = {"reports": REPORTS} | fields
    return LedgerTrial("search", number, TrialConfig(), status=status, **given)  # type: ignore


@pytest.mark.parametrize(
    ("objectives", "curve"),
    [
        ((MSE,), {1: 0.9, 2: 0.8}),  # the metric it was pruned on
        ((ELBO,), {1: 300.0, 2: 280.0}),  # another one of the same direction
        ((PROBE,), {1: 0.5, 2: 0.6}),  # another one of the other direction
    ],
)
def test_a_pruned_trial_has_the_objectives_curve(
    objectives: tuple[Objective, ...], curve: dict[int, float]
) -> None:
    look = shown(trial("pruned"), Goal(objectives, prune_on=MSE))
    assert (look.state, look.values, look.curve) == (TrialState.PRUNED, None, curve)


@pytest.mark.parametrize(
    ("objectives", "reports"),
    [
        ((MSE, PROBE), REPORTS),  # several
        ((PROBE,), {1: {"val/mse": 0.9}}),  # not measured
        ((MSE,), {}),
    ],
)
def test_a_pruned_trial_without_comparable_values_is_of_unknown_value(
    objectives: tuple[Objective, ...], reports: dict[int, dict[str, float]]
) -> None:
    look = shown(trial("pruned", reports=reports), Goal(objectives, prune_on=MSE))
    assert (look.state, look.values, look.curve) == (TrialState.RUNNING, None, None)


@pytest.mark.parametrize(
    ("status", "fields", "state"),
    [
        ("planned", {}, TrialState.RUNNING),
        ("running", {}, TrialState.RUNNING),
        ("interrupted", {}, TrialState.RUNNING),
        ("finished", {"values": [0.8]}, TrialState.COMPLETE),
        ("finished", {}, TrialState.FAIL),
        ("finished", {"values": [0.8], "outside": True}, TrialState.FAIL),
        ("pruned", {"outside": True}, TrialState.FAIL),
        ("diverged", {}, TrialState.FAIL),
        ("failed", {}, TrialState.FAIL),
        ("out_of_memory", {}, TrialState.FAIL),
        ("worker_lost", {}, TrialState.FAIL),
    ],
)
def test_every_other_status(status: Status, fields: dict[str, object], state: TrialState) -> None:
    assert shown(trial(status, **fields), Goal((MSE,), MSE)).state == state


def test_tpe_prefers_the_largest_probe_among_pruned_trials_not_the_largest_mse() -> None:
    """Twenty trials of one place are pruned with a bad probe and a large MSE, twenty of another."""

    def configure(trial: optuna.Trial) -> TrialConfig:
        return TrialConfig(beta=trial.suggest_float("beta", 0.0, 1.0))

    sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=5)
    suggestions = Suggestions(Goal((PROBE,), MSE), sampler, {})
    for number in range(40):
        good = number % 2
        suggestions.enqueue({"beta": 0.8 + number / 400 if good else 0.1 + number / 400})
        config = suggestions.ask(configure).config
        kept = {"val/mse": 0.01 if good else 0.9, "val/probe": 0.8 if good else 0.1}
        ended = LedgerTrial("search", number, config, status="pruned", reports={1: kept})
        suggestions.ended(ended)
    asked = [suggestions.ask(configure).config.objective.beta for _ in range(9)]
    assert sum(beta > 0.5 for beta in asked) > 6, asked
