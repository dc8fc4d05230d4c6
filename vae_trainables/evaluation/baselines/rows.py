"""How good baselines are on given images, in rows that are kept between studies."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_trainables import metrics
from vae_trainables.config import NoiseKind, stable_hash
from vae_trainables.datasets.sources import CACHE_VARIABLE, cache_folder
from vae_trainables.evaluation.baselines.register import COSTLY, FLOORS, NAMES, OWN, fitted
from vae_trainables.evaluation.baselines.training import Fitted, Training
from vae_trainables.evaluation.evaluator import ROBUSTNESS_FACTORS, evaluation_noise

Progress = Callable[[str, int, int], None]
"""Called with the baseline's name, how many images are done, and how many there are."""

VERSION = 1  # goes into the cache's key: raise it when a baseline gives other figures
COSTLY_IMAGES = 2_000  # test images that those in `COSTLY` denoise unless told otherwise
_DENOISE_CHUNK = 250  # lookup compares them with all training images: 60 MB for 60,000

log = logging.getLogger(__name__)


def evaluate_all(
    training: Training,
    noisy: Tensor,
    clean: Tensor,
    *,
    components: int,
    names: Iterable[str] = FLOORS,
    costly_images: int | None = COSTLY_IMAGES,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> list[dict[str, Any]]:
    """Quality of the baselines `names` on given images, one row each.

    Args:
        training: what they learn from, on the CPU.
        noisy, clean: float32 `(n, C, H, W)` in [0, 1].
        components: of `pca`, usually the latent dimension; more than the pixels are all of them.
        costly_images: how many of the images, from the first, those in `COSTLY` denoise; None: all.
        progress: told after every few images.
        folder: of the cache; the user's own without it. Rows are found there again by the bytes
            of all images and the parameters, unless something of a user's file is involved.

    Returns:
        Rows with `name`, `mse`, `psnr` (dB), `ssim` (means over images), `n` (how many images)
        and the parameters of the baseline.
    """
    names = list(names)
    for name in names:
        NAMES.checked(name)
    if noisy.shape != clean.shape or noisy.shape[1:] != training.clean.shape[1:]:
        raise ValueError(
            f"noisy {tuple(noisy.shape)}, clean {tuple(clean.shape)} and training images "
            f"{tuple(training.clean.shape)} must have the same C, H, W, noisy and clean the same n"
        )
    noisy, clean = noisy.cpu(), clean.cpu()
    components = min(components, training.clean[0].numel())
    folder = folder or cache_folder("baselines")
    data = _digest(training.clean, training.noisy, noisy, clean)
    rows = []
    for name in names:
        limit = costly_images if name in COSTLY else None
        count = min(len(noisy), limit or len(noisy))
        key = stable_hash([VERSION, data, name, count, components if name == "pca" else None])
        path = folder / f"{key}.json"
        cached = name not in OWN and not metrics.OWN
        row = _read_row(path) if cached else None
        if row is None:
            fit = fitted(name, training, components)
            row = _row(name, fit, noisy[:count], clean[:count], progress)
            if cached:
                _write_row(path, row)
        rows.append(row)
    return rows


def over_noise(
    fitted: Fitted, clean: Tensor, kinds: Sequence[NoiseKind], name: str
) -> list[dict[str, Any]]:
    """Mean PSNR (dB) of a fitted baseline on `clean` (n, C, H, W) over noise kinds and factors."""
    return [
        {
            "name": name,
            "kind": kind,
            "factor": factor,
            "n": len(clean),
            "psnr": _psnr_at(fitted, clean, kind, factor),
        }
        for kind in kinds
        for factor in ROBUSTNESS_FACTORS
    ]


def _psnr_at(fitted: Fitted, clean: Tensor, kind: NoiseKind, factor: float) -> float:
    noisy = evaluation_noise(clean, kind, factor)
    parts = zip(noisy.split(_DENOISE_CHUNK), clean.split(_DENOISE_CHUNK), strict=True)
    values = [metrics.psnr(fitted.denoise(images), truth) for images, truth in parts]
    return float(torch.cat(values).double().mean())


def _row(
    name: str, fitted: Fitted, noisy: Tensor, clean: Tensor, progress: Progress | None
) -> dict[str, Any]:
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(noisy), _DENOISE_CHUNK):
        part = slice(start, start + _DENOISE_CHUNK)
        denoised = fitted.denoise(noisy[part])
        for metric, values in metrics.per_image(denoised, clean[part]).items():
            parts.setdefault(metric, []).append(values)
        if progress is not None:
            progress(name, min(part.stop, len(noisy)), len(noisy))
    means = {metric: float(torch.cat(values).double().mean()) for metric, values in parts.items()}
    return {"name": name, **means, "n": len(noisy), **fitted.parameters}


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for tensor in tensors:
        digest.update(repr(tuple(tensor.shape)).encode())
        digest.update(tensor.contiguous().view(-1).numpy().data)
    return digest.hexdigest()


def _read_row(path: Path) -> dict[str, Any] | None:
    try:
        row: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("%s: cannot be read (%s), computing the baseline again", path, error)
        return None
    return row


def _write_row(path: Path, row: dict[str, Any]) -> None:
    """Atomically; a cache that cannot be written costs time later, not this result."""
    temporary = path.with_suffix(f".tmp-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps(row))
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        log.warning(
            "%s: cannot be written (%s), the baseline is not cached; %s names another folder",
            path,
            error.strerror,
            CACHE_VARIABLE,
        )
