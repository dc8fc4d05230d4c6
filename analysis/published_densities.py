"""Published densities of MNIST and Fashion-MNIST, as data, with their source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Publication:
    """Where figures were printed, and under which conditions.

    bound: of -log p(x). training: what matters for a comparison.
    """

    key: str
    citation: str
    bound: str
    images: str
    training: str


@dataclass(frozen=True)
class Density:
    """-log p(x) of test images in nats per image, as it was printed."""

    dataset: str
    model: str
    nll: float
    source: str
    ours: bool = False
    """Whether the model is the one that `studies.published_vae` trains."""


PUBLICATIONS = {
    "norouzi2020": Publication(
        "norouzi2020",
        "S. Norouzi, D. J. Fleet, M. Norouzi: Exemplar VAE: Linking Generative Models, Nearest "
        "Neighbor Retrieval, and Data Augmentation. NeurIPS 2020, arXiv:2004.04795; the table in "
        "the README of its code, github.com/sajadn/Exemplar-VAE",
        "importance-weighted, k = 5,000",
        "10,000 test images, drawn black or white once with one seed",
        "50,000 training images, drawn anew each epoch; batches of 100, Adam with normalised "
        "gradients, 5e-4, warm-up of 100 epochs; at most 2,000 epochs, ended after 50 without a "
        "better −ELBO of the last 10,000 training images; the weights of the best epoch",
    ),
}

DENSITIES = (
    Density("mnist", "VAE, standard normal prior", 84.45, "norouzi2020", ours=True),
    Density("mnist", "HVAE, standard normal prior", 82.39, "norouzi2020"),
    Density("mnist", "VAE, VampPrior", 82.43, "norouzi2020"),
    Density("mnist", "ConvHVAE, standard normal prior", 80.52, "norouzi2020"),
    Density("fashion-mnist", "VAE, standard normal prior", 228.70, "norouzi2020", ours=True),
    Density("fashion-mnist", "HVAE, standard normal prior", 227.37, "norouzi2020"),
    Density("fashion-mnist", "VAE, VampPrior", 227.35, "norouzi2020"),
    Density("fashion-mnist", "ConvHVAE, standard normal prior", 225.38, "norouzi2020"),
)
"""All with black and white pixels, drawn dynamically."""
