"""A real study in miniature: models trained on the digits and logged as the tracker logs them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studies.runner import provenance
from studies.tracker import names
from studies.tracker.delivery import Delivery
from vae_trainables import datasets
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation.evaluator import as_float, evaluation_noise
from vae_trainables.evaluation.features import FeatureNet
from vae_trainables.training import session
from vae_trainables.training.session import Session

KIND = "digits_sweep"
OBJECTIVE = {"metric": "val/mse", "direction": "minimize"}
TINY = TrialConfig(
    kind="mlp_vae", hidden=(64,), latent_dim=8, dataset="digits", noise_factor=0.45,
    batch_size=64, epochs=2, lr=3e-3,
)  # fmt: skip
BETTER = TINY.model_copy(update={"latent_dim": 16, "beta": 0.1, "epochs": 6})


@dataclass(frozen=True)
class Planned:
    """A trial to train: its key says the phase."""

    key: str
    config: TrialConfig
    like: str = ""
    reference: bool = False

    @property
    def phase(self) -> str:
        """search, confirm or reference."""
        return self.key.partition("-")[0] if "-" in self.key else "search"


@dataclass(frozen=True)
class TrainedStudy:
    """Where it is; `run_ids` by trial key, `metrics` the last ones by trial key."""

    name: str
    uri: str
    run_ids: dict[str, str]
    metrics: dict[str, dict[str, float]]


@cache
def digits() -> TrialData:
    """The whole data set, once per process."""
    return TrialData(*(datasets.load("digits", split) for split in ("train", "val", "test")))


@cache
def untrained_classifier() -> dict[str, Tensor]:
    """Guesses classes, always the same way."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return FeatureNet().state_dict()


def noisy_and_clean(
    split: str, config: TrialConfig, data: TrialData | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A split with the noise that trials are judged on, float32 `(N, C, H, W)`."""
    clean = as_float(getattr(data or digits(), split).images)
    noisy = evaluation_noise(clean, config.evaluation.noise_kind, config.evaluation.noise_factor)
    return noisy.numpy(), clean.numpy()


def mean_psnr(images: np.ndarray, clean: np.ndarray) -> float:
    """Mean over images in dB, data range 1, written down once more."""
    mse = np.square(images.astype(np.float64) - clean).mean(axis=(-1, -2)).reshape(-1)
    return float((-10 * np.log10(mse)).mean())


def write(
    folder: Path,
    name: str,
    planned: list[Planned],
    images: TrialData | None = None,
    **settings: Any,
) -> TrainedStudy:
    """Train the trials and deliver the study to `folder`/mlflow.db; of the digits, or others."""
    data = images or digits()
    uri = f"sqlite:///{folder}/mlflow.db"
    delivery = Delivery(uri, name, (folder / "artifacts").as_uri())
    tags = {names.ROLE: names.ROLE_STUDY, names.STATUS: "running"}
    delivery.deliver([_event("run", "", name=name, tags=tags, params={}, time=1_000)])
    for path in _files(folder, name, settings, data):
        delivery.deliver([_event("artifact", "", path=str(path), folder=None)])
    metrics = {
        each.key: _trained(delivery, each, folder / "trials" / each.key, data) for each in planned
    }
    delivery.deliver([_event("status", "", status="finished", reason="", time=9_000_000)])
    runs = {key: known.run_id for key, known in delivery.runs.items() if key}
    return TrainedStudy(name, uri, runs, metrics)


def _event(kind: str, key: str, **fields: Any) -> dict[str, Any]:
    return {"event": kind, "key": key, **fields}


def _trained(
    delivery: Delivery, planned: Planned, folder: Path, data: TrialData
) -> dict[str, float]:
    opens_test = planned.phase != "search"
    if planned.config.model.conditional:
        data = replace(data, classifier=untrained_classifier())
    trial = Session(planned.config, data, folder, open_test=opens_test)
    tags = {
        names.ROLE: names.ROLE_TRIAL, names.STATUS: "running", names.PHASE: planned.phase,
        names.SEED: planned.config.seed, names.CONFIG: planned.config.fingerprint(),
        names.REFERENCE: str(planned.reference).lower(), names.ATTEMPT: 1,
        names.LIKE: planned.like, "vae.device": "cpu", names.KIND: KIND,
    }  # fmt: skip
    if opens_test:
        tags[names.TEST_OPENED] = 2_000
    params = planned.config.model_dump(mode="json")
    run = {"name": f"trial-{planned.key}", "tags": tags, "params": params, "time": 1_000}
    events = [_event("run", planned.key, **run)]
    while True:
        record = trial.next_record()
        assert record.outcome in ("running", "finished"), record.reason
        if record.how:
            tags = {names.RANDOM: record.how["random"], names.WAY: record.how["way"]}
            events.append(_event("tags", planned.key, tags=tags))
        found = {"epoch": record.epoch, "values": record.metrics, "time": record.time_ms}
        events.append(_event("metrics", planned.key, **found))
        if record.outcome == "finished":
            break
    for name in (session.WEIGHTS, session.CONFIG):
        path = str(folder / name)
        events.append(_event("artifact", planned.key, path=path, folder="checkpoint"))
    ended = {"status": "finished", "reason": "", "time": 61_000}
    delivery.deliver([*events, _event("status", planned.key, **ended)])
    return dict(record.metrics)


def _files(folder: Path, name: str, settings: dict[str, Any], data: TrialData) -> list[Path]:
    val = data.val
    info = {
        "name": name, "objectives": [OBJECTIVE], "settings": settings, "distributions": {},
        "classes": list(val.classes), "labelled": val.labelled,
    }  # fmt: skip
    study, examples = folder / names.STUDY_FILE, folder / names.EXAMPLES_FILE
    study.write_text(json.dumps(info))
    origin = folder / names.PROVENANCE_FILE
    facts = {
        "versions": provenance.versions(),
        "machine": provenance.machine(),
        "code": provenance.code_hash(),
        "data": {name: getattr(data, name).fingerprint() for name in ("train", "val")},
        "threads": 1,
    }
    origin.write_text(json.dumps(facts))
    noisy, _ = noisy_and_clean("val", TINY, data)
    np.savez_compressed(
        examples,
        images=val.images.numpy(),
        noisy=(noisy * 255).round().astype(np.uint8),
        labels=val.labels.numpy(),
        codes_images=val.images.numpy(),
        codes_labels=val.labels.numpy(),
        split=np.array("val"),
        eval_noise_kind=np.array(TINY.evaluation.noise_kind),
        eval_noise_factor=np.array(TINY.evaluation.noise_factor),
    )
    return [study, origin, examples]


def seeded(config: TrialConfig, seed: int) -> TrialConfig:
    """The same configuration on another seed."""
    return config.model_copy(update={"seed": seed})
