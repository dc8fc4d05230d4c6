"""Arithmetic of layer sizes: channel counts under the capacity multiplier, spatial sizes."""

from __future__ import annotations

from collections.abc import Sequence

from vae_trainables.config import ModelConfig

Size = tuple[int, int]
"""Height and width, pixels."""


def scaled(sizes: Sequence[int], width: float) -> tuple[int, ...]:
    """Each size times the capacity multiplier, rounded, at least 1."""
    return tuple(max(1, round(size * width)) for size in sizes)


def stage_sizes(config: ModelConfig) -> tuple[Size, ...]:
    """Height and width before the first and after each stage: 28, 14, 7, 3 for three stages.

    A kernel of 4 with stride 2 and padding 1 halves a side and rounds down, so the way back up
    needs `output_padding = side % 2` to land on the same sides.

    Raises:
        ValueError: no stage at all, or more stages than the image can be halved.
    """
    stages = len(config.widths)
    _, height, width = config.image_shape
    most = min(height, width).bit_length() - 1
    if not 1 <= stages <= most:
        raise ValueError(
            f"widths {config.widths} is {stages} stages; an image of {min(height, width)} pixels "
            f"can be halved 1 to {most} times: give between 1 and {most} widths"
        )
    return tuple((height >> stage, width >> stage) for stage in range(stages + 1))
