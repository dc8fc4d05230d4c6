"""Forward passes of K models at once, read off the layers of one template model.

`StackedModel` fuses the slots' layers; it knows the one-level kinds, whose parts are sequences of
linear, convolutional and elementwise layers. `SlotwiseModel` calls any model slot after slot.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from vae_trainables.cohort.layers import Convolution, convolve, linear, wide_linear
from vae_trainables.config import Precision
from vae_trainables.models import Autoencoder, ModelOutput
from vae_trainables.models.base import OneLevelAutoencoder
from vae_trainables.models.gaussians import kl_divergence, reparameterize
from vae_trainables.models.linear import Linear
from vae_trainables.numerics.precision import products, widened

Parameters = dict[str, Tensor]
"""By name in the template, each (K, *its shape)."""

Forward = Callable[[Parameters, Tensor, Tensor | None, Tensor | None], ModelOutput]
"""(parameters, x (K, B, C, H, W), eps (K, B, D) or None, labels (K, B) or None) -> (K, B, ...)."""


class StackedModel:
    """One-level autoencoders whose layers are fused over the slots."""

    def __init__(self, template: OneLevelAutoencoder, convolution: Convolution) -> None:
        self.template = template
        self.convolution: Convolution = convolution

    def __call__(
        self, parameters: Parameters, x: Tensor, eps: Tensor | None, labels: Tensor | None
    ) -> ModelOutput:
        features = self._layers(self.template.encoder, "encoder", parameters, x)
        z_mean = widened(self._layer(self.template.mean_head, "mean_head", parameters, features))
        if self.template.logvar_head is None:
            no_kl = torch.zeros_like(z_mean)
            logits = self._layers(self.template.decoder, "decoder", parameters, z_mean)
            return ModelOutput(logits, z_mean, no_kl, no_kl)
        head = self.template.logvar_head
        z_logvar = widened(self._layer(head, "logvar_head", parameters, features))
        z = reparameterize(z_mean, z_logvar, eps)
        logits = self._layers(self.template.decoder, "decoder", parameters, z)
        return ModelOutput(logits, z_mean, z_logvar, kl_divergence(z_mean, z_logvar))

    def _layers(self, part: nn.Module, name: str, parameters: Parameters, x: Tensor) -> Tensor:
        for child, layer in part.named_children():
            x = self._layer(layer, f"{name}.{child}", parameters, x)
        return x

    def _layer(self, layer: nn.Module, name: str, parameters: Parameters, x: Tensor) -> Tensor:
        if isinstance(layer, nn.ReLU):
            return torch.relu(x)
        if isinstance(layer, nn.Flatten):
            return x.flatten(2)
        if isinstance(layer, nn.Unflatten):
            whole: Tensor = x.unflatten(2, layer.unflattened_size)
            return whole
        weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
        if isinstance(layer, Linear):
            return wide_linear(x, weight, bias)
        if isinstance(layer, nn.Linear):
            return linear(x, weight, bias)
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            return convolve(x, weight, bias, layer, self.convolution)
        raise TypeError(f"no stacked form of the layer {name}: {layer}")


class SlotwiseModel:
    """Any autoencoder, one slot after the other: nothing is fused but the rest of the step."""

    def __init__(self, template: Autoencoder) -> None:
        self.template = template

    def __call__(
        self, parameters: Parameters, x: Tensor, eps: Tensor | None, labels: Tensor | None
    ) -> ModelOutput:
        rows = {name: stacked.unbind(0) for name, stacked in parameters.items()}
        outputs = [
            functional_call(
                self.template,
                {name: row[slot] for name, row in rows.items()},
                (x[slot], *(None if t is None else t[slot] for t in (eps, labels))),
            )
            for slot in range(len(x))
        ]
        return ModelOutput(*map(torch.stack, zip(*outputs, strict=True)))


class InPrecision:
    """Another forward pass with its products in `precision`; float32 comes out."""

    def __init__(self, forward: Forward, precision: Precision, device: torch.device) -> None:
        self.forward, self.precision, self.device = forward, precision, device

    def __call__(
        self, parameters: Parameters, x: Tensor, eps: Tensor | None, labels: Tensor | None
    ) -> ModelOutput:
        with products(self.precision, self.device):
            output = self.forward(parameters, x, eps, labels)
        return output.in_float32()


def build(
    template: Autoencoder, convolution: Convolution, precision: Precision, *, fused: bool
) -> Forward:
    """The forward pass of models like `template`, whose weights are where the slots' are."""
    forward: Forward = SlotwiseModel(template)
    if fused and isinstance(template, OneLevelAutoencoder):
        forward = StackedModel(template, convolution)
    return InPrecision(forward, precision, next(template.parameters()).device)
