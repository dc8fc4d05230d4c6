"""Where images come in: published sets, their files, their splits, and the noise put on them.

`python -m vae_trainables.datasets fetch|check NAME` gets a set, or says what is there.
"""

from vae_trainables.datasets.idx import DataError
from vae_trainables.datasets.published import NAMES, SPLITS, check, fetch, load, load_splits
from vae_trainables.datasets.splits import Split, TrialData

__all__ = [
    "NAMES",
    "SPLITS",
    "DataError",
    "Split",
    "TrialData",
    "check",
    "fetch",
    "load",
    "load_splits",
]
