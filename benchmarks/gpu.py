"""All that is to be measured on a GPU, in one command of at most ten minutes; writes a page.

    make gpu-bench
    python -m benchmarks.gpu --device cpu --quick --out /tmp/page

Needs torch, pydantic and safetensors alone, and no data: pixels are made up. Contestants are taken
in turn with the usual way, `usual`: a plain model, a DataLoader whose data set makes a float tensor
of each image, torch's default Adam, one model at a time, no Ray, MLflow or search around it.
`eager` has its images on the device instead; `alone` is a trial of this project; `cohort-K` are K
trials in lock-step. Seconds are those of a model's epoch: training, validation, copies and
checkpoints. What the time does not allow is left out, and the page says so.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks import measuring, usual_way
from benchmarks.cohort_speed import Eager, Fused
from benchmarks.gpu_page import Row, limits, page
from studies.doctor import machine
from vae_trainables.cohort import Cohort, Ways, free_memory
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.errors import in_one_line
from vae_trainables.training.trial import Trial

PAGE, ERRORS = "gpu.md", "gpu-errors.txt"
SEVERAL = 32


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images as a tutorial's data set gives them, one float tensor at a time."""

    def __init__(self, split: Split) -> None:
        self.images, self.labels = split.images.numpy(), split.labels.tolist()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.from_numpy(self.images[index]).float().div(255), self.labels[index]


class Usual:
    """An epoch of the usual way on `device`."""

    def __init__(self, config: TrialConfig, data: TrialData, device: torch.device) -> None:
        self.device, self.beta = device, config.objective.beta
        self.model = usual_way.build(config.model.kind, config.model.latent_dim).to(device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.optimiser.lr)
        self.train = DataLoader(Pictures(data.train), config.optimiser.batch_size, shuffle=True)
        self.val = DataLoader(Pictures(data.val), config.optimiser.batch_size)

    def __call__(self) -> None:
        usual_way.train_epoch(self.model, self.optimizer, self._there(self.train), self.beta)
        self.model.eval()
        with torch.no_grad():
            for x, _ in self._there(self.val):
                torch.stack(usual_way.losses(self.model, x)).tolist()

    def _there(self, batches: DataLoader[Any]) -> Iterator[tuple[Tensor, Tensor]]:
        return ((x.to(self.device), labels) for x, labels in batches)


@dataclass(frozen=True)
class Contestant:
    """Who is compared with the usual way."""

    name: str
    slots: int = 1
    ways: Ways | None = None
    """None: not a cohort."""
    settings: dict[str, Any] = field(default_factory=dict)


def contestants(model: str, slots: Sequence[int]) -> list[Contestant]:
    """The most telling first: time may run out."""
    several = min(SEVERAL, max(slots))
    chosen = [Contestant("eager"), Contestant("alone")]
    chosen += [Contestant(f"cohort-{count}", count, Ways()) for count in slots]
    others: dict[str, Contestant] = {
        "tf32": Contestant("", several, Ways(), {"precision": "tf32"}),
        "bf16": Contestant("", several, Ways(), {"precision": "bf16"}),
        "un-captured": Contestant("", several, Ways(capture=False)),
        "eager": Contestant("", several, Ways.plain()),
    }
    if model == "conv":
        unrepeatable = Contestant("", several, Ways(repeatable=False))
        others = {"im2col": Contestant("", several, Ways("im2col"))} | others
        others["any-algorithm"] = unrepeatable
    return chosen + [
        Contestant(f"cohort-{several}-{name}", one.slots, one.ways, one.settings)
        for name, one in others.items()
    ]


