"""The GPU path without a card: kernels interpreted on the CPU, or compiled for cards not there."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import triton
import triton.language as tl
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from triton.backends.compiler import GPUTarget
from triton.runtime.driver import driver
from triton.runtime.interpreter import InterpretedFunction
from triton.runtime.jit import JITFunction

from vae_trainables.numerics import kernels

CARDS = (80, 90)  # A100, H100 and H200


@cache
def interpreted() -> ModuleType:
    """`numerics.kernels`, whose launches run in Triton's interpreter on CPU tensors."""
    spec = importlib.util.find_spec("vae_trainables.numerics.kernels")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with interpreting():
        spec.loader.exec_module(module)

    def launch(kernel: Any, grid: tuple[int, int], *arguments: object, **constants: object) -> None:
        with interpreting():
            kernel[grid](*arguments, **constants)

    vars(module)["launch"] = launch
    return module


_PATCHED = (tl, tl.core, tl.math, tl.standard, tl.random, tl.tensor, tl.core.tensor_descriptor_base)
"""What the interpreter changes; after calls between kernels it does not put all of it back."""


@contextmanager
def interpreting() -> Iterator[None]:
    """As if TRITON_INTERPRET had been set when Triton was imported, for its own functions too."""
    before = [(place, dict(vars(place))) for place in _PATCHED]
    try:
        with triton.knobs.runtime.scope():
            triton.knobs.runtime.interpret = True
            for place, values in before:
                for name, function in values.items():
                    if isinstance(function, JITFunction):
                        setattr(place, name, InterpretedFunction(function.fn))
            yield
    finally:
        for place, values in before:
            if isinstance(place, type):
                for name in vars(place).keys() - values.keys():
                    delattr(place, name)
            for name, value in values.items():
                if vars(place)[name] is not value:
                    setattr(place, name, value)


@dataclass(frozen=True)
class Launch:
    """A launch as far as its compilation depends on it."""

    kernel: str
    arguments: tuple[object, ...]
    """Types of tensors, and what Triton specialises integers by."""
    constants: tuple[tuple[str, object], ...]

    @classmethod
    def of(cls, kernel: Any, arguments: tuple[object, ...], constants: dict[str, object]) -> Launch:
        """1 and multiples of 16 are compiled for by themselves."""
        left = set(kernel.do_not_specialize)
        names = zip(kernel.arg_names, arguments, strict=False)
        plain = tuple(_specialised(value, left=name in left) for name, value in names)
        return cls(kernel.fn.__name__, plain, tuple(sorted(constants.items())))

    def compile(self, card: int) -> int:
        """Bytes of the machine code for a card of that compute capability."""
        kernel = getattr(kernels, self.kernel)
        with pretended(card):
            made = kernel.warmup(
                *self.arguments, grid=(1, 1), **dict(self.constants), enable_fp_fusion=False
            )
        assert made.metadata.target.arch == card
        return len(made.asm["cubin"])


def _specialised(argument: object, *, left: bool) -> object:
    if isinstance(argument, Tensor):
        return argument.dtype
    assert isinstance(argument, int)
    return 7 if left else 1 if argument == 1 else 16 if argument % 16 == 0 else 7


@contextmanager
def pretended(card: int) -> Iterator[None]:
    """Triton sees a card of that compute capability."""
    before = driver._active
    driver.set_active(_Driver(card))
    try:
        yield
    finally:
        driver._active = before


class _Driver:
    """As much of Triton's driver as compiling asks for; each card is a device of its own."""

    def __init__(self, card: int) -> None:
        self.card = card

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", self.card, 32)

    def get_current_device(self) -> int:
        return self.card

    def get_current_stream(self, device: int) -> int:
        return 0


def recorder(into: set[Launch]) -> Callable[..., None]:
    """In place of `kernels.launch`: notes what would have been launched."""

    def launch(kernel: Any, grid: tuple[int, int], *arguments: object, **constants: object) -> None:
        assert all(size >= 1 for size in grid)
        into.add(Launch.of(kernel, arguments, constants))

    return launch


class Counted(TorchDispatchMode):
    """Counts torch's operations that would each be a kernel: all but views and allocations."""

    _FREE = ("view", "empty", "expand", "alias", "detach", "slice", "select.int", "transpose",
             "unsqueeze", "squeeze", "permute", "as_strided", "split", "unfold.", "t.", "unbind",
             "_local_scalar", "_unsafe_view", "unflatten")  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.operations: dict[str, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        name = str(func).removeprefix("aten.")
        if not name.startswith(self._FREE):
            self.operations[name] = self.operations.get(name, 0) + 1
        return func(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        """Of all operations."""
        return sum(self.operations.values())
