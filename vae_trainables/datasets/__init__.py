"""Where images come in: published sets, own files, their splits, and the noise put on them.

`open_source` is the one door. `python -m vae_trainables.datasets fetch|check NAME` gets a set, or
says what is understood of it.
"""

from vae_trainables.datasets.errors import DataError
from vae_trainables.datasets.published import NAMES, SPLITS, check, fetch, load, load_splits
from vae_trainables.datasets.source import Arrays, Source, open_source, recorded_source
from vae_trainables.datasets.splits import Facts, Split, TrialData

__all__ = [
    "NAMES",
    "SPLITS",
    "Arrays",
    "DataError",
    "Facts",
    "Source",
    "Split",
    "TrialData",
    "check",
    "fetch",
    "load",
    "load_splits",
    "open_source",
    "recorded_source",
]
