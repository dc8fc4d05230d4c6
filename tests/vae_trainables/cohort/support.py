"""Small data, small configurations, and the single-trial loop to compare cohorts with."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_trainables.cohort import Assignment, Cohort, Ways
from vae_trainables.cohort.member import Member
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.numerics.streams import Streams
from vae_trainables.training.session import Record
from vae_trainables.training.trial import Trial

IMAGES, BATCH = 256, 64


@cache
def small_data(train: int = IMAGES) -> TrialData:
    return TrialData(smooth_split(train, 0), smooth_split(80, 1), smooth_split(48, 2))


def smooth_split(count: int, seed: int) -> Split:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 1, 7, 7, generator=generator)
    images = F.interpolate(coarse, (28, 28), mode="bilinear").mul(255).to(torch.uint8)
    return Split(images, torch.arange(count) % 10)


def config(kind: str = "mlp_vae", **settings: Any) -> TrialConfig:
    small = {"hidden": (48,), "widths": (8, 16), "latent_dim": 16, "batch_size": BATCH}
    return TrialConfig.model_validate({"kind": kind, "epochs": 2, **small, **settings})


def varied(kind: str = "mlp_vae", count: int = 4, **settings: Any) -> list[TrialConfig]:
    """Configurations of one fusion key that differ in all that slots may differ in."""
    return [
        config(
            kind,
            **{
                "seed": 10 + i,
                "lr": 1e-3 * (1 + i),
                "beta": (1.0, 0.5, 4.0, 0.1)[i % 4],
                "noise_factor": (0.45, 0.1, 0.3, 0.2)[i % 4],
                "lr_schedule": ("constant", "cosine", "plateau", "constant")[i % 4],
                "beta_schedule": ("linear", "cosine", "cyclical", "sigmoid")[i % 4],
                "warmup_epochs": (0, 2, 1, 3)[i % 4],
                "weight_decay": (0.0, 1e-2, 0.0, 1e-3)[i % 4],
                **settings,
            },
        )
        for i in range(count)
    ]


def solo(
    chosen: TrialConfig,
    *,
    epochs: int,
    data: TrialData | None = None,
    backend: Any = None,
    device: str = "cpu",
) -> Trial:
    """The specification: the trial alone, after some epochs."""
    trial = Trial(chosen, data or small_data(), device=device)
    trial.streams = Streams(chosen.seed, trial.device, backend)
    for _ in range(epochs):
        trial.run_epoch()
    return trial


class Run:
    """A cohort, the members it was given, and all they said."""

    def __init__(self, cohort: Cohort, folder: Path) -> None:
        self.cohort, self.folder = cohort, folder
        self.members: dict[int, Member] = {}
        self.records: dict[int, list[Record]] = {}

    def admit(self, slot: int, chosen: TrialConfig) -> None:
        number = len(self.records)
        assert self.cohort.admit(slot, Assignment(chosen, self.folder / str(number))) == []
        self.members[slot] = self.cohort.member(slot)
        self.records.setdefault(slot, [])

    def epochs(self, count: int) -> Run:
        for _ in range(count):
            for slot, record in self.cohort.run_epoch():
                self.records[slot].append(record)
        return self


def run_cohort(
    configs: dict[int, TrialConfig],
    folder: Path,
    *,
    slots: int,
    epochs: int,
    ways: Ways | None = None,
    data: TrialData | None = None,
    device: str = "cpu",
    first: TrialConfig | None = None,
) -> Run:
    """The configurations, by slot, trained for some epochs in a fresh cohort."""
    first = first or next(iter(configs.values()))
    cohort = Cohort(
        first,
        data or small_data(),
        slots=slots,
        like=tuple(configs.values()),
        ways=ways,
        device=device,
    )
    run = Run(cohort, folder)
    for slot, chosen in configs.items():
        run.admit(slot, chosen)
    return run.epochs(epochs)


def weights(trial: Trial) -> dict[str, Tensor]:
    """Weights and Adam state, as a checkpoint has them."""
    return trial.state()[0]


def assert_same_bits(found: Trial, expected: Trial) -> None:
    mine, theirs = weights(found), weights(expected)
    assert mine.keys() == theirs.keys()
    different = [name for name in mine if not torch.equal(mine[name], theirs[name])]
    assert different == []


def comparable(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics without the times."""
    return {name: value for name, value in metrics.items() if not name.startswith("time/")}
