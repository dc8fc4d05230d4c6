"""`--warm-start STUDY`: what earlier studies have found is where a new search begins.

A finished trial that was trained and judged as the new ones are, on the same images, in the present
space, is shown to the sampler with its score. Of a study that was trained otherwise the scores do
not compare, but its best configurations may be good here too: they are tried first. What was taken
is decided once, before the start, and kept in the ledger: a resumed study goes on from the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import ValidationError

from studies.errors import InputError
from studies.ledger.ledger import Ledger
from studies.runner.planning import Plan
from studies.tracker.earlier import Earlier, EarlierTrial
from vae_trainables.config import TrialConfig

FACT = "warm_start"
TRIED_FIRST = 3  # of each study whose scores do not compare

Fact = Mapping[str, Any]
"""In the ledger: `studies`, `shown` (study, key, config, metrics), `first` (configurations)."""


def named(studies: Sequence[str] | None) -> list[str]:
    """The studies that were asked for, each once."""
    return list(dict.fromkeys(studies or ()))


def taken(
    plan: Plan, data: Sequence[str], code: str, earlier: Sequence[Earlier]
) -> tuple[Fact, list[str]]:
    """What the new study begins with, and a sentence for each of the earlier ones.

    data: fingerprints of the training and validation images; code: of what trains.
    """
    shown: list[dict[str, Any]] = []
    first: list[dict[str, Any]] = []
    remarks = []
    for study in earlier:
        same_images = [study.data.get("train"), study.data.get("val")] == list(data)
        fits, others, why = _sorted_out(plan, study, same_images)
        shown += [
            {"study": study.name, "key": t.key, "config": c.flat(), "metrics": _scores(plan, t)}
            for c, t in fits
        ]
        best = [config.flat() for config, _ in _ranked(plan, others)[:TRIED_FIRST]]
        first += [config for config in best if config not in first]
        remarks.append(_sentence(study, len(fits), len(best), why, study.code not in ("", code)))
    return {"studies": [s.name for s in earlier], "shown": shown, "first": first}, remarks


def check(asked: Sequence[str] | None, facts: Mapping[str, Any]) -> None:
    """Raise InputError where a study that exists began with other studies than are asked for."""
    began = list(facts.get(FACT, {}).get("studies", []))
    if asked and named(asked) != began:
        before = f"this one began with {', '.join(began)}" if began else "this one began without"
        raise InputError(
            f"--warm-start is where a study begins, and {before}: leave it out, or start another "
            "--study"
        )


def begin(plan: Plan, ledger: Ledger) -> list[dict[str, Any]]:
    """Let the ledger's sampler see what was taken; what is to be suggested before anything else.

    Behind earlier trials the sampler draws other random numbers than without: it draws by a trial's
    place among all that it sees.
    """
    facts = ledger.facts()
    ledger.use_sampler(plan.sampler(), shown(plan, facts))
    return first(plan, facts)


def shown(plan: Plan, facts: Mapping[str, Any]) -> list[FrozenTrial]:
    """The earlier trials as the sampler sees them.

    As many as were taken, whatever space and objectives are now: what does not fit any more has
    failed.
    """
    return [_frozen(plan, trial) for trial in facts.get(FACT, {}).get("shown", [])]


def first(plan: Plan, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Values to suggest before anything else, behind the reference's."""
    configs = (TrialConfig.model_validate(c) for c in facts.get(FACT, {}).get("first", []))
    leads = [led for config in configs if (led := plan.lead(config)) is not None]
    return [led.params for led in leads if not led.is_all_of(plan.reference)]


def _frozen(plan: Plan, trial: Mapping[str, Any]) -> FrozenTrial:
    metrics = [objective.metric for objective in plan.objectives]
    parameters = None
    if set(metrics) <= set(trial["metrics"]):
        parameters = plan.express(TrialConfig.model_validate(trial["config"]), {})
    if parameters is None:
        return create_trial(state=TrialState.FAIL)
    params, distributions = parameters
    values = [trial["metrics"][metric] for metric in metrics]
    return create_trial(values=values, params=params, distributions=distributions)


def _sorted_out(
    plan: Plan, study: Earlier, same_images: bool
) -> tuple[list[tuple[TrialConfig, EarlierTrial]], list[tuple[TrialConfig, EarlierTrial]], str]:
    """Those that compare, those that do not but are in the space, and why some are of no use."""
    fits, others = [], []
    useless: Counter[str] = Counter()
    for trial in study.trials:
        try:
            config = TrialConfig.from_texts(trial.params)
        except ValidationError:
            useless["cannot be built here"] += 1
            continue
        led = plan.lead(config)
        if len(_scores(plan, trial)) < len(plan.objectives):
            useless["lack an objective"] += 1
        elif led is None:
            useless["lie outside of the space"] += 1
        elif same_images and led.is_all_of(config):
            fits.append((config, trial))
        else:
            others.append((config, trial))
    return fits, others, ", ".join(f"{count} {why}" for why, count in useless.items())


def _scores(plan: Plan, trial: EarlierTrial) -> dict[str, float]:
    names = [objective.metric for objective in plan.objectives]
    return {name: trial.metrics[name] for name in names if name in trial.metrics}


def _ranked(
    plan: Plan, trials: list[tuple[TrialConfig, EarlierTrial]]
) -> list[tuple[TrialConfig, EarlierTrial]]:
    best = plan.objectives[0]
    return sorted(
        trials,
        key=lambda pair: pair[1].metrics[best.metric],
        reverse=best.direction == "maximize",
    )


def _sentence(study: Earlier, shown: int, first: int, why: str, other_code: bool) -> str:
    finished = len(study.trials)
    text = (
        f"warm start from {study.name}: the sampler is shown {shown} of {finished} finished trials"
    )
    if first:
        text += (
            f"; others were trained or judged otherwise, or on other images: the best {first} of "
            "their configurations are tried first"
        )
    if why:
        text += f"; {why}"
    if study.others:
        text += f"; {study.others} that did not finish are left out"
    return text + ("; it ran with other code of vae_trainables" if other_code else "")
