"""R2's metrics.csv and metrics.txt: noisy test images against reconstructed ones."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.gallery.subject import Quality, Subject, quality

HEADER = "metric,baseline_noisy_to_clean,vae_recon_to_clean,delta_or_improvement"


@dataclass(frozen=True)
class Scores:
    """Both rows of R2's table, on the whole test set."""

    noisy: Quality
    restored: Quality

    @property
    def mse_improvement(self) -> float:
        """By how much the model lowers the MSE, in percent; 0 where there is nothing to lower."""
        if self.noisy.mse == 0:
            return 0.0
        return 100 * (1 - self.restored.mse / self.noisy.mse)

    @property
    def psnr_gain(self) -> float:
        """dB."""
        return self.restored.psnr - self.noisy.psnr

    @property
    def ssim_gain(self) -> float:
        """From -2 to 2."""
        return self.restored.ssim - self.noisy.ssim


def measure(subject: Subject) -> Scores:
    """On the test set with the fixed evaluation noise, reconstructed from the latent mean."""
    return Scores(quality(subject.noisy, subject.clean), quality(subject.restored, subject.clean))


def csv(scores: Scores) -> str:
    """R2's columns and rows; the last column is percent, dB and difference."""
    rows = (
        ("MSE", scores.noisy.mse, scores.restored.mse, scores.mse_improvement),
        ("PSNR_dB", scores.noisy.psnr, scores.restored.psnr, scores.psnr_gain),
        ("SSIM", scores.noisy.ssim, scores.restored.ssim, scores.ssim_gain),
    )
    lines = [",".join([name, *(f"{value:.10g}" for value in values)]) for name, *values in rows]
    return "\n".join([HEADER, *lines]) + "\n"


def text(subject: Subject, scores: Scores) -> str:
    """R2's readable report, with what one needs to know to compare its figures with others."""
    config = subject.config
    lines = [
        "=== Denoising Metrics (Test) ===",
        f"RUN={subject.record.run_id}",
        f"TRIAL={subject.trial}",
        f"DATASET={config.data.dataset}",
        f"TEST_IMAGES={len(subject.test)}",
        f"MODEL={config.model.kind}",
        f"NOISE_KIND={config.evaluation.noise_kind}",
        f"NOISE_FACTOR={config.evaluation.noise_factor}",
        f"TRAINING_NOISE_FACTOR={_training_noise(subject)}",
        f"LATENT_DIM={config.model.latent_dim}",
        f"BATCH_SIZE={config.optimiser.batch_size}",
        f"EPOCHS={config.budget.epochs}",
        f"BETA_MAX={config.objective.beta}",
        f"WARMUP_EPOCHS={config.objective.warmup_epochs}",
        f"GAMMA_SC={config.objective.supcon_gamma}",
        f"SEED={config.seed}",
        *([f"CLASSES={subject.trained.class_note}"] if subject.trained.conditional else []),
        f"Baseline (Noisy->Clean) {_row(scores.noisy)}",
        f"VAE (Recon->Clean) {_row(scores.restored)}",
        "=== Improvement ===",
        f"MSE improvement: {scores.mse_improvement:.2f}%",
        f"PSNR gain : {scores.psnr_gain:.3f} dB",
        f"SSIM gain : {scores.ssim_gain:.4f}",
        "=== Conventions ===",
        "Reconstruction from the latent mean; the noise is fixed and the same for every model.",
        "PSNR: per image, data range 1, then the mean.",
        "SSIM: gaussian window 11x11, sigma 1.5, valid region, data range 1.",
    ]
    return "\n".join(lines) + "\n"


def _training_noise(subject: Subject) -> str:
    config = subject.config
    top = config.noise.factor_max
    return f"{config.noise.factor}" + (f" to {top}" if top is not None else "")


def _row(figures: Quality) -> str:
    return f"MSE={figures.mse:.6f} | PSNR={figures.psnr:.3f} dB | SSIM={figures.ssim:.4f}"
