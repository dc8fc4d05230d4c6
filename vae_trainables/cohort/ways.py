"""How a cohort computes what it computes: choices that change speed, not meaning."""

from __future__ import annotations

import os
import shutil
import sysconfig
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vae_trainables.cohort.adam import AdamWay
from vae_trainables.cohort.layers import Convolution
from vae_trainables.config import NoiseKind, TrialConfig
from vae_trainables.numerics.streams import Backend, default_backend

_SEARCHING_NOISE: frozenset[NoiseKind] = frozenset({"poisson"})  # walks until no pixel moves


@dataclass(frozen=True)
class Ways:
    """None stands for what suits the device. Which is fastest on a GPU has not been measured."""

    convolution: Convolution = "grouped"
    adam: AdamWay | None = None
    """"per_slot" on a CPU: the bits of a solo trial. "flat" on a GPU: one pass."""
    backend: Backend | None = None
    """Of random numbers, the trials' own included; "counter" on a GPU."""
    capture: bool | None = None
    """The step as a CUDA graph: on a GPU, unless the noise looks at values (poisson)."""
    compiled: bool | None = None
    """Random numbers and flat Adam by torch.compile, one kernel each in place of some 150: on a
    GPU, if a C compiler is there for Triton. Compiles for seconds."""

    def settled(self, device: torch.device, config: TrialConfig, terms: frozenset[str]) -> Ways:
        """With every choice made; ValueError for choices that exclude each other."""
        on_gpu = device.type == "cuda"
        looks = "noise" in terms and config.noise_kind in _SEARCHING_NOISE
        settled = replace(
            self,
            adam=self.adam or ("flat" if on_gpu else "per_slot"),
            backend=self.backend or default_backend(device),
            compiled=on_gpu and _c_compiler() if self.compiled is None else self.compiled,
            capture=on_gpu and not looks if self.capture is None else self.capture,
        )
        if settled.capture and not (on_gpu and settled.backend == "counter"):
            raise ValueError(
                f"a step cannot be captured with {settled.backend} random numbers on {device}: "
                "it takes a CUDA device and the backend 'counter'"
            )
        if settled.capture and settled.adam != "flat":
            raise ValueError("a captured step cannot use adam='per_slot': choose 'flat'")
        if settled.capture and looks:
            raise ValueError(f"{config.noise_kind} noise looks at values: it cannot be captured")
        return settled


def _c_compiler() -> bool:
    """Whether Triton will find one, as it looks for it, and Python's headers."""
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    found = any(shutil.which(name) for name in (os.environ.get("CC", ""), "gcc", "clang"))
    return found and headers.exists()
