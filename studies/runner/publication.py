"""What the tracker is told about a study as a whole: enough to rebuild every table from it."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from optuna.distributions import distribution_to_json
from torch import Tensor

from analysis.statistics.search_space import dimensions
from studies.ledger.ledger import Ledger
from studies.runner import confirmation, provenance
from studies.runner.console import best_and_reference
from studies.runner.planning import Plan
from studies.tracker import names, pages
from studies.tracker.spool import read_whole, write_whole
from studies.tracker.tracker import Tracker
from vae_trainables import metrics
from vae_trainables.config import TrialConfig
from vae_trainables.datasets import binarising
from vae_trainables.datasets.splits import TrialData
from vae_trainables.evaluation import baselines
from vae_trainables.evaluation.evaluator import (
    ROBUSTNESS_IMAGES,
    ROBUSTNESS_KINDS,
    as_float,
    evaluation_noise,
)
from vae_trainables.objective import terms

EXAMPLES = 256  # validation images that every report shows models on
QUICK_BASELINES = ("do nothing", "mean image", "wiener rank 16", "wiener", "pca")
ROBUST_BASELINES = ("do nothing", "wiener", "lookup")
LOOKUP_ROBUSTNESS = 200  # images that look-up denoises at each factor: a second each of a core
CEILING_FROM_S = 3600.0
CEILING_FROM = 20_000_000  # images that a study's trials see, of which the ceiling sees 100,000
CODES = 2_000  # validation images whose codes a report draws


def study_tags(plan: Plan) -> dict[str, Any]:
    """Tags of the parent run."""
    state, _ = provenance.git_state()
    return {
        names.KIND: plan.definition.kind,
        names.DATASET: plan.reference.data.dataset,
        names.COMMIT: state["commit"],
        names.STATUS: "running",
    }


def trial_tags(plan: Plan) -> dict[str, str]:
    """Tags that all trials of a study share."""
    state, _ = provenance.git_state()
    versions = {f"vae.version.{name}": v for name, v in provenance.versions().items()}
    return {
        names.KIND: plan.definition.kind,
        names.DATASET: plan.reference.data.dataset,
        names.COMMIT: state["commit"],
        "vae.dirty": str(state["dirty"]).lower(),
        "vae.device": "cuda" if plan.settings.gpus else "cpu",
    } | versions


def note(plan: Plan, ledger: Ledger | None = None) -> str:
    """The description of experiment and parent run, in Markdown; lists show its first line."""
    objectives = ", ".join(
        f"{o.direction} `{o.metric}` ([all trials by it]"
        f"({pages.table(pages.EXPERIMENT, o.metric, o.direction)}))"
        for o in plan.objectives
    )
    lines = [plan.definition.title, f"Objective: {objectives}."]
    if not plan.settings.reference:
        searched = [f"`{d.name}` {d.range_text}" for d in dimensions(distributions(plan))]
        lines.append(f"Searched: {'; '.join(searched)}.")
    if ledger is not None:
        count = Counter(trial.status for trial in ledger.trials.values())
        lines.append("Trials: " + ", ".join(f"{n} {status}" for status, n in count.items()) + ".")
        best, reference = best_and_reference(plan, ledger)
        for title, trial in (("Best", best), ("Reference", reference)):
            if trial is not None and trial.values:
                lines.append(f"{title}: trial {trial.key}, {trial.values[0]:.5g}.")
        confirmed = confirmation.judged(plan, ledger)
        if confirmed is not None and (verdict := confirmation.sentence(confirmed)):
            said = f"**Confirmed:** {verdict}. In brackets: 95 % intervals."
            lines.insert(1, said)  # the rest MLflow shows on demand
    return "\n\n".join(lines)


def data_sets(plan: Plan, data: TrialData) -> list[dict[str, Any]]:
    """The images that trials see, as MLflow lists data sets: it filters runs by them."""
    splits = {"training": data.train.take(plan.reference.data.train_size), "validation": data.val}
    if data.test is not None:
        splits["test"] = data.test
    folder = plan.settings.data_dir
    return [
        {
            "context": context,
            "name": f"{plan.reference.data.dataset} {context}",
            "digest": split.fingerprint(),
            "profile": {"images": len(split), "shape": list(split.images.shape[1:])},
            "source": str(folder.absolute()) if folder else plan.reference.data.dataset,
        }
        for context, split in splits.items()
    ]


def publish_baselines(tracker: Tracker, plan: Plan, data: TrialData, folder: Path) -> None:
    """What a denoising study is judged beside, fitted on the images that its trials learn from."""
    config = plan.reference
    few = len(data.train.take(config.data.train_size)) < baselines.LEAST_IMAGES
    if config.evaluation.noise_factor == 0 or few:
        return
    training = baseline_training(config, data)
    publish_rows(tracker, plan, data, folder, training)
    publish_robustness(tracker, plan, data, folder, training)


def publish_rows(
    tracker: Tracker, plan: Plan, data: TrialData, folder: Path, training: baselines.Training
) -> None:
    """`baselines.json`: rows of validation, and of the test split once opened.

    On validation the linear ones suffice; the test split gets all.
    """
    config = plan.reference
    path = folder / "record" / names.BASELINES_FILE
    ceiling = (baselines.CEILING,) if has_ceiling(plan, len(data.train)) else ()
    rows = baseline_rows(config, training, data, ceiling)
    written = {row["split"] for row in rows}
    kept = [row for row in read_whole(path) or [] if row["split"] not in written]
    _write(tracker, path, json.dumps(kept + rows, indent=1))
    if not baselines.affordable(["wiener"], config.model.pixels):
        return
    shown = training.once(baselines.wiener).denoise(_noisy_examples(plan, data))
    _write_examples(
        tracker, folder, example_arrays(plan, data) | {"baseline/wiener": _uint8(shown)}
    )


def baseline_rows(
    config: TrialConfig,
    training: baselines.Training,
    data: TrialData,
    ceiling: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """What the baselines reach on validation and, where it is open, on the test split.

    ceiling: its name, if it is to be trained too: for the test split alone.
    """
    rows: list[dict[str, Any]] = []
    of_test = (*baselines.FLOORS, *ceiling)
    splits = (("val", data.val, QUICK_BASELINES), ("test", data.test, of_test))
    for name, split, methods in splits:
        if split is None:
            continue
        clean = as_float(split.images)
        reached = baselines.evaluate_all(
            training,
            evaluation_noise(clean, config.evaluation.noise_kind, config.evaluation.noise_factor),
            clean,
            components=config.model.latent_dim,
            names=baselines.affordable([*methods, *baselines.OWN], config.model.pixels),
        )
        rows += [{"split": name, **row} for row in reached]
    return rows


def has_ceiling(plan: Plan, available: int) -> bool:
    """Whether the ceiling is trained beside the study: as asked, or where it is a small part.

    By default from `CEILING_FROM` training images on that all trials are planned to see, of the
    `available` ones, or where the search may take `CEILING_FROM_S`.
    """
    settings, budget = plan.settings, plan.settings.search_budget
    if settings.ceiling != "auto":
        return settings.ceiling == "on"
    if budget is not None and budget.seconds is not None:
        return budget.seconds >= CEILING_FROM_S
    epochs = max(settings.most_trials, 1) * settings.seeds * plan.reference.budget.epochs
    if budget is not None and budget.epochs is not None:
        epochs = min(epochs, budget.epochs)
    images = min(plan.reference.data.train_size or available, available)
    return epochs * images >= CEILING_FROM


def publish_robustness(
    tracker: Tracker, plan: Plan, data: TrialData, folder: Path, training: baselines.Training
) -> None:
    """`baseline_robustness.json`: what the noisy input, Wiener and look-up give over other noise.

    On the test images that confirmed trials are tried on (`Evaluator.robustness`), fitted to the
    evaluation's noise as these are; look-up only on the first few, over the kind it knows. Nothing
    where no trial is tried on them.
    """
    config, path = plan.reference, folder / "record" / names.BASELINE_ROBUSTNESS_FILE
    methods = baselines.affordable(ROBUST_BASELINES, config.model.pixels)
    tried = plan.settings.confirm_top or plan.settings.reference
    if not tried or data.test is None:
        return
    if path.exists():
        tracker.artifact("", path)  # a killed driver may not have sent it
        return
    own = config.evaluation.noise_kind
    clean = as_float(data.test.take(ROBUSTNESS_IMAGES).images)
    rows = [
        row
        for name in methods
        for row in baselines.over_noise(
            baselines.BASELINES[name](training, config.model.latent_dim),
            clean[:LOOKUP_ROBUSTNESS] if name == "lookup" else clean,
            [own] if name == "lookup" else tuple(dict.fromkeys((*ROBUSTNESS_KINDS, own))),
            name,
        )
    ]
    _write(tracker, path, json.dumps(rows, indent=1))


def baseline_training(config: TrialConfig, data: TrialData) -> baselines.Training:
    """The training images, clean and with noise of the evaluation's kind but other draws."""
    train = data.train.take(config.data.train_size)
    images = binarising.as_evaluated(train, config.data.binarise).images
    clean = as_float(images)
    kind, factor = config.evaluation.noise_kind, config.evaluation.noise_factor
    return baselines.Training(images, evaluation_noise(clean, kind, factor, draw_number=1))


