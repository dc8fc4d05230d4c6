"""Learning curves of many configurations, trained by the runner: a table to replay searches on.

    python -m benchmarks.learning_curves collect --storage runs/curves --configurations 400
    python -m benchmarks.learning_curves export --storage runs/curves
    python -m benchmarks.learning_curves costs

`collect` draws configurations at random from the wide space of `denoise_sweep` without its dear
corner, and trains each to its last epoch on two seeds; stopped, it goes on where it was. `export`
adds what has ended to the table that is checked in (`curve_table.load`). A batch is what one seed
of the sampler draws: in a new storage, `collect` begins the batch behind those of the table, so
that nothing is trained twice. `costs` trains a few of each kind and prints what they take.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import optuna
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from analysis.tracker import results, runs
from analysis.tracker.client import Record, Tracker
from benchmarks import real_images
from benchmarks.curve_table import PATH, CurveTable, load, merged, save
from studies import denoise_sweep, families
from studies.definition import Objective, StudyDefinition
from studies.errors import StudyError
from studies.front import Study
from studies.runner.planning import Plan, make_plan
from studies.runner.settings import Settings
from studies.tracker import names
from vae_trainables.config import TrialConfig
from vae_trainables.training.trial import Trial

TRAIN_IMAGES, VAL_IMAGES, SIDE, EPOCHS, SEEDS = 2_000, 500, 14, 8, 2
DATA = f"fashion-mnist-{SIDE}x{SIDE}-{TRAIN_IMAGES}"
WIDTH = 0.5  # largest capacity
KINDS = ["conv_vae", "res_conv_vae", "hier_conv_vae", "mlp_vae", "mlp_ae", "conv_ae"]
SEED_OF_BATCH = 1_000  # batch b is drawn, and trained first, with the seed b * SEED_OF_BATCH
PER_BATCH = 400  # configurations
ENDED = ("finished", "diverged", "failed", "out_of_memory")
LEFT_OUT = ("seed", "threads", "watch", "watch_direction")  # of a configuration in the table


def space(trial: optuna.Trial) -> dict[str, Any]:
    """The wide space of `denoise_sweep` for few small images: less capacity, no large batches."""
    fields = families.model(trial, KINDS, latent=(4, 256), width=WIDTH, blocks=2)
    return {
        **fields,
        "noise_factor": trial.suggest_float("noise_factor", 0.2, 0.7),
        **families.reconstruction(trial, ["bernoulli", "continuous_bernoulli", "sigma"]),
        **families.divergence(trial, fields["kind"], beta=(1e-4, 4.0), warmup=(1, 10)),
        **families.contrast(trial),
        **families.descent(trial, largest=256),
    }


def images() -> Mapping[str, Any]:
    """The first training and validation images of Fashion-MNIST at half their size, each pixel the
    mean of four; others as a test set."""
    train, val, _ = real_images.load("fashion-mnist")
    arrays = {
        "train": (train, slice(TRAIN_IMAGES)),
        "val": (val, slice(VAL_IMAGES)),
        "test": (val, slice(VAL_IMAGES, 2 * VAL_IMAGES)),  # which a search does not open
    }
    return {
        f"{letter}_{part}": values.numpy()
        for part, (split, rows) in arrays.items()
        for letter, values in (("x", _halved(split.images[rows])), ("y", split.labels[rows]))
    }


def _halved(pixels: Tensor) -> Tensor:
    """uint8 `(N, 1, 28, 28)` to `(N, 1, SIDE, SIDE)`."""
    means = avg_pool2d(pixels.float(), kernel_size=pixels.shape[-1] // SIDE)
    return means.round().to(torch.uint8)


STUDY = StudyDefinition(
    kind="learning_curves",
    title="Learning curves of denoising autoencoders on a part of Fashion-MNIST",
    reference=denoise_sweep.REFERENCE.model_copy(
        update={"dataset": DATA, "image_size": SIDE, "width": WIDTH, "epochs": EPOCHS}
    ),
    space=space,
    objectives={"denoise": Objective("val/mse", "minimize")},
    prune_on=Objective("val/mse", "minimize"),
    reference_choices={"supcon": True},
    data=images,
)


def plan() -> Plan:
    """What is trained, without its data."""
    return make_plan(STUDY, Settings(epochs=EPOCHS, scheduler="none", sampler="random"))


def study_name(batch: int) -> str:
    """Of a batch's study in its storage."""
    return f"learning-curves-{batch}"


def collect(storage: Path, configurations: int, cpus: int) -> int:
    """Train a batch, or go on with the one in the storage; the exit code."""
    there = batches_in(storage)
    batch = there[-1] if there else _behind_the_table()
    result = Study(STUDY).run(
        study=study_name(batch),
        storage=storage,
        resume=bool(there),
        seed=batch * SEED_OF_BATCH,
        seeds=SEEDS,
        trials=configurations,
        epochs=EPOCHS,
        sampler="random",
        scheduler="none",
        max_failures=configurations,
        cpus=cpus,
    )
    outcome = result.outcome
    print(f"batch {batch}: {outcome}")
    return 0 if outcome == "finished" else 1


def batches_in(storage: Path) -> list[int]:
    """Numbers of the batches whose ledgers lie in a storage, ascending."""
    prefix = study_name(0).removesuffix("0")
    folders = storage.glob(f"{prefix}*/ledger.journal")
    return sorted(int(path.parent.name.removeprefix(prefix)) for path in folders)


