"""Every step that a study can ask a GPU for: traced without values, its kernels compiled.

`python -m tests.vae_trainables.cohort.product` prints a table of it; tests run a part. All of it
with VAE_STUDIES_PRODUCT=full in the environment.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import optuna
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.cuda.amp import common as amp
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from studies import denoise_sweep, generation_sweep, representation_sweep, vae_vs_ae
from studies.definition import StudyDefinition
from tests.vae_trainables.cohort.support import config
from tests.vae_trainables.without_card import CARDS, Launch, recorder
from vae_trainables import metrics, models
from vae_trainables.cohort import Cohort, Ways, cohort, fusion, fusion_key
from vae_trainables.config import NoiseKind, TrialConfig
from vae_trainables.datasets.splits import Split, TrialData
from vae_trainables.models import Autoencoder
from vae_trainables.numerics import fast, kernels

FULL = os.environ.get("VAE_STUDIES_PRODUCT") == "full"
SLOTS = (1, 2, 3, 8, 32, 128)
STUDIES: list[StudyDefinition] = [
    denoise_sweep.STUDY,
    generation_sweep.STUDY,
    representation_sweep.STUDY,
    vae_vs_ae.STUDY,
]
DRAWS = 60 if FULL else 30
NOISES: tuple[NoiseKind, ...] = ("gaussian", "salt_pepper", "masking")  # poisson is not captured
KINDS: list[dict[str, Any]] = [
    {"kind": "mlp_ae"},
    {"kind": "mlp_vae", "optimizer": "adamw", "likelihood": "sigma"},
    {"kind": "conv_ae", "likelihood": "continuous_bernoulli"},
    {"kind": "conv_vae", "supcon_gamma": 1.0, "free_bits": 0.1, "kl_target": 2.0},
    {"kind": "conv_vae", "ssim_weight": 1.0, "edge_weight": 1.0, "recon_term": "l1"},
    {"kind": "res_conv_vae", "blocks": 1},
    {"kind": "cond_conv_vae"},
    {"kind": "hier_conv_vae", "blocks": 1},
]


class HostMemoryError(Exception):
    """An operation moved a tensor between the host and the device."""


class DeviceOnly(TorchDispatchMode):
    """Refuses operations that take a tensor from the host and give one on the device, or back.

    A number of the host, which has no dimensions, travels in the kernel's arguments.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        result = func(*args, **(kwargs or {}))
        taken, given = (
            {t.device.type for t in tree_leaves(tree) if isinstance(t, Tensor) and t.dim() > 0}
            for tree in ((args, kwargs), result)
        )
        if len(taken | given) > 1:
            raise HostMemoryError(f"{func}: {taken} -> {given}")
        return result


@contextmanager
def pretended_gpu() -> Iterator[set[Launch]]:
    """Tensors on a GPU that is not there; only autograd's threads need a real one. The launches."""
    launches: set[Launch] = set()

    def build_model(chosen: TrialConfig) -> Autoencoder:
        with torch.device("cuda"):
            return models.build(chosen.model)

    def gradients(loss: Tensor, weights: list[Tensor], ones: Tensor) -> list[Tensor]:
        assert loss.requires_grad
        return [torch.zeros_like(weight) for weight in weights]

    with ExitStack() as stack:
        stack.enter_context(patch.object(cohort, "build_model", build_model))
        stack.enter_context(patch.object(fusion, "obstacle", lambda chosen: ""))  # tried elsewhere
        stack.enter_context(patch.object(nn.Module, "to", lambda self, *args, **kwargs: self))
        stack.enter_context(patch.object(torch.autograd, "grad", gradients))
        stack.enter_context(patch.object(kernels, "launch", recorder(launches)))
        stack.enter_context(patch.object(fast, "on", lambda device: fast.Fast(kernels)))
        stack.enter_context(patch.object(amp, "amp_definitely_not_available", lambda: False))
        stack.enter_context(patch.object(torch.cuda, "is_bf16_supported", lambda: True))
        metrics._gaussian_band.cache_clear()
        stack.callback(metrics._gaussian_band.cache_clear)
        yield launches


