"""Which sampler suggests: Optuna's, with what a major version of it has changed before stated here.

Its remarks about conditional parameters are no user's concern.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

STARTUP = 10  # finished trials before GP has a model, as Optuna has it


def make(name: str, *, seed: int, objectives: int) -> BaseSampler:
    """The sampler of that name, as `--sampler` takes it, for a study of so many objectives."""
    return Repeatable(lambda drawn: fresh(name, seed, drawn, objectives), seed)


def fresh(name: str, seed: int, drawn: int, objectives: int) -> BaseSampler:
    """One of Optuna's; seed: of what is the same in all trials, drawn: of what is not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match name:
            case "tpe":
                return optuna.samplers.TPESampler(
                    seed=drawn,
                    multivariate=objectives == 1,
                    group=False,
                    constant_liar=True,  # trials run at once
                )
            case "random":
                return optuna.samplers.RandomSampler(seed=drawn)
            case "gp":
                return optuna.samplers.GPSampler(
                    seed=drawn,
                    independent_sampler=Conditional(drawn),
                    n_startup_trials=STARTUP,
                    warn_independent_sampling=False,
                )
            case "qmc":
                return optuna.samplers.QMCSampler(
                    seed=seed,
                    independent_sampler=optuna.samplers.RandomSampler(seed=drawn),
                    warn_independent_sampling=False,
                )
            case "nsga2":
                return optuna.samplers.NSGAIISampler(seed=drawn, population_size=50)
            case _:
                raise ValueError(f"there is no sampler {name!r}")


class Repeatable(BaseSampler):
    """A sampler whose draws for a trial follow from its seed and the trial's number alone.

    Optuna's keep a stream of random numbers, which ends with the driver: a study that was resumed
    would go on with other suggestions than one that was not.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        """make: the sampler for a seed."""
        self._make, self._seed = make, seed
        self._present = make(seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Begin anew for this trial."""
        self._present = self._make(zlib.crc32(f"{self._seed} {trial.number}".encode()))
        self._present.before_trial(study, trial)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """As Optuna's samplers have it."""
        return self._present.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As Optuna's samplers have it."""
        return self._present.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As Optuna's samplers have it."""
        return self._present.sample_independent(study, trial, param_name, param_distribution)


class Conditional(optuna.samplers.TPESampler):
    """What suggests the parameters that GP has no model of: those that only some trials have.

    GP models what all finished trials share. Optuna draws the rest at random for ever, which in a
    space of families is half of it, β and SupCon's weight among them; here TPE learns each of them
    from the trials that have it. As long as GP has no model, all is drawn at random, the same as
    Optuna draws it.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed, constant_liar=True)
        self._first = optuna.samplers.RandomSampler(seed=seed)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """As Optuna's samplers have it."""
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(finished) < STARTUP:
            return self._first.sample_independent(study, trial, param_name, param_distribution)
        return super().sample_independent(study, trial, param_name, param_distribution)
