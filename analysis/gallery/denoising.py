"""R2's twenty files, by exactly the names that its notebook gave them.

A quantity that a run does not have (SupCon at γ = 0, the prior of a plain autoencoder) leaves a
figure that says so, so that the twenty are always there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.gallery import drawing, generation, images, interpolation, latent, losses, scores
from analysis.gallery.output import Output
from analysis.gallery.subject import Subject
from analysis.gallery.wording import say

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILES = (
    "01_train_total_loss.png", "02_train_recon_loss.png", "03_train_kl_loss.png",
    "03B_train_supcon_loss.png", "04_beta_warmup.png", "05_denoising_grid.png",
    "06A_latent_pca_numbers.png", "06B_latent_pca_text_tr.png", "06C_latent_umap_text_tr.png",
    "06D_latent_tsne_text_tr.png", "07_generated_prior.png", "08_latent_interpolation.png",
    "A_title_denoising.png", "B_title_representation_learning.png", "C_title_generation.png",
    "D_title_interpolation.png", "history.csv", "metrics.csv", "metrics.txt",
    "pca_explained_variance.txt",
)  # fmt: skip

GENERATED, GENERATED_PER_ROW = 64, 8
PANELS = {
    "A_title_denoising.png": "panel_denoising",
    "B_title_representation_learning.png": "panel_representation",
    "C_title_generation.png": "panel_generation",
    "D_title_interpolation.png": "panel_interpolation",
}
_ABSENT = {
    "03_train_kl_loss.png": "no_kl",
    "03B_train_supcon_loss.png": "no_supcon",
    "04_beta_warmup.png": "no_kl",
}


def draw(subject: Subject, out: Output) -> None:
    """All of `FILES`."""
    _write_texts(subject, out)
    _draw_losses(subject, out)
    out.figure("05_denoising_grid.png", images.grid(subject))
    _draw_codes(subject, out)
    out.figure("07_generated_prior.png", _generated(subject))
    out.figure("08_latent_interpolation.png", interpolation.draw_pair(subject))
    for name, key in PANELS.items():
        out.figure(name, _panel(subject, key))


def _write_texts(subject: Subject, out: Output) -> None:
    out.text("history.csv", losses.history_csv(losses.history_rows(subject)))
    with out.working("test images"):
        test_scores = scores.measure(subject)
    out.text("metrics.csv", scores.csv(test_scores))
    out.text("metrics.txt", scores.text(subject, test_scores))
    out.text("pca_explained_variance.txt", latent.explained_text(subject))


def _draw_losses(subject: Subject, out: Output) -> None:
    panels = losses.training_curves(subject, losses.history_rows(subject))
    for name, info in panels.items():
        if info.lines:
            out.figure(name, drawing.curves(info))
        else:
            out.figure(name, drawing.notice(info.title, say(_ABSENT[name], subject.language)))


def _draw_codes(subject: Subject, out: Output) -> None:
    latent.write(subject, out, "06A_latent_pca_numbers.png", "pca", latent.draw_numbers)
    latent.write(subject, out, "06B_latent_pca_text_tr.png", "pca", latent.draw_names)
    with out.working("06C, UMAP: the first time takes a minute or two"):
        latent.write(subject, out, "06C_latent_umap_text_tr.png", "umap", latent.draw_names)
    with out.working("06D, t-SNE"):
        latent.write(subject, out, "06D_latent_tsne_text_tr.png", "tsne", latent.draw_names)


def _generated(subject: Subject) -> Figure:
    if not subject.config.model.variational:
        return drawing.notice(
            say("panel_generation", subject.language), say("no_prior", subject.language)
        )
    return generation.draw_samples(subject, GENERATED, GENERATED_PER_ROW)


def _panel(subject: Subject, key: str) -> Figure:
    values = {"data": subject.config.data.dataset, "factor": subject.config.evaluation.noise_factor}
    language = subject.language
    return drawing.panel(say(key, language), say(f"{key}_note", language, **values))


def unfit(subject: Subject) -> str:
    """Why the part does not fit the run, or nothing."""
    if subject.denoises:
        return ""
    return "the run neither learned nor was judged on noisy images"