def publish(tracker: Tracker, plan: Plan, data: TrialData, folder: Path) -> None:
    """Write the study's files and hand them to the tracker."""
    record = folder / "record"
    record.mkdir(exist_ok=True)
    state, diff = provenance.git_state()
    facts = {
        "command": provenance.command(plan.definition.command),
        "git": state,
        "versions": provenance.versions(),
        "code": provenance.code_hash(),
        "source": plan.definition.source.digest() if plan.definition.source else "",
        "machine": provenance.machine(),
        "data": {"train": data.train.fingerprint(), "val": data.val.fingerprint()},
        "threads": plan.settings.threads,
    }
    _write(tracker, record / names.STUDY_FILE, json.dumps(study_file(plan, data), indent=1))
    _write(tracker, record / names.PROVENANCE_FILE, json.dumps(facts, indent=1))
    _write(tracker, record / names.DIFF_FILE, diff)
    _write(tracker, record / names.SOURCE_FILE, plan.source_text() or "")
    if not (record / names.EXAMPLES_FILE).exists():
        _write_examples(tracker, folder, example_arrays(plan, data))
    else:
        tracker.artifact("", record / names.EXAMPLES_FILE)  # a killed driver may not have sent it


def study_file(plan: Plan, data: TrialData) -> dict[str, Any]:
    """`study.json`: what was asked, as data."""
    return {
        "name": plan.name,
        "kind": plan.definition.kind,
        "title": plan.definition.title,
        "objectives": [{"metric": o.metric, "direction": o.direction} for o in plan.objectives],
        "prune_metric": plan.definition.prune_on.metric,
        "distributions": distributions(plan),
        "reference": plan.reference.flat(),
        "pinned": plan.pins.as_text(),
        "quantities": own_quantities(),
        "classes": list(data.val.classes),
        "labelled": data.val.labelled,
        "settings": {
            name: str(value) if isinstance(value, Path) else value
            for name, value in vars(plan.settings).items()
            if name != "tracking_uri"  # it may hold a password
        },
        "command": provenance.command(plan.definition.command),
    }


