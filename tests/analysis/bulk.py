"""Writes realistic studies into an MLflow database in bulk, for tests and for measuring scale.

MLflow's own client creates the schema, the experiment and the parent run; the thousands of trials
then go straight into its tables, about a hundred times faster than call by call.

    python -m tests.analysis.bulk --folder /tmp/bulk --trials 10000 --epochs 20
"""

from __future__ import annotations

import argparse
import json
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, Table, create_engine, event

from studies.tracker import names
from vae_trainables.config import TrialConfig

SPACE: dict[str, dict[str, Any]] = {
    "latent_dim": {"name": "IntDistribution", "low": 4, "high": 64, "log": True, "step": 1},
    "noise_factor": {"name": "FloatDistribution", "low": 0.1, "high": 0.8, "log": False},
    "beta": {"name": "FloatDistribution", "low": 0.01, "high": 4.0, "log": True},
    "beta_schedule": {"name": "CategoricalDistribution", "choices": ["constant", "linear"]},
    "supcon_gamma": {"name": "FloatDistribution", "low": 0.1, "high": 300.0, "log": True},
    "lr": {"name": "FloatDistribution", "low": 1e-4, "high": 1e-2, "log": True},
}
REFERENCE = TrialConfig(
    noise_factor=0.45, beta=1.0, warmup_epochs=8, supcon_gamma=1.0, batch_size=256,
    lr_schedule="plateau",
)  # fmt: skip
FAILURES = {
    "failed": "RuntimeError: CUDA error: an illegal memory access was encountered",
    "diverged": "training loss is nan in epoch 3",
    "out_of_memory": "torch.OutOfMemoryError: tried to allocate 2.50 GiB",
    "worker_lost": "the worker's process died 3 times (last exit: SIGKILL)",
    "interrupted": "interrupted by the user",
}
START_MS = 1_750_000_000_000
EPOCH_MS = 7_000


@dataclass(frozen=True)
class BulkStudy:
    """What to write. Shares are of `trials`; what is left over is finished."""

    name: str = "bulk"
    title: str = "Denoising, made up for tests"
    trials: int = 60
    epochs: int = 20
    pruned: float = 0.5
    failed: float = 0.05
    running: float = 0.0
    confirm_seeds: int = 0
    objectives: tuple[tuple[str, str], ...] = (("val/mse", "minimize"),)
    missing_metrics: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("conv_vae",)
    seed: int = 0
    parent: bool = True
    artifacts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Written:
    """Where a bulk study lies."""

    tracking_uri: str
    experiment_id: str
    parent_id: str | None
    run_ids: tuple[str, ...]


@dataclass(frozen=True)
class _Trial:
    key: str
    phase: str
    status: str
    config: TrialConfig
    epochs: int
    reference: bool = False
    like: str = ""


def write(study: BulkStudy, folder: Path) -> Written:
    """Add `study` to `folder`/mlflow.db, creating it if need be."""
    from mlflow import MlflowClient

    folder.mkdir(parents=True, exist_ok=True)
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri)
    location = (folder / "artifacts" / uuid.uuid4().hex[:8]).as_uri()
    experiment = client.create_experiment(study.name, artifact_location=location)
    parent = _write_parent(client, experiment, study) if study.parent else None
    trials = _trials(study)
    engine = create_engine(uri)
    event.listen(engine, "connect", _trade_safety_for_speed)
    run_ids = _insert(engine, study, trials, experiment, location, parent)
    engine.dispose()
    return Written(uri, experiment, parent, run_ids)


