"""What `studies.doctor` has found out about a machine, for the studies that run there."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch

from vae_trainables.cohort.layers import Convolution

VERDICT = "doctor.json"
CohortWay = Literal["auto", "eager", "off"]


@dataclass(frozen=True)
class Verdict:
    """The values that flags have which are "auto"."""

    cohort: CohortWay = "auto"
    convolution: Convolution = "grouped"

    def __str__(self) -> str:
        return f"--cohort {self.cohort} --convolution {self.convolution}"


def read(storage: Path) -> Verdict:
    """The verdict in `storage`; the default where there is none, or it is of another torch."""
    try:
        whole = json.loads((storage / VERDICT).read_text())
        said, examined = Verdict(**whole["verdict"]), whole["machine"]["torch"]
    except (OSError, ValueError, KeyError, TypeError):
        return Verdict()
    allowed = said.cohort in get_args(CohortWay) and said.convolution in get_args(Convolution)
    return said if allowed and examined == torch.__version__ else Verdict()