def data(chosen: TrialConfig) -> TrialData:
    """Two batches of nothing."""
    shape = 2 * chosen.optimiser.batch_size, *chosen.model.image_shape
    split = Split(torch.zeros(shape, dtype=torch.uint8), torch.zeros(shape[0]).long())
    return TrialData(split, split)


def traced(chosen: TrialConfig, slots: int, ways: Ways | None = None) -> set[Launch]:
    """The launches of a step of a cohort as a GPU would be given it to capture.

    Raises for a look at a value (an error of the fake tensors) and for a way to the host.
    """
    with pretended_gpu() as launches, FakeTensorMode():
        ways = ways or Ways(capture=False, kernels=True, proof=False)
        made = Cohort(chosen, data(chosen), slots=slots, device="cuda", ways=ways)
        made._lock_step.step()  # libraries and constants of the host settle, as in the warm-up
        with DeviceOnly():
            made._lock_step.step()
    return launches


def suggested(study: StudyDefinition) -> list[TrialConfig]:
    """One configuration for each fusion key among reference, companions and random draws."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    draws = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    spaced = [study.reference.model_copy(update=study.space(draws.ask())) for _ in range(DRAWS)]
    whole = [TrialConfig.model_validate(c.model_dump()) for c in spaced]
    return list({fusion_key(c): c for c in [*whole, *study.companions, study.reference]}.values())


def steps() -> list[TrialConfig]:
    """What the studies suggest, and every kind with every noise, in both precisions."""
    own = [chosen for study in STUDIES for chosen in suggested(study)]
    noises = [
        {"noise_kind": kind, "noise_factor": 0.2, "noise_factor_max": top}
        for kind, top in itertools.product(NOISES, (None, 0.6))
    ]
    others = [config(**kind, **noise) for kind, noise in itertools.product(KINDS, noises)]
    return [
        chosen.model_copy(update={"precision": precision})
        for chosen in own + others
        for precision in ("fp32", "bf16")
    ]


def part() -> list[TrialConfig]:
    """Each study's reference, and each kind with one of the noises in turn, precisions likewise."""
    references = [study.reference for study in STUDIES]
    kinds = [
        config(**KINDS[i], noise_kind=NOISES[i % 3], noise_factor=0.3) for i in range(len(KINDS))
    ]
    return [
        chosen.model_copy(update={"precision": ("fp32", "bf16")[i % 2]})
        for i, chosen in enumerate(references + kinds)
    ]


def sized(configs: list[TrialConfig]) -> Iterator[tuple[TrialConfig, int]]:
    """Each with one number of slots in turn, references with all; kernels see no such number."""
    references = {fusion_key(study.reference) for study in STUDIES} if FULL else set()
    for i, chosen in enumerate(configs):
        if not fusion_key(chosen).fusible:
            yield chosen, 1
        elif fusion_key(chosen) in references:
            yield from ((chosen, slots) for slots in SLOTS)
        else:
            yield chosen, SLOTS[i % len(SLOTS)]


def main() -> int:
    """Trace the product, compile all that it launches; the exit code says whether all did."""
    launches: set[Launch] = set()
    failures, count, started = [], 0, time.monotonic()
    for chosen, slots in sized(steps() if FULL else part()):
        count += 1
        try:
            launches |= traced(chosen, slots)
        except Exception as error:
            failures.append(f"traced {chosen} with {slots} slots: {error!r}")
    print(f"traced: {count} steps, {len(failures)} failed, {time.monotonic() - started:.0f} s")
    for card in CARDS:
        started, sizes = time.monotonic(), {}
        for launch in launches:
            try:
                sizes.setdefault(launch.kernel, []).append(launch.compile(card))
            except Exception as error:
                failures.append(f"sm_{card} {launch}: {error!r}")
        for kernel, found in sorted(sizes.items()):
            print(f"sm_{card} {kernel}: {len(found)} variants, up to {max(found):,} bytes")
        print(f"sm_{card}: {time.monotonic() - started:.0f} s")
    print("\n".join(failures) or "no failure")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
