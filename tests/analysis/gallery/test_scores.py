"""metrics.csv and metrics.txt in R2's own words, from figures that are known."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analysis.gallery import scores
from analysis.gallery.scores import Scores
from analysis.gallery.subject import Quality, Subject
from vae_trainables.config import TrialConfig

R2 = Scores(
    Quality(0.10150019079446793, 9.945466041564941, 0.28713834285736084),
    Quality(0.018063679337501526, 17.962064743041992, 0.5950444340705872),
)
"""As printed."""


def test_metrics_csv_has_r2s_header_rows_and_improvements() -> None:
    header, *rows = scores.csv(R2).splitlines()
    assert header == "metric,baseline_noisy_to_clean,vae_recon_to_clean,delta_or_improvement"
    values = {name: [float(v) for v in rest] for name, *rest in (row.split(",") for row in rows)}
    assert list(values) == ["MSE", "PSNR_dB", "SSIM"]
    assert values["MSE"] == pytest.approx([0.1015001908, 0.0180636793, 82.20330504], rel=1e-8)
    assert values["PSNR_dB"][2] == pytest.approx(8.01659870)
    assert values["SSIM"][2] == pytest.approx(0.30790609)


def test_metrics_txt_reads_like_r2s(make_subject: Callable[..., Subject]) -> None:
    config = TrialConfig(kind="mlp_vae", hidden=(8,), noise_factor=0.45, batch_size=256)
    lines = scores.text(make_subject(config), R2).splitlines()
    for line in (
        "NOISE_FACTOR=0.45",
        "LATENT_DIM=16",
        "BATCH_SIZE=256",
        "EPOCHS=20",
        "Baseline (Noisy->Clean) MSE=0.101500 | PSNR=9.945 dB | SSIM=0.2871",
        "VAE (Recon->Clean) MSE=0.018064 | PSNR=17.962 dB | SSIM=0.5950",
        "MSE improvement: 82.20%",
        "PSNR gain : 8.017 dB",
        "SSIM gain : 0.3079",
    ):
        assert line in lines


def test_without_noise_there_is_nothing_to_improve() -> None:
    clean = Quality(0.0, 100.0, 1.0)
    assert Scores(clean, Quality(0.01, 20.0, 0.7)).mse_improvement == 0
