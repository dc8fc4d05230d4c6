"""What a loss may be made of: each term is declared once, with its name, unit and weight.

    @terms.register(name="tv", unit="grey levels per image", weight="tv_weight", per="image")
    def total_variation(batch: terms.Batch) -> Tensor:
        return batch.image.diff(dim=3).abs().flatten(1).sum(1)

Everything else follows from the declaration: the trial's loss, that of a cohort (the same function,
over all slots at once), the metric `train/tv`, and the setting `tv_weight`, a float that is 0
where a configuration does not give it and that a search space may suggest.

A term's function looks at a `Batch` and gives one value per image, (B,), or one per batch, ().
It must not branch on values of tensors, and draws no random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from vae_trainables.config import TrialConfig, declare
from vae_trainables.objective.likelihoods import Likelihood

if TYPE_CHECKING:  # models compute their KL with this room: at run time the arrow points here
    from vae_trainables.models import ModelOutput

Number = float | Tensor
"""Of one trial; a tensor without dimensions where trials train together."""

Function = Callable[["Batch"], Tensor]
Of = Callable[[TrialConfig], float]


@dataclass
class Batch:
    """What a term may look at, of one trial's batch of B images."""

    output: ModelOutput
    """The model's, in float32."""
    clean: Tensor
    """(B, C, H, W) in [0, 1], what is to be reconstructed."""
    labels: Tensor
    """(B,) int64."""
    likelihood: Likelihood
    settings: Mapping[str, Number]
    """Of the terms that are computed, by name."""
    latent_mask: Tensor | None = None
    """(D,): 0 in latent dimensions that the model does not have, but a wider neighbour does."""

    @cached_property
    def nll(self) -> Tensor:
        """Negative log-likelihood of each image in nats, (B,)."""
        return self.likelihood.nll(self.output.logits, self.clean)

    @cached_property
    def mean_nll(self) -> Tensor:
        """Over the images, ()."""
        return self.nll.mean()

    @cached_property
    def kl_per_dimension(self) -> Tensor:
        """Mean over the images, (D,)."""
        return self.output.kl.mean(0)

    @cached_property
    def image(self) -> Tensor:
        """The reconstruction, (B, C, H, W) in [0, 1]."""
        return self.likelihood.mean(self.output.logits)


@dataclass(frozen=True)
class Setting:
    """A number that a term's function reads from `Batch.settings` and that slots may differ in."""

    name: str
    neutral: float
    """The value without effect: it stands in the step as it is where no trial has another."""
    of: Of

    def active(self, config: TrialConfig) -> bool:
        """Whether the configuration gives it another value than the neutral one."""
        return self.of(config) != self.neutral


@dataclass(frozen=True)
class Term:
    """One summand of the loss: weight times value."""

    name: str
    unit: str
    per: Literal["image", "batch"]
    function: Function
    weight: Of
    """Its share of the loss, for `kl` to be multiplied by β's schedule; 0: it is not computed."""
    settings: tuple[Setting, ...] = ()
    shown: Function | None = None
    """What is logged, a scalar, in every trial; None: the term's value."""
    always: bool = False
    """Whether it is logged, as 0, in a trial that has no such term."""
    exclusive: bool = False
    """Whether each trial has exactly one such term, with weight 1."""

    def value(self, batch: Batch) -> Tensor:
        """A scalar: the mean over the images, or what the batch gives."""
        value = self.function(batch)
        return value.mean() if self.per == "image" else value

    @property
    def own(self) -> bool:
        """Whether a user's file has registered it."""
        return not self.function.__module__.startswith("vae_trainables.")

    def active(self, config: TrialConfig) -> bool:
        """Whether the configuration's loss has this term."""
        return self.weight(config) != 0


_TERMS: dict[str, Term] = {}


def add(term: Term) -> None:
    """Take a term into all losses from now on; ValueError if another one has its name.

    A file that is run again, as a notebook's cell is, puts its term in the place of its own.
    """
    other = _TERMS.get(term.name)
    if term.name == "loss" or (other and _origin(other) != _origin(term)):
        raise ValueError(f"there is a loss term {term.name!r} already: give it another name")
    _TERMS[term.name] = term


def _origin(term: Term) -> tuple[str, str]:
    return term.function.__module__, term.function.__qualname__


def register(
    *,
    name: str,
    unit: str,
    weight: str,
    per: Literal["image", "batch"],
    settings: Mapping[str, float] | None = None,
) -> Callable[[Function], Function]:
    """Decorator: a loss term of one's own, and the settings of `TrialConfig` that it brings.

    weight: the setting that multiplies it, 0 unless given. settings: further numbers that the
    function reads as `batch.settings[name]`, with their defaults.

    Raises ValueError for a name that is taken or that is none.
    """
    defaults = dict(settings or {})
    declare(weight, least=0.0)
    for setting in defaults:
        declare(setting)
    read = tuple(Setting(n, value, _reader(n, value)) for n, value in defaults.items())

    def take(function: Function) -> Function:
        add(Term(name, unit, per, function, _reader(weight, 0.0), read))
        return function

    return take


def _reader(name: str, default: float) -> Of:
    return lambda config: config.objective.own.get(name, default)


def remove(name: str) -> None:
    """Take a term out again, as a test does with its own."""
    del _TERMS[name]


def registered() -> tuple[Term, ...]:
    """All terms, in the order in which losses add them up."""
    return tuple(_TERMS.values())


def active_names(config: TrialConfig) -> frozenset[str]:
    """The terms that a configuration's loss has, and the settings that change one of them."""
    names = set()
    for term in registered():
        if term.active(config):
            names |= {term.name, *(s.name for s in term.settings if s.active(config))}
    return frozenset(names)


def chosen(names: Collection[str]) -> tuple[Term, ...]:
    """The terms among `names`, in order."""
    return tuple(term for term in registered() if term.name in names)


def logged(names: Collection[str]) -> tuple[Term, ...]:
    """The terms that are logged as `train/...` of a trial that has those among `names`."""
    always = [term for term in registered() if term.always]
    return (*always, *(term for term in chosen(names) if not term.always))
