"""Which configurations may share a cohort: those whose training steps are the same graph.

A setting belongs to `PER_SLOT` if and only if the step takes it as a number per slot. Everything
else, settings of the future included, keeps configurations apart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from vae_trainables.config import ModelKind, TrialConfig
from vae_trainables.models.sizes import scaled

FUSIBLE: frozenset[ModelKind] = frozenset({"mlp_ae", "mlp_vae", "conv_ae", "conv_vae"})
"""Kinds with stacked kernels. The others train alone, by the same code with one slot."""

PER_SLOT = frozenset(
    {
        "seed", "epochs", "patience", "latent_dim", "lr", "lr_schedule", "weight_decay",
        "beta", "beta_schedule", "warmup_epochs", "free_bits", "kl_target",
        "noise_factor", "noise_factor_max", "ssim_weight", "edge_weight",
        "supcon_gamma", "supcon_temperature",
    }
)  # fmt: skip
"""Settings in which the members of a cohort may differ."""


@dataclass(frozen=True)
class FusionKey:
    """Equal keys: the configurations may train in lock-step."""

    shared: str
    """The settings that shape the graph, as canonical JSON."""
    terms: frozenset[str]
    """The optional parts of the step that are present."""
    fusible: bool
    """False: a cohort of this key has one slot."""

    def differences(self, other: FusionKey) -> list[str]:
        """What keeps the two apart, each as "setting: mine, not other's"."""
        mine, theirs = json.loads(self.shared), json.loads(other.shared)
        settings = [
            f"{name}: {mine.get(name)}, not {theirs.get(name)}"
            for name in sorted(mine | theirs)
            if mine.get(name) != theirs.get(name)
        ]
        terms = sorted(self.terms ^ other.terms)
        return settings + [f"{term}: {'on' if term in self.terms else 'off'}" for term in terms]


def fusion_key(config: TrialConfig) -> FusionKey:
    """The key of `config`: settings without effect on its kind or terms do not count."""
    fusible = config.kind in FUSIBLE
    shared: dict[str, Any] = config.model_dump(mode="json", exclude=set(PER_SLOT))
    if fusible:
        for name in ("hidden", "widths", "width", "blocks", "num_classes", "class_source"):
            del shared[name]
        mlp = config.kind.startswith("mlp")
        shared["layers"] = scaled(config.hidden if mlp else config.widths, config.width)
    else:
        shared["latent_dim"] = config.latent_dim  # only stacked kernels know padded latents
    if config.likelihood != "gaussian":
        del shared["gaussian_std"]
    terms = step_terms(config)
    if "noise" not in terms:
        del shared["noise_kind"]
    return FusionKey(json.dumps(shared, sort_keys=True), terms, fusible)


def step_terms(config: TrialConfig) -> frozenset[str]:
    """The optional parts of a training step that `config` switches on."""
    present = {
        "noise": config.noise_factor > 0 or bool(config.noise_factor_max),
        "noise_range": config.noise_factor_max is not None and bool(config.noise_factor_max),
        "ssim": config.ssim_weight > 0,
        "edge": config.edge_weight > 0,
        "free_bits": config.free_bits > 0,
        "kl_target": config.kl_target is not None,
        "supcon": config.supcon_gamma > 0,
    }
    return frozenset(name for name, on in present.items() if on)
