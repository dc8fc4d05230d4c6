"""What a trial is made of: one tree, whose parts belong to those who read them.

| part | read by | holds |
|---|---|---|
| `data` | `datasets` | which images |
| `model` | `models`, `objective.likelihoods` | what is built, and what its output means |
| `noise` | `training` | what is added to the images that are trained on |
| `objective` | `objective`, `training.schedules` | what is minimised |
| `optimiser` | `training` | how |
| `budget` | `training` | for how long |
| `evaluation` | `evaluation` | what is measured after each epoch, and on which noise |

A setting belongs here if and only if changing it may change a trained weight or a reported number.
Where and how a study runs (workers, storage, tracker) belongs to the runner's settings.

Every setting also has a name that is unique in the tree. By it settings are given, searched,
written to files and logged in MLflow, flat: `TrialConfig(latent_dim=16, noise_factor=0.3)`.
"""

from vae_trainables.config.budget import BudgetConfig
from vae_trainables.config.data import PUBLISHED_SETS, Binarise, DataConfig
from vae_trainables.config.evaluation import ClassSource, Evaluation, EvaluationConfig
from vae_trainables.config.lineage import LIVE, Stretch
from vae_trainables.config.model import SIDES, LikelihoodKind, ModelConfig
from vae_trainables.config.noise import NOISE_KINDS, NoiseConfig, NoiseKind
from vae_trainables.config.objective import BETA_SCHEDULES, BetaSchedule, ObjectiveConfig
from vae_trainables.config.optimiser import OptimiserConfig, Precision
from vae_trainables.config.trial import (
    PARTS,
    PLACES,
    SETTINGS,
    TrialConfig,
    declare,
    setting_of,
    stable_hash,
)

__all__ = [
    "BETA_SCHEDULES",
    "LIVE",
    "NOISE_KINDS",
    "PARTS",
    "PLACES",
    "PUBLISHED_SETS",
    "SETTINGS",
    "SIDES",
    "BetaSchedule",
    "Binarise",
    "BudgetConfig",
    "ClassSource",
    "DataConfig",
    "Evaluation",
    "EvaluationConfig",
    "LikelihoodKind",
    "ModelConfig",
    "NoiseConfig",
    "NoiseKind",
    "ObjectiveConfig",
    "OptimiserConfig",
    "Precision",
    "Stretch",
    "TrialConfig",
    "declare",
    "setting_of",
    "stable_hash",
]
