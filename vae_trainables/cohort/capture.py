"""The whole training step as one CUDA graph.

Written after PyTorch's rules for capture (static tensors, warm-up on a side stream, no look at a
value) and run on CPUs un-captured only: it has not been measured on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM_UP_STEPS = 3  # as in PyTorch's own recipe: libraries choose kernels, buffers get their places


class CapturedStep:
    """Replays a step as it was captured; what it reads and writes must stay in place."""

    def __init__(self, step: Callable[[], None], device: torch.device) -> None:
        """Runs `step` a few times before, so capture while what it changes can be thrown away.

        `device` need not be the current one: streams and graphs belong to the current device.
        """
        self._device = device
        with torch.cuda.device(device):
            side = torch.cuda.Stream(device)
            side.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(side):
                for _ in range(WARM_UP_STEPS):
                    step()
            torch.cuda.current_stream(device).wait_stream(side)
            torch.cuda.synchronize(device)
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                step()

    def __call__(self) -> None:
        """One step more."""
        with torch.cuda.device(self._device):
            self._graph.replay()

    def release(self) -> None:
        """Give the graph's memory back, which is a pool of its own as long as it lives."""
        self._graph.reset()
