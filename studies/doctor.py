"""`python -m studies.doctor`: which fast paths of this machine's GPUs are right, and how fast.

Needs neither Ray nor MLflow nor data: it trains on noise, some minutes for each GPU. A verdict that
is written to a study's storage is obeyed by its `--convolution auto`.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

import torch

from studies.workers.verdict import VERDICT
from vae_trainables.cohort import Cohort, Ways, free_memory
from vae_trainables.cohort.layers import Convolution
from vae_trainables.config import TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.errors import in_one_line
from vae_trainables.numerics import fast

Status = Literal["ok", "slower", "wrong", "failed"]
TRACEBACKS = "doctor-errors.txt"
SLOTS, COMPARED = (1, 2, 8, 32), 8
STEPS = 20
MODELS = {
    "mlp": TrialConfig(kind="mlp_vae", noise_factor=0.45),
    "conv": TrialConfig(kind="conv_vae", noise_factor=0.45, supcon_gamma=1.0),
}


@dataclass(frozen=True)
class Line:
    """What one check found."""

    name: str
    status: Status
    detail: str
    images_per_s: float = 0.0
    mb_per_slot: float = 0.0


@dataclass
class Examination:
    """The checks of one device; a check that raises is a line like another."""

    device: torch.device
    folder: Path
    models: dict[str, TrialConfig] = field(default_factory=lambda: dict(MODELS))
    slots: tuple[int, ...] = SLOTS
    lines: list[Line] = field(default_factory=list)

    def run(self) -> None:
        """All checks, each printed as soon as it is known."""
        for name, check in self._checks():
            try:
                line = check()
            except Exception as error:
                line = Line(name, "failed", self._kept(name, error))
            free_memory()
            self.lines.append(line)
            print(f"{line.status:7} {line.name}: {line.detail}", flush=True)

    def _checks(self) -> Iterator[tuple[str, Callable[[], Line]]]:
        where = f"{self.device}"
        yield f"{where} kernels", lambda: self._kernels(f"{where} kernels")
        for model, config in self.models.items():
            compared = min(COMPARED, max(self.slots))
            for slots in self.slots:
                yield self._cohort(f"{where} {model} {slots} slots", config, slots, Ways())
            bf16 = config.model_copy(update={"precision": "bf16"})
            yield self._cohort(f"{where} {model} bf16", bf16, compared, Ways())
            yield self._cohort(f"{where} {model} eager", config, compared, Ways.plain())
            if model == "conv":
                yield self._cohort(f"{where} {model} im2col", config, compared, Ways("im2col"))

    def _kernels(self, name: str) -> Line:
        trouble = fast.on(self.device).trouble
        return Line(name, "slower" if trouble else "ok", trouble or "as torch's own operations")

    def _cohort(
        self, name: str, config: TrialConfig, slots: int, ways: Ways
    ) -> tuple[str, Callable[[], Line]]:
        return name, lambda: self._measured(name, config, slots, ways)

    def _measured(self, name: str, config: TrialConfig, slots: int, ways: Ways) -> Line:
        before = self._allocated()
        cohort = Cohort(config, noise_data(config), slots=slots, device=self.device, ways=ways)
        memory = (self._allocated() - before) / slots / 1e6
        reason, notes = cohort.prove(), cohort.notes
        rate, way = cohort.rehearse(STEPS), cohort.way
        cohort.disband()
        status: Status = "ok"
        if reason:
            status = "wrong" if "differ" in reason else "failed" if "failed" in reason else "slower"
        elif notes:
            status = "slower"
        said = "; ".join([f"{rate:,.0f} images/s", f"{memory:.1f} MB a slot", way, *notes, reason])
        return Line(name, status, said.rstrip("; "), rate, memory)

    def _allocated(self) -> int:
        return torch.cuda.memory_allocated(self.device) if self.device.type == "cuda" else 0

    def _kept(self, name: str, error: Exception) -> str:
        path = self.folder / TRACEBACKS
        with path.open("a") as file:
            file.write(f"{name}\n{''.join(traceback.format_exception(error))}\n")
        return f"{in_one_line(error)} (traceback: {path})"


def noise_data(config: TrialConfig) -> TrialData:
    """Images and labels at random, a few batches."""
    count = (STEPS + 2) * config.optimiser.batch_size
    shape = (count, *config.model.image_shape)
    images = torch.randint(256, shape, dtype=torch.uint8)
    train = Split(images, torch.randint(10, (count,)))
    return TrialData(train, train.take(256))


def verdict(lines: list[Line]) -> dict[str, Convolution]:
    """What studies should use: the flags of that name."""
    rates = {line.name.split(" ", 1)[1]: line for line in lines if line.status in ("ok", "slower")}
    grouped, im2col = rates.get(f"conv {COMPARED} slots"), rates.get("conv im2col")
    if im2col and (not grouped or im2col.images_per_s > grouped.images_per_s):
        return {"convolution": "im2col"}
    return {"convolution": "grouped"}


def machine() -> dict[str, str]:
    """Versions, and what torch sees of the GPUs."""
    facts = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda of torch": str(torch.version.cuda),
        "GPUs": str(torch.cuda.device_count()),
    }
    for index in range(torch.cuda.device_count()):
        seen = torch.cuda.get_device_properties(index)
        memory = seen.total_memory / 2**30
        facts[f"cuda:{index}"] = f"{seen.name}, sm_{seen.major}{seen.minor}, {memory:.0f} GiB"
    return facts


def main(arguments: list[str] | None = None) -> int:
    """0, also without a GPU; 1 if a check is wrong or has failed."""
    parser = argparse.ArgumentParser(prog="python -m studies.doctor", description=__doc__)
    parser.add_argument("--gpus", type=int, help="examine so many; default: all that torch sees")
    parser.add_argument("--storage", type=Path, default=Path("runs"), help="where studies look")
    options = parser.parse_args(arguments)
    facts, began = machine(), time.monotonic()
    print("\n".join(f"{name}: {value}" for name, value in facts.items()))
    present = torch.cuda.device_count()
    if options.gpus is not None and not 0 <= options.gpus <= present:
        print(f"error: --gpus is {options.gpus}; torch sees {present}")
        return 2
    count = present if options.gpus is None else options.gpus
    if count == 0:
        print("no GPU to examine: studies train on CPUs, one trial per core")
    options.storage.mkdir(parents=True, exist_ok=True)
    lines: list[Line] = []
    for index in range(count):
        examination = Examination(torch.device("cuda", index), options.storage)
        examination.run()
        lines += examination.lines
    report = {"machine": facts, "lines": [asdict(line) for line in lines]}
    path = options.storage / VERDICT
    path.write_text(json.dumps(report | {"verdict": verdict(lines)}, indent=1))
    print(f"verdict: {verdict(lines)}, in {path}, after {time.monotonic() - began:.0f} s")
    return int(any(line.status in ("wrong", "failed") for line in lines))


if __name__ == "__main__":
    raise SystemExit(main())
