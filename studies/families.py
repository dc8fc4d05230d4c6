"""What wide spaces are made of: families of models with what each has for itself, loss, descent.

Each function asks a trial for one group of fields. What belongs to some families or choices alone
is asked of them alone; no field is returned that was not asked for, so that a trial of a family
differs from the reference in what the sampler chose and in nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna

from vae_trainables.config import BETA_SCHEDULES
from vae_trainables.kinds import KINDS

LAYERED = ("mlp_vae", "mlp_ae")
RESIDUAL = ("res_conv_vae", "hier_conv_vae")
LAYER = 400  # units of a hidden layer at width 1


def model(
    trial: optuna.Trial,
    kinds: Sequence[str],
    *,
    latent: tuple[int, int],
    width: float,
    blocks: int = 3,
) -> dict[str, Any]:
    """The kind, its latent size, its capacity up to `width`; its depth, where it has one.

    Up to so many `blocks` per stage of the residual kinds, `layers` of the fully connected ones. A
    study whose reference is of these has `layers` in its `reference_choices`.
    """
    kind = trial.suggest_categorical("kind", list(kinds))
    fields: dict[str, Any] = {
        "kind": kind,
        "latent_dim": trial.suggest_int("latent_dim", *latent, log=True),
        "width": trial.suggest_float("width", 0.25, width, step=0.25),
    }
    if kind in RESIDUAL:
        fields["blocks"] = trial.suggest_int("blocks", 1, blocks)
    if kind in LAYERED:
        fields["hidden"] = (LAYER,) * trial.suggest_int("layers", 1, 3)
    return fields


def divergence(
    trial: optuna.Trial, kind: str, *, beta: tuple[float, float], warmup: tuple[int, int]
) -> dict[str, Any]:
    """Of kinds with a KL its weight and how that rises; a constant one has no warm-up.

    Short warm-ups are as likely as long ones where `warmup` begins at 1, for a trial is compared
    with others only behind its own. 0 is for references without one.
    """
    if not KINDS[kind].variational:
        return {}
    schedule = trial.suggest_categorical("beta_schedule", list(BETA_SCHEDULES))
    fields = {"beta": trial.suggest_float("beta", *beta, log=True), "beta_schedule": schedule}
    if schedule != "constant":
        fields["warmup_epochs"] = trial.suggest_int("warmup_epochs", *warmup, log=warmup[0] > 0)
    return fields


def reconstruction(trial: optuna.Trial, likelihoods: Sequence[str] = ()) -> dict[str, Any]:
    """How images are compared; by which of some likelihoods where the loss is a density."""
    term = trial.suggest_categorical("recon_term", ["nll", "mse", "l1"])
    fields: dict[str, Any] = {
        "recon_term": term,
        "ssim_weight": trial.suggest_categorical("ssim_weight", [0.0, 10.0, 30.0, 100.0]),
    }
    if term == "nll" and likelihoods:
        fields["likelihood"] = trial.suggest_categorical("likelihood", list(likelihoods))
    return fields


def contrast(trial: optuna.Trial) -> dict[str, Any]:
    """Whether there is a SupCon term, which a log scale cannot say, and how strong and sharp."""
    if not trial.suggest_categorical("supcon", [False, True]):
        return {"supcon_gamma": 0.0}
    return {
        "supcon_gamma": trial.suggest_float("supcon_gamma", 0.1, 300.0, log=True),
        "supcon_temperature": trial.suggest_float("supcon_temperature", 0.03, 1.0, log=True),
    }


def descent(trial: optuna.Trial, *, largest: int = 512) -> dict[str, Any]:
    """Learning rate, its schedule and the batch size up to the `largest`."""
    sizes = [size for size in (32, 64, 128, 256, 512) if size <= largest]
    return {
        "lr": trial.suggest_float("lr", 1e-4, 1e-2, log=True),
        "lr_schedule": trial.suggest_categorical("lr_schedule", ["constant", "cosine", "plateau"]),
        "batch_size": trial.suggest_categorical("batch_size", sizes),
    }
