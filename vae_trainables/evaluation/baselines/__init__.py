"""What every denoiser is judged beside: floors that learn no network, and a ceiling that does.

Each baseline is fitted and tuned on training images and one noisy copy of them, so that it works
for every kind of noise; test images are seen only to be denoised. Nothing here depends on how many
images are denoised at once. A baseline of one's own is one function:

    @baselines.register("median")
    def median(training: Training) -> Denoiser:
        return lambda noisy: torch.from_numpy(median_filter(noisy.numpy(), (1, 1, 3, 3)))
"""

from vae_trainables.evaluation.baselines.linear import mean_image, nothing, pca, wiener
from vae_trainables.evaluation.baselines.register import (
    BASELINES,
    CEILING,
    FLOORS,
    NAMES,
    OWN,
    affordable,
    register,
    remove,
)
from vae_trainables.evaluation.baselines.rows import evaluate_all, over_noise
from vae_trainables.evaluation.baselines.smoothing import non_local_means, total_variation
from vae_trainables.evaluation.baselines.training import LEAST_IMAGES, Denoiser, Fitted, Training

__all__ = [
    "BASELINES",
    "CEILING",
    "FLOORS",
    "LEAST_IMAGES",
    "NAMES",
    "OWN",
    "Denoiser",
    "Fitted",
    "Training",
    "affordable",
    "evaluate_all",
    "mean_image",
    "non_local_means",
    "nothing",
    "over_noise",
    "pca",
    "register",
    "remove",
    "total_variation",
    "wiener",
]
