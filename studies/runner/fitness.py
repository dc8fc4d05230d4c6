"""Whether what a study may train fits its data: asked before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from studies.errors import InputError
from studies.runner.planning import Plan, suggestions
from vae_trainables.config import TrialConfig

if TYPE_CHECKING:
    from vae_trainables.datasets.splits import TrialData


def check(plan: Plan, data: TrialData) -> None:
    """Raise InputError for a reference, companion or suggestion that cannot be trained on `data`.

    Of a space many draws are tried, so a part of it that is hardly ever suggested may pass.
    """
    required = [o.metric for o in [*plan.objectives, plan.definition.prune_on]]
    tried: set[str] = set()
    for who, config in _candidates(plan):
        shape = _shape(config)
        if shape in tried:
            continue
        tried.add(shape)
        reason = _misfit(plan, config, data, required)
        if reason:
            raise InputError(
                f"{who} of the study {plan.definition.kind} cannot be trained: {reason}"
            )


def _candidates(plan: Plan) -> list[tuple[str, TrialConfig]]:
    reference, *draws = suggestions(plan)
    companions = [("a companion", config) for config in plan.companions]
    return [("the reference", reference), *companions, *(("a suggestion", c) for c in draws)]


def _misfit(plan: Plan, config: TrialConfig, data: TrialData, required: list[str]) -> str | None:
    from vae_trainables.training.misfit import misfit  # imports torch: seconds

    for name in ("dataset", "binarise"):
        value, one = config.setting(name), plan.reference.setting(name)
        if value != one:
            return f"{name} = {value!r}, but a study has one, {one!r}"
    return misfit(config, data, required)


def _shape(config: TrialConfig) -> str:
    """What decides whether a configuration fits; latent sizes, weights and rates do not."""
    model, compares = config.model, config.objective.supcon_gamma > 0
    sizes = model.image_shape, model.num_classes, model.hidden, model.widths, model.blocks
    return repr(
        (
            config.data.dataset,
            config.data.binarise,
            model.kind,
            sizes,
            config.evaluation.extras,
            compares,
        )
    )
