"""From what a user calls a model (an MLflow address, a folder, a weights file) to the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.command import WHERE
from analysis.models.registry import Registry
from analysis.tracker.client import TrackerError

if TYPE_CHECKING:
    from vae_trainables.inference import Denoiser

WEIGHTS = "weights.safetensors"

ModelAddress = Annotated[
    str,
    typer.Option(
        help="models:/NAME@champion, models:/NAME/VERSION, runs:/..., a downloaded model's folder, "
        "or a trial's weights.safetensors. A model brings code that is run: use those you trust.",
        rich_help_panel=WHERE,
    ),
]


class ModelError(TrackerError):
    """There is no such model, or it is none of ours."""


def open_denoiser(model: str, tracking_uri: str | None = None) -> Denoiser:
    """The model at `model`; raises ModelError, or TrackerError where MLflow cannot find it."""
    path = Path(model)
    if (path / WEIGHTS).is_file():
        path = path / WEIGHTS
    if path.suffix == ".safetensors":
        return _from_weights(path)
    if not path.exists() and ":" not in model:
        raise ModelError(f"there is no file or folder {model}; an MLflow address has models:/")
    return _from_mlflow(model, tracking_uri)


def _from_weights(path: Path) -> Denoiser:
    from vae_trainables.checkpoint import CheckpointError
    from vae_trainables.inference import Denoiser

    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    try:
        return Denoiser.load(path)
    except CheckpointError as error:
        raise ModelError(str(error)) from error


def _from_mlflow(model: str, tracking_uri: str | None) -> Denoiser:
    """Not by way of our own `vae_trainables`: the model brings the code it was published with."""
    loaded = Registry(tracking_uri).load(model)
    inner = getattr(loaded, "unwrap_python_model", lambda: None)()
    denoiser: Denoiser | None = getattr(inner, "denoiser", None)
    if denoiser is None:
        raise ModelError(f"{model} is not a model that python -m analysis.publish made")
    return denoiser
