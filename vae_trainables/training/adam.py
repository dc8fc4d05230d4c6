"""A trial's optimizer: torch's fused kernel without `torch.optim.Optimizer` around it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8  # torch's defaults

AdamState = defaultdict[Tensor, dict[str, Tensor]]
"""By parameter `step`, `exp_avg` and `exp_avg_sq`, from its first step on."""


def fused_step(
    parameters: list[Tensor],
    gradients: list[Tensor],
    states: list[dict[str, Tensor]],
    *,
    lr: float,
    weight_decay: float,
    decoupled: bool,
) -> None:
    """Torch's fused kernel on lists of equal length, in place: parameters and states.

    As `torch.optim.adam.adam(fused=True)` calls it, which first sorts the tensors by device.
    """
    if not parameters:
        return
    kernel = torch._fused_adamw_ if decoupled else torch._fused_adam_
    steps = [state["step"] for state in states]
    torch._foreach_add_(steps, 1)
    kernel(
        parameters,
        gradients,
        [state["exp_avg"] for state in states],
        [state["exp_avg_sq"] for state in states],
        [],
        steps,
        lr=lr,
        beta1=BETA1,
        beta2=BETA2,
        weight_decay=weight_decay,
        eps=EPS,
        amsgrad=False,
        maximize=False,
    )


class Adam:
    """Adam (Kingma & Ba 2015), or AdamW (Loshchilov & Hutter 2019) if `decoupled`.

    The numbers are those of `torch.optim.Adam(fused=True)`, bit for bit. Making one of those
    imports torch's compiler, only to keep itself out of it: more than 3 s before a worker's first
    step (`python -m benchmarks.step_parts`).

    lr: may be set before any step. state: the moments lie in memory as their parameter does, for
    the kernel walks all of them in the order of memory.
    """

    def __init__(
        self, parameters: Iterable[Tensor], *, lr: float, weight_decay: float, decoupled: bool
    ) -> None:
        self.parameters = list(parameters)
        self.lr, self.weight_decay, self.decoupled = lr, weight_decay, decoupled
        self.state: AdamState = defaultdict(dict)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        moved = [parameter for parameter in self.parameters if parameter.grad is not None]
        states = [self.state[parameter] or self._begin(parameter) for parameter in moved]
        fused_step(
            moved,
            [parameter.grad for parameter in moved],  # type: ignore[misc]
            states,
            lr=self.lr,
            weight_decay=self.weight_decay,
            decoupled=self.decoupled,
        )

    def tensors(self) -> dict[str, Tensor]:
        """The state under `optimizer/<parameter number>/<name>`."""
        return {
            f"optimizer/{number}/{name}": value
            for number, parameter in enumerate(self.parameters)
            if parameter in self.state
            for name, value in self.state[parameter].items()
        }

    def load(self, tensors: Iterable[tuple[str, Tensor]]) -> None:
        """Put back what `tensors` gave."""
        self.state.clear()
        for key, value in tensors:
            _, number, name = key.split("/")
            parameter = self.parameters[int(number)]
            like = parameter if value.shape == parameter.shape else value
            own = torch.empty_like(like, device=parameter.device, requires_grad=False)
            self.state[parameter][name] = own.copy_(value)

    def _begin(self, parameter: Tensor) -> dict[str, Tensor]:
        state = self.state[parameter]
        state["step"] = torch.zeros((), device=parameter.device)
        for name in ("exp_avg", "exp_avg_sq"):
            state[name] = torch.zeros_like(parameter)
        return state
