"""Half as many bits in the matrix products of a trial that asks for them.

With `precision="bf16"` the products and convolutions of training and of the validation after each
epoch take bfloat16 factors (torch.autocast). All else stays float32: weights, optimizer, latents,
losses, metrics, and the one look at the test set, which is that of the model as it is published.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from vae_trainables.config import Precision


def products(
    precision: Precision, device: torch.device
) -> AbstractContextManager[torch.autocast | None]:
    """Inside, models compute their products in `precision`; what they return may be bfloat16."""
    if precision == "fp32":
        return nullcontext()
    # Nothing is kept from one product to the next: each weight is used once in a step, and what
    # is kept could not be captured into a CUDA graph.
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)


def lowered(device: torch.device) -> bool:
    """Whether products are computed in fewer bits here: kernels of our own then step aside."""
    return torch.is_autocast_enabled(device.type)


def widened(tensor: Tensor) -> Tensor:
    """float32 of a bfloat16 tensor, any other as it is."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
