"""Convolutional VAE conditioned on the class, to generate images of a class one asks for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vae_trainables.config import ModelConfig
from vae_trainables.models.base import OneLevelAutoencoder
from vae_trainables.models.conv import conv_decoder, conv_encoder, feature_count


def build(config: ModelConfig) -> ConditionalAutoencoder:
    """R1's layers; encoder and decoder both see the class (Sohn, Lee & Yan 2015)."""
    return ConditionalAutoencoder(config)


class ConditionalAutoencoder(OneLevelAutoencoder):
    """q(z | x, y) and p(x | z, y), with p(z) standard normal whatever the class.

    The encoder gets a learned plane per class as one more input channel, the decoder the one-hot
    class beside z. Without labels both get the uniform class vector: the mean of all planes, and
    1 / num_classes for each class, which it was never trained on: whoever uses a model says where
    its classes come from.
    """

    conditional = True

    def __init__(self, config: ModelConfig) -> None:
        encoder = conv_encoder(config, config.channels + 1)
        decoder = conv_decoder(config, config.latent_dim + config.num_classes)
        super().__init__(config, encoder, feature_count(config), decoder)
        _, height, width = config.image_shape
        self.class_plane = nn.Sequential(
            nn.Linear(config.num_classes, height * width), nn.Unflatten(1, (1, height, width))
        )
        self.one_hot: Tensor
        # Not by `eye`: on the meta device it makes torch import for seconds.
        numbers = torch.arange(config.num_classes)
        one_hot = (numbers[:, None] == numbers).float()
        self.register_buffer("one_hot", one_hot, persistent=False)

    def encode(self, x: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        plane = self.class_plane(self._classes(len(x), labels))
        return super().encode(torch.cat([x, plane], dim=1))

    def decode(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().decode(torch.cat([z, self._classes(len(z), labels)], dim=1))

    def _classes(self, count: int, labels: Tensor | None) -> Tensor:
        """(count, num_classes): one-hot rows, or uniform ones without labels."""
        if labels is None:
            return self.one_hot.mean(0).expand(count, -1)
        return self.one_hot[labels]
