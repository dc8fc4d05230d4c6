"""Several objectives at once: the Pareto front, its hypervolume and its knee."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.statistics.intervals import Floats
from analysis.statistics.quantities import Direction, sign

_FEWEST_FOR_KNEE = 3
_ROUNDING = 1e-9
_BEYOND_THE_WORST = 0.1  # of an objective's range; Ishibuchi et al. (2018) on such points


@dataclass(frozen=True)
class ParetoFront:
    """The trials that no other beats in every objective.

    `members` are index labels of the frame, best in the first objective first, `values` their
    scores. `hypervolume` is in the product of the objectives' units; `share` is the same as a
    fraction of the box between `reference_point` and the best value of each objective. Scores are
    taken as they are: with one seed each, membership of near neighbours is partly luck.
    """

    objectives: tuple[tuple[str, Direction], ...]
    members: tuple[Hashable, ...]
    values: tuple[tuple[float, ...], ...]
    reference_point: tuple[float, ...]
    hypervolume: float
    share: float
    knee: Hashable | None
    knee_reason: str


def pareto_front(
    frame: pd.DataFrame,
    objectives: Mapping[str, Direction],
    *,
    reference_point: Sequence[float] | None = None,
) -> ParetoFront:
    """Front, hypervolume and knee of the rows of `frame` under `objectives` (column: direction).

    Rows with a score that is not finite are left out. Without `reference_point` it lies a tenth
    of each objective's range beyond the worst value, so that extreme points count: it then moves
    with the trials, so compare hypervolumes of two studies only under a common one. Raises
    ValueError for fewer than two objectives or a reference point of another length; no usable row
    gives an empty front with hypervolume 0.
    """
    if len(objectives) < 2:
        raise ValueError(f"a Pareto front needs two or more objectives, got {list(objectives)}")
    names, directions = list(objectives), list(objectives.values())
    scores = frame[names].to_numpy(dtype=np.float64)
    usable = np.flatnonzero(np.isfinite(scores).all(axis=1))
    scores = scores[usable]
    point = _reference_point(scores, directions, reference_point)
    rows = np.flatnonzero(non_dominated(scores, directions))
    rows = rows[np.argsort(_as_costs(scores, directions)[rows, 0], kind="stable")]
    volume = hypervolume(scores[rows], directions, point)
    labels = [frame.index[usable[row]] for row in rows]
    limit = _as_costs(point, directions)
    best = _as_costs(scores, directions).min(axis=0, initial=np.inf)
    box = float(np.prod(limit - best))
    position, reason = knee(scores[rows], directions)
    return ParetoFront(
        tuple(objectives.items()),
        tuple(labels),
        tuple(tuple(row) for row in scores[rows].tolist()),
        tuple(point.tolist()),
        volume,
        volume / box if box > 0 else 0.0,
        None if position is None else labels[position],
        reason,
    )


def non_dominated(scores: Floats, directions: Sequence[Direction]) -> NDArray[np.bool_]:
    """Mask (N,) of the rows of `scores` (N, D) that no row dominates; equal rows all stay.

    A row dominates another if it is at least as good in every objective and better in one.
    """
    costs = _as_costs(scores, directions)
    keep = np.ones(len(costs), dtype=np.bool_)
    # In lexicographic order no row is dominated by a later one, so survivors only shrink.
    for row in np.lexsort(costs.T[::-1]):
        if keep[row]:
            dominated = (costs >= costs[row]).all(axis=1) & (costs > costs[row]).any(axis=1)
            keep &= ~dominated
    return keep


def hypervolume(
    scores: Floats, directions: Sequence[Direction], reference_point: Sequence[float] | Floats
) -> float:
    """Exact volume that `scores` (N, D) dominate up to `reference_point` (D,).

    By slicing along one objective after the other (While et al. 2006, "A faster algorithm for
    calculating hypervolume"): O(N log N) for two, O(N^2 log N) for three objectives. Points that
    do not beat the reference point in every objective add nothing.
    """
    point = np.asarray(reference_point, dtype=np.float64)
    if point.shape != (len(directions),):
        raise ValueError(
            f"the reference point needs one value for each of {len(directions)} objectives, "
            f"got {point.tolist()}"
        )
    costs, limit = _as_costs(scores, directions), _as_costs(point, directions)
    inside = costs[(costs < limit).all(axis=1)]
    return _volume(inside, limit)


def _volume(costs: Floats, limit: Floats) -> float:
    """Volume between minimised `costs` (N, D), all below `limit` (D,), and `limit`."""
    if len(costs) == 0:
        return 0.0
    if costs.shape[1] == 1:
        return float(limit[0] - costs[:, 0].min())
    costs = costs[np.argsort(costs[:, -1])]
    thickness = np.diff(np.append(costs[:, -1], limit[-1]))
    if costs.shape[1] == 2:
        widths = limit[0] - np.minimum.accumulate(costs[:, 0])
        return float(widths @ thickness)
    slabs = [_volume(costs[: i + 1, :-1], limit[:-1]) for i in range(len(costs))]
    return float(np.dot(slabs, thickness))


def knee(scores: Floats, directions: Sequence[Direction]) -> tuple[int | None, str]:
    """Row of a front (N, D) where giving up a little of one objective gains most of the others.

    The point farthest, towards the ideal, from the line between the extremes, after each
    objective is scaled so that the front spans 0 (best) to 1 (worst); for more than two
    objectives from the plane through those corners (Das 1999, "On characterizing the knee of the
    Pareto curve"). Returns None with the reason where there is none.
    """
    costs = _as_costs(scores, directions)
    if len(costs) < _FEWEST_FOR_KNEE:
        return None, f"a knee needs at least three points on the front, there are {len(costs)}"
    span = np.ptp(costs, axis=0)
    if not (span > 0).all():
        return None, "no knee: the front does not vary in every objective"
    scaled = (costs - costs.min(axis=0)) / span
    distance = (1.0 - scaled.sum(axis=1)) / np.sqrt(costs.shape[1])
    farthest = int(np.argmax(distance))
    if distance[farthest] <= _ROUNDING:
        return None, "no knee: no point lies inside the line between the extremes"
    return (
        farthest,
        f"{distance[farthest]:.2f} inside the line between the extremes (scaled to 0-1)",
    )


def _as_costs(scores: Floats, directions: Sequence[Direction]) -> Floats:
    """`scores` with signs turned so that smaller is better in every objective."""
    return -np.asarray([sign(direction) for direction in directions]) * scores


def _reference_point(
    scores: Floats, directions: Sequence[Direction], point: Sequence[float] | None
) -> Floats:
    if point is not None:
        return np.asarray(point, dtype=np.float64)
    if len(scores) == 0:
        return np.full(len(directions), np.nan)
    costs = _as_costs(scores, directions)
    beyond = costs.max(axis=0) + _BEYOND_THE_WORST * np.ptp(costs, axis=0)
    return _as_costs(beyond, directions)
