"""How many kernels a cohort's training step is, and how many images a kernel trains in a study.

    python -m benchmarks.kernel_count
    python -m benchmarks.kernel_count --trials 40 --workers 4 --slots 32

Counted without a GPU, on a step of tensors that have no values: every operation that reaches the
dispatcher and is not a mere view is a kernel. Noisy images, latents and Adam's pass, which a GPU
makes by one kernel each, are counted both ways. The study is one of this package,
dealt to workers as a study with these numbers would, each trial as long as successive halving lets
it be; nothing is trained.
"""

from __future__ import annotations

import argparse
import importlib
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks import measuring
from studies.runner import planning
from studies.runner.settings import Settings
from studies.workers import gathering, workbench
from studies.workers.workbench import Workbench
from vae_trainables import models
from vae_trainables.cohort import Assignment, Cohort, Ways, adam, cohort, layers
from vae_trainables.cohort.fusion import extent, fusion_key
from vae_trainables.cohort.randomness import CounterRandomness
from vae_trainables.config import TrialConfig
from vae_trainables.training.session import Record

FAMILIES: dict[str, dict[str, Any]] = {
    "MLP VAE (R3)": {"kind": "mlp_vae", "hidden": (400,), "latent_dim": 20},
    "MLP AE": {"kind": "mlp_ae", "hidden": (400,), "latent_dim": 20},
    "ConvVAE (R1)": {"kind": "conv_vae"},
    "ConvVAE, SSIM": {"kind": "conv_vae", "ssim_weight": 1.0},
    "ConvVAE, SupCon (R2)": {"kind": "conv_vae", "supcon_gamma": 1.0},
    "residual": {"kind": "res_conv_vae"},
    "conditional": {"kind": "cond_conv_vae"},
    "hierarchical": {"kind": "hier_conv_vae"},
}
NO_KERNEL = {"detach", "_unsafe_view", "lift_fresh", "empty", "empty_like", "empty_strided",
             "new_empty", "new_empty_strided", "alias", "_reshape_alias"}  # fmt: skip
DEVICE = "meta"  # tensors without values, for which no layer takes its way on a CPU
EAGER = Ways(adam="flat", backend="counter", capture=False, kernels=False, proof=False)
ETA = 3


class Kernels(TorchDispatchMode):
    """Counts operations by name; those within `fused` under the name given there."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.eager: Counter[str] = Counter()
        self.fused: Counter[str] = Counter()
        self._within = ""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        if not is_view(func):
            name = func._schema.name.removeprefix("aten::")
            self.eager[self._within or name] += 1
            self.fused[self._within or name] += not self._within
        return func(*args, **(kwargs or {}))

    def one(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` counted as one kernel among `fused`."""

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.fused[name] += 1
            with self.within(name):
                return function(*args, **kwargs)

        return counted

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Operations in here belong to one kernel."""
        before, self._within = self._within, name
        try:
            yield
        finally:
            self._within = before


def _bodiless(config: TrialConfig) -> models.Autoencoder:
    with torch.device(DEVICE):
        return models.build(config.model)


def is_view(func: Any) -> bool:
    """Whether an operation moves no numbers."""
    if func._schema.name.removeprefix("aten::") in NO_KERNEL:
        return True
    alias = func._schema.returns[0].alias_info if func._schema.returns else None
    return alias is not None and not alias.is_write


def step_kernels(config: TrialConfig, like: tuple[TrialConfig, ...] = ()) -> Kernels:
    """The kernels of one training step of a cohort for `config` and those like it."""
    kernels = Kernels()
    draws = {n: kernels.one("random", getattr(CounterRandomness, n)) for n in ("noisy", "latent")}
    with (
        mock.patch.object(CounterRandomness, "noisy", draws["noisy"]),
        mock.patch.object(CounterRandomness, "latent", draws["latent"]),
        mock.patch.object(adam, "flat_adam_", kernels.one("adam", adam.flat_adam_)),
        mock.patch.object(cohort, "build_model", _bodiless),
        mock.patch.object(layers, "lowered", return_value=False),  # knows no such device
    ):
        data = measuring.made_up_data(max(config.optimiser.batch_size, 11), 11)
        made = Cohort(config, data, slots=2, ways=EAGER, like=like, device=DEVICE)
        made._lock_step.step()  # constants are made once
        kernels.fused.clear()
        with kernels:
            made._lock_step.step()
    return kernels


@dataclass
class Tally:
    """Of a simulated study."""

    kernels: int = 0
    images: int = 0
    cohorts: int = 0
    epochs: int = 0
    moves: int = 0
    trained: Counter[Path] = field(default_factory=Counter)
    """Epochs by trial."""
    counted: dict[Any, int] = field(default_factory=dict)


class Counted:
    """A cohort that counts instead of training; to a workbench it is a `Cohort`."""

    def __init__(self, tally: Tally, lengths: Mapping[Path, int], *given: Any, **how: Any) -> None:
        self.tally, self.lengths = tally, lengths
        config, data = given
        self.real = Cohort.__new__(Cohort)
        self.config, self.slots = config, how["slots"]
        self.judge = Judge(config, tuple(how["like"]))
        self.key, self.notes, self.way = self.judge.key, list[str](), "counted"
        self.steps = len(data.train) // config.optimiser.batch_size
        self.seats: dict[int, Path] = {}
        self.tally.cohorts += 1
        known = self.judge.key, self.judge.extent
        if known not in tally.counted:
            made = step_kernels(config, tuple(how["like"]))
            tally.counted[known] = sum(made.fused.values())
        self.kernels = tally.counted[known]

    @property
    def vacant(self) -> list[int]:
        """As of `Cohort`."""
        return [slot for slot in range(self.slots) if slot not in self.seats]

    def accepts(self, config: TrialConfig) -> bool:
        """As of `Cohort`."""
        return not Cohort._obstacles(self.judge, config)  # type: ignore[arg-type]

    def admit(self, slot: int, assignment: Assignment) -> list[Record]:
        """Seat a trial."""
        self.seats[slot] = assignment.folder
        return []

    def release(self, slot: int) -> None:
        """Vacate a slot."""
        del self.seats[slot]

    def prove(self) -> str:
        """As of `Cohort`: nothing speaks against it."""
        return ""

    def run_epoch(self) -> list[tuple[int, Record]]:
        """Count an epoch."""
        if not self.seats:
            return []
        self.tally.kernels += self.steps * self.kernels
        self.tally.images += self.steps * self.config.optimiser.batch_size * len(self.seats)
        self.tally.epochs += 1
        told = []
        for slot, trial in list(self.seats.items()):
            self.tally.trained[trial] += 1
            epoch = self.tally.trained[trial]
            over = epoch >= self.lengths[trial]
            told.append((slot, Record(epoch, "finished" if over else "running")))
            if over:
                del self.seats[slot]
        return told


class Judge:
    """What of a cohort decides whether a configuration may be admitted."""

    def __init__(self, config: TrialConfig, like: tuple[TrialConfig, ...]) -> None:
        self.key, self.extent = fusion_key(config), extent(config, like)


def simulated(study: str, options: argparse.Namespace) -> Tally:
    """Deal a study's trials to workers until all have ended."""
    definition = importlib.import_module(f"studies.{study}").STUDY
    plan = planning.make_plan(definition, Settings(epochs=options.epochs))
    asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    configs = [plan.configure(asked.ask()) for _ in range(options.trials)]
    scratch = Path(tempfile.mkdtemp(prefix="kernel-count-"))  # for what a fault would leave
    lengths = {scratch / str(i): length(i, options.epochs) for i in range(options.trials)}
    data, like, tally = (
        measuring.made_up_data(options.images, 11),
        planning.suggestions(plan),
        Tally(),
    )

    def build(*given: Any, **how: Any) -> Counted:
        return Counted(tally, lengths, *given, **how)

    waiting = list(reversed(list(enumerate(configs))))
    with (
        mock.patch.object(workbench, "Cohort", build),
        mock.patch.object(Workbench, "_alone", side_effect=AssertionError("it would be trained")),
    ):
        benches = {
            str(i): Workbench(data, device="cpu", slots=options.slots, like=like)
            for i in range(options.workers)
        }
        while waiting or any(bench.seats for bench in benches.values()):
            for bench in benches.values():
                while waiting and len(bench.seats) < bench.slots:
                    number, config = waiting.pop()
                    bench.take(str(number), Assignment(config, scratch / str(number)))
                _, evicted = bench.run_epoch()
                assert not evicted, "the dealer's count of slots is not the workers'"
            if not waiting:
                for name in benches:
                    tally.moves += moved(name, benches)
    shutil.rmtree(scratch)
    return tally


