"""Losses by epoch: R2's history.csv and curves 01 to 04, R3's table, R4's curves."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import pandas as pd

from analysis.gallery import drawing
from analysis.gallery.drawing import TRAINING, VALIDATION, Curves, Line
from analysis.gallery.output import Output
from analysis.gallery.subject import Subject
from analysis.gallery.wording import say
from analysis.tables.table import Column, Table
from vae_trainables import metrics
from vae_trainables.config import TrialConfig

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = (
    "epoch", "beta", "gamma_sc", "kl_loss", "loss", "recon_loss", "supcon_loss", "val_beta",
    "val_gamma_sc", "val_kl_loss", "val_loss", "val_recon_loss", "val_supcon_loss",
    "learning_rate",
)  # fmt: skip
"""R2's, in its order."""

TABLE_EPOCHS = (1, 5, 10, 15, 20)
PRINTED_R3 = {
    1: (163.2, 147.8),
    5: (142.5, 139.2),
    10: (136.8, 134.1),
    15: (133.4, 131.7),
    20: (131.2, 129.9),
}
"""The original's training and test loss by epoch, as printed."""

Row = dict[str, float | None]


def history_rows(subject: Subject) -> list[Row]:
    """One row per epoch with the keys `COLUMNS`; None where the run has no such quantity.

    A run without SupCon (γ = 0) has no supcon columns, a plain autoencoder no KL. `val_loss` is
    the training loss on validation images, recon + β KL + γ SupCon, where the run's loss has no
    other terms and SupCon was logged.
    """
    return [_row(subject, epoch) for epoch in subject.epochs]


def _row(subject: Subject, epoch: int) -> Row:
    config = subject.config

    def at(metric: str) -> float | None:
        return subject.history.get(metric, {}).get(epoch)

    contrast, variational = config.objective.supcon_gamma > 0, config.model.variational
    row: Row = {
        "epoch": epoch,
        "beta": at("beta") if variational else None,
        "gamma_sc": config.objective.supcon_gamma,
        "kl_loss": at("train/kl") if variational else None,
        "loss": at("train/loss"),
        "recon_loss": at("train/recon"),
        "supcon_loss": at("train/supcon") if contrast else None,
        "val_kl_loss": at("val/kl") if variational else None,
        "val_recon_loss": at("val/recon"),
        "val_supcon_loss": at("val/supcon") if contrast else None,
        "learning_rate": at("lr"),
    }
    row |= {"val_beta": row["beta"], "val_gamma_sc": row["gamma_sc"]}
    row["val_loss"] = _weighted(row, config)
    return {name: row[name] for name in COLUMNS}


def _weighted(row: Row, config: TrialConfig) -> float | None:
    """The weighted loss on validation, as R2 has it; None where its terms are not all known."""
    other_terms = (
        config.objective.ssim_weight or config.objective.edge_weight or config.objective.free_bits
    )
    if (
        other_terms
        or config.objective.recon_term != "nll"
        or config.objective.kl_target is not None
    ):
        return None
    terms = [row["val_recon_loss"]]
    if config.model.variational:
        terms += [_product(row["val_beta"], row["val_kl_loss"])]
    if config.objective.supcon_gamma > 0:
        terms += [_product(row["val_gamma_sc"], row["val_supcon_loss"])]
    values = [term for term in terms if term is not None]
    return sum(values) if len(values) == len(terms) else None


def _product(weight: float | None, value: float | None) -> float | None:
    return None if weight is None or value is None else weight * value


def history_csv(rows: Iterable[Row]) -> str:
    """R2's history.csv; a cell is empty where the run has no such quantity."""
    lines = [",".join(COLUMNS)]
    lines += [",".join(_cell(row[name]) for name in COLUMNS) for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: float | None) -> str:
    return "" if value is None else repr(value)


def training_curves(subject: Subject, rows: list[Row]) -> dict[str, Curves]:
    """R2's five curves by file name; one without lines where the run has no such quantity."""
    language, config = subject.language, subject.config
    epoch, nats = say("epoch", language), say("nats", language)

    def two(title: str, unit: str, name: str) -> Curves:
        both = _lines(subject, rows, {"training": name, "validation": f"val_{name}"})
        return Curves(say(title, language), epoch, unit, both)

    contrast = two("supcon_loss", say("supcon_unit", language), "supcon_loss")
    if contrast.lines:
        others = min(config.optimiser.batch_size, len(subject.train)) - 1
        text = say("supcon_collapsed", language, others=others, value=math.log(others))
        contrast = Curves(
            contrast.title, epoch, contrast.y, contrast.lines, ((text, math.log(others)),)
        )
    beta = _lines(subject, rows, {"training": "beta"})
    return {
        "01_train_total_loss.png": two("total_loss", nats, "loss"),
        "02_train_recon_loss.png": two("recon_loss", nats, "recon_loss"),
        "03_train_kl_loss.png": two("kl_loss", nats, "kl_loss"),
        "03B_train_supcon_loss.png": contrast,
        "04_beta_warmup.png": Curves(say("beta", language), epoch, "β", beta),
    }


def _lines(subject: Subject, rows: list[Row], columns: dict[str, str]) -> tuple[Line, ...]:
    """Curves of `columns` (by the word for their split) that have values."""
    colors = {"training": TRAINING, "validation": VALIDATION}
    found = []
    for split, column in columns.items():
        points = [(row["epoch"], row[column]) for row in rows if row[column] is not None]
        if points:
            epochs, values = zip(*points, strict=True)
            found.append(Line(say(split, subject.language), epochs, values, colors[split]))
    return tuple(found)


