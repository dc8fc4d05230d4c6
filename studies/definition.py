"""What a study is: data. A study file defines one `StudyDefinition` and nothing else."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from studies.errors import InputError
from vae_trainables.config import Evaluation, TrialConfig

if TYPE_CHECKING:
    import optuna

    from vae_trainables.source import Source

Direction = Literal["minimize", "maximize"]
Space = Callable[["optuna.Trial"], dict[str, Any]]
DEFAULT_SPACE = "default"
"""Name of the space that a study searches unless `--space` says otherwise."""
SHOW = "show"
"""What `--space` takes in place of a name, to print the spaces; no space is called so."""


@dataclass(frozen=True)
class Objective:
    """A validation metric to optimise, and the evaluation that computes it, if it is an extra."""

    metric: str
    direction: Direction
    evaluation: Evaluation | None = None


def tested(metric: str) -> str:
    """The same metric on the test split.

    >>> tested("val/mse")
    'test/mse'
    """
    return "test/" + metric.rpartition("/")[2]


@dataclass(frozen=True)
class Goal:
    """What a study optimises, and what its trials end early by.

    metrics: all that is kept of each epoch: a later change of objectives finds its values there.
    """

    objectives: tuple[Objective, ...]
    prune_on: Objective
    metrics: frozenset[str] = frozenset()

    @property
    def kept(self) -> frozenset[str]:
        """Names of the metrics that are kept of each epoch, the last of a confirmation included."""
        own = {objective.metric for objective in (*self.objectives, self.prune_on)}
        return self.metrics | own | {tested(objective.metric) for objective in self.objectives}

    def values(self, metrics: Mapping[str, float]) -> list[float] | None:
        """The objectives among `metrics`; None if one is missing."""
        if any(objective.metric not in metrics for objective in self.objectives):
            return None
        return [metrics[objective.metric] for objective in self.objectives]

    def named(self) -> list[list[str]]:
        """The objectives as plain values, fit for JSON."""
        return [[objective.metric, objective.direction] for objective in self.objectives]


@dataclass(frozen=True)
class StudyDefinition:
    """A question to a family of trials.

    kind: the file's name without `.py`, as in `python -m studies.<kind>`.
    reference: the configuration every result is compared with; always the first trial.
    space: define-by-run Optuna space; returns the fields of `reference` that it changes.
    other_spaces: further ones that `--space NAME` chooses, by name. The reference lies in each.
    objectives: what may be optimised, by the name used with `--objective`; the first is default.
    prune_on: the single metric that early stopping of trials (ASHA) compares, at epochs in which
        each trial's β is as large as it will be. It need not be an objective.
    reference_choices: suggestions that lead `space` to `reference` where the names of the
        suggestions are not fields of it.
    companions: what `--reference` trains beside the reference, on the same seeds, because the
        system is a comparison.
    data: makes the images as arrays by name, as an .npz would hold them (`images` and `labels`,
        `x_train`, `y_train` ...); `reference.dataset` names them. `--data` goes before it.
    source: the user's own file with its neighbours; None for studies of this package.
    path: of that file, as the user wrote it.
    """

    kind: str
    title: str
    reference: TrialConfig
    space: Space
    objectives: Mapping[str, Objective]
    prune_on: Objective
    other_spaces: Mapping[str, Space] = field(default_factory=dict)
    reference_choices: Mapping[str, Any] = field(default_factory=dict)
    companions: tuple[TrialConfig, ...] = ()
    data: Callable[[], Mapping[str, Any]] | None = None
    source: Source | None = None
    path: str = ""

    def __post_init__(self) -> None:
        for name in (DEFAULT_SPACE, SHOW):
            if name in self.other_spaces:
                raise ValueError(f"no other space can be called {name!r}: --space keeps that word")

    @property
    def spaces(self) -> dict[str, Space]:
        """All spaces by name, the default first."""
        return {DEFAULT_SPACE: self.space, **self.other_spaces}

    def searching(self, name: str) -> StudyDefinition:
        """The same study in its space of that name; InputError where it has none."""
        if name not in self.spaces:
            raise InputError(
                f"--space {name!r} is unknown; {self.kind} has {', '.join(self.spaces)}, and "
                f"--space {SHOW} prints them"
            )
        return replace(self, space=self.spaces[name])

    @property
    def command(self) -> str:
        """How the study is started, without flags."""
        file = shlex.quote(self.path)
        return f"python -m studies.run {file}" if self.path else f"python -m studies.{self.kind}"

    def with_source(self, source: Source, path: str) -> StudyDefinition:
        """The same study, known to come from a user's own file."""
        return replace(self, source=source, path=path)

    def reference_params(self) -> dict[str, Any]:
        """Values for `optuna.Study.enqueue_trial` that make `space` return the reference."""
        fields = self.reference.model_dump()
        scalars = {k: v for k, v in fields.items() if isinstance(v, bool | int | float | str)}
        return scalars | dict(self.reference_choices)
