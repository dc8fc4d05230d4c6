"""The whole training step as one CUDA graph, and several steps as another.

Written after PyTorch's rules for capture (static tensors, warm-up on a side stream, no look at a
value) and run on CPUs un-captured only: it has not been measured on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

SEVERAL = 4
"""Steps of the larger graph: to launch a graph costs as much as some of its kernels."""
WARM_UP_STEPS = 3  # as in PyTorch's own recipe: libraries choose kernels, buffers get their places


class CapturedStep:
    """Replays steps as they were captured; what they read and write must stay in place."""

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
            self._one, self._several = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._one):
                step()
            # In the memory of the first: nothing in there outlives a replay.
            with torch.cuda.graph(self._several, pool=self._one.pool()):
                for _ in range(SEVERAL):
                    step()

    def __call__(self, count: int = 1) -> None:
        """So many steps more."""
        several, single = divmod(count, SEVERAL)
        with torch.cuda.device(self._device):
            for graph, times in ((self._several, several), (self._one, single)):
                for _ in range(times):
                    graph.replay()

    def release(self) -> None:
        """Give the graphs' memory back, which is a pool of its own as long as they live."""
        self._several.reset()
        self._one.reset()
