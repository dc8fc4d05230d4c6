"""The whole training step as one CUDA graph.

Written after PyTorch's rules for capture (static tensors, warm-up on a side stream, no look at a
value) and run on CPUs un-captured only: it has not been measured on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

WARM_UP_STEPS = 3  # as in PyTorch's own recipe: libraries choose kernels, buffers get their places


def captured(step: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """A function that replays `step` as captured now.

    Runs `step` a few times before, so capture while all it changes can still be thrown away. What
    it reads and writes must stay in place from then on.
    """
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(side):
        for _ in range(WARM_UP_STEPS):
            step()
    torch.cuda.current_stream(device).wait_stream(side)
    torch.cuda.synchronize(device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay
