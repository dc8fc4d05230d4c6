"""The table of learning curves: what it holds, `load` and `save`.

    from benchmarks.curve_table import load
    table = load()
    table.curve("val/mse")[17, 0]    # configuration 17, first seed: a value per epoch

What was trained, and how, stands in `docs/results/learning_curves.md`.
"""

from __future__ import annotations

import io
import json
import lzma
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PATH = Path(__file__).parent / "data" / "vae_curves.npz.xz"
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class CurveTable:
    """Learning curves of N configurations, S seeds each, E epochs long, of M metrics.

    Attributes:
        parameters: of each configuration what the space was asked for, by name, and nothing else:
            a parameter of other families is not there.
        configs: of each its whole configuration, flat, as `TrialConfig(**settings)` takes it; seed
            and what a search watches are left out.
        batches: int `(N,)`, the run of the collection that drew it.
        seeds: int `(N, S)`, -1 where there was no training.
        status: text `(N, S)`: finished, diverged, failed ..., "" where there was no training.
        metrics: names of the M metrics.
        values: float32 `(N, S, E, M)`, NaN where there is no value.
        facts: sizes, data, versions, machine, by name.
    """

    parameters: tuple[Mapping[str, Any], ...]
    configs: tuple[Mapping[str, Any], ...]
    batches: NDArray[np.int64]
    seeds: NDArray[np.int64]
    status: NDArray[np.str_]
    metrics: tuple[str, ...]
    values: Floats
    facts: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.configs)

    @property
    def epochs(self) -> int:
        """Length of a whole curve."""
        return int(self.values.shape[2])

    def curve(self, metric: str) -> Floats:
        """`(N, S, E)` of one metric; KeyError where there is none of that name."""
        if metric not in self.metrics:
            raise KeyError(f"no metric {metric!r}; there are {', '.join(self.metrics)}")
        values: Floats = self.values[..., self.metrics.index(metric)]
        return values

    def first(self, count: int) -> CurveTable:
        """The first so many configurations: what the table was before it grew."""
        return replace(
            self,
            parameters=self.parameters[:count],
            configs=self.configs[:count],
            batches=self.batches[:count],
            seeds=self.seeds[:count],
            status=self.status[:count],
            values=self.values[:count],
        )

    def complete(self) -> NDArray[np.bool_]:
        """`(N,)`: every seed was trained to its last epoch."""
        whole: NDArray[np.bool_] = (self.status == "finished").all(axis=1)
        return whole


def load(path: Path | None = None) -> CurveTable:
    """The table of this checkout, or of another file that `save` wrote."""
    with lzma.open(path or PATH) as packed:
        arrays = np.load(io.BytesIO(packed.read()), allow_pickle=False)
    return CurveTable(
        parameters=tuple(json.loads(str(arrays["parameters"]))),
        configs=tuple(json.loads(str(arrays["configs"]))),
        batches=arrays["batches"],
        seeds=arrays["seeds"],
        status=arrays["status"],
        metrics=tuple(arrays["metrics"].tolist()),
        values=arrays["values"],
        facts=json.loads(str(arrays["facts"])),
    )


def save(table: CurveTable, path: Path) -> None:
    """Write the table whole or not at all; the same table gives the same bytes."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        parameters=np.array(json.dumps(table.parameters)),
        configs=np.array(json.dumps(table.configs)),
        batches=table.batches,
        seeds=table.seeds,
        status=table.status,
        metrics=np.array(table.metrics),
        values=table.values,
        facts=np.array(json.dumps(table.facts)),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"fresh-{path.name}")
    fresh.write_bytes(lzma.compress(buffer.getvalue(), preset=9))
    os.replace(fresh, path)


def merged(first: CurveTable, second: CurveTable) -> CurveTable:
    """Both tables' configurations; of a batch that both hold, the second's.

    Raises ValueError where they were not trained alike.
    """
    alike = ("data", "epochs", "train_images", "val_images", "space")
    for name in alike:
        if first.facts.get(name) != second.facts.get(name):
            raise ValueError(f"the tables differ in {name}: they cannot be one")
    if first.metrics != second.metrics:
        raise ValueError("the tables differ in their metrics: they cannot be one")
    kept = np.flatnonzero(~np.isin(first.batches, second.batches))
    return CurveTable(
        parameters=(*(first.parameters[i] for i in kept), *second.parameters),
        configs=(*(first.configs[i] for i in kept), *second.configs),
        batches=np.concatenate([first.batches[kept], second.batches]),
        seeds=np.concatenate([first.seeds[kept], second.seeds]),
        status=np.concatenate([first.status[kept], second.status]),
        metrics=second.metrics,
        values=np.concatenate([first.values[kept], second.values]),
        facts=second.facts,
    )
