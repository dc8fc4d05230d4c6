"""Whether a search is better than chance: every sampler × scheduler, replayed on learning curves.

    python -m benchmarks.search_quality run --out runs/search_quality [--studies 200] [--only tpe]
    python -m benchmarks.search_quality page --out runs/search_quality --figures docs/images

`run` replays studies on a model of the learning curves of `curve_table` (`--model nearest`: on its
rows), chance for 60 whole trials, all else for half as many epochs, and goes on where it was
stopped. `page` prints the
tables of docs/results/search_quality.md and draws its figures. Regret is by how much the
configuration that a search would name is worse than the best that is known, both without noise.
"""

from __future__ import annotations

import argparse
import logging
import math
import time
import typing
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from numpy.typing import NDArray

from analysis.figures.base import panels, paper_legend
from benchmarks import learning_curves
from benchmarks.curve_model import CurveModel, Fitted, Forest, Nearest, explained
from benchmarks.curve_table import load
from benchmarks.replay import (
    ENDLESS,
    MakeSampler,
    Replay,
    Replayed,
    own_sampler,
    with_seed,
)
from studies.runner import pins
from studies.runner.planning import Plan, make_plan
from studies.runner.settings import Sampler, Scheduler, Settings
from studies.scheduling.pruning import Comparison, Reading, comparable
from vae_trainables.config import TrialConfig
from vae_trainables.training import schedules

