"""A published model as an ONNX file for other programs, checked against torch before it is kept.

    python -m analysis.export_onnx --model models:/NAME@champion --out model.onnx

Input `noisy` (N, C, H, W) float32 in [0, 1]; outputs `clean` of that shape and `codes` (N, D).
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.command import WHERE, Debug, TrackingUri, one_line_errors, quiet_libraries
from analysis.models.address import ModelAddress, open_denoiser
from analysis.tracker.client import TrackerError

if TYPE_CHECKING:
    from torch import nn

    from vae_trainables.inference import Denoiser

TOLERANCE = 1e-5
BATCHES = (1, 2, 67)  # the exported file must take any number of images
NEEDED = ("onnx", "onnxscript", "onnxruntime")


class OnnxError(Exception):
    """No ONNX file was written; the message says why."""


def export(denoiser: Denoiser, path: Path) -> float:
    """Write `path` and return the largest difference to torch, over images and codes.

    Raises OnnxError where packages are missing, or where the file does not do what the model does.
    """
    _require_packages()
    if denoiser.conditional and denoiser.classifier is None:
        raise OnnxError(
            f"{denoiser.config.model.kind} is told classes, and its weights brought no classifier "
            "to predict them: nothing was written"
        )
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        draft = Path(folder) / "draft.onnx"
        _write(denoiser, draft)
        difference = largest_difference(denoiser, draft)
        if not difference <= TOLERANCE:
            raise OnnxError(
                f"the exported model differs from torch by {difference:.2g}, more than "
                f"{TOLERANCE:g}: nothing was written"
            )
        draft.replace(path)
    return difference


def _require_packages() -> None:
    from importlib.util import find_spec

    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise OnnxError(
            f"{', '.join(missing)} not installed; get what is needed with "
            "make dev, or with pip install '.[onnx]' in the checkout"
        )


def _write(denoiser: Denoiser, path: Path) -> None:
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    logging.getLogger("onnxscript").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's talk about itself
        program = torch.onnx.export(
            _network(denoiser),
            (noise(denoiser, 2),),
            dynamo=True,
            verbose=False,
            input_names=["noisy"],
            output_names=["clean", "codes"],
            dynamic_shapes={"noisy": {0: torch.export.Dim.DYNAMIC}},
        )
    assert program is not None
    program.save(path, external_data=False)


def _network(denoiser: Denoiser) -> nn.Module:
    """From noisy images to clean ones and codes; classes that it is told are predicted inside."""
    from torch import Tensor, nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model, self.classifier = denoiser.model, denoiser.classifier

        def forward(self, noisy: Tensor) -> tuple[Tensor, Tensor]:
            labels = None
            if denoiser.conditional and self.classifier is not None:
                labels = self.classifier(noisy)[:, : denoiser.config.model.num_classes].argmax(1)
            output = self.model(noisy, labels=labels)
            return denoiser.likelihood.mean(output.logits), output.z_mean

    return Network().eval()


def noise(denoiser: Denoiser, count: int) -> Any:
    """Uniform noise `(count, C, H, W)`: every pixel value and every unit gets its turn."""
    import torch

    generator = torch.Generator().manual_seed(count)
    return torch.rand((count, *denoiser.config.model.image_shape), generator=generator)


def largest_difference(denoiser: Denoiser, path: Path) -> float:
    """Between the file under onnxruntime and the model in torch, for several numbers of images."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    differences = []
    for count in BATCHES:
        images = noise(denoiser, count).numpy()
        clean, codes = session.run(["clean", "codes"], {"noisy": images})
        differences.append(np.abs(clean - denoiser.denoise(images)).max())
        differences.append(np.abs(codes - denoiser.encode(images)).max())
    return float(max(differences))


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    model: ModelAddress,
    out: Annotated[Path, typer.Option(help="The file to write.", rich_help_panel=WHERE)] = Path(
        "model.onnx"
    ),
    tracking_uri: TrackingUri = None,
    debug: Debug = False,
) -> None:
    """Export a published model to ONNX and check that it does what torch does, to 1e-5."""
    quiet_libraries()
    with one_line_errors(TrackerError, OnnxError, OSError, debug=debug):
        _require_packages()
        denoiser = open_denoiser(model, tracking_uri)
        out.parent.mkdir(parents=True, exist_ok=True)
        difference = export(denoiser, out)
    typer.echo(f"{out}: largest difference to torch {difference:.1e} (allowed: {TOLERANCE:g})")


if __name__ == "__main__":
    app()
