"""The methods of a study in sentences with every number, ready to paste into a paper."""

from __future__ import annotations

from typing import Any

from analysis.statistics.confirmation import Confirmation
from analysis.statistics.quantities import quantity
from analysis.statistics.search_space import Dimension
from analysis.tracker.results import StudyResults
from analysis.tracker.runs import FAILED, METRIC

SAMPLERS = {
    "tpe": "the tree-structured Parzen estimator",
    "random": "random search",
    "gp": "a Gaussian process",
    "qmc": "quasi-Monte Carlo sampling",
    "nsga2": "NSGA-II",
}
SCHEDULERS = {
    "asha": "asynchronous successive halving",
    "promotion": "asynchronous successive halving with promotion",
    "hyperband": "Hyperband",
    "median": "the median rule",
    "none": "",
}
BINARISED = {
    "static": " Grey values were taken as probabilities of black and white pixels, drawn once.",
    "dynamic": (
        " Grey values were taken as probabilities of black and white pixels, drawn anew each epoch "
        "for training and once for validation and test images."
    ),
}


def paragraph(results: StudyResults, confirmation: Confirmation | None) -> str:
    """What was done; what the tracker does not hold is left out, never guessed."""
    parts = (
        _data(results),
        _search(results),
        _space(results.space),
        _spent(results),
        _confirmed(confirmation),
        _software(results),
    )
    return " ".join(part for part in parts if part)


def _fixed(results: StudyResults, name: str) -> Any:
    return results.info.get("reference", {}).get(name)


def _data(results: StudyResults) -> str:
    dataset = _fixed(results, "dataset")
    if not dataset:
        return ""
    size = _fixed(results, "train_size")
    images = f"the first {size:,} training images" if size else "all training images"
    text = f"Models were trained on {images} of {dataset}."
    text += BINARISED.get(str(_fixed(results, "binarise")), "")
    kind, factor = _fixed(results, "eval_noise_kind"), _fixed(results, "eval_noise_factor")
    if factor:
        text += f" They were judged on images with {kind} noise of factor {factor:g}."
    return text


def _search(results: StudyResults) -> str:
    settings = results.info.get("settings", {})
    goals = " and ".join(f"{o.direction} {quantity(o.metric).header}" for o in results.objectives)
    sampler = settings.get("sampler")
    if sampler is None:
        return f"The search's goal was to {goals}."
    text = f"Hyperparameters were searched by {SAMPLERS.get(sampler, sampler)} to {goals}"
    text += f", seed {settings['seed']}" if settings.get("seed") is not None else ""
    if settings.get("scheduler") == "pbt":
        text += (
            f"; population based training judged the {settings.get('trials')} members every "
            f"{settings.get('grace')} epochs and let heirs of the best 1/{settings.get('eta')} "
            "take the place of the worst"
        )
    if rule := SCHEDULERS.get(str(settings.get("scheduler")), ""):
        text += (
            f"; trials ended early by {rule}, from epoch {settings.get('grace')} on, with "
            f"reduction factor {settings.get('eta')}"
        )
    return text + "."


def _space(space: tuple[Dimension, ...]) -> str:
    if not space:
        return ""
    ranges = "; ".join(f"{dimension.name}: {dimension.range_text}" for dimension in space)
    return f"The space had {len(space)} hyperparameters ({ranges})."


def _spent(results: StudyResults) -> str:
    search = results.search
    if search.empty:
        return ""
    counts = [f"{results.count('finished'):,} finished", f"{results.count('pruned'):,} were pruned"]
    if failed := results.count(*FAILED):
        counts.append(f"{failed:,} failed")
    epochs = _fixed(results, "epochs")
    most = f" of at most {epochs} epochs" if epochs else ""
    spent = int(search["trained"].fillna(0).sum())
    return (
        f"Of {len(search):,} trials{most}, {', '.join(counts)}; they trained {spent:,} epochs in "
        "all."
    )


def _confirmed(confirmation: Confirmation | None) -> str:
    if confirmation is None:
        return "No configuration was trained again on fresh seeds."
    winner, measure = confirmation.winner, quantity(confirmation.metric)
    estimate = winner.estimate
    text = (
        f"The best {len(confirmation.configurations) - 1} configurations and the reference were "
        f"trained again on {len(confirmation.seeds)} fresh seeds and judged on the test images, "
        f"which the search had not seen. The winner reached {measure.header} "
        f"{measure.text(estimate.mean)} ({100 * estimate.confidence:.0f} % interval "
        f"{measure.text(estimate.low)} to {measure.text(estimate.high)}, n = {estimate.n})."
    )
    against = confirmation.comparison(winner.configuration)
    if against is None:
        return text
    fine = measure.difference()
    return text + (
        f" Its paired difference to the reference is {fine.text(against.advantage.mean)} "
        f"({fine.text(against.advantage.low)} to {fine.text(against.advantage.high)}, "
        f"positive is better; p = {against.p_holm:.2g}, corrected by Holm)."
    )


def _software(results: StudyResults) -> str:
    versions = results.provenance.get("versions", {})
    commit = str(results.provenance.get("git", {}).get("commit") or "")[:12]
    cpu = results.provenance.get("machine", {}).get("cpu")
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    parts = [
        f"Software: {said}" if said else "",
        f"commit {commit}" if commit else "",
        f"on {cpu}" if cpu else "",
    ]
    text = "; ".join(part for part in parts if part)
    column = METRIC + "time/epoch_s"
    if column in results.trials and results.trials[column].notna().any():
        text += f"; {results.trials[column].median():.2g} s per epoch (median)"
    return f"{text}." if text else ""
