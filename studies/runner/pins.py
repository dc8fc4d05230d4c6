"""`--set NAME=VALUE`: what is held at one value, for the reference and every trial of a search.

A pinned name is answered without the sampler hearing of it, so it is no parameter of the search.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from pydantic import ValidationError

from studies.definition import Space, StudyDefinition
from studies.errors import InputError
from vae_trainables.config import SETTINGS, TrialConfig

FLAGS = ("epochs", "dataset", "train_size", "batch_size", "precision", "seed", "threads")
"""Fields of a configuration that have a flag of their own."""
_DRAWS = 64  # of a space, to see all that it may suggest


@dataclass(frozen=True)
class Pins:
    """What is pinned.

    fields: of the configuration, by name.
    choices: suggestions that are no fields.
    reference: fields in which the reference follows the choices.
    """

    fields: Mapping[str, Any]
    choices: Mapping[str, Any]
    reference: Mapping[str, Any] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.fields or self.choices)

    @property
    def for_reference(self) -> dict[str, Any]:
        """The reference's fields that change."""
        return {**self.fields, **self.reference}

    def ask(self, space: Space, trial: optuna.Trial) -> dict[str, Any]:
        """The fields that `space` changes, pinned ones at their values."""
        answered = PinnedTrial(trial, {**self.choices, **self.fields})
        return space(cast(optuna.Trial, answered)) | dict(self.fields)

    def as_text(self) -> list[str]:
        """NAME=VALUE of each, sorted: part of a study's fingerprint."""
        both = {**self.fields, **self.choices}
        return sorted(f"{name}={json.dumps(value, default=list)}" for name, value in both.items())


NO_PINS = Pins({}, {})


class PinnedTrial:
    """An Optuna trial whose pinned names are answered here; all else is the trial's."""

    def __init__(self, trial: optuna.Trial, pinned: Mapping[str, Any]) -> None:
        self._trial, self._pinned = trial, pinned

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(self._trial, attribute)
        if not attribute.startswith("suggest_"):
            return value

        def suggest(name: str, *args: Any, **options: Any) -> Any:
            return self._pinned[name] if name in self._pinned else value(name, *args, **options)

        return suggest


def parse(texts: Iterable[str], definition: StudyDefinition, held: Mapping[str, Any]) -> Pins:
    """Pins from `--set` flags; raises InputError for a name or value that cannot be.

    held: fields that the data or a flag holds at a value already.
    """
    if not texts and not held:
        return NO_PINS
    distributions = suggestions(definition.space)
    fields: dict[str, Any] = dict(held)
    choices: dict[str, Any] = {}
    for text in texts:
        name, value = _pair(text)
        if name in FLAGS:
            raise InputError(f"--set {text}: {name} has a flag, --{name.replace('_', '-')}")
        if name in held and value != held[name]:
            raise InputError(f"--set {text}: the data has no labels, which that needs")
        if (name in fields and name not in held) or name in choices:
            raise InputError(f"--set {name} is given twice: give it once")
        if name in SETTINGS:
            fields[name] = _validated(text, name, value, definition.reference)
        elif name in distributions:
            choices[name] = _choice(text, value, distributions[name])
        else:
            raise InputError(f"--set {text}: there is no {name!r}; {_closest(name, distributions)}")
    pins = _with_idle_choices(Pins(fields, choices), definition, distributions)
    return _with_what_choices_lead_to(pins, definition, distributions) if choices else pins


def _validated(text: str, name: str, value: Any, reference: TrialConfig) -> Any:
    """The value as the field has it: a list becomes the tuple that a configuration holds."""
    try:
        config = reference.model_copy(update={name: value})
    except ValidationError as error:
        raise InputError(f"--set {text}: {error.errors()[0]['msg']}") from error
    return config.setting(name)


def suggestions(space: Space) -> dict[str, BaseDistribution]:
    """All that a define-by-run space suggests, seen by asking it at random."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen: dict[str, BaseDistribution] = {}
    for _ in range(_DRAWS):
        trial = study.ask()
        space(trial)
        seen |= trial.distributions
    return seen


def _pair(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name.strip() or not value.strip():
        raise InputError(f"--set {text!r}: give NAME=VALUE, as in --set kind=conv_vae")
    try:
        return name.strip(), json.loads(value)
    except ValueError:
        return name.strip(), value.strip()


def _choice(text: str, value: Any, distribution: BaseDistribution) -> Any:
    """A value that the space itself could suggest, as the space interprets it."""
    if isinstance(distribution, CategoricalDistribution):
        if value not in distribution.choices:
            raise InputError(f"--set {text}: give one of {list(distribution.choices)}")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"--set {text}: give a number")
    if not distribution._contains(distribution.to_internal_repr(value)):
        raise InputError(f"--set {text}: outside of the space, {distribution}")
    return value


def _closest(name: str, others: Iterable[str]) -> str:
    possible = sorted({*SETTINGS, *others} - set(FLAGS))
    close = difflib.get_close_matches(name, possible, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"names: {', '.join(possible)}"


def _with_idle_choices(
    pins: Pins, definition: StudyDefinition, distributions: Mapping[str, BaseDistribution]
) -> Pins:
    """Pin what decides over pinned fields alone, such as whether there is such a term at all."""
    idle = {}
    for name, distribution in distributions.items():
        free = name not in SETTINGS and name not in pins.choices
        if pins.fields and free and isinstance(distribution, CategoricalDistribution):
            outcomes = [
                _at(definition, pins, distributions, {name: choice})
                for choice in distribution.choices
            ]
            if all(outcome == outcomes[0] for outcome in outcomes):
                params = definition.reference_params()
                idle[name] = params.get(name, distribution.choices[0])
    return replace(pins, choices={**pins.choices, **idle})


def _with_what_choices_lead_to(
    pins: Pins, definition: StudyDefinition, distributions: Mapping[str, BaseDistribution]
) -> Pins:
    """With a choice pinned that is no field, the reference gets what the space makes of it."""
    before = definition.reference.model_dump()
    made = _at(definition, pins, distributions, {})
    led_to = {name: value for name, value in made.items() if before.get(name) != value}
    return replace(pins, reference=led_to)


def _at(
    definition: StudyDefinition,
    pins: Pins,
    distributions: Mapping[str, BaseDistribution],
    choices: Mapping[str, Any],
) -> dict[str, Any]:
    """What the space makes of the reference's values, as far as it has them, and some others."""
    values = definition.reference_params() | dict(choices)
    params = {
        name: values[name] if _holds(distribution, values.get(name)) else _least(distribution)
        for name, distribution in distributions.items()
    }
    return pins.ask(definition.space, cast(optuna.Trial, optuna.trial.FixedTrial(params)))


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except ValueError:  # no such choice, no number
        return False


def _least(distribution: BaseDistribution) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    return distribution.low  # type: ignore[attr-defined]
