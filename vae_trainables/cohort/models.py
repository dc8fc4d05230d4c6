"""Forward passes of K models at once, read off the layers of one template model.

`StackedModel` fuses the slots' layers; it knows the plain one-level kinds, whose parts are
sequences of linear, convolutional and elementwise layers. `MappedModel` runs any other model over
its stacked parameters and buffers by `torch.func.vmap`, where that can (`obstacle`); a model that
it cannot run trains alone, by `SingleModel`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from vae_trainables import kinds, models
from vae_trainables.cohort.layers import Convolution, convolve, linear, linear_pair, wide_linear
from vae_trainables.config import ModelConfig, Precision
from vae_trainables.models import Autoencoder, ModelOutput, dropout
from vae_trainables.models.base import OneLevelAutoencoder
from vae_trainables.models.gaussians import sampled
from vae_trainables.models.linear import Linear
from vae_trainables.numerics.precision import products, widened

Parameters = dict[str, Tensor]
"""Parameters and buffers by name in the template, each (K, *its shape)."""

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
        if self.template.logvar_head is None:
            code = self._layer(self.template.mean_head, "mean_head", parameters, features)
            z_mean = widened(code)
            no_kl = torch.zeros_like(z_mean)
            logits = self._layers(self.template.decoder, "decoder", parameters, z_mean)
            return ModelOutput(logits, z_mean, no_kl, no_kl)
        heads = (
            (parameters[f"{name}.weight"], parameters[f"{name}.bias"])
            for name in ("mean_head", "logvar_head")
        )
        z_mean, z_logvar = map(widened, linear_pair(features, *heads))
        z, kl = sampled(z_mean, z_logvar, eps)
        logits = self._layers(self.template.decoder, "decoder", parameters, z)
        return ModelOutput(logits, z_mean, z_logvar, kl)

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


class MappedModel:
    """Any autoencoder that `torch.func.vmap` can run; buffers change in place, in each slot."""

    def __init__(self, template: Autoencoder) -> None:
        self.template = template

    def __call__(
        self, parameters: Parameters, x: Tensor, eps: Tensor | None, labels: Tensor | None
    ) -> ModelOutput:
        mapped = (0, 0, *(None if part is None else 0 for part in (eps, labels)))
        run: Callable[..., tuple[Tensor, ...]] = vmap(self._slot, in_dims=mapped)
        return ModelOutput(*run(parameters, x, eps, labels))

    def _slot(self, parameters: Parameters, *inputs: Tensor | None) -> tuple[Tensor, ...]:
        return tuple(functional_call(self.template, parameters, inputs))


class SingleModel:
    """Any autoencoder, in the one slot of its cohort."""

    def __init__(self, template: Autoencoder) -> None:
        self.template = template

    def __call__(
        self, parameters: Parameters, x: Tensor, eps: Tensor | None, labels: Tensor | None
    ) -> ModelOutput:
        (slot,) = x
        own = {name: stacked[0] for name, stacked in parameters.items()}
        inputs = slot, *(None if part is None else part[0] for part in (eps, labels))
        output = functional_call(self.template, own, inputs)
        return ModelOutput(*(part.unsqueeze(0) for part in output))


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
) -> InPrecision:
    """The forward pass of models like `template`, whose weights are where the slots' are.

    fused: for more slots than one; only for a template that has no `obstacle`.
    """
    forward: Forward = MappedModel(template) if fused else SingleModel(template)
    if type(template) is OneLevelAutoencoder and stackable(template):
        forward = StackedModel(template, convolution)
    return InPrecision(forward, precision, next(template.parameters()).device)


STACKED = nn.ReLU, nn.Flatten, nn.Unflatten, nn.Linear, nn.Conv2d, nn.ConvTranspose2d


def stackable(template: OneLevelAutoencoder) -> bool:
    """Whether `StackedModel` knows all of its layers."""
    parts = template.encoder, template.decoder
    plain = all(isinstance(part, nn.Sequential) for part in parts)
    return plain and all(isinstance(layer, STACKED) for part in parts for layer in part.children())


def obstacle(config: ModelConfig) -> str:
    """Why models like this cannot train in one cohort, in a line; empty if they can.

    Tried on a tiny batch, once per process and shape of model.
    """
    return _obstacle(config, kinds.kind(config.kind))


@cache
def _obstacle(config: ModelConfig, kind: kinds.Kind) -> str:
    """kind: what the name stands for now; a notebook may define it anew."""
    try:
        with torch.random.fork_rng(devices=[]):
            template = models.build(config)
        dropout.adopt(template)
        tensors = {**dict(template.named_parameters()), **dict(template.named_buffers())}
        stacked = {name: torch.stack([tensor.detach()] * 2) for name, tensor in tensors.items()}
        weights = [stacked[name].requires_grad_() for name, _ in template.named_parameters()]
        x = torch.rand(2, 2, *config.image_shape)
        eps, labels = torch.zeros(2, 2, template.noise_dim), torch.zeros(2, 2, dtype=torch.int64)
        output = MappedModel(template)(stacked, x, eps, labels)
        sums = output.logits.sum() + output.kl.sum()
        torch.autograd.grad(sums, weights, allow_unused=True)
    except Exception as error:  # whatever torch.func or a foreign model raises
        line = (str(error).splitlines() or [""])[0][:200]
        return f"torch.func cannot stack it ({type(error).__name__}: {line})"
    return ""