def moved(worker: str, benches: Mapping[str, Workbench]) -> int:
    """Move a worker's trials as the dealer would; how many."""
    trials = {
        name: Counter(fusion_key(seat.assignment.config).shared for seat in bench.seats.values())
        for name, bench in benches.items()
    }
    sizes = {n: gathering.Bench(bench.slots, bench.stacked_slots()) for n, bench in benches.items()}
    target = gathering.host(worker, trials, sizes) if trials[worker] else None
    if target is None:
        return 0
    leaving = dict(benches[worker].seats)
    for key, seat in leaving.items():
        benches[worker].release(key)
        benches[target].take(key, seat.assignment)
    return len(leaving)


def length(trial: int, epochs: int) -> int:
    """Epochs of a trial under successive halving: a third goes on at 1, 3, 9, ..."""
    rung, luck = 1, random.Random(trial)
    while rung < epochs and luck.random() < 1 / ETA:
        rung *= ETA
    return min(rung, epochs)


def main() -> None:
    """Count and publish."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--study", nargs="+", default=["denoise_sweep"])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=10)
    parser.set_defaults(device="cpu")
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    rows: list[list[Any]] = []
    for name, settings in FAMILIES.items():
        made = step_kernels(TrialConfig(**settings, noise_factor=0.45, batch_size=128))
        rest = sum(n for kind, n in made.fused.items() if kind not in ("random", "adam"))
        draws, adam = made.fused["random"], made.fused["adam"]
        rows.append(
            [
                name,
                made.eager.total(),
                made.eager["random"],
                draws,
                made.eager["adam"],
                rest,
                rest + draws + adam,
            ]
        )
    columns = ["family", "eager", "of them random", "draws", "of them Adam", "others", "kernels"]
    measuring.publish(options, {"step": rows}, columns, rows)
    studies = []
    for study in options.study:
        tally = simulated(study, options)
        studies.append(
            [
                study,
                tally.cohorts,
                tally.epochs,
                tally.images,
                tally.kernels,
                tally.images / tally.kernels,
                tally.moves,
            ]
        )
    columns = ["study", "cohorts", "cohorts' epochs", "images", "kernels"]
    columns += ["images per kernel", "moved"]
    measuring.publish(options, {"study": studies}, columns, studies)


if __name__ == "__main__":
    main()