def own_quantities() -> dict[str, dict[str, str | None]]:
    """Unit and better direction of what users' files measure and add to losses, by name."""
    direction = {"lower": "minimize", "higher": "maximize"}
    added = {term.name: (term.unit, None) for term in terms.registered() if term.own}
    measured = {m.name: (m.unit, direction[m.better]) for m in metrics.OWN.values()}
    return {
        name: {"unit": unit, "direction": better}
        for name, (unit, better) in (added | measured).items()
    }


def distributions(plan: Plan, draws: int = 64) -> dict[str, str]:
    """Optuna distributions by parameter, found by asking a define-by-run space several times."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    by_name: dict[str, str] = {}
    for _ in range(draws):
        trial = study.ask()
        plan.pins.ask(plan.definition.space, trial)
        by_name |= {k: distribution_to_json(v) for k, v in trial.distributions.items()}
    return by_name


def example_arrays(plan: Plan, data: TrialData) -> dict[str, Any]:
    """`examples.npz`: validation images, clean and noisy, for pictures and codes."""
    config = plan.reference
    return {
        "images": data.val.images[:EXAMPLES].numpy(),
        "noisy": _uint8(_noisy_examples(plan, data)),
        "labels": data.val.labels[:EXAMPLES].numpy(),
        "codes_images": data.val.images[:CODES].numpy(),
        "codes_labels": data.val.labels[:CODES].numpy(),
        "split": np.array("val"),
        "eval_noise_kind": np.array(config.evaluation.noise_kind),
        "eval_noise_factor": np.array(config.evaluation.noise_factor),
    }


def _noisy_examples(plan: Plan, data: TrialData) -> Tensor:
    """The first validation images with the noise they are evaluated with."""
    config = plan.reference
    clean = as_float(data.val.images)
    return evaluation_noise(clean, config.evaluation.noise_kind, config.evaluation.noise_factor)[
        :EXAMPLES
    ]


def _uint8(images: Tensor) -> np.ndarray[Any, Any]:
    return (images * 255).round().to(torch.uint8).numpy()


def _write_examples(tracker: Tracker, folder: Path, arrays: dict[str, Any]) -> None:
    path = folder / "record" / names.EXAMPLES_FILE
    fresh = path.with_name(f"fresh-{path.name}")
    np.savez_compressed(fresh, **arrays)
    os.replace(fresh, path)
    tracker.artifact("", path)


def _write(tracker: Tracker, path: Path, text: str) -> None:
    if text:
        write_whole(path, text)
        tracker.artifact("", path)
