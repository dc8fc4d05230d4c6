"""What a trained model is worth: validation after each epoch, and the one look at the test set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vae_trainables import kinds, metrics
from vae_trainables.config import NoiseKind, TrialConfig
from vae_trainables.datasets import binarising, noise
from vae_trainables.datasets.splits import Split
from vae_trainables.evaluation import bounds, classifier, features, omissions, representation
from vae_trainables.models import Autoencoder, ModelOutput
from vae_trainables.numerics.precision import arithmetic, products
from vae_trainables.numerics.streams import EVALUATION_SEED, Streams
from vae_trainables.objective import likelihoods, losses

if TYPE_CHECKING:
    from vae_trainables.datasets.splits import TrialData

BATCH = 500  # images at a time; no result depends on it
PROBE_IMAGES = 20_000  # training images that a probe is fitted on
EPOCH_PROBE_IMAGES = 5_000  # the same for the cheaper probe after each epoch
FRECHET_SAMPLES = 5_000
SUPCON_BATCH = 256  # as reference system R2 has it
ROBUSTNESS_FACTORS = (0.1, 0.2, 0.3, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8)
ROBUSTNESS_KINDS: tuple[NoiseKind, ...] = ("gaussian", "salt_pepper", "masking", "poisson")
ROBUSTNESS_IMAGES = 500  # each 36 times: 18,000 passes, the test set itself has 20,000
KEPT = ("psnr", "ssim", "neg_elbo")  # of each test image, for what is told class by class


@dataclass(frozen=True)
class Tested:
    """The one look at the test set: means as `test/...`, and `KEPT` of each image, `(N,)`."""

    figures: dict[str, float]
    images: dict[str, Tensor]


class Evaluator:
    """Evaluates models on one data set, keeping the fixed noise between trials."""

    def __init__(self, data: TrialData, device: torch.device) -> None:
        self.data = data
        self.device = device
        self._sets: dict[tuple[str, str, float], tuple[Tensor, Tensor]] = {}
        self._real_features: Tensor | None = None
        self._latents: dict[tuple[int, int, int], Tensor] = {}
        self._predicted: dict[tuple[str, str, float, int], Tensor] = {}
        self._predictor = classifier.Predictor(
            data.classifier, tuple(data.train.images.shape[1:]), device
        )

    def validate(self, model: Autoencoder, config: TrialConfig) -> dict[str, float]:
        """`val/...` of the validation split, with the extras that it asks for."""
        figures = self._measure(model, config, "val") | self.extras(model, config)
        return {f"val/{name}": value for name, value in figures.items()}

    def extras(self, model: Autoencoder, config: TrialConfig) -> dict[str, float]:
        """The costlier figures on the validation split that `config.evaluation.extras` asks for."""
        figures = {}
        omitted = self.omitted(config, "val")
        if "probe" in config.evaluation.extras and "probe" not in omitted:
            figures["probe"] = self._probe(model, config, "val", EPOCH_PROBE_IMAGES)["accuracy"]
        if (
            "frechet" in config.evaluation.extras
            and config.model.variational
            and "frechet" not in omitted
        ):
            with arithmetic("fp32", self.device):
                figures["frechet"] = self._frechet(model, config)
        return figures

    def omitted(self, config: TrialConfig, split: str) -> dict[str, str]:
        """The figures that `validate` or `test` leaves out on these data, and why."""
        probed = EPOCH_PROBE_IMAGES if split == "val" else PROBE_IMAGES
        train = self._split("train").take(probed)
        return omissions.omitted(config, train, self._split(split), split)

    def test(self, model: Autoencoder, config: TrialConfig) -> Tested:
        """Everything of `validate`, both probes, a tighter bound; opens the test split.

        In fp32, whatever the trial's precision.
        """
        omitted = self.omitted(config, "test")
        with arithmetic("fp32", self.device):
            measured = self._per_image(model, config, "test")
            figures = self._means(measured, config, "test")
            figures |= self._bound(model, config) | self._by_predicted_classes(model, config)
        probes = {"probe": representation.logistic_probe, "knn": representation.knn_probe}
        fitted = {name: probe for name, probe in probes.items() if name not in omitted}
        if fitted:
            codes = self._codes(model, config, "train", PROBE_IMAGES).numpy()
            test_codes = self._codes(model, config, "test").numpy()
            labels = self.data.train.labels[: len(codes)].numpy()
            test_labels = self._split("test").labels.numpy()
            for name, probe in fitted.items():
                figures[name] = float(probe(codes, labels, test_codes, test_labels).accuracy)
        images = {name: torch.cat([part[name].cpu() for part, _ in measured]) for name in KEPT}
        return Tested({f"test/{name}": value for name, value in figures.items()}, images)

    def robustness(self, model: Autoencoder, config: TrialConfig) -> list[dict[str, Any]]:
        """Denoising quality of the first test images over noise kinds and factors."""
        split = self._split("test").take(ROBUSTNESS_IMAGES)
        clean = as_float(split.images.to(self.device))
        rows = []
        for kind in dict.fromkeys((*ROBUSTNESS_KINDS, config.evaluation.noise_kind)):
            for factor in ROBUSTNESS_FACTORS:
                noisy = evaluation_noise(clean, kind, factor)
                with arithmetic("fp32", self.device):
                    labels = self.condition(model, config, "test", noisy)
                    denoised = denoise(model, likelihoods.build(config.model), noisy, labels)
                quality = _quality(denoised, clean)
                rows.append({"kind": kind, "factor": factor, "n": len(clean), **quality})
        return rows

    def _measure(self, model: Autoencoder, config: TrialConfig, split: str) -> dict[str, float]:
        """Means over a split's images, and what their codes are worth."""
        return self._means(self._per_image(model, config, split), config, split)

    @torch.inference_mode()
    def _per_image(
        self, model: Autoencoder, config: TrialConfig, split: str
    ) -> list[tuple[dict[str, Tensor], Tensor]]:
        """Figures of each image and z_mean, batch by batch, as `measure_batch` has them.

        Denoising by the latent mean; the ELBO by one fixed sample of the latent. A
        class-conditional model has its classes as `config.evaluation.class_source` says.
        """
        model.eval()
        clean, noisy = self.images(
            split, config.evaluation.noise_kind, config.evaluation.noise_factor
        )
        eps = self.latents(len(clean), model.noise_dim) if config.model.variational else None
        precision = config.optimiser.precision if split == "val" else "fp32"
        labels = self.condition(model, config, split)
        with products(precision, self.device):
            likelihood = settled(
                likelihoods.build(config.model), config, model, clean, noisy, eps, labels
            )
        measured = []
        for part in _parts(len(clean)):
            with products(precision, self.device):
                at_mean, drawn = model.at_mean_and_draw(
                    noisy[part], _of(eps, part), _of(labels, part)
                )
            measured.append(
                measure_batch(at_mean.in_float32(), drawn.in_float32(), likelihood, clean[part])
            )
        return measured

    @torch.inference_mode()
    def _means(
        self, measured: list[tuple[dict[str, Tensor], Tensor]], config: TrialConfig, split: str
    ) -> dict[str, float]:
        """`measured`: what `_per_image` made of the whole split."""
        sums: dict[str, Tensor] = {}
        for per_image, _ in measured:
            for name, values in per_image.items():
                sums[name] = sums.get(name, 0) + values.double().sum()
        codes = torch.cat([z_mean for _, z_mean in measured])
        figures = {name: float(value) / len(codes) for name, value in sums.items()}
        return figures | self.code_figures(codes, config, split)

    @torch.inference_mode()
    def _bound(self, model: Autoencoder, config: TrialConfig) -> dict[str, float]:
        """-log p(x) by `iw_samples` samples on the first test images; its gain over their -ELBO.

        And how many samples and images those are.
        """
        if not config.model.variational:
            return {}
        clean, noisy = self.images(
            "test", config.evaluation.noise_kind, config.evaluation.noise_factor
        )
        labels = self.condition(model, config, "test")
        eps = self.latents(len(clean), model.noise_dim)
        likelihood = settled(
            likelihoods.build(config.model), config, model, clean, noisy, eps, labels
        )
        asked = config.evaluation.iw_images
        first = slice(kinds.kind(config.model.kind).bound_images if asked is None else asked)
        bound = bounds.importance_weighted_nll(
            model,
            likelihood,
            clean[first],
            inputs=noisy[first],
            labels=_of(labels, first),
            k=config.evaluation.iw_samples,
            generator=Streams(EVALUATION_SEED, torch.device("cpu")).generator("latent", 2),
            rows=BATCH,
        )
        iw_nll, neg_elbo = (float(values.double().mean()) for values in bound)
        return {
            "iw_nll": iw_nll,
            "iw_gain": neg_elbo - iw_nll,
            "iw_samples": float(config.evaluation.iw_samples),
            "iw_images": float(len(clean[first])),
        }

    def _by_predicted_classes(self, model: Autoencoder, config: TrialConfig) -> dict[str, float]:
        """What a conditional model does where nobody tells it the classes, as it is published."""
        if not model.conditional or self.data.classifier is None:
            return {}
        clean, noisy = self.images(
            "test", config.evaluation.noise_kind, config.evaluation.noise_factor
        )
        classes = self._predict(config, noisy, "test")
        right = classes == self._split("test").labels.to(self.device)
        figures = {"class_accuracy": float(right.double().mean())}
        if config.evaluation.class_source == "predicted":
            return figures
        quality = _quality(denoise(model, likelihoods.build(config.model), noisy, classes), clean)
        return figures | {f"predicted_{name}": value for name, value in quality.items()}

    def latents(self, count: int, width: int, draw_number: int = 0) -> Tensor:
        """The evaluation's fixed standard normal `(count, width)`: the same bits on all devices."""
        key = (count, width, draw_number)
        if key not in self._latents:
            streams = Streams(EVALUATION_SEED, torch.device("cpu"))
            eps = streams.normal("latent", draw_number, (count, width))
            self._latents[key] = eps.to(self.device)
        return self._latents[key]

    def condition(
        self, model: Autoencoder, config: TrialConfig, split: str, noisy: Tensor | None = None
    ) -> Tensor | None:
        """The classes `(N,)` that a conditional model is told of a split's (or of `noisy`) images.

        None for the other kinds.
        """
        if not model.conditional:
            return None
        if config.evaluation.class_source == "given":
            labels = self._split(split).labels
            return (labels if noisy is None else labels[: len(noisy)]).to(self.device)
        if noisy is not None:
            return self._predict(config, noisy)
        _, noisy = self.images(split, config.evaluation.noise_kind, config.evaluation.noise_factor)
        return self._predict(config, noisy, split)

    def _predict(self, config: TrialConfig, images: Tensor, split: str = "") -> Tensor:
        """Classes `(N,)` by the data's classifier; kept for the evaluation images of a split."""
        key = (
            split,
            config.evaluation.noise_kind,
            config.evaluation.noise_factor,
            config.model.num_classes,
        )
        if split and key in self._predicted:
            return self._predicted[key]
        classes = self._predictor(images, config.model.num_classes)
        if split:
            self._predicted[key] = classes
        return classes

    def code_figures(self, z_mean: Tensor, config: TrialConfig, split: str) -> dict[str, float]:
        """What the codes `(N, D)` of a split's noisy images are worth, in their order.

        SupCon, only where it is trained with, is the mean over whole batches of `SUPCON_BATCH`:
        its value depends on how many others an anchor has to be told from.
        """
        figures = {}
        if len(z_mean) >= omissions.LEAST_CODES and z_mean.shape[1]:
            figures["active_units"] = float(metrics.active_units(z_mean))
        if config.objective.supcon_gamma > 0:
            size = min(SUPCON_BATCH, len(z_mean))
            whole = len(z_mean) // size * size
            labels = self._split(split).labels[:whole].to(z_mean.device)
            per_batch = torch.vmap(losses.supcon, in_dims=(0, 0, None))(
                z_mean[:whole].unflatten(0, (-1, size)),
                labels.unflatten(0, (-1, size)),
                config.objective.supcon_temperature,
            )
            figures["supcon"] = float(per_batch.double().mean())
        return figures

    def _probe(
        self, model: Autoencoder, config: TrialConfig, split: str, train_images: int
    ) -> dict[str, float]:
        codes = self._codes(model, config, "train", train_images)
        other = self._codes(model, config, split)
        result = representation.logistic_probe(
            codes.numpy(),
            self.data.train.labels[: len(codes)].numpy(),
            other.numpy(),
            self._split(split).labels.numpy(),
        )
        return {"accuracy": float(result.accuracy), "macro_f1": float(result.macro_f1)}

    def _codes(
        self, model: Autoencoder, config: TrialConfig, split: str, limit: int | None = None
    ) -> Tensor:
        """z_mean of clean images, `(N, latent)`, on the CPU."""
        part, labels = self.probed(config, split, model.conditional, limit)
        with arithmetic("fp32", self.device):
            return encode(model, part.images, self.device, labels)

    def probed(
        self, config: TrialConfig, split: str, conditional: bool, limit: int | None = None
    ) -> tuple[Split, Tensor | None]:
        """Images whose codes a probe sees, at most `limit`, and what a model is told of them.

        A conditional model is told predicted classes, never true ones: a probe on its codes must
        not find there what it was told.
        """
        part = self._split(split).take(limit)
        if split == "train":
            part = binarising.as_evaluated(part, config.data.binarise)
        if not conditional:
            return part, None
        with arithmetic("fp32", self.device):
            return part, self._predict(config, as_float(part.images.to(self.device)))

    @torch.inference_mode()
    def _frechet(self, model: Autoencoder, config: TrialConfig) -> float:
        """Fréchet distance of prior samples to validation images, in classifier features.

        A conditional model is asked for classes as often as they are among the training images.
        """
        if self.data.feature_net is None:
            raise ValueError("the evaluation 'frechet' needs a feature net in the trial's data")
        shape = tuple(self._split("val").images.shape[1:])
        net = features.FeatureNet.from_state(self.data.feature_net, shape).to(self.device)
        if self._real_features is None:
            real = as_float(self._split("val").images.to(self.device))
            self._real_features = features.extract(net, real)
        likelihood = likelihoods.build(config.model)
        eps = self.latents(FRECHET_SAMPLES, model.noise_dim, draw_number=1)
        labels = self._drawn_classes(config) if model.conditional else None
        model.eval()
        parts = _parts(FRECHET_SAMPLES)
        logits = (model.sample(eps[part], _of(labels, part)) for part in parts)
        samples = torch.cat([likelihood.mean(logit) for logit in logits])
        fake = features.extract(net, samples)
        return float(features.frechet_distance(self._real_features, fake))

    def _drawn_classes(self, config: TrialConfig) -> Tensor:
        """`FRECHET_SAMPLES` labels of the trial's training images, drawn with replacement."""
        labels = self.data.train.take(config.data.train_size).labels
        share = Streams(EVALUATION_SEED, torch.device("cpu")).uniform(
            "factor", 1, (FRECHET_SAMPLES,)
        )
        return labels.to(self.device)[(share * len(labels)).long().to(self.device)]

    def images(self, split: str, kind: NoiseKind, factor: float) -> tuple[Tensor, Tensor]:
        """Clean and noisy images of a split, made once."""
        key = (split, kind, factor)
        if key not in self._sets:
            clean = as_float(self._split(split).images.to(self.device))
            self._sets[key] = (clean, evaluation_noise(clean, kind, factor))
        return self._sets[key]

    def _split(self, name: str) -> Split:
        split: Split | None = getattr(self.data, name)
        if split is None:
            raise PermissionError(f"this trial was given no {name} split: a search may not see it")
        return split


