"""How a cohort computes what it computes: choices that change speed, not meaning."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from vae_trainables.cohort.adam import AdamWay
from vae_trainables.cohort.layers import Convolution
from vae_trainables.config import NOISE_KINDS, TrialConfig
from vae_trainables.numerics import fast
from vae_trainables.numerics.streams import Backend, default_backend

_SEARCHING_NOISE = "poisson"  # walks until no pixel moves


@dataclass(frozen=True)
class Ways:
    """None stands for what suits the device. Which is fastest on a GPU has not been measured."""

    convolution: Convolution = "grouped"
    repeatable: bool = True
    """cuDNN's algorithms are those that give the same bits each time; some faster ones do not."""
    adam: AdamWay | None = None
    """"per_slot" on a CPU: the bits of a solo trial. "flat" on a GPU: one pass."""
    backend: Backend | None = None
    """Of random numbers, the trials' own included; "counter" on a GPU."""
    capture: bool | None = None
    """The step as a CUDA graph: on a GPU, unless the noise looks at values (poisson)."""
    kernels: bool | None = None
    """Random numbers, noise and flat Adam by Triton kernels, a few in place of some 400: on a GPU
    that can run them (`numerics.fast`)."""
    probe: bool | None = None
    """The probe of all members at once, by Newton's method where their codes are: on a GPU. By
    scikit-learn, member by member, otherwise: the bits of a solo trial."""
    proof: bool | None = None
    """Before trials are admitted, compare with trials alone (`Cohort.prove`): on a GPU."""

    @classmethod
    def plain(cls, convolution: Convolution = "grouped") -> Ways:
        """Stacked, but step by step and by torch's own operations."""
        return cls(convolution=convolution, capture=False, kernels=False)

    def settled(self, device: torch.device, config: TrialConfig, terms: frozenset[str]) -> Ways:
        """With every choice made; ValueError for choices that exclude each other."""
        on_gpu = device.type == "cuda"
        kind = config.noise.kind
        looks = "noise" in terms and (kind == _SEARCHING_NOISE or NOISE_KINDS.is_own(kind))
        settled = replace(
            self,
            adam=self.adam or ("flat" if on_gpu else "per_slot"),
            backend=self.backend or default_backend(device),
            kernels=fast.on(device).kernels is not None if self.kernels is None else self.kernels,
            capture=on_gpu and not looks if self.capture is None else self.capture,
            probe=on_gpu if self.probe is None else self.probe,
            proof=on_gpu if self.proof is None else self.proof,
        )
        if settled.capture and not (on_gpu and settled.backend == "counter"):
            raise ValueError(
                f"a step cannot be captured with {settled.backend} random numbers on {device}: "
                "it takes a CUDA device and the backend 'counter'"
            )
        if settled.capture and settled.adam != "flat":
            raise ValueError("a captured step cannot use adam='per_slot': choose 'flat'")
        if settled.capture and looks:
            raise ValueError(f"{kind} noise looks at values, or may: it is not captured")
        return settled
