"""How many bits the matrix products of a trial have, as its `precision` says, and nothing else.

fp32: IEEE float32 products, also where torch's own default is fewer bits (cuDNN's TF32). tf32: on a
GPU products and convolutions take factors with 10 bits of fraction; a CPU has no such products and
computes fp32. bf16: the products of training and of the validation after each epoch take bfloat16
factors (torch.autocast), all others are fp32. Weights, optimizer, latents, losses and metrics are
float32 throughout, and the one look at the test set is fp32 in every case: it is that of the model
as it is published.

The switches for TF32 are global in torch: `arithmetic` sets them and puts them back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vae_trainables.config import Precision

_MATMUL: Any = torch.backends.cuda.matmul
_CUDNN: Any = torch.backends.cudnn
_CPU: Any = torch.backends.mkldnn
_PLACES = (_MATMUL, _CUDNN.conv, _CUDNN.rnn, _CPU.matmul, _CPU.conv)
_inside: list[bool] = []  # what the `arithmetic` around us has set, the innermost last


@dataclass(frozen=True)
class _Switches:
    """Torch's global switches: by name for all products, and in each place that has its own."""

    matmul: str | None
    cudnn: bool | None
    places: tuple[str, ...]

    @classmethod
    def now(cls) -> _Switches:
        places = tuple(place.fp32_precision for place in _PLACES)
        try:
            return cls(torch.get_float32_matmul_precision(), _CUDNN.allow_tf32, places)
        except RuntimeError:  # set place by place by someone: no word for the whole fits
            return cls(None, None, places)

    def restore(self) -> None:
        if self.matmul is not None and self.cudnn is not None:
            torch.set_float32_matmul_precision(self.matmul)
            _CUDNN.allow_tf32 = self.cudnn
        for place, value in zip(_PLACES, self.places, strict=True):
            place.fp32_precision = value


@contextmanager
def arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """Inside, float32 products have the bits that `precision` says, backward passes included.

    Torch's switches are as they were afterwards, also after an exception. Each is set by its older
    name too, which torch.compile reads.
    """
    fewer = effective(precision, device) == "tf32"
    if _inside[-1:] == [fewer]:  # every step asks, and a switch takes longer than that
        yield
        return
    before = _Switches.now()
    _inside.append(fewer)
    try:
        _switch(fewer)
        yield
    finally:
        _inside.pop()
        before.restore()


def _switch(fewer: bool) -> None:
    torch.set_float32_matmul_precision("high" if fewer else "highest")
    _CUDNN.allow_tf32 = fewer
    for place in _PLACES:
        on_gpu = place not in (_CPU.matmul, _CPU.conv)
        place.fp32_precision = "tf32" if fewer and on_gpu else "ieee"


def effective(precision: Precision, device: torch.device) -> Precision:
    """What `precision` comes to on `device`: there are no TF32 products but on a GPU."""
    return "fp32" if precision == "tf32" and device.type != "cuda" else precision


@contextmanager
def _halved(device: torch.device) -> Iterator[None]:
    # Nothing is kept from one product to the next: each weight is used once in a step, and what
    # is kept could not be captured into a CUDA graph.
    lower = torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)
    with arithmetic("bf16", device), lower:
        yield


def products(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Inside, models compute their products in `precision`; what they return may be bfloat16."""
    return _halved(device) if precision == "bf16" else arithmetic(precision, device)


def lowered(device: torch.device) -> bool:
    """Whether products are computed in fewer bits here: kernels of our own then step aside."""
    return torch.is_autocast_enabled(device.type)


def widened(tensor: Tensor) -> Tensor:
    """float32 of a bfloat16 tensor, any other as it is."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