def evaluation_noise(
    clean: Tensor, kind: NoiseKind, factor: float, *, draw_number: int = 0
) -> Tensor:
    """The fixed evaluation noise on `clean` `(N, C, H, W)`: the same for every model and trial.

    Another `draw_number` gives noise that is independent of it, for baselines to learn from.
    """
    if factor == 0:
        return clean
    streams = Streams(EVALUATION_SEED, torch.device("cpu"))  # the same bits on every device
    draw = streams.normal if noise.random_kind(kind) == "normal" else streams.uniform
    rand = draw("noise", draw_number, tuple(clean.shape)).to(clean.device)
    return noise.corrupt(kind, clean, factor, rand)


@torch.inference_mode()
def denoise(
    model: Autoencoder,
    likelihood: likelihoods.Likelihood,
    noisy: Tensor,
    labels: Tensor | None = None,
) -> Tensor:
    """Reconstruction from the latent mean, `(N, C, H, W)` in [0, 1]; `labels` as a condition."""
    model.eval()
    outputs = (model(noisy[part], labels=_of(labels, part)) for part in _parts(len(noisy)))
    return torch.cat([likelihood.mean(output.logits) for output in outputs])


@torch.inference_mode()
def encode(
    model: Autoencoder,
    images: Tensor,
    device: torch.device | str = "cpu",
    labels: Tensor | None = None,
) -> Tensor:
    """z_mean `(N, latent)` on the CPU of uint8 images `(N, C, H, W)`; `labels` as a condition."""
    model.eval()
    parts = ((as_float(images[part].to(device)), _of(labels, part)) for part in _parts(len(images)))
    return torch.cat([model.encode(*part)[0].cpu() for part in parts])


