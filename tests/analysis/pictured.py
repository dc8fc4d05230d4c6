"""Adds to a bulk study what pictures need: example images and the weights of two small real models.

The models are trained for seconds on the test slices; their scores are not those in the bulk study.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from mlflow import MlflowClient

from studies.tracker import names
from tests.analysis.bulk import Written
from vae_trainables import checkpoint, datasets
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.evaluator import as_float, evaluation_noise
from vae_trainables.training.trial import Trial

SLICES = Path(__file__).parent.parent / "data" / "fashion-mnist"
SMALL = TrialConfig(
    kind="mlp_vae", hidden=(64,), latent_dim=8, noise_factor=0.45, beta=0.1, batch_size=50,
    epochs=6, lr=3e-3,
)  # fmt: skip


def add_examples(written: Written, folder: Path, data_dir: Path = SLICES) -> None:
    """examples.npz of the parent run, as a study writes it."""
    images = datasets.load("fashion-mnist", "val", data_dir)
    clean = as_float(images.images)
    noisy = evaluation_noise(clean, "gaussian", 0.45)[:256]
    path = folder / names.EXAMPLES_FILE
    np.savez_compressed(
        path,
        images=images.images[:256].numpy(),
        noisy=(noisy * 255).round().to(torch.uint8).numpy(),
        labels=images.labels[:256].numpy(),
        codes_images=images.images[:2000].numpy(),
        codes_labels=images.labels[:2000].numpy(),
        split=np.array("val"),
        eval_noise_kind=np.array("gaussian"),
        eval_noise_factor=np.array(0.45),
    )
    assert written.parent_id is not None
    client(written).log_artifact(written.parent_id, str(path))


def add_weights(
    written: Written, folder: Path, run_ids: list[str], config: TrialConfig = SMALL,
    data_dir: Path = SLICES,
) -> None:  # fmt: skip
    """Weights of models trained with the seeds 0, 1, ... for the runs given."""
    parts = {split: datasets.load("fashion-mnist", split, data_dir) for split in ("train", "val")}
    for seed, run_id in enumerate(run_ids):
        trial = Trial(config.model_copy(update={"seed": seed}), TrialData(**parts))
        while not trial.done:
            trial.run_epoch()
        tensors, meta = trial.state()
        weights = folder / "weights.safetensors"
        checkpoint.write_tensors(weights, tensors, meta)
        (folder / "config.json").write_text(json.dumps(trial.config.model_dump(mode="json")))
        for path in (weights, folder / "config.json"):
            client(written).log_artifact(run_id, str(path), "checkpoint")


def client(written: Written) -> MlflowClient:
    """A client of the tracker that was written to."""
    return MlflowClient(tracking_uri=written.tracking_uri)
