"""`python -m analysis.literature mnist`: published densities beside those of the tracker's runs.

One page for each data set: literature rows, rows of configurations whose test set was opened, and
what differs between them: pixels, bound, images, training. Everything is read from the tracker.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import pandas as pd
import typer

from analysis.command import WHERE, Debug, TrackingUri, one_line_errors, quiet_libraries
from analysis.published_densities import DENSITIES, PUBLICATIONS, Density
from analysis.references import summary
from analysis.statistics.quantities import format_number
from analysis.tables.table import Column, Table
from analysis.tracker import runs
from analysis.tracker.client import Record, Tracker, TrackerError
from studies.published_vae import REFERENCE
from studies.tracker import names
from vae_trainables.config import TrialConfig

WITHIN = 0.5
"""Nats within which a figure is said to reach the published one."""
NLL = "test/iw_nll"
PUBLISHED = REFERENCE.model_copy(update={"iw_samples": 5_000})
"""The published VAE as trained there, as far as settings say it."""
NETWORK = ("kind", "hidden", "latent_dim", "width", "binarise")
TRAINING = (
    *("lr", "lr_schedule", "batch_size", "warmup_epochs", "epochs", "patience", "train_size"),
    *("precision", "iw_samples", "iw_images"),
)
PLACES = ("--storage", "--data-dir", "--data", "--tracking-uri")


class NothingToCompareError(Exception):
    """No density is published, or no run of the tracker has one."""


@dataclass(frozen=True)
class Group:
    """Runs of one configuration: the same but for their seeds."""

    config: TrialConfig
    records: tuple[Record, ...]

    def values(self, metric: str) -> list[float | None]:
        """The metric's last value of each run."""
        return [record.metrics.get(metric) for record in self.records]

    @property
    def nll(self) -> float:
        """Mean of the bounds, nats per image."""
        return fmean(value for value in self.values(NLL) if value is not None)

    @property
    def is_published_model(self) -> bool:
        """Whether the network and its pixels are those of the published VAE."""
        return not _changed(self.config, NETWORK)

    @property
    def name(self) -> str:
        """The network in words."""
        model = self.config.model
        sizes = model.hidden if "mlp" in model.kind else model.widths
        return f"{model.kind}, {'-'.join(map(str, sizes))}, {model.latent_dim} latents"


def groups(tracker: Tracker, dataset: str) -> list[Group]:
    """Configurations of all studies with a bound on test images of `dataset`, best first.

    Only where log p(x) is of the clean image by a Bernoulli decoder, in nats of its pixels.
    """
    by_configuration: dict[str, list[tuple[TrialConfig, Record]]] = {}
    for study in tracker.studies():
        for record in tracker.records(study):
            if not runs.is_trial(record) or record.tags.get(names.STATUS) != "finished":
                continue
            if record.metrics.get(NLL) is None or record.params.get("dataset") != dataset:
                continue
            config = _config(record)
            if config is not None and _is_density(config):
                key = record.tags.get(names.CONFIG, record.run_id)
                by_configuration.setdefault(key, []).append((config, record))
    listed = [
        Group(pairs[0][0], tuple(record for _, record in pairs))
        for pairs in by_configuration.values()
    ]
    return sorted(listed, key=lambda group: group.nll)


def _config(record: Record) -> TrialConfig | None:
    """What a run was told; None where a user's own file has settings that are not known here."""
    try:
        return TrialConfig.from_texts(record.params)
    except ValueError:
        return None


def _is_density(config: TrialConfig) -> bool:
    clean = config.evaluation.noise_factor == 0
    return clean and config.model.likelihood == "bernoulli"


def pixels_of(config: TrialConfig) -> str:
    """What the pixels are that have a likelihood."""
    return {
        "none": "grey, as probabilities",
        "static": "drawn once",
        "dynamic": "drawn dynamically",
    }[config.data.binarise]