METRIC = "val/mse"
SPACE = learning_curves.space
WHOLE = 60 * learning_curves.EPOCHS  # of chance, epochs
HORIZON = WHOLE // 2  # of all else
QUARTER = WHOLE // 4  # in which the default shall be where chance is at its end
SHOWN = (HORIZON // 4, QUARTER, HORIZON)
STUDIES = 200
DRAWS = 4_000  # points of the space among which the best is looked for
CHANCE, DEFAULT = "random none", "tpe asha"
LEVEL = 0.05
SEED_STEP = 1000  # between studies: a trial's second seed is the next number
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Way:
    """How a study searches."""

    settings: Mapping[str, object]
    make_sampler: MakeSampler = own_sampler
    compared: Comparison = comparable


def everything(config: TrialConfig, epoch: int, metric: str, value: float) -> Reading:
    """Compares trials in their warm-ups as if nothing flattered them."""
    return Reading(value)


def at_full_beta(config: TrialConfig, epoch: int, metric: str, value: float) -> Reading | None:
    """Compares trials at full β only."""
    return Reading(value) if schedules.settled(config, epoch) else None


def _tpe(**changes: object) -> MakeSampler:
    def make(plan: Plan) -> optuna.samplers.BaseSampler:
        options = {"multivariate": True, "constant_liar": True, **changes}
        return optuna.samplers.TPESampler(seed=plan.settings.seed, **options)  # type: ignore[arg-type]

    return make


def schedulers() -> list[Scheduler]:
    """Those that can be replayed: no table of curves knows of weights that travel."""
    return [name for name in typing.get_args(Scheduler) if name != "pbt"]


def ways() -> dict[str, Way]:
    """Every sampler with every scheduler as a study has them; then others, by what is changed."""
    offered = {
        f"{sampler} {scheduler}": Way({"sampler": sampler, "scheduler": scheduler})
        for scheduler in schedulers()
        for sampler in typing.get_args(Sampler)
    }
    asha = {"sampler": "tpe", "scheduler": "asha"}
    changed = {
        "eta 2": Way({**asha, "eta": 2.0}),
        "eta 3": Way({**asha, "eta": 3.0}),
        "grace 2": Way({**asha, "grace": 2}),
        "5 at random": Way(asha, _tpe(n_startup_trials=5)),
        "20 at random": Way(asha, _tpe(n_startup_trials=20)),
        "each alone": Way(asha, _tpe(multivariate=False)),
        "in groups": Way(asha, _tpe(group=True)),
        "all compared": Way(asha, compared=everything),
        "at full β": Way(asha, compared=at_full_beta),
    }
    own = {f"{DEFAULT}, {what}": way for what, way in changed.items()}
    chance = {"sampler": "random", "scheduler": "asha"}
    own["random asha, all compared"] = Way(chance, compared=everything)
    own["random asha, at full β"] = Way(chance, compared=at_full_beta)
    own["qmc asha, scrambled"] = Way({"sampler": "qmc", "scheduler": "asha"}, _scrambled)
    gp = {"sampler": "gp", "scheduler": "none"}
    return offered | own | {"gp none, Optuna's own": Way(gp, _optunas_gp)}


def _scrambled(plan: Plan) -> optuna.samplers.BaseSampler:
    """QMC whose first points depend on the seed."""
    seed = plan.settings.seed
    return optuna.samplers.QMCSampler(scramble=True, seed=seed, warn_independent_sampling=False)


def _optunas_gp(plan: Plan) -> optuna.samplers.BaseSampler:
    """GP as Optuna has it: parameters that some trials lack are drawn at random for ever."""
    return optuna.samplers.GPSampler(seed=plan.settings.seed, warn_independent_sampling=False)


def quiet() -> None:
    """No remarks of libraries."""
    warnings.simplefilter("ignore")
    logging.getLogger("optuna").setLevel(logging.ERROR)
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def model_of(name: str, rows: int | None) -> Fitted:
    """`forest` or `nearest`, of the first `rows` of the table that is checked in; None: of all."""
    kinds: dict[str, type[Fitted]] = {"forest": Forest, "nearest": Nearest}
    table = load()
    return kinds[name](table.first(rows or len(table)), METRIC, pins.suggestions(SPACE))


def run(out: Path, studies: int, chosen: Sequence[str], model: CurveModel) -> None:
    """Replay what is not there yet."""
    out.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        path, way = out / f"{name.replace(' ', '-')}.npz", ways()[name]
        before = dict(np.load(path)) if path.exists() else {}
        done = len(before.get("best", ()))
        if done >= studies:
            continue
        began = time.process_time()
        replayed = replay(way, range(done, studies), model, WHOLE if name == CHANCE else HORIZON)
        fresh = {
            "best": np.array([study.best for study in replayed]),
            "finished": np.array([study.finished for study in replayed]),
            "pruned": np.array([study.pruned for study in replayed]),
            "seconds": np.array([time.process_time() - began]),
        }
        joined = {key: np.concatenate([before[key], fresh[key]]) for key in before} or fresh
        np.savez_compressed(path, **joined)
        print(f"{name}: {studies} studies, {time.process_time() - began:.0f} s of CPU", flush=True)


def replay(way: Way, seeds: Iterable[int], model: CurveModel, epochs: int) -> list[Replayed]:
    """One search for each seed."""
    settings = {"trials": ENDLESS, "epochs": learning_curves.EPOCHS, **way.settings}
    plan = make_plan(learning_curves.STUDY, Settings(**settings))  # type: ignore[arg-type]
    plans = [with_seed(plan, SEED_STEP * seed) for seed in seeds]
    return [Replay(seeded, model, epochs, way.make_sampler, way.compared).run() for seeded in plans]


@dataclass(frozen=True)
class Replays:
    """What a way of searching came to. best: `(N, epochs)`, as `replay.Replayed` has it."""

    best: Floats
    finished: float
    pruned: float
    seconds: float


def read(out: Path, first: int = 0) -> dict[str, Replays]:
    """What was replayed, by the way of searching, from the study `first` on."""
    there = {}
    for name in ways():
        path = out / f"{name.replace(' ', '-')}.npz"
        if not path.exists():
            continue
        data = np.load(path)
        if len(data["best"]) > first:
            there[name] = Replays(
                data["best"][first:],
                float(data["finished"][first:].mean()),
                float(data["pruned"][first:].mean()),
                float(data["seconds"].sum()) / len(data["best"]),
            )
    return there


def best_known(model: Fitted, replays: Mapping[str, Replays]) -> float:
    """The least last value of many random points and of all that any search has named."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = []
    for _ in range(DRAWS):
        trial = study.ask()
        SPACE(trial)
        drawn.append(model.encode(trial.params))
    least = float(np.exp(model.log_curves(np.array(drawn, np.float32))[:, -1].min()))
    return min(least, *(float(replay.best.min()) for replay in replays.values()))


def arrives(regret: Floats, aim: float) -> int | None:
    """The first epoch, from 1, at which the median regret is `aim` or less; None: never."""
    there = np.flatnonzero(np.median(regret, axis=0) <= aim)
    return int(there[0]) + 1 if len(there) else None


def mean_ranks(values: Floats) -> Floats:
    """`(K,)` for `(N, K)`: 1 is best, ties share their ranks."""
    from scipy.stats import rankdata

    ranks: Floats = rankdata(values, axis=1).mean(axis=0)
    return ranks


def critical_difference(ways_count: int, studies: int) -> float:
    """Nemenyi's: mean ranks further apart than this differ, all pairs together at `LEVEL`.

    Demšar 2006, Statistical Comparisons of Classifiers over Multiple Data Sets.
    """
    from scipy.stats import studentized_range

    q = float(studentized_range.ppf(1 - LEVEL, ways_count, np.inf)) / math.sqrt(2)
    return q * math.sqrt(ways_count * (ways_count + 1) / (6 * studies))


def alike(ranks: Sequence[float], difference: float) -> list[tuple[int, int]]:
    """Runs of ranks, ascending, that no critical difference parts: first and last, longest only."""
    runs: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(i for i in range(len(ranks)) if ranks[i] - ranks[first] <= difference)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


def rows(replays: Mapping[str, Replays], best: float) -> list[str]:
    """Markdown: the regret over epochs of every way, and when it arrives where chance ends."""
    aim = float(np.median(replays[CHANCE].best[:, -1])) - best
    head = " | ".join(f"at {epoch}" for epoch in SHOWN)
    lines = [
        f"| search | n | {head} | epochs to {1000 * aim:.2f} | finished | pruned | CPU s |",
        "|---|---:|" + "---:|" * (len(SHOWN) + 4),
    ]
    for name, replay in replays.items():
        regret = replay.best - best
        cells = [_quartiles(regret[:, epoch - 1]) for epoch in SHOWN]
        epoch = arrives(regret, aim)
        arrival = "–" if epoch is None else f"{epoch} ({epoch / WHOLE:.0%})"
        counts = f"{replay.finished:.0f} | {replay.pruned:.0f} | {replay.seconds:.1f}"
        lines.append(f"| {name} | {len(regret)} | {' | '.join(cells)} | {arrival} | {counts} |")
    return lines


def _quartiles(values: Floats) -> str:
    """Median and quartiles, thousandths."""
    low, middle, high = (1000 * float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})" if math.isfinite(high) else "–"


def worse_than_chance(replays: Mapping[str, Replays], epoch: int) -> list[str]:
    """Ways that are shown to be worse than random search without a scheduler at an epoch.

    One-sided signed-rank tests of pairs of studies with one seed, at `LEVEL` for all (Holm).
    """
    from scipy.stats import wilcoxon

    from analysis.statistics.paired import holm

    chance, names, p_values = replays[CHANCE].best[:, epoch - 1], [], []
    for name, replay in replays.items():
        count = min(len(chance), len(replay.best))
        mine, theirs = replay.best[:count, epoch - 1], chance[:count]
        differs = mine != theirs
        if name != CHANCE and differs.any():
            names.append(name)
            pair = mine[differs], theirs[differs]
            p_values.append(float(wilcoxon(*pair, alternative="greater").pvalue))
    return [name for name, p in zip(names, holm(p_values), strict=True) if p < LEVEL]


def draw_regret(replays: Mapping[str, Replays], best: float, path: Path) -> None:
    """Median regret over epochs, a panel for each scheduler."""
    names = schedulers()
    figure, axes = panels(len(names))
    aim = float(np.median(replays[CHANCE].best[:, -1])) - best
    for panel, scheduler in zip(axes, names, strict=True):
        for number, sampler in enumerate(typing.get_args(Sampler)):
            replay = replays.get(f"{sampler} {scheduler}")
            if replay is not None:
                median = 1000 * np.median(replay.best - best, axis=0)
                panel.plot(
                    1 + np.arange(len(median)), median, label=sampler, color=f"C{number}", lw=1.4
                )
        panel.axhline(1000 * aim, color="0.6", lw=0.8, ls="--")
        panel.axvline(QUARTER, color="0.6", lw=0.8, ls="--")
        panel.set(title=scheduler, xscale="log", yscale="log", xlim=(8, WHOLE))
        panel.set(xlabel="epochs of all trials", ylabel="regret, thousandths of MSE")
    paper_legend(figure, columns=5)
    figure.savefig(path, dpi=110)


def draw_ranks(replays: Mapping[str, Replays], epoch: int, path: Path) -> None:
    """Mean ranks at an epoch, with a bar over those that no critical difference parts."""
    from matplotlib.figure import Figure

    names = [name for name in replays if "," not in name]
    count = min(len(replays[name].best) for name in names)
    ranks = mean_ranks(np.stack([replays[name].best[:count, epoch - 1] for name in names], 1))
    order = np.argsort(ranks)
    sorted_ranks, labels = ranks[order].tolist(), [names[i] for i in order]
    difference = critical_difference(len(names), count)
    figure = Figure(figsize=(7.0, 0.24 * len(names) + 1.2), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(names))
    axes.plot(sorted_ranks, places, "o", color="black", ms=4)
    for place, (rank, label) in enumerate(zip(sorted_ranks, labels, strict=True)):
        axes.annotate(label, (rank, place), (6, 0), textcoords="offset points", va="center")
    for first, last in alike(sorted_ranks, difference):
        middle = sorted_ranks[first] - 0.2
        axes.plot([middle, middle], [first - 0.2, last + 0.2], color="0.6", lw=2.5)
    axes.plot([1, 1 + difference], [-1.4, -1.4], color="black", lw=2)
    axes.annotate("critical difference", (1 + difference, -1.4), (6, 0),
                  textcoords="offset points", va="center")  # fmt: skip
    axes.set(ylim=(len(names) - 0.4, -2.2), xlim=(0.5, len(names) + 2), yticks=[])
    axes.set_xlabel(f"mean rank of the regret after {epoch} epochs, {count} studies; 1 is best")
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path, dpi=110)


def page(out: Path, figures: Path | None, model: Fitted, first: int) -> None:
    """Print the tables, draw the figures."""
    replays = read(out, first)
    best = best_known(model, replays)
    variance, rank = explained(model)
    print(
        f"{len(model.points)} configurations; of the last epoch's logarithm, out of fold, the "
        f"forest explains {variance:.2f} of the variance, rank correlation {rank:.2f}; "
        f"best known {best:.5f}\n"
    )
    print("\n".join(rows(replays, best)))
    for epoch in (QUARTER, HORIZON):
        worse = ", ".join(worse_than_chance(replays, epoch)) or "none"
        print(f"\nworse than {CHANCE!r} after {epoch} epochs: {worse}")
    if figures is not None:
        figures.mkdir(parents=True, exist_ok=True)
        draw_regret(replays, best, figures / "search-regret.png")
        draw_ranks(replays, QUARTER, figures / "search-ranks.png")


def parsed() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=("run", "page"), help="run goes on where it was")
    parser.add_argument("--out", type=Path, default=Path("runs/search_quality"))
    parser.add_argument("--model", choices=("forest", "nearest"), default="forest")
    parser.add_argument("--rows", type=int, help="of the table, the first so many")
    parser.add_argument("--studies", type=int, default=STUDIES, help="of each way, in all")
    parser.add_argument("--only", default="", help="ways whose names contain this; several: a|b")
    parser.add_argument(
        "--first", type=int, default=0, help="page: from this study on, as those before have chosen"
    )
    parser.add_argument("--figures", type=Path, help="folder that page draws into")
    return parser.parse_args()


def main() -> None:
    """Replay or show."""
    given = parsed()
    quiet()
    model = model_of(given.model, given.rows)
    if given.command == "page":
        page(given.out, given.figures, model, given.first)
        return
    asked = given.only.split("|")
    chosen = [name for name in ways() if any(part in name for part in asked)]
    run(given.out, given.studies, chosen, model)


if __name__ == "__main__":
    main()
