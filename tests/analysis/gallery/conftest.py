"""Real tiny runs in a real MLflow, trained once per session, and subjects without a tracker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from analysis.gallery.subject import Subject
from analysis.models.trained import TrainedModel
from analysis.tracker.client import Record
from studies import vae_vs_ae
from studies.tracker import names
from tests.analysis.gallery.tiny import SLICES, Logged, load, log_study
from vae_trainables import datasets
from vae_trainables.config import TrialConfig
from vae_trainables.inference import Denoiser
from vae_trainables.objective import likelihoods
from vae_trainables.training.trial import build_model

DENOISER = TrialConfig(
    kind="conv_vae",
    widths=(8, 16, 16),
    latent_dim=4,
    noise_factor=0.45,
    beta_schedule="linear",
    warmup_epochs=2,
    supcon_gamma=1.0,
    batch_size=64,
    epochs=3,
)


@pytest.fixture(scope="session")
def denoiser(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """R2 in small, on the Fashion-MNIST slice: a reference run and a search trial."""
    folder = tmp_path_factory.mktemp("denoiser")
    data_dir = SLICES / "fashion-mnist"
    trials = {"reference-0000": DENOISER}
    return log_study(folder, "denoise", trials, load("fashion-mnist"), data_dir=data_dir)


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """R3's two networks on the MNIST slice."""
    configs = (vae_vs_ae.REFERENCE, *vae_vs_ae.STUDY.companions)
    trials = {
        f"reference-{number:04d}": config.model_copy(update={"epochs": 2})
        for number, config in enumerate(configs)
    }
    folder = tmp_path_factory.mktemp("both")
    return log_study(folder, "both", trials, load("mnist"), data_dir=SLICES / "mnist")


@pytest.fixture
def make_subject() -> Callable[..., Subject]:
    """Subjects around untrained models: what is drawn of them needs no training to be right."""

    def make(
        config: TrialConfig, history: Any = None, tags: dict[str, str] | None = None, **fields: Any
    ) -> Subject:
        model = build_model(config).eval()
        trained = TrainedModel("0007", Denoiser(config, model, likelihoods.build(config.model)))
        record = Record("0" * 32, "FINISHED", None, None, tags={names.STUDY: "s", **(tags or {})})
        data_dir = SLICES / config.data.dataset
        test = load(config.data.dataset).test
        assert test is not None
        source = datasets.open_source(config.data.dataset, data_dir=data_dir)
        values: dict[str, Any] = {"source": source, "test": test.take(60), "pair": (1, 2)}
        return Subject(record, (), history or {}, trained, None, **(values | fields))  # type: ignore[arg-type]

    return make