def training_of(config: TrialConfig, records: Iterable[Record]) -> str:
    """What of the training matters for a comparison, in half a line."""
    optimiser, budget = config.optimiser, config.budget
    epochs = sorted({max(record.steps.values(), default=0) for record in records})
    parts = [
        " or ".join(map(str, epochs)) + " epochs",
        f"batches of {optimiser.batch_size}",
        f"{optimiser.algorithm}, {optimiser.lr:g} {optimiser.lr_schedule}",
        f"warm-up of {config.objective.warmup_epochs} epochs",
    ]
    if config.data.train_size:
        parts.append(f"{config.data.train_size:,} training images")
    if config.objective.beta != 1:
        parts.append(f"β = {config.objective.beta:g}")
    if budget.patience:
        parts.append(f"ended after {budget.patience} without a better {budget.watch}")
    if optimiser.precision != "fp32":
        parts.append(f"trained in {optimiser.precision}")
    return "; ".join(parts)


def bound_of(group: Group) -> str:
    """The bound of -log p(x) and on how many images, from what the runs say."""
    samples, images = (_counts(group.values(f"test/iw_{what}")) for what in ("samples", "images"))
    return f"importance-weighted, k = {samples}, first {images} test images"


def _counts(values: list[float | None]) -> str:
    """Whole numbers, each once; a dash where nothing is known."""
    numbers = sorted({int(value) for value in values if value is not None})
    return " or ".join(f"{number:,}" for number in numbers) or format_number(None, "d")


def table(dataset: str, ours: list[Group]) -> Table:
    """Published rows, then ours, each with its conditions."""
    rows: list[dict[str, Any]] = [_published(row) for row in densities(dataset)]
    rows += [_measured(group) for group in ours]
    columns = (
        Column("model", "model"),
        Column("nll", "−log p(x) ≤ (nats/image)"),
        Column("elbo", "−ELBO (nats/image)"),
        Column("seeds", "seeds"),
        Column("pixels", "pixels"),
        Column("bound", "bound"),
        Column("training", "training"),
    )
    return Table(columns, pd.DataFrame(rows))


def _published(row: Density) -> dict[str, Any]:
    source = PUBLICATIONS[row.source]
    return {
        "model": f"{row.model} [{source.key}]",
        "nll": f"{row.nll:.2f}",
        "elbo": None,
        "seeds": None,
        "pixels": "drawn dynamically",
        "bound": f"{source.bound}; {source.images}",
        "training": source.training,
    }


def _measured(group: Group) -> dict[str, Any]:
    return {
        "model": f"ours: {group.name}",
        "nll": summary(group.values(NLL), ".2f"),
        "elbo": summary(group.values("test/neg_elbo"), ".2f"),
        "seeds": str(len(group.records)),
        "pixels": pixels_of(group.config),
        "bound": bound_of(group),
        "training": training_of(group.config, group.records),
    }


def densities(dataset: str) -> list[Density]:
    """What is published of a data set; NothingToCompareError where nothing is."""
    rows = [row for row in DENSITIES if row.dataset == dataset]
    if not rows:
        listed = ", ".join(sorted({row.dataset for row in DENSITIES}))
        raise NothingToCompareError(f"no density of {dataset} is listed; there are {listed}")
    return rows


def verdict(dataset: str, ours: list[Group]) -> str:
    """Whether the published VAE's figure is reached by the same network, in sentences."""
    published = next(row for row in densities(dataset) if row.ours)
    same = [group for group in ours if group.is_published_model]
    if not same:
        return "The published VAE's network was not trained: `python -m studies.published_vae`."
    group = same[0]
    gap, seeds = group.nll - published.nll, len(group.records)
    number = format_number(abs(gap), ".2f")
    reached = "within" if abs(gap) <= WITHIN else "not within"
    return (
        f"The published VAE's network is {number} nats {'above' if gap > 0 else 'below'} the "
        f"printed {published.nll:.2f} (mean of {seeds} seed{'s' if seeds > 1 else ''}): {reached} "
        f"{WITHIN} nats. What differs: {differences(group.config)}."
    )