@dataclass
class Bench:
    """One device's measurements."""

    device: torch.device
    data: TrialData
    rounds: int
    deadline: float
    folder: Path
    rows: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def run(self, model: str, slots: Sequence[int]) -> None:
        """All contestants of a model, each printed when it is measured."""
        config = measuring.workload(model, beta_schedule="constant")
        usual = Usual(config, self.data, self.device)
        for contestant in contestants(model, slots):
            name = f"{model} {contestant.name}"
            if time.monotonic() > self.deadline:
                self.left_out.append(f"{name}: no time was left")
                continue
            try:
                row = self._measured(model, config, contestant, usual)
            except Exception as error:
                self.left_out.append(f"{name}: {self._kept(name, error)}")
                continue
            finally:
                free_memory()
            self.rows.append(row)
            print(f"{name}: {1e3 * row.seconds:.3g} ms, {row.over_usual:.3g} x usual", flush=True)

    def _measured(
        self, model: str, config: TrialConfig, contestant: Contestant, usual: Usual
    ) -> Row:
        config = config.model_copy(update=contestant.settings)
        self._start_counting()
        with tempfile.TemporaryDirectory() as scratch:
            epoch, close = self._epoch_of(config, contestant, Path(scratch))
            parts: list[tuple[float, float]] = []
            both: dict[str, Callable[[], float]] = {
                "usual": partial(measuring.seconds, usual, self.device),
                "other": lambda: _noted(parts, epoch()),
            }
            times = measuring.interleaved(both, self.rounds)
            memory = self._peak() / contestant.slots
            detail = close()
        each = [value / contestant.slots for value in times["other"]]
        ratios = (u / e for u, e in zip(times["usual"], each, strict=True))
        train = statistics.median(part[1] for part in parts[1:]) / contestant.slots
        return Row(
            model,
            contestant.name,
            contestant.slots,
            statistics.median(each),
            train,
            statistics.median(ratios),
            memory,
            detail,
        )

    def _epoch_of(
        self, config: TrialConfig, contestant: Contestant, scratch: Path
    ) -> tuple[Callable[[], tuple[float, float]], Callable[[], str]]:
        """An epoch's seconds, whole and of training; and what is left to do and say at the end."""
        if contestant.ways is not None:
            cohort = Cohort(
                config,
                self.data,
                slots=contestant.slots,
                device=self.device,
                ways=contestant.ways,
                save_every_s=30.0,
            )
            detail = "; ".join([cohort.way, *cohort.notes])
            fused = Fused(cohort, scratch)
            return partial(self._timed, fused.epoch), partial(_disbanded, cohort, detail)
        if contestant.name == "eager":
            eager = Eager(config, self.data, self.device)
            train = partial(measuring.seconds, eager.epoch, self.device)
            return partial(self._timed, train), lambda: "training alone"
        trial = Trial(config, self.data, device=self.device)
        return partial(self._timed, partial(_train_seconds, trial)), lambda: trial.streams.backend

    def _timed(self, train: Callable[[], float]) -> tuple[float, float]:
        kept: list[float] = []
        whole = measuring.seconds(lambda: kept.append(train()), self.device)
        return whole, kept[0]

    def _start_counting(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)

    def _peak(self) -> float:
        """MiB that the contestant has added at most."""
        if self.device.type != "cuda":
            return 0.0
        return (torch.cuda.max_memory_allocated(self.device) - self._before) / 2**20

    def _kept(self, name: str, error: Exception) -> str:
        with (self.folder / ERRORS).open("a") as file:
            file.write(f"{name}\n{''.join(traceback.format_exception(error))}\n")
        return f"{in_one_line(error)} (traceback: {ERRORS})"


def _train_seconds(trial: Trial) -> float:
    return trial.run_epoch()["time/epoch_s"]


def _noted(parts: list[tuple[float, float]], seconds: tuple[float, float]) -> float:
    parts.append(seconds)
    return seconds[0]


def _disbanded(cohort: Cohort, detail: str) -> str:
    cohort.disband()
    return detail


def left_out(lines: Sequence[str]) -> str:
    """The page's last section, where there is anything to say."""
    return "\n## Left out\n\n" + "\n".join(f"- {line}" for line in lines) + "\n" if lines else ""


def main(arguments: list[str] | None = None) -> int:
    """0; 1 if something was left out; 2 without a GPU."""
    parser = measuring.parser(__doc__)
    parser.add_argument("--models", nargs="+", choices=sorted(measuring.MODELS), default=None)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 8, 32, 128])
    parser.add_argument("--minutes", type=float, default=9.0, help="nothing new is begun after")
    parser.add_argument("--quick", action="store_true", help="few images: does it run?")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.set_defaults(device="cuda")
    options = parser.parse_args(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        print("error: torch sees no GPU; --device cpu --quick --out FOLDER tries the command")
        return 2
    if options.quick:
        options.images, options.slots, options.rounds = 512, [1, 2], 1
    deadline = time.monotonic() + 60 * options.minutes
    device = measuring.prepare(options)
    models = options.models or ["mlp", "conv"]
    options.out.mkdir(parents=True, exist_ok=True)
    data = measuring.made_up_data(options.images, max(256, options.images // 10))
    bench = Bench(device, data, options.rounds, deadline, options.out)
    computed = limits(device, options.images, models)
    for model in models:
        bench.run(model, options.slots)
    facts = machine.facts()
    path = options.out / PAGE
    measured = page(bench.rows, facts, computed, options, len(data.val))
    path.write_text(measured + left_out(bench.left_out))
    report = {"machine": facts, "limit_s": computed, "rows": list(map(asdict, bench.rows))}
    path.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    print("\n".join([f"page: {path}", *bench.left_out]))
    return int(bool(bench.left_out))


if __name__ == "__main__":
    raise SystemExit(main())