def _trade_safety_for_speed(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = MEMORY")


def _write_parent(client: Any, experiment: str, study: BulkStudy) -> str:
    tags = {names.ROLE: names.ROLE_STUDY, names.STUDY: study.name}
    run = client.create_run(experiment, run_name=study.name, tags=tags, start_time=START_MS)
    run_id: str = run.info.run_id
    described = {
        names.STUDY_FILE: study_info(study),
        names.PROVENANCE_FILE: PROVENANCE,
    } | study.artifacts
    for name, content in described.items():
        if content is not None:
            client.log_dict(run_id, content, name)
    client.set_terminated(run_id, "FINISHED", end_time=START_MS + 3_600_000)
    return run_id


def study_info(study: BulkStudy) -> dict[str, Any]:
    """The parent's study.json."""
    return {
        "name": study.name,
        "kind": "denoise",
        "title": study.title,
        "objectives": [{"metric": m, "direction": d} for m, d in study.objectives],
        "prune_metric": "val/mse",
        "distributions": {k: json.dumps(_optuna_json(v)) for k, v in SPACE.items()},
        "reference": REFERENCE.model_dump(mode="json"),
        "settings": {"trials": study.trials, "epochs": study.epochs, "sampler": "tpe"},
        "command": f"python -m studies.denoise_sweep --study '{study.name}'",
    }


def _optuna_json(distribution: dict[str, Any]) -> dict[str, Any]:
    attributes = {k: v for k, v in distribution.items() if k != "name"}
    return {"name": distribution["name"], "attributes": attributes}


PROVENANCE = {
    "command": "python -m studies.denoise_sweep --tracking-uri postgresql://ada:s3cret@db/mlflow",
    "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False},
    "versions": {"torch": "2.15.0", "ray": "2.60.0", "mlflow": "3.17.2"},
    "machine": {"cpu": "a made-up processor", "system": "Linux"},
    "data": {"train": "aa11bb22cc33dd44", "val": "ee55ff66aa77bb88"},
    "threads": 1,
}


def _trials(study: BulkStudy) -> list[_Trial]:
    rng = np.random.default_rng(study.seed)
    kinds = rng.choice(study.kinds, size=study.trials)
    statuses = _statuses(study, rng)
    some_finish = study.failed + study.running + study.pruned < 0.999
    trials = []
    for i in range(study.trials):
        first = i == 0
        config = REFERENCE if first else sample_config(rng, str(kinds[i]))
        config = config.model_copy(update={"epochs": study.epochs})
        status = "finished" if first and some_finish else statuses[i]
        epochs = _epochs_run(status, study.epochs, rng)
        trials.append(_Trial(f"{i:04d}", "search", status, config, epochs, reference=first))
    return trials + _confirmations(study, trials)


def _statuses(study: BulkStudy, rng: np.random.Generator) -> list[str]:
    failures = rng.choice(list(FAILURES), size=study.trials)
    draw = rng.random(study.trials)
    limits = np.cumsum([study.failed, study.running, study.pruned])
    kinds = np.searchsorted(limits, draw, side="right")
    table = {1: "running", 2: "pruned", 3: "finished"}
    return [str(failures[i]) if kind == 0 else table[int(kind)] for i, kind in enumerate(kinds)]


def _epochs_run(status: str, epochs: int, rng: np.random.Generator) -> int:
    """Pruned trials stop at a rung of successive halving, failed ones anywhere, even at once."""
    if status == "finished":
        return epochs
    if status == "pruned":
        rungs = [rung for rung in (1, 2, 4, 8, 16) if rung < epochs] or [1]
        weights = 0.5 ** np.arange(len(rungs))
        return int(rng.choice(rungs, p=weights / weights.sum()))
    return int(rng.integers(0, epochs))


def sample_config(rng: np.random.Generator, kind: str) -> TrialConfig:
    """One configuration from SPACE."""
    values: dict[str, Any] = {}
    for name, d in SPACE.items():
        if "choices" in d:
            values[name] = str(rng.choice(d["choices"]))
            continue
        low, high = np.log([d["low"], d["high"]]) if d["log"] else (d["low"], d["high"])
        drawn = rng.uniform(low, high)
        value = float(np.exp(drawn)) if d["log"] else float(drawn)
        values[name] = round(value) if d["name"] == "IntDistribution" else value
    return TrialConfig.model_validate(
        {**values, "kind": kind, "warmup_epochs": 8, "batch_size": 256}
    )


def _confirmations(study: BulkStudy, trials: list[_Trial]) -> list[_Trial]:
    """The best three configurations and the reference, on the same fresh seeds."""
    finished = [t for t in trials if t.status == "finished"]
    best = sorted((t for t in finished if not t.reference), key=lambda t: plateau(t.config))[:3]
    chosen = [t for t in [*finished[:1], *best] if t.reference or t in best]
    runs = [(trial, 1_000_000 + seed) for seed in range(study.confirm_seeds) for trial in chosen]
    return [
        _Trial(
            f"confirm-{number:04d}",
            "confirm",
            "finished",
            trial.config.model_copy(update={"seed": seed}),
            study.epochs,
            reference=trial.reference,
            like=trial.key,
        )
        for number, (trial, seed) in enumerate(runs)
    ]


def plateau(config: TrialConfig) -> float:
    """The MSE that a configuration would reach after endless training, without luck."""
    rate = 0.0105 + 0.06 / config.model.latent_dim**0.75
    distortion = 0.0012 * np.log1p(config.objective.beta) * 2
    mismatch = 0.01 * (config.noise.factor - 0.45) ** 2
    step_size = 0.0006 * np.log10(config.optimiser.lr / 1.2e-3) ** 2
    supcon = 0.002 * (config.objective.supcon_gamma / 300) ** 0.7
    return float(rate + distortion + mismatch + step_size + supcon)


def curves(trial: _Trial, seed: int) -> dict[str, np.ndarray]:
    """Metrics per epoch, each of shape `(trial.epochs,)`."""
    rng = np.random.default_rng([seed, trial.config.seed, int(trial.key[-4:])])
    epoch = np.arange(1, trial.epochs + 1)
    luck = 1 + 0.01 * rng.standard_normal()
    decay = 0.05 * epoch ** -(0.9 + 0.2 * rng.random())
    jitter = 1 + 0.01 * rng.standard_normal(len(epoch)) / np.sqrt(epoch)
    mse = (plateau(trial.config) * luck + decay * 0.25) * jitter
    kl = 16 * np.log2(1 + trial.config.model.latent_dim / 4) / (1 + trial.config.objective.beta)
    recon = 215 + 1500 * mse
    supcon = 5.54 - 0.35 * np.log1p(trial.config.objective.supcon_gamma)
    ones = np.ones(len(epoch))
    found = {
        "val/mse": mse,
        "val/psnr": -10 * np.log10(mse) + 0.35,
        "val/ssim": 0.95 - 21 * mse,
        "val/neg_elbo": recon + kl,
        "val/recon": recon,
        "val/kl": kl * ones,
        "val/active_units": np.floor(min(trial.config.model.latent_dim, 4 + 3 * kl)) * ones,
        "val/probe": 0.79 + 0.017 * np.log1p(trial.config.objective.supcon_gamma) + 0.004 * jitter,
        "train/loss": recon * 0.99 + trial.config.objective.beta * kl,
        "train/recon": recon * 0.99,
        "train/kl": kl * ones,
        "train/supcon": supcon * ones,
        "beta": trial.config.objective.beta * np.minimum(1, epoch / 8),
        "lr": trial.config.optimiser.lr * ones,
        "time/epoch_s": EPOCH_MS / 1000 * (0.9 + 0.1 * rng.random(len(epoch))),
    }
    if trial.phase == "confirm":
        found |= {k.replace("val/", "test/"): v[-1:] * 1.01 for k, v in found.items() if "val" in k}
        found["test/knn"] = np.array([0.85])
    return found


def _insert(
    engine: Engine,
    study: BulkStudy,
    trials: list[_Trial],
    experiment: str,
    location: str,
    parent: str | None,
) -> tuple[str, ...]:
    from mlflow.store.tracking.dbmodels import models

    rows: dict[Table, list[dict[str, Any]]] = {}
    tables = {
        name: getattr(models, name).__table__
        for name in ("SqlRun", "SqlTag", "SqlParam", "SqlMetric", "SqlLatestMetric")
    }
    run_ids = []
    with engine.begin() as connection:
        for number, trial in enumerate(trials):
            run_id = uuid.UUID(int=hash((study.name, number)) % 2**127, version=4).hex
            run_ids.append(run_id)
            for name, found in _rows(study, trial, number, run_id, parent).items():
                rows.setdefault(tables[name], []).extend(found)
            run = rows[tables["SqlRun"]][-1]
            run |= {"experiment_id": int(experiment), "artifact_uri": f"{location}/{run_id}"}
            if len(run_ids) % 500 == 0 or number == len(trials) - 1:
                for table in tables.values():
                    if rows.get(table):
                        connection.execute(table.insert(), rows.pop(table))
    return tuple(run_ids)


def _rows(
    study: BulkStudy, trial: _Trial, number: int, run_id: str, parent: str | None
) -> dict[str, list[dict[str, Any]]]:
    start = START_MS + number * 1_000
    params = {k: _text(v) for k, v in trial.config.model_dump(mode="json").items()}
    tags = _tags(study, trial, parent)
    metrics = [
        {
            "run_uuid": run_id, "key": key, "value": float(value), "is_nan": False,
            "step": trial.epochs - len(values) + i + 1, "timestamp": start + (i + 1) * EPOCH_MS,
        }
        for key, values in curves(trial, study.seed).items()
        if key not in study.missing_metrics
        for i, value in enumerate(values)
    ]  # fmt: skip
    latest = {row["key"]: row for row in metrics}
    run = {
        "run_uuid": run_id, "name": f"trial-{trial.key}", "user_id": "ada", "source_type": "LOCAL",
        "source_name": "", "entry_point_name": "", "source_version": "",
        "status": names.MLFLOW_STATUS[trial.status], "start_time": start,
        "end_time": None if trial.status == "running" else start + trial.epochs * EPOCH_MS,
        "lifecycle_stage": "active",
    }  # fmt: skip
    return {
        "SqlRun": [run],
        "SqlTag": [{"run_uuid": run_id, "key": k, "value": v} for k, v in tags.items()],
        "SqlParam": [{"run_uuid": run_id, "key": k, "value": v} for k, v in params.items()],
        "SqlMetric": metrics,
        "SqlLatestMetric": list(latest.values()),
    }


def _tags(study: BulkStudy, trial: _Trial, parent: str | None) -> dict[str, str]:
    tags = {
        names.ROLE: names.ROLE_TRIAL,
        names.STUDY: study.name,
        names.TRIAL: trial.key,
        names.PHASE: trial.phase,
        names.STATUS: trial.status,
        names.SEED: str(trial.config.seed),
        names.CONFIG: trial.config.fingerprint(),
        names.ATTEMPT: "1",
    }
    if parent:
        tags[names.PARENT] = parent
    if trial.like:
        tags |= {names.LIKE: trial.like, names.TEST_OPENED: str(START_MS)}
    if trial.reference:
        tags[names.REFERENCE] = "true"
    if trial.status in FAILURES:
        tags[names.REASON] = FAILURES[trial.status]
    return tags


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def main() -> None:
    """Write one study from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--study", default="bulk")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--pruned", type=float, default=0.5, help="share of pruned trials")
    parser.add_argument("--confirm-seeds", type=int, default=5)
    chosen = parser.parse_args()
    study = BulkStudy(
        name=chosen.study,
        trials=chosen.trials,
        epochs=chosen.epochs,
        pruned=chosen.pruned,
        confirm_seeds=chosen.confirm_seeds,
    )
    print(write(study, chosen.folder).tracking_uri)


if __name__ == "__main__":
    main()
