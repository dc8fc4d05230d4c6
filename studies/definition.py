"""What a study is: data. A study file defines one `StudyDefinition` and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from vae_trainables.config import Evaluation, TrialConfig

if TYPE_CHECKING:
    import optuna

    from vae_trainables.source import Source

Direction = Literal["minimize", "maximize"]
Space = Callable[["optuna.Trial"], dict[str, Any]]


@dataclass(frozen=True)
class Objective:
    """A validation metric to optimise, and the evaluation that computes it, if it is an extra."""

    metric: str
    direction: Direction
    evaluation: Evaluation | None = None


@dataclass(frozen=True)
class StudyDefinition:
    """A question to a family of trials.

    kind: the file's name without `.py`, as in `python -m studies.<kind>`.
    reference: the configuration every result is compared with; always the first trial.
    space: define-by-run Optuna space; returns the fields of `reference` that it changes.
    objectives: what may be optimised, by the name used with `--objective`; the first is default.
    prune_on: the single metric that early stopping of trials (ASHA) compares; it must not be
        moved by a β warm-up.
    reference_choices: suggestions that lead `space` to `reference` where the names of the
        suggestions are not fields of it.
    companions: what `--reference` trains beside the reference, on the same seeds, because the
        system is a comparison.
    source: the user's own file with its neighbours; None for studies of this package.
    path: of that file, as the user wrote it.
    """

    kind: str
    title: str
    reference: TrialConfig
    space: Space
    objectives: Mapping[str, Objective]
    prune_on: Objective
    reference_choices: Mapping[str, Any] = field(default_factory=dict)
    companions: tuple[TrialConfig, ...] = ()
    source: Source | None = None
    path: str = ""

    @property
    def command(self) -> str:
        """How the study is started, without flags."""
        return (
            f"python -m studies.run {self.path}" if self.path else f"python -m studies.{self.kind}"
        )

    def with_source(self, source: Source, path: str) -> StudyDefinition:
        """The same study, known to come from a user's own file."""
        return replace(self, source=source, path=path)

    def reference_params(self) -> dict[str, Any]:
        """Values for `optuna.Study.enqueue_trial` that make `space` return the reference."""
        fields = self.reference.model_dump()
        scalars = {k: v for k, v in fields.items() if isinstance(v, bool | int | float | str)}
        return scalars | dict(self.reference_choices)
