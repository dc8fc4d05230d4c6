"""What is printed: the label, unit, better direction and digits of every reported quantity.

The one place that turns a number into text, so a table, a sentence and a figure agree.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Literal

Direction = Literal["minimize", "maximize"]
MISSING = "–"

_SPLITS = {"train": "training", "val": "validation", "test": "test"}
_SPEC = re.compile(r"(\.\d+)?[fge]|d")


def sign(direction: str) -> float:
    """+1.0 where larger is better, -1.0 where smaller is; a gain is `sign * difference`."""
    if direction not in ("minimize", "maximize"):
        raise ValueError(f"direction must be 'minimize' or 'maximize', got {direction!r}")
    return 1.0 if direction == "maximize" else -1.0


def format_number(value: float | None, spec: str, *, signed: bool = False) -> str:
    """`value` under the format `spec`; missing and NaN as a dash, and never '-0.00'.

    'd' prints whole numbers, also where a missing neighbour has made pandas store floats.
    """
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    text = format(value, ("+" if signed else "") + (".0f" if spec == "d" else spec))
    return text.lstrip("+-") if float(text) == 0 else text


def format_p(p: float) -> str:
    """A p-value as statisticians print it: three decimals, and '< 0.001' under that."""
    if math.isnan(p):
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


@dataclass(frozen=True)
class Quantity:
    """A reported quantity: `spec` is a Python format specification such as '.2f'."""

    label: str
    unit: str = ""
    direction: Direction | None = None
    spec: str = ".3f"

    def __post_init__(self) -> None:
        if not _SPEC.fullmatch(self.spec):
            raise ValueError(f"spec of {self.label!r} must be like '.3f' or 'd', got {self.spec!r}")

    @property
    def header(self) -> str:
        """The label with its unit, e.g. 'test PSNR (dB)'."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    def text(self, value: float | None) -> str:
        """The number alone, for a table cell."""
        return format_number(value, self.spec)

    def with_unit(self, value: float | None, *, signed: bool = False) -> str:
        """The number and its unit, for a sentence."""
        number = format_number(value, self.spec, signed=signed)
        return f"{number} {self.unit}" if self.unit and number != MISSING else number

    def difference(self) -> Quantity:
        """The quantity of differences: one digit more, as seeds move results by little."""
        spec = re.sub(r"\.(\d+)", lambda digits: f".{int(digits[1]) + 1}", self.spec)
        return replace(self, label=f"difference in {self.label}", spec=spec)


_NATS = "nats/image"
_KNOWN = {
    "mse": Quantity("MSE", "", "minimize", ".5f"),
    "psnr": Quantity("PSNR", "dB", "maximize", ".2f"),
    "ssim": Quantity("SSIM", "", "maximize", ".4f"),
    "neg_elbo": Quantity("−ELBO", _NATS, "minimize", ".2f"),
    "anomaly": Quantity("anomaly", "AUROC of −ELBO", None, ".3f"),
    "recon": Quantity("reconstruction loss", _NATS, "minimize", ".2f"),
    "loss": Quantity("loss", _NATS, "minimize", ".2f"),
    "kl": Quantity("KL", _NATS, None, ".2f"),
    "supcon": Quantity("SupCon", "nats", "minimize", ".3f"),
    "iw_nll": Quantity("−log p(x), importance-weighted bound", _NATS, "minimize", ".2f"),
    "iw_gain": Quantity("gain of the importance-weighted bound", _NATS, None, ".2f"),
    "iw_samples": Quantity("samples of the importance-weighted bound", "", None, ".0f"),
    "iw_images": Quantity("images of the importance-weighted bound", "", None, ".0f"),
    "predicted_mse": Quantity("MSE, class predicted", "", "minimize", ".5f"),
    "predicted_psnr": Quantity("PSNR, class predicted", "dB", "maximize", ".2f"),
    "predicted_ssim": Quantity("SSIM, class predicted", "", "maximize", ".4f"),
    "class_accuracy": Quantity("accuracy of the predicted classes", "", "maximize", ".4f"),
    "active_units": Quantity("active units", "", None, ".1f"),
    "probe": Quantity("probe accuracy", "", "maximize", ".4f"),
    "knn": Quantity("10-NN accuracy", "", "maximize", ".4f"),
    "frechet": Quantity("Fréchet distance", "", "minimize", ".2f"),
    "epoch_s": Quantity("time per epoch", "s", "minimize", ".2f"),
}


_LEARNT: dict[str, Quantity] = {}


def learn(name: str, unit: str, direction: Direction | None) -> None:
    """Print the metric `name` of a user's own file with its unit from now on.

    What this package measures keeps its own.
    """
    _LEARNT[name] = Quantity(name, unit, direction, ".4g")


def quantity(metric: str) -> Quantity:
    """The quantity behind a metric's tracker name such as 'test/psnr'; unknown names print as is.

    >>> quantity("test/psnr").header
    'test PSNR (dB)'
    """
    split, _, name = metric.rpartition("/")
    measure = _KNOWN.get(name) or _LEARNT.get(name)
    if measure is None:
        return Quantity(metric, spec=".4g")
    return (
        replace(measure, label=f"{_SPLITS[split]} {measure.label}") if split in _SPLITS else measure
    )