def _behind_the_table() -> int:
    return int(load().batches.max()) + 1 if PATH.exists() else 0


def export(storage: Path, out: Path) -> CurveTable:
    """What has ended in a storage, added to the table in `out`, if there is one."""
    table = load(out) if out.exists() else None
    for batch in batches_in(storage):
        fresh = of_batch(storage, batch)
        table = fresh if table is None else merged(table, fresh)
    if table is None:
        raise StudyError(f"there are no curves in {storage}: collect some first")
    save(table, out)
    return table


def of_batch(storage: Path, batch: int) -> CurveTable:
    """The configurations of one batch of which no seed is left to train, as the tracker has them.

    One whose first seed did not finish has no second: nothing is known to average.
    """
    tracker = Tracker(f"sqlite:///{storage.absolute()}/mlflow.db")
    records = [record for record in tracker.records(study_name(batch)) if runs.is_trial(record)]
    groups: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: record.tags[names.TRIAL]):
        groups.setdefault(record.tags[names.CONFIG], []).append(record)
    whole = [group for group in groups.values() if _has_ended(group)]
    trained = [record for group in whole for record in group]
    run_ids = [record.run_id for record in trained]
    measured = {metric for record in trained for metric in record.metrics}
    metrics = tuple(sorted(name for name in measured if not name.startswith(names.COST)))
    place = {
        record.run_id: (row, seed)
        for row, group in enumerate(whole)
        for seed, record in enumerate(group)
    }
    values = np.full((len(whole), SEEDS, EPOCHS, len(metrics)), np.nan, np.float32)
    for point in tracker.histories(run_ids, metrics):
        values[(*place[point.run_id], point.step - 1, metrics.index(point.metric))] = point.value
    seeds = np.full((len(whole), SEEDS), -1, np.int64)
    status = np.full((len(whole), SEEDS), "", "<U16")
    for record in trained:
        seeds[place[record.run_id]] = int(record.tags[names.SEED])
        status[place[record.run_id]] = record.tags[names.STATUS]
    configs = [TrialConfig.from_texts(group[0].params) for group in whole]
    return CurveTable(
        parameters=tuple(parameters_of(config) for config in configs),
        configs=tuple(config.flat(without=LEFT_OUT) for config in configs),
        batches=np.full(len(whole), batch, np.int64),
        seeds=seeds,
        status=status,
        metrics=metrics,
        values=values,
        facts=facts(tracker, batch),
    )


def _has_ended(group: list[Record]) -> bool:
    statuses = [record.tags.get(names.STATUS) for record in group]
    return all(status in ENDED for status in statuses) and (
        len(group) == SEEDS or statuses[0] != "finished"
    )


def parameters_of(config: TrialConfig) -> dict[str, Any]:
    """By which answers the space leads to a configuration."""
    choices = {
        "supcon": config.objective.supcon_gamma > 0,
        "layers": len(config.model.hidden),
    }
    trial = optuna.trial.FixedTrial({**config.model_dump(), **choices})
    space(trial)  # type: ignore[arg-type]
    return dict(trial.params)


def facts(tracker: Tracker, batch: int) -> dict[str, Any]:
    """What the table's user should know, and what two tables must share to be one."""
    provenance = results.collect(study_name(batch), tracker).provenance
    return {
        "data": DATA,
        "train_images": TRAIN_IMAGES,
        "val_images": VAL_IMAGES,
        "epochs": EPOCHS,
        "space": plan().fingerprint()["space"],
        **{name: provenance[name] for name in ("git", "versions", "machine")},
    }


def costs(each: int) -> None:
    """Seconds of a training by kind, in this process."""
    from vae_trainables.datasets.source import open_source
    from vae_trainables.datasets.splits import TrialData

    splits = open_source(DATA, arrays=images).splits(("train", "val"))
    data = TrialData(splits["train"], splits["val"])
    asked = plan()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    while any(len(measured) < each for measured in seconds.values()):
        config = asked.configure(study.ask())
        if len(seconds[config.model.kind]) < each:
            began = time.process_time()
            Trial(config, data).run_epoch()
            seconds[config.model.kind].append(EPOCHS * (time.process_time() - began))
    for kind, measured in seconds.items():
        print(f"{kind}: {mean(measured):.1f} s, {min(measured):.1f} to {max(measured):.1f}")
    print(f"mean {mean(s for measured in seconds.values() for s in measured):.1f} s of CPU")


def parsed() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("way", choices=("collect", "export", "costs"), help="collect goes on")
    parser.add_argument("--storage", type=Path, default=Path("runs/curves"))
    parser.add_argument("--configurations", type=int, default=PER_BATCH, help="of a batch")
    parser.add_argument("--cpus", type=int, default=1, help="trainings at a time")
    parser.add_argument("--out", type=Path, default=PATH, help="of export")
    parser.add_argument("--each", type=int, default=10, help="of costs: trainings of each kind")
    return parser.parse_args()


def main() -> int:
    """Collect, export or measure."""
    given = parsed()
    try:
        if given.way == "collect":
            return collect(given.storage, given.configurations, given.cpus)
        if given.way == "export":
            table = export(given.storage, given.out)
            size = given.out.stat().st_size / 1e6
            print(
                f"{len(table)} configurations, {int(table.complete().sum())} of them complete on "
                f"{SEEDS} seeds, {len(table.metrics)} metrics: {given.out}, {size:.2f} MB"
            )
        else:
            costs(given.each)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
