"""`python -m analysis.references`: what the reference systems printed, beside their `--reference`.

One page out of the tracker: every printed figure, ours as mean and range over seeds, and what
explains the difference.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pandas as pd
import typer

from analysis.command import WHERE, Debug, TrackingUri, one_line_errors, quiet_libraries
from analysis.gallery.comparison import PIXELS
from analysis.statistics.quantities import format_number
from analysis.tables.table import Column, Table
from analysis.tracker import runs
from analysis.tracker.client import Record, Tracker, TrackerError
from studies.tracker import names

if TYPE_CHECKING:
    from analysis.gallery.subject import Quality, Subject


@dataclass(frozen=True)
class Run:
    """A finished reference trial."""

    tracker: Tracker
    record: Record

    def metric(self, name: str) -> float | None:
        """Its last value."""
        return self.record.metrics.get(name)

    @cached_property
    def _histories(self) -> Mapping[tuple[str, int], float]:
        metrics = ("train/supcon", "val/neg_elbo", "lr")
        points = self.tracker.histories([self.record.run_id], metrics)
        return {(point.metric, point.step): point.value for point in points}

    def at(self, name: str, epoch: int) -> float | None:
        """The value after an epoch."""
        return self._histories.get((name, epoch))

    @property
    def lr_fell(self) -> float | None:
        """The first epoch with a smaller learning rate than the one before it."""
        rates = sorted((step, v) for (name, step), v in self._histories.items() if name == "lr")
        pairs = pairwise(rates)
        return next((float(after[0]) for before, after in pairs if after[1] < before[1]), None)

    @cached_property
    def _subject(self) -> Subject:
        from analysis.gallery.subject import open_subject

        return open_subject(self.record.run_id, tracker=self.tracker)

    @cached_property
    def pca(self) -> float:
        """Share of the variance of the test images' z_mean on two principal axes."""
        from vae_trainables.evaluation.representation import pca_explained_variance

        return float(pca_explained_variance(self._subject.codes)[:2].sum())

    @cached_property
    def drawn(self) -> Quality:
        """Reconstructions of the noisy test images from one latent draw each."""
        import torch

        from analysis.gallery.subject import quality
        from vae_trainables.evaluation.evaluator import BATCH
        from vae_trainables.numerics.streams import EVALUATION_SEED, Streams

        subject, trained = self._subject, self._subject.trained
        shape = len(subject.clean), trained.model.noise_dim
        eps = Streams(EVALUATION_SEED, torch.device("cpu")).normal("latent", 0, shape)
        parts = zip(subject.noisy.split(BATCH), eps.split(BATCH), strict=True)
        with torch.inference_mode():
            logits = torch.cat([trained.model(noisy, part).logits for noisy, part in parts])
            return quality(trained.likelihood.mean(logits), subject.clean)


Measure = Callable[[Run], float | None]


@dataclass(frozen=True)
class Row:
    """A quantity, `printed` by the reference as text; '' where it printed none."""

    what: str
    ours: Measure
    spec: str
    printed: str = ""
    why: str = ""


@dataclass(frozen=True)
class Reference:
    """One reference system: its study's kind, the variants to show, and its rows."""

    kind: str
    title: str
    variants: Mapping[str, tuple[str, str]]  # heading: parameter and its value
    rows: tuple[Row, ...]
    remark: str = ""


def final(name: str, what: str, spec: str, printed: str = "", why: str = "") -> Row:
    """A row of a metric's last value."""
    return Row(what, lambda run: run.metric(name), spec, printed, why)


def per_pixel(name: str) -> Measure:
    """A loss in nats per image, in nats per pixel."""

    def measure(run: Run) -> float | None:
        value = run.metric(name)
        return None if value is None else value / PIXELS

    return measure


DRAWN = "agrees: the print must be of one latent draw, though it does not say so"
AT_MEAN = "the convention here: the same weights, decoded from the latent mean"
SPREAD = "as the split, the initialisation and the order of images are others"
UNREACHABLE = "cannot be reproduced: the same network is this good here and in published work"

