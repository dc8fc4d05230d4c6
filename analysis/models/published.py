"""The file that MLflow runs to load a published model; `analysis.publish` puts it into the model.

It runs wherever the model is used: there it finds `vae_trainables` beside it, and nothing else of
this project.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext
from numpy.typing import NDArray

from vae_trainables.inference import Denoiser, ImagesError
from vae_trainables.source import Source


class PublishedModel(PythonModel):  # type: ignore[misc]
    """The winner of a study behind MLflow's interface."""

    denoiser: Denoiser

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights that lie in the model."""
        files = context.artifacts
        if "source" in files:
            Source.from_json(Path(files["source"]).read_text("utf-8")).load()
        self.denoiser = Denoiser.load(Path(files["weights"]), Path(files["config"]))

    def predict(
        self,
        context: PythonModelContext,
        model_input: np.ndarray,  # a hint that MLflow knows
        params: dict[str, Any] | None = None,
    ) -> NDArray[Any]:
        """Clean images of the given shape, or codes `(N, D)` with `params={"what": "encode"}`.

        A model that is told classes takes them as `params={"labels": [...]}`, one per image;
        without them it predicts them from the images.
        Takes float arrays in [0, 1] or uint8, `(N, H, W)` or `(N, C, H, W)`. Raises MlflowException
        (HTTP 400) for anything else.
        """
        params = params or {}
        what, labels = params.get("what", "denoise"), params.get("labels")
        given = labels is not None and len(labels) > 0  # MLflow's default for a list is empty
        actions = {"denoise": self.denoise, "encode": self.encode}
        if what not in actions:
            raise MlflowException.invalid_parameter_value(
                f"params 'what' is {what!r}: it must be one of {', '.join(actions)}"
            )
        try:
            return actions[what](model_input, labels if given else None)
        except ImagesError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error

    def denoise(self, images: Any, labels: Any = None) -> NDArray[Any]:
        """Clean images in [0, 1] of the given shape."""
        return self.denoiser.denoise(images, labels)

    def encode(self, images: Any, labels: Any = None) -> NDArray[Any]:
        """Codes `(N, D)`: the latent mean."""
        return self.denoiser.encode(images, labels)


set_model(PublishedModel())
