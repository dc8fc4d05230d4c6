"""R3: a VAE and the autoencoder of the same settings, in one unit, beside the printed table."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import torch

from analysis.gallery.losses import is_r3
from analysis.gallery.output import Output
from analysis.gallery.subject import GalleryError, Subject
from analysis.models import trained
from analysis.models.trained import TrainedModel
from analysis.tables.table import Column, Table
from analysis.tracker.client import Record
from analysis.tracker.runs import typed
from studies.tracker import names
from vae_trainables import metrics
from vae_trainables.evaluation.evaluator import BATCH
from vae_trainables.numerics.streams import EVALUATION_SEED, Streams

COUNTERPARTS = {"mlp_vae": "mlp_ae", "conv_vae": "conv_ae"}
COUNTERPARTS |= {ae: vae for vae, ae in COUNTERPARTS.items()}
SAME = (
    "dataset", "train_size", "latent_dim", "hidden", "widths", "width", "likelihood",
    "noise_kind", "noise_factor", "eval_noise_kind", "eval_noise_factor", "lr", "batch_size",
    "epochs",
)  # fmt: skip
"""Settings in which a counterpart must not differ."""

PIXELS = 784
PRINTED_VAE_LOSS, PRINTED_VAE_MSE = 129.9, 0.0423  # nats per image
PRINTED_AE_LOSS, PRINTED_AE_MSE = 0.0891, 0.0398  # nats per pixel


@dataclass(frozen=True)
class Scores:
    """Of one model on the test set, from the evaluation's fixed latent draw.

    `recon` and `kl` in nats per image; `mse` per pixel from the latent mean, `mse_sampled` from
    the draw that `recon` belongs to.
    """

    recon: float
    kl: float
    mse: float
    mse_sampled: float

    @property
    def loss(self) -> float:
        """−ELBO of a VAE, reconstruction loss of an autoencoder; nats per image."""
        return self.recon + self.kl


def counterpart(subject: Subject) -> Record | None:
    """A finished trial of the study that is an autoencoder where this is a VAE, or vice versa.

    Of several the one with the same seed, else the oldest.
    """
    kind = COUNTERPARTS.get(subject.config.model.kind)
    own = subject.record.params
    alike = [
        sibling
        for sibling in subject.siblings
        if sibling.params.get("kind") == kind
        and sibling.tags.get(names.STATUS) == "finished"
        and all(typed(sibling.params.get(name, "")) == typed(own.get(name, "")) for name in SAME)
    ]
    alike.sort(
        key=lambda record: record.tags.get(names.SEED) != subject.record.tags.get(names.SEED)
    )
    return alike[0] if alike else None


@torch.inference_mode()
def measure(model: TrainedModel, subject: Subject) -> Scores:
    """On the test images of `subject`."""
    eps = None
    if model.config.model.variational:
        streams = Streams(EVALUATION_SEED, torch.device("cpu"))
        eps = streams.normal("latent", 0, (len(subject.clean), model.model.noise_dim))
    at_mean, sampled, kl = [], [], []
    for start in range(0, len(subject.clean), BATCH):
        part = slice(start, start + BATCH)
        at_mean.append(model.model(subject.noisy[part]).logits)
        drawn = model.model(subject.noisy[part], None if eps is None else eps[part])
        sampled.append(drawn.logits)
        kl.append(drawn.kl.sum(1))
    images = model.likelihood.mean(torch.cat(at_mean))
    logits = torch.cat(sampled)
    mse = _mean(metrics.mse(images, subject.clean))
    mse_sampled = _mean(metrics.mse(model.likelihood.mean(logits), subject.clean))
    likelihood = model.likelihood.settled(mse_sampled)
    recon = _mean(likelihood.nll(logits, subject.clean))
    return Scores(recon, _mean(torch.cat(kl)), mse, mse_sampled)


def _mean(values: torch.Tensor) -> float:
    return float(values.double().mean())


def table(subject: Subject, other: TrainedModel) -> Table:
    """Both models on the test set, and R3's printed table converted to the same units."""
    models = sorted((subject.trained, other), key=lambda model: not model.config.model.variational)
    rows = [_row(model, measure(model, subject)) for model in models]
    note = (
        "Loss: −ELBO of the VAE, reconstruction loss of the autoencoder, which pays no KL. "
        "Reconstruction loss and the second MSE are of one latent draw, the first MSE is of the "
        "latent mean."
    )
    if any(is_r3(model.config) for model in models):
        rows += _printed()
        note += (
            " The printed table has the VAE's loss summed over pixels and the autoencoder's "
            f"averaged over them; here both are in both units ({PRINTED_AE_LOSS} × {PIXELS} = "
            f"{PRINTED_AE_LOSS * PIXELS:.2f}). Its MSE is several times what this network reaches "
            "and cannot be reproduced."
        )
    columns = (
        Column("model", "model"),
        Column("source", "source"),
        Column("loss", "test loss", "nats/image", spec=".2f"),
        Column("per_pixel", "test loss", "nats/pixel", spec=".4f"),
        Column("recon", "reconstruction loss", "nats/image", spec=".2f"),
        Column("kl", "KL", "nats/image", spec=".2f"),
        Column("mse", "MSE, latent mean", spec=".5f"),
        Column("mse_sampled", "MSE, sampled z", spec=".5f"),
    )
    caption = f"VAE against autoencoder on {subject.config.data.dataset}: {subject.title}"
    return Table(columns, pd.DataFrame(rows), caption, note)


def _row(model: TrainedModel, scores: Scores) -> dict[str, float | str | None]:
    variational = model.config.model.variational
    return {
        "model": "VAE" if variational else "autoencoder",
        "source": f"trial {model.trial}",
        "loss": scores.loss,
        "per_pixel": scores.loss / model.config.model.pixels,
        "recon": scores.recon,
        "kl": scores.kl if variational else None,
        "mse": scores.mse,
        "mse_sampled": scores.mse_sampled if variational else None,
    }


def _printed() -> list[dict[str, float | str | None]]:
    unknown = {"source": "printed", "recon": None, "kl": None, "mse_sampled": None}
    return [
        {"model": "VAE", "loss": PRINTED_VAE_LOSS, "per_pixel": PRINTED_VAE_LOSS / PIXELS,
         "mse": PRINTED_VAE_MSE, **unknown},
        {"model": "autoencoder", "loss": PRINTED_AE_LOSS * PIXELS, "per_pixel": PRINTED_AE_LOSS,
         "mse": PRINTED_AE_MSE, **unknown},
    ]  # fmt: skip


def unfit(subject: Subject) -> str:
    """Why the part does not fit the run, or nothing."""
    kind = COUNTERPARTS.get(subject.config.model.kind)
    if kind is None:
        return f"{subject.config.model.kind} has no counterpart among plain autoencoders"
    if counterpart(subject) is None:
        return f"the study has no finished {kind} of the same settings"
    return ""


def draw(subject: Subject, out: Output) -> None:
    """`vae_vs_ae.*`."""
    other = counterpart(subject)
    if other is None:
        raise GalleryError(unfit(subject))
    model = trained.load(subject.tracker, other.run_id, other.tags.get(names.TRIAL, ""))
    out.table("vae_vs_ae", table(subject, model))