R2 = Reference(
    "denoise_sweep",
    "R2: denoising ConvVAE with SupCon, Fashion-MNIST",
    {"γ = 1 (the reference)": ("supcon_gamma", "1.0"), "γ = 30": ("supcon_gamma", "30.0")},
    (
        Row("MSE, one latent draw", lambda run: run.drawn.mse, ".6f", "0.018064", DRAWN),
        Row("PSNR, one latent draw (dB)", lambda run: run.drawn.psnr, ".3f", "17.962", DRAWN),
        Row("SSIM, one latent draw", lambda run: run.drawn.ssim, ".4f", "0.5950", DRAWN),
        final("test/mse", "MSE, latent mean", ".6f", why=AT_MEAN),
        final("test/psnr", "PSNR, latent mean (dB)", ".3f", why=AT_MEAN),
        final("test/ssim", "SSIM, latent mean", ".4f", why=AT_MEAN),
        final("train/loss", "training loss, last epoch (nats/image)", ".2f", "251.62", SPREAD),
        final("train/recon", "training BCE, last epoch", ".2f", "231.24", SPREAD),
        final("train/kl", "training KL, last epoch", ".2f", "15.47", SPREAD),
        Row(
            "SupCon, epoch 1", lambda run: run.at("train/supcon", 1), ".3f", "4.918",
            "a collapsed code has ln 255 = 5.541 in our convention (the paper's L_out, mean over "
            "anchors); theirs begins below that, in a scale of its own",
        ),
        final(
            "train/supcon", "SupCon, last epoch", ".3f", "4.904",
            "at γ = 1 nothing lowers it: ours rises to the collapsed value while the KL's weight "
            "grows; at γ = 30 it falls",
        ),
        final("test/probe", "logistic probe on the codes, accuracy", ".4f"),
        final("test/knn", "10-NN on the codes, accuracy", ".4f"),
        final("test/active_units", "active units of 16", ".0f"),
        Row(
            "PCA of z_mean, two axes", lambda run: run.pca, ".4f", "0.2590",
            "how evenly a trained code uses its 16 dimensions differs from seed to seed",
        ),
        Row(
            "learning rate first falls at epoch", lambda run: run.lr_fell, ".0f", "7",
            "theirs fell because the β warm-up raised the validation loss; our plateau begins to "
            "count after the warm-up, and a dash means that it never fell",
        ),
    ),
    "**What γ = 1 does: nothing that can be seen.** SupCon is some 5 nats beside 230 summed "
    "nats of reconstruction. γ = 30 lowers it, lifts the probe and 10-NN, and costs "
    "reconstruction. (An MLP without it, with γ = 1, with γ = 30: see [obtained against "
    "anchor](anchors.md).)",
)  # fmt: skip
R3 = Reference(
    "vae_vs_ae",
    "R3: VAE against a standard autoencoder, MNIST",
    {"VAE": ("kind", "mlp_vae"), "autoencoder": ("kind", "mlp_ae")},
    (
        *(
            Row(
                f"validation loss after epoch {epoch} (nats/image)",
                lambda run, epoch=epoch: run.at("val/neg_elbo", epoch),  # type: ignore[misc]
                ".2f", f"VAE {printed}", UNREACHABLE,
            )
            for epoch, printed in ((1, 147.8), (5, 139.2), (10, 134.1), (15, 131.7), (20, 129.9))
        ),
        final(
            "test/neg_elbo", "test loss (nats/image)", ".2f", "VAE 129.9",
            UNREACHABLE,
        ),
        final("test/kl", "test KL (nats/image)", ".2f"),
        Row(
            "test reconstruction loss (nats/pixel)", per_pixel("test/recon"), ".4f",
            "autoencoder 0.0891",
            "printed in the same column as the VAE's loss, which is summed over 784 pixels",
        ),
        final(
            "test/mse", "test MSE, latent mean", ".5f", "VAE 0.0423, autoencoder 0.0398",
            "cannot be reproduced: both are five times what this network reaches",
        ),
    ),
    "Loss: −ELBO of the VAE; of the autoencoder, which pays no KL, the reconstruction loss. "
    "Validation: 5,000 training images held out.",
)  # fmt: skip
R1 = Reference(
    "representation_sweep",
    "R1: ConvVAE for representation, Fashion-MNIST",
    {"latent 16": ("kind", "conv_vae")},
    (
        final("test/neg_elbo", "−ELBO (nats/image)", ".2f"),
        final("test/recon", "reconstruction loss (nats/image)", ".2f"),
        final("test/kl", "KL (nats/image)", ".2f"),
        final("test/mse", "MSE", ".5f"),
        final("test/psnr", "PSNR (dB)", ".2f"),
        final("test/ssim", "SSIM", ".4f"),
        final("test/probe", "logistic regression on the codes, accuracy", ".4f"),
        final("test/knn", "10-NN on the codes, accuracy", ".4f"),
    ),
    "The reference prints no figure. `python -m analysis.gallery` adds its downstream table, "
    "with the same classifiers on raw pixels.",
)
R4 = Reference(
    "generation_sweep",
    "R4: generative ConvVAE, Fashion-MNIST",
    {"latent 12": ("kind", "conv_vae")},
    (
        final("test/neg_elbo", "−ELBO (nats/image)", ".2f"),
        final("test/recon", "reconstruction loss (nats/image)", ".2f"),
        final("test/kl", "KL (nats/image)", ".2f"),
        final("test/mse", "MSE", ".5f"),
        final("test/active_units", "active units of 12", ".0f"),
        final("val/frechet", "Fréchet distance in classifier features (validation)", ".2f"),
    ),
    "The reference prints no figure; its grids and curves are drawn by `python -m "
    "analysis.gallery`.",
)
REFERENCES = (R1, R2, R3, R4)


