"""The ceiling: a small U-Net, whose images need not pass through a code.

An autoencoder that denoises has a bottleneck; a network of its size without one tells how much of
what is missing is the bottleneck's doing, and how much no network of that size can restore.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_trainables.evaluation.baselines.training import Fitted, Training

WIDTH = 16  # channels at the full resolution; 117,000 weights in all for grey images
IMAGES = 100_000  # that it is trained on, each as often as others
BATCH = 64
LR = 3e-3  # at the first step; a cosine to 0
SEED = 20_240_102


class UNet(nn.Module):
    """Two levels down and up again, each with a skip connection (Ronneberger et al. 2015)."""

    def __init__(self, channels: int, width: int = WIDTH) -> None:
        super().__init__()
        self.top = _double(channels, width)
        self.middle = _double(width, 2 * width)
        self.bottom = _double(2 * width, 4 * width)
        self.to_middle = nn.ConvTranspose2d(4 * width, 2 * width, 2, 2)
        self.from_middle = _double(4 * width, 2 * width)
        self.to_top = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.from_top = _double(2 * width, width)
        self.last = nn.Conv2d(width, channels, 1)

    def forward(self, noisy: Tensor) -> Tensor:
        """Noisy images (B, C, H, W) to clean ones, not yet clipped; any sides."""
        height, width = noisy.shape[-2:]
        x = F.pad(noisy, (0, -width % 4, 0, -height % 4), mode="replicate")
        top = self.top(x)
        middle = self.middle(F.max_pool2d(top, 2))
        bottom = self.bottom(F.max_pool2d(middle, 2))
        middle = self.from_middle(torch.cat([middle, self.to_middle(bottom)], 1))
        top = self.from_top(torch.cat([top, self.to_top(middle)], 1))
        clean: Tensor = self.last(top)[..., :height, :width]
        return clean


def unet(training: Training) -> Fitted:
    """A `UNet` trained by squared error on `IMAGES` noisy training images, in random order.

    Always from the same seed. Minutes of a core for 28 x 28 pixels.
    """
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(SEED)
        net = UNet(training.clean.shape[1]).train()
        _train(net, training, IMAGES)
    net.eval()

    @torch.inference_mode()
    def denoise(noisy: Tensor) -> Tensor:
        clean: Tensor = net(noisy)
        return clean.clamp(0, 1)

    weights = sum(parameter.numel() for parameter in net.parameters())
    return Fitted(denoise, {"weights": weights, "trained_on": IMAGES})


def _train(net: UNet, training: Training, images: int) -> None:
    batch = min(BATCH, len(training))
    steps = math.ceil(images / batch)
    optimizer = torch.optim.Adam(net.parameters(), lr=LR)
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        if len(order) < batch:
            order = torch.randperm(len(training))
        chosen, order = order[:batch], order[batch:]
        for group in optimizer.param_groups:
            group["lr"] = LR * 0.5 * (1 + math.cos(math.pi * step / steps))
        loss = F.mse_loss(net(training.noisy[chosen]), training.clean[chosen] / 255)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _double(inputs: int, outputs: int) -> nn.Sequential:
    """Two convolutions, each with batch normalisation and ReLU."""
    layers: list[nn.Module] = []
    for fan_in in (inputs, outputs):
        layers += [
            nn.Conv2d(fan_in, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
