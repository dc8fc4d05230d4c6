"""Which configurations may share a cohort: those whose training steps are the same graph.

A setting belongs to `PER_SLOT` if and only if the step takes it as a number per slot. Everything
else, settings of the future included, keeps configurations apart. Sizes of layers and terms of the
loss do not: a cohort offers the widest layers and all terms that its trials may have (`Extent`),
and a slot uses of it what its configuration has.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from vae_trainables.cohort.models import obstacle
from vae_trainables.config import TrialConfig
from vae_trainables.models.sizes import scaled
from vae_trainables.objective import terms

PADDED: frozenset[str] = frozenset({"mlp_ae", "mlp_vae", "conv_ae", "conv_vae"})
"""Kinds whose layers may be narrower than the cohort's. Nothing in them mixes the channels of a
layer but sums of products, to which zeros add nothing; a norm over groups of channels would."""

PER_SLOT = frozenset(
    {
        "seed", "epochs", "patience", "latent_dim", "lr", "lr_schedule", "weight_decay",
        "beta", "beta_schedule", "warmup_epochs", "free_bits", "kl_target",
        "noise_factor", "noise_factor_max", "recon_term", "ssim_weight", "edge_weight",
        "supcon_gamma", "supcon_temperature", "likelihood", "gaussian_std",
        "watch", "watch_direction", "lineage",
    }
)  # fmt: skip
"""Settings in which the members of a cohort may differ, beside those of own loss terms."""


@dataclass(frozen=True)
class FusionKey:
    """Equal keys: the configurations may train in lock-step."""

    shared: str
    """The settings that shape the graph, as canonical JSON."""
    obstacle: str
    """Why a cohort of this key has one slot; empty: it may have any number."""

    @property
    def fusible(self) -> bool:
        """False: a cohort of this key has one slot."""
        return not self.obstacle

    def differences(self, other: FusionKey) -> list[str]:
        """What keeps the two apart, each as "setting: mine, not other's"."""
        mine, theirs = json.loads(self.shared), json.loads(other.shared)
        return [
            f"{name}: {mine.get(name)}, not {theirs.get(name)}"
            for name in sorted(mine | theirs)
            if mine.get(name) != theirs.get(name)
        ]


@dataclass(frozen=True)
class Extent:
    """How wide slots are and what their steps may compute."""

    latent_dim: int
    sizes: tuple[int, ...]
    """Of the layers, for kinds that may be padded; otherwise empty."""
    loss: frozenset[str]
    """`loss_names`."""
    terms: frozenset[str]
    """`step_terms`."""

    def joined(self, other: Extent) -> Extent:
        """What both need; they are of one key."""
        return Extent(
            max(self.latent_dim, other.latent_dim),
            tuple(map(max, self.sizes, other.sizes)),
            self.loss | other.loss,
            self.terms | other.terms,
        )

    def lacks(self, other: Extent) -> list[str]:
        """What of `other`, of the same key, it does not offer, each as a reason."""
        reasons = [
            f"{name}: {size}, not at most {limit}"
            for name, size, limit in [
                ("latent_dim", other.latent_dim, self.latent_dim),
                *(("layer", *pair) for pair in zip(other.sizes, self.sizes, strict=True)),
            ]
            if size > limit
        ]
        missing = sorted((other.loss | other.terms) - self.loss - self.terms)
        return reasons + [f"{name}: its step has none" for name in missing]

    def template(self, config: TrialConfig) -> TrialConfig:
        """`config` with the widest model."""
        changes: dict[str, Any] = {"latent_dim": self.latent_dim}
        if config.model.kind in PADDED:
            changes |= {_layers(config): self.sizes, "width": 1.0}
        return config.model_copy(update=changes)


def fusion_key(config: TrialConfig) -> FusionKey:
    """The key of `config`: settings without effect on its kind or terms do not count."""
    shared = config.flat(without=PER_SLOT | config.objective.own.keys())
    padded = config.model.kind in PADDED
    if padded:
        for name in ("hidden", "widths", "width", "blocks", "num_classes", "class_source"):
            del shared[name]
        shared["layers"] = len(getattr(config.model, _layers(config)))
    else:
        shared["latent_dim"] = config.model.latent_dim
    if "noise" not in step_terms(config):
        del shared["noise_kind"]
    reason = "" if padded else obstacle(config.model)
    return FusionKey(json.dumps(shared, sort_keys=True), reason)


def extent(config: TrialConfig, like: Iterable[TrialConfig] = ()) -> Extent:
    """What `config` needs together with those of `like` that have its key."""
    whole, key = _own_extent(config), fusion_key(config)
    for other in like:
        if fusion_key(other) == key:
            whole = whole.joined(_own_extent(other))
    return whole


def _own_extent(config: TrialConfig) -> Extent:
    sizes: tuple[int, ...] = ()
    if config.model.kind in PADDED:
        sizes = scaled(getattr(config.model, _layers(config)), config.model.width)
    return Extent(config.model.latent_dim, sizes, loss_names(config), step_terms(config))


def _layers(config: TrialConfig) -> str:
    """The setting that holds the sizes of the layers."""
    return "hidden" if config.model.kind.startswith("mlp") else "widths"


def loss_names(config: TrialConfig) -> frozenset[str]:
    """The terms of the loss, their settings, and `likelihood/KIND`."""
    return terms.active_names(config) | {f"likelihood/{config.model.likelihood}"}


def step_terms(config: TrialConfig) -> frozenset[str]:
    """The optional parts of a training step, the loss excepted, that `config` switches on."""
    ranged = bool(config.noise.factor_max)
    present = {"noise": config.noise.factor > 0 or ranged, "noise_range": ranged}
    return frozenset(name for name, on in present.items() if on)
