"""Cohorts: K configurations trained in lock-step on stacked parameters, on one device.

The fast path for GPUs; `vae_trainables.training.trial.Trial` is what it must equal. Nothing here
has been measured on a GPU yet: it is built, and tested for exactness, on CPUs.
"""

from vae_trainables.cohort.alone import Alone
from vae_trainables.cohort.assignment import Assignment
from vae_trainables.cohort.cohort import Cohort, CohortError
from vae_trainables.cohort.fusion import FusionKey, fusion_key
from vae_trainables.cohort.slots import auto_slots, free_memory, usable, within_memory
from vae_trainables.cohort.ways import Ways

__all__ = [
    "Alone",
    "Assignment",
    "Cohort",
    "CohortError",
    "FusionKey",
    "Ways",
    "auto_slots",
    "free_memory",
    "fusion_key",
    "usable",
    "within_memory",
]