def loss_curves(subject: Subject) -> tuple[Curves, ...]:
    """−ELBO, reconstruction and KL; for a plain autoencoder the reconstruction alone."""
    language, nats = subject.language, say("nats", subject.language)
    whole = [_elbo_row(epoch, subject) | _row(subject, epoch) for epoch in subject.epochs]

    def panel(title: str, names: dict[str, str], levels: tuple[tuple[str, float], ...]) -> Curves:
        lines = _lines(subject, whole, names)
        return Curves(say(title, language), say("epoch", language), nats, lines, levels)

    levels = _floor(subject)
    names = {"training": "recon_loss", "validation": "val_recon_loss"}
    recon = panel("recon_loss", names, levels)
    if not subject.config.model.variational:
        return (recon,)
    elbo = {"training": "neg_elbo", "validation": "val_neg_elbo"}
    kl = {"training": "kl_loss", "validation": "val_kl_loss"}
    return panel("neg_elbo", elbo, levels), recon, panel("kl_loss", kl, ())


def _elbo_row(epoch: int, subject: Subject) -> Row:
    """The unweighted −ELBO of an epoch on both splits."""
    history = subject.history
    terms = [history.get(name, {}).get(epoch) for name in ("train/recon", "train/kl")]
    values = [term for term in terms if term is not None]
    training = sum(values) if len(values) == len(terms) else None
    return {"neg_elbo": training, "val_neg_elbo": history.get("val/neg_elbo", {}).get(epoch)}


def _floor(subject: Subject) -> tuple[tuple[str, float], ...]:
    """The entropy of the targets, below which no Bernoulli reconstruction loss can go."""
    if subject.config.model.likelihood != "bernoulli":
        return ()
    value = float(metrics.bernoulli_entropy(subject.clean).double().mean())
    return ((say("floor", subject.language, value=value), value),)


def draw_loss_curves(found: tuple[Curves, ...]) -> Figure:
    """The panels side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4 * len(found), 3.8), layout="constrained")
    for axes, info in zip(figure.subplots(1, len(found), squeeze=False)[0], found, strict=True):
        drawing.draw_curves(axes, info)
    return figure


def loss_table(subject: Subject) -> Table:
    """R3's table: −ELBO at epochs 1, 5, 10, 15, 20 and the last; printed figures where they fit.

    The original measured the test set after every epoch. Here that is validation, and the test
    set is opened once, at the end.
    """
    epochs = [e for e in subject.epochs if e in TABLE_EPOCHS or e == subject.epochs[-1]]
    frame = pd.DataFrame([{"epoch": e} | _elbo_row(e, subject) for e in epochs])
    last = subject.record.metrics.get("test/neg_elbo")
    frame["test"] = [last if e == subject.epochs[-1] else None for e in epochs]
    columns = [
        Column("epoch", "epoch", spec="d"),
        Column("neg_elbo", "training −ELBO", "nats/image", spec=".2f"),
        Column("val_neg_elbo", "validation −ELBO", "nats/image", spec=".2f"),
        Column("test", "test −ELBO", "nats/image", spec=".2f"),
    ]
    tighter = subject.record.metrics.get("test/iw_nll")
    if tighter is not None:
        frame["iw"] = [tighter if e == subject.epochs[-1] else None for e in epochs]
        columns.append(Column("iw", "test −log p(x) ≤", "nats/image", spec=".2f"))
    note = (
        "The test set is opened once, at the end; validation takes its place at earlier epochs. "
        "Training figures are means over the epoch, while the weights still move."
    )
    gain = subject.record.metrics.get("test/iw_gain")
    if gain is not None:
        images = subject.record.metrics.get("test/iw_images")
        samples = subject.config.evaluation.iw_samples
        first = "first test images" if images is None else f"first {images:.0f} test images"
        note += (
            f" The bound on −log p(x) is by {samples} weighted samples, on the {first}, and "
            f"{gain:.2f} nats tighter than their −ELBO."
        )
    if is_r3(subject.config):
        for place, name in enumerate(("printed_train", "printed_test")):
            printed = [PRINTED_R3.get(epoch, (None, None))[place] for epoch in epochs]
            frame[name] = pd.Series(printed, dtype=float)
        columns += [
            Column("printed_train", "printed training loss", spec=".1f"),
            Column("printed_test", "printed test loss", spec=".1f"),
        ]
        note += (
            " The printed figures cannot be reproduced: the same settings reach about 104 on "
            "test after 20 epochs, as published results for this network do."
        )
    return Table(tuple(columns), frame, f"Loss by epoch: {subject.title}", note)


def is_r3(config: TrialConfig) -> bool:
    """Whether the configuration is the network and data that R3's printed figures are about."""
    same = (
        config.data.dataset,
        config.model.kind,
        config.model.hidden,
        config.model.latent_dim,
        config.model.width,
    )
    return same == ("mnist", "mlp_vae", (400,), 20, 1.0) and not config.noise.factor


def draw(subject: Subject, out: Output) -> None:
    """`loss_table.*` and `loss_curves.png`."""
    out.table("loss_table", loss_table(subject))
    out.figure("loss_curves.png", draw_loss_curves(loss_curves(subject)))