def measure_batch(
    at_mean: ModelOutput, sampled: ModelOutput, likelihood: likelihoods.Likelihood, clean: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Figures per image, each `(B,)`, and z_mean `(B, D)`; the ELBO is that of `sampled`."""
    recon = likelihood.nll(sampled.logits, clean)
    kl = sampled.kl.sum(1)
    image = likelihood.mean(at_mean.logits)
    figures = {"recon": recon, "kl": kl, "neg_elbo": recon + kl}
    return figures | metrics.per_image(image, clean), at_mean.z_mean


def settled(
    likelihood: likelihoods.Likelihood,
    config: TrialConfig,
    model: Autoencoder,
    clean: Tensor,
    noisy: Tensor,
    eps: Tensor | None,
    labels: Tensor | None,
) -> likelihoods.Likelihood:
    """The σ-VAE's variance from all these images, so that no figure depends on the batch size."""
    if config.model.likelihood != "sigma":
        return likelihood
    total = 0.0
    for part in _parts(len(clean)):
        output = model(noisy[part], _of(eps, part), _of(labels, part)).in_float32()
        total += float(metrics.mse(likelihood.mean(output.logits), clean[part]).double().sum())
    return likelihood.settled(total / len(clean))


def _of(values: Tensor | None, part: slice) -> Tensor | None:
    return None if values is None else values[part]


def _parts(count: int) -> Iterator[slice]:
    """At least one part: of no images it is empty, as `Tensor.split` has it."""
    return (slice(start, start + BATCH) for start in range(0, max(count, 1), BATCH))


def _quality(image: Tensor, clean: Tensor) -> dict[str, float]:
    return {k: float(v.double().mean()) for k, v in metrics.per_image(image, clean).items()}


def as_float(images: Tensor) -> Tensor:
    """uint8 to float32 in [0, 1]."""
    return images.to(torch.float32).mul_(1 / 255)
