"""The whole of a trial: its parts, given and written flat."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from vae_trainables import kinds
from vae_trainables.config import objective
from vae_trainables.config.budget import BudgetConfig
from vae_trainables.config.data import DataConfig
from vae_trainables.config.evaluation import EvaluationConfig
from vae_trainables.config.lineage import LIVE, Stretch
from vae_trainables.config.model import ModelConfig
from vae_trainables.config.noise import NoiseConfig
from vae_trainables.config.objective import ObjectiveConfig
from vae_trainables.config.optimiser import OptimiserConfig
from vae_trainables.config.refusal import refuse

PARTS: dict[str, type[BaseModel]] = {
    "model": ModelConfig,
    "data": DataConfig,
    "noise": NoiseConfig,
    "objective": ObjectiveConfig,
    "optimiser": OptimiserConfig,
    "budget": BudgetConfig,
    "evaluation": EvaluationConfig,
}


# `json.dumps` would make an encoder for each hash.
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def _places() -> dict[str, tuple[str, str]]:
    parts = {
        field.alias or attribute: (part, attribute)
        for part, kind in PARTS.items()
        for attribute, field in kind.model_fields.items()
    }
    return parts | {name: ("", name) for name in ("seed", "threads", "lineage")}


def _names() -> dict[str, dict[str, str]]:
    names: dict[str, dict[str, str]] = {part: {} for part in ("", *PARTS)}
    for name, (part, attribute) in PLACES.items():
        names[part][attribute] = name
    return names


class TrialConfig(BaseModel):
    """A trial: one model trained once on one data set with one seed.

    Made from settings by their flat names (`SETTINGS`), and written as them; what own models and
    own loss terms have declared is given like any other setting.

    Raises pydantic's ValidationError, of which `setting_of` knows what it is about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelConfig
    data: DataConfig
    noise: NoiseConfig
    objective: ObjectiveConfig
    optimiser: OptimiserConfig
    budget: BudgetConfig
    evaluation: EvaluationConfig
    seed: int = Field(0, ge=0, lt=2**31)
    threads: int = Field(1, ge=1, description="CPU threads; other counts give other bits")
    lineage: tuple[Stretch, ...] = Field(
        (), description="what held until earlier epochs, in order; all else holds throughout"
    )

    if TYPE_CHECKING:  # pydantic would call it, and validate twice

        def __init__(self, **settings: Any) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _into_parts(cls, settings: Any) -> Any:
        if not isinstance(settings, Mapping):
            return settings
        tree: dict[str, Any] = {part: {} for part in PARTS}
        branches = {"": tree, **tree}
        for name, value in settings.items():
            part = PLACES[name][0] if name in PLACES else _owner(name, settings)
            branches[part][name] = value
        return tree

    @model_validator(mode="after")
    def _lineage_is_possible(self) -> TrialConfig:
        """Stretches follow each other and switch no part of a step on or off."""
        ends = [stretch.until for stretch in self.lineage]
        if ends != sorted(set(ends)) or ends[-1:] >= [self.budget.epochs]:
            refuse({"lineage": (ends, "must name epochs in order, before the last")})
        changed = {name for stretch in self.lineage for name in stretch.settings}
        for name in sorted(changed - LIVE - self.objective.own.keys()):
            refuse({"lineage": (name, "is no setting that may change while a trial is trained")})
        for name in changed:
            if len({bool(config.value(name)) for _, config in self.stretches}) > 1:
                refuse({"lineage": (name, "is 0 in some epochs: that would be another loss")})
        return self

    @model_serializer(mode="wrap")
    def _flat(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        tree: dict[str, Any] = write(self)
        flat: dict[str, Any] = {}
        for part in PARTS:
            flat |= tree.pop(part)
        return flat | tree

    @cached_property
    def _written(self) -> dict[str, Any]:
        """Written once: a desk asks at every step of a trial, hundreds of times a second."""
        return self.model_dump(mode="json")

    def flat(self, *, without: Collection[str] = ()) -> dict[str, Any]:
        """The settings by their flat names, as JSON has them, but for those in `without`."""
        settings = dict(self._written)
        for name in without:
            settings.pop(name, None)
        return settings

    def setting(self, name: str) -> Any:
        """A setting by its flat name; KeyError where no configuration has it."""
        part, attribute = PLACES[name]
        return getattr(self._part(part), attribute)

    def value(self, name: str) -> Any:
        """A setting by its flat name, those that own loss terms have declared included."""
        return self.setting(name) if name in PLACES else self.objective.own[name]

    @cached_property
    def stretches(self) -> tuple[tuple[int, TrialConfig], ...]:
        """Of each stretch its last epoch and what held in it, without a lineage."""
        if not self.lineage:
            return ((self.budget.epochs, self),)
        config = self.model_copy(update={"lineage": ()})
        held = [(self.budget.epochs, config)]
        for stretch in reversed(self.lineage):
            config = config.model_copy(update=stretch.settings)
            held.append((stretch.until, config))
        return tuple(reversed(held))

    def at(self, epoch: int) -> TrialConfig:
        """What holds in an epoch, counted from 1; the same object throughout a stretch."""
        return next(
            (config for until, config in self.stretches if epoch <= until), self.stretches[-1][1]
        )

    def past(self, epochs: int) -> list[tuple[int, TrialConfig]]:
        """What held in the first `epochs` epochs, at least 1: the last of a stretch, its settings.

        Trials of equal pasts are the same after so many epochs.
        """
        begun = [0, *(until for until, _ in self.stretches)]
        return [
            (min(until, epochs), config)
            for before, (until, config) in zip(begun, self.stretches, strict=False)
            if before < epochs
        ]

    def heir(self, epoch: int, changes: Mapping[str, float]) -> TrialConfig:
        """This trial up to `epoch`, in its last stretch, and other settings from there on."""
        before = Stretch(until=epoch, settings={name: self.value(name) for name in changes})
        return self.model_copy(update={**changes, "lineage": (*self.lineage, before)})

    @property
    def given(self) -> dict[str, Any]:
        """The settings that were given, rather than left at their defaults."""
        return dict(self._given)

    @cached_property
    def _given(self) -> dict[str, Any]:
        """Found once: a search makes each of its trials from one and the same reference."""
        settings = {**self.model.own, **self.objective.own}
        for part in ("", *PARTS):
            owner = self._part(part)
            given = owner.model_fields_set
            settings |= {n: getattr(owner, a) for a, n in NAMES[part].items() if a in given}
        return settings

    def model_copy(
        self, *, update: Mapping[str, Any] | None = None, deep: bool = False
    ) -> TrialConfig:
        """The same trial with the settings in `update`, by their flat names; validated.

        Another kind of model leaves behind what its predecessor had for itself.
        """
        settings = self._given | dict(update or {})
        left = self.model.own.keys() - kinds.own_settings(settings.get("kind", self.model.kind))
        return TrialConfig(**{n: v for n, v in settings.items() if n not in left})

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> TrialConfig:
        """The configuration whose settings a tracker keeps as text: JSON, or a word as it is."""
        return cls.model_validate({name: _value(text) for name, text in texts.items()})

    def identity(self) -> dict[str, Any]:
        """The settings of which repeats share all: everything but the seed.

        Settings that are younger than the first studies count only where they were set, so that
        what was recorded before them stays equal.
        """
        settings = self.flat(without=("seed",))
        for name, default in _YOUNGER.items():
            if settings[name] == default:
                del settings[name]
        return settings

    @cached_property
    def _hash(self) -> str:
        return stable_hash(self.identity())

    def fingerprint(self) -> str:
        """Hash of `identity`: trials with equal fingerprints are repeats."""
        return self._hash

    def _part(self, name: str) -> BaseModel:
        part: BaseModel = getattr(self, name) if name else self
        return part


PLACES = _places()
"""Part ("": the root) and attribute of each setting, by its flat name."""
NAMES = _names()
"""Flat name of each attribute of a part ("": the root)."""
SETTINGS: dict[str, FieldInfo] = {
    name: (PARTS[part] if part else TrialConfig).model_fields[attribute]
    for name, (part, attribute) in PLACES.items()
}
"""What is known of each setting of this package, by its flat name."""
_YOUNGER = {name: SETTINGS[name].default for name in ("binarise", "iw_samples", "iw_images")} | {
    "lineage": []
}  # as JSON has it
"""Defaults of settings that were added when studies had been recorded; new ones belong here."""


def declare(name: str, *, least: float = -math.inf) -> None:
    """Let objectives have one more setting: a number `name`, at least `least`.

    Raises ValueError for a name that is no identifier or that another setting has.
    """
    if not name.isidentifier() or name.startswith("_"):
        raise ValueError(f"a setting is named like a variable of Python, not {name!r}")
    if name in SETTINGS or hasattr(ObjectiveConfig, name):
        raise ValueError(f"there is a setting {name!r} already: give yours another name")
    objective.DECLARED[name] = least


def setting_of(error: ErrorDetails) -> str:
    """The flat name of the setting that an error of pydantic is about, or of its part."""
    names = [str(name) for name in error["loc"]]
    inner = [name for name in names if name not in PARTS]
    return ".".join(inner or names) or "configuration"


def _owner(name: str, settings: Mapping[str, Any]) -> str:
    """The part of a setting that a user's file has declared; refused if none has."""
    if name in kinds.own_settings(settings.get("kind", ModelConfig.model_fields["kind"].default)):
        return "model"
    if name not in objective.DECLARED:
        refuse({name: (settings[name], objective.unknown(name))})
    return "objective"


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def stable_hash(value: Any) -> str:
    """16 hex digits of the SHA-256 of `value` as canonical JSON."""
    return hashlib.sha256(_canonical(value).encode()).hexdigest()[:16]