def differences(config: TrialConfig) -> str:
    """What the published VAE's training has otherwise, as far as this package can say."""
    changed = [
        f"{name} {config.setting(name)}, there {PUBLISHED.setting(name)}"
        for name in _changed(config, TRAINING)
    ]
    always = (
        "validation of 5,000 images, there 10,000; the weights of the last epoch, there of the "
        "best; Adam, there with normalised gradients; another draw of the test images' pixels"
    )
    return "; ".join([*changed, always])


def _changed(config: TrialConfig, settings: Iterable[str]) -> list[str]:
    """Those of the settings that are not as published."""
    return [name for name in settings if config.setting(name) != PUBLISHED.setting(name)]


def origins(tracker: Tracker, ours: list[Group]) -> str:
    """Day, machine and command of each study whose runs are shown."""
    parents = {
        record.tags.get(names.PARENT, ""): record for group in ours for record in group.records
    }
    lines = []
    for parent, record in sorted(parents.items()):
        path = tracker.artifact(parent, names.PROVENANCE_FILE) if parent else None
        facts = pd.read_json(path, typ="series").to_dict() if path else {}
        started = datetime.fromtimestamp((record.start_ms or 0) / 1000, UTC)
        lines.append(
            f"- {record.tags.get(names.STUDY)}: `{portable(str(facts.get('command', '?')))}`, "
            f"{started:%Y-%m-%d}, "
            f"{facts.get('machine', {}).get('cpu', 'unknown machine')}, "
            f"commit {str(facts.get('git', {}).get('commit'))[:12]}"
        )
    return "\n".join(lines)


def portable(command: str) -> str:
    """A study's command without what says where its data and its records are."""
    words = shlex.split(command)
    where = {i for i, word in enumerate(words) if word.partition("=")[0] in PLACES}
    values = {i + 1 for i in where if "=" not in words[i]}
    return shlex.join(word for i, word in enumerate(words) if i not in where | values)


def page(tracker: Tracker, dataset: str) -> str:
    """The whole page, in Markdown; NothingToCompareError where there is nothing to show."""
    densities(dataset)
    ours = groups(tracker, dataset)
    if not ours:
        raise NothingToCompareError(
            f"no finished run has a bound on log p(x) of clean {dataset} test images by a "
            "Bernoulli decoder: python -m studies.published_vae --reference --dataset " + dataset
        )
    sources = [PUBLICATIONS[key] for key in {row.source: None for row in densities(dataset)}]
    return "\n".join(
        [
            f"# Densities of {dataset}: published and ours",
            "",
            "Mean over seeds and, in brackets, the range. All figures are upper bounds of −log "
            "p(x) in nats per image, summed over pixels. Grey pixels taken as probabilities are "
            "no likelihood of what was seen: such rows compare with each other alone. Written by "
            f"`python -m analysis.literature {dataset}`.",
            "",
            verdict(dataset, ours),
            "",
            table(dataset, ours).to_markdown(),
            "",
            *(f"- [{source.key}] {source.citation}." for source in sources),
            origins(tracker, ours),
            "",
        ]
    )


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    dataset: Annotated[str, typer.Argument(help="mnist or fashion-mnist.")],
    out: Annotated[Path, typer.Option(help="The Markdown file to write.", rich_help_panel=WHERE)],
    tracking_uri: TrackingUri = None,
    debug: Debug = False,
) -> None:
    """Write the page that compares published densities of a data set with the tracker's."""
    quiet_libraries()
    with one_line_errors(TrackerError, NothingToCompareError, OSError, debug=debug):
        text = page(Tracker(tracking_uri), dataset)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, "utf-8")
    typer.echo(f"literature: {out}")


if __name__ == "__main__":
    app(prog_name="python -m analysis.literature")