def finished(tracker: Tracker, kind: str) -> list[Run]:
    """The finished reference trials of a kind of study, in any of the tracker's studies."""
    records = [record for study in tracker.studies() for record in tracker.records(study)]
    return [
        Run(tracker, record)
        for record in records
        if runs.is_trial(record)
        and record.tags.get(names.KIND) == kind
        and record.tags.get(names.PHASE) == "reference"
        and record.tags.get(names.STATUS) == "finished"
    ]


def summary(values: list[float | None], spec: str) -> str:
    """Mean and, of several, the range; a dash where nothing is known."""
    numbers = [value for value in values if value is not None]
    if not numbers:
        return format_number(None, spec)
    mean = format_number(sum(numbers) / len(numbers), spec)
    if len({format_number(value, spec) for value in numbers}) == 1:
        return mean
    return f"{mean} ({format_number(min(numbers), spec)} … {format_number(max(numbers), spec)})"


def table(reference: Reference, found: list[Run]) -> Table:
    """Printed beside ours, a column for each variant."""
    variants = {
        title: [run for run in found if run.record.params.get(parameter) == value]
        for title, (parameter, value) in reference.variants.items()
    }
    rows = [
        {"what": row.what, "printed": row.printed or None, "why": row.why or None}
        | {t: summary([row.ours(run) for run in group], row.spec) for t, group in variants.items()}
        for row in reference.rows
    ]
    counted = (f"{title}, {len(group)} seeds" for title, group in variants.items())
    ours = [Column(title, heading) for title, heading in zip(variants, counted, strict=True)]
    columns = (Column("what", "quantity"), Column("printed", "printed"), *ours)
    return Table((*columns, Column("why", "what explains the difference")), pd.DataFrame(rows))


def noise_line(run: Run) -> str:
    """R2's noisy row: it fixes the conventions, as no training is in it."""
    path = run.tracker.artifact(run.record.tags[names.PARENT], names.BASELINES_FILE)
    rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8")) if path else []
    row = next(r for r in rows if (r["name"], r["split"]) == ("do nothing", "test"))
    return (
        f"Noisy test images, no model: MSE {row['mse']:.6f}, PSNR {row['psnr']:.3f} dB, "
        f"SSIM {row['ssim']:.4f}; printed 0.101500, 9.945, 0.2871."
    )


def origin(run: Run) -> str:
    """When, where and by which command a study was trained."""
    path = run.tracker.artifact(run.record.tags[names.PARENT], names.PROVENANCE_FILE)
    facts: dict[str, Any] = json.loads(path.read_text("utf-8")) if path else {}
    started = datetime.fromtimestamp((run.record.start_ms or 0) / 1000, UTC)
    parts = (
        f"{started:%Y-%m-%d}",
        facts.get("machine", {}).get("cpu", "unknown machine"),
        f"{facts.get('threads')} thread per trial",
        f"commit {str(facts.get('git', {}).get('commit'))[:12]}",
    )
    return ", ".join(parts)


def section(reference: Reference, found: list[Run]) -> str:
    """A reference system's part of the page."""
    lines = [f"## {reference.title}", ""]
    if not found:
        return "\n".join([*lines, "No finished `--reference` run is in the tracker.", ""])
    lines += [f"`python -m studies.{reference.kind} --reference`: {origin(found[0])}.", ""]
    if reference is R2:
        lines += [noise_line(found[0]), ""]
    lines += [table(reference, found).to_markdown()]
    return "\n".join([*lines, reference.remark, ""] if reference.remark else lines)


def page(tracker: Tracker) -> str:
    """The whole page, in Markdown."""
    parts = [section(reference, finished(tracker, reference.kind)) for reference in REFERENCES]
    head = (
        "# The reference systems: printed and ours\n\n"
        "Full-size `--reference` runs. Ours: mean over seeds, and the range in brackets. Losses "
        "are summed over pixels and latent dimensions and averaged over images; where nothing "
        "else is said, reconstructions are from the latent mean. Written by "
        "`python -m analysis.references`.\n"
    )
    return "\n".join([head, *parts]).rstrip() + "\n"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    out: Annotated[Path, typer.Option(help="The Markdown file to write.", rich_help_panel=WHERE)],
    tracking_uri: TrackingUri = None,
    debug: Debug = False,
) -> None:
    """Write the page that compares the reference systems' printed figures with ours."""
    quiet_libraries()
    with one_line_errors(TrackerError, OSError, debug=debug):
        text = page(Tracker(tracking_uri))
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, "utf-8")
    typer.echo(f"references: {out}")


if __name__ == "__main__":
    app(prog_name="python -m analysis.references")
