"""Writes `docs/reference/` from the code, so that it cannot be out of date: `make docs`."""

from __future__ import annotations

import re
import typing
from dataclasses import fields
from pathlib import Path

from studies.runner.settings import Settings
from studies.tracker import names
from vae_trainables.config import PLACES, SETTINGS

FOLDER = Path(__file__).parent / "reference"

METRICS = {
    "val/mse, val/psnr, val/ssim": "denoising by the latent mean; per pixel, dB, 1",
    "val/NAME": "likewise of metrics that a study file has registered; their own unit",
    "val/recon, val/kl, val/neg_elbo": "one fixed latent sample, unweighted; nats per image",
    "val/active_units": "latent dimensions whose mean varies by at least 0.01 (Burda et al. 2016)",
    "val/supcon": "where SupCon is trained with: on codes of noisy images, batches of 256; nats",
    "val/probe": "accuracy of a logistic probe on codes, if asked for; of a cohort on a GPU by "
    "Newton's method, within 0.002 of scikit-learn's, which stops before the minimum",
    "val/frechet": "Fréchet distance of prior samples in classifier features, if asked for",
    "train/loss, train/recon, train/kl, train/supcon": "means over an epoch's batches; nats",
    "train/TERM": "likewise of each other loss term that has a weight, without it; its own unit",
    "beta, lr": "at the epoch's last step",
    "study/...": "of the parent run, step = epochs trained by all trials: best objective so far, "
    "finished, pruned and failed trials, epochs, epochs per second, seconds of the search",
    "verdict/...": "of the parent run, of a confirmation: winner's and reference's mean of the "
    "objective on test images with the ends of its 95 % interval, by how much the winner is better "
    "(positive, whatever the direction), p of the paired t test and after Holm's correction",
    "time/epoch_s, time/eval_s": "seconds of training and of evaluation",
    "system/worker_s, system/waited_s": "seconds that the trial's worker spent on it so far, and "
    "was without anything to train before its epochs; of a worker that trains several trials at "
    "once, the trial's part. What a crash has lost is in none of these",
    "system/train_s, system/eval_s": "of system/worker_s; the rest opens, saves and tests",
    "system/cpu_s": "CPU seconds of system/worker_s, all threads",
    "system/memory_mib": "peak of the worker's resident memory while it trained the trial, images "
    "that workers share included; divided by the trials that it trained at once",
    "system/gpu_percent": "how much of an epoch's time a kernel was at work, sampled; of the whole "
    "GPU, and only where its driver tells (NVML)",
    "system/energy_j": "so far, of the GPU, divided by the processes on it, and of the CPUs by the "
    "worker's share of their time; only where the machine tells (NVML, RAPL)",
    "test/...": "as val/, opened once, at the end of confirmation and reference trials",
    "test/probe, test/knn": "accuracy on codes: logistic regression, 10 nearest neighbours",
    "test/iw_nll": "bound on -log p(x) by weighted samples, on the first test images; nats",
    "test/iw_gain": "by how much that is tighter than the -ELBO of the same images and samples",
    "test/iw_samples, test/iw_images": "how many samples per image, how many images",
    "test/predicted_mse, test/predicted_psnr, test/predicted_ssim": "of conditional kinds that are "
    "given the true classes: the same where a classifier predicts them from the noisy image",
    "test/class_accuracy": "of conditional kinds: how often that classifier is right",
}


TAGS = {
    names.ROLE: "study (the parent run) or trial",
    names.STUDY: "the study's name",
    names.TRIAL: "the trial's key: 0007, confirm-0003, reference-0002",
    names.PHASE: "search, confirm or reference",
    names.STATUS: "how it stands or ended, see below",
    names.REASON: "why it did not finish",
    names.SEED: "the trial's random seed",
    names.CONFIG: "hash of the configuration without its seed: equal for repeats",
    names.REFERENCE: "true where the configuration is the reference system's",
    names.ATTEMPT: "how often a worker took the trial up",
    names.LIKE: "key of the search trial whose configuration this one repeats",
    names.HEIR_OF: "of an heir: key of the search trial from whose weights it goes on",
    names.INHERITED: "epochs that its parent had trained",
    names.INSTEAD_OF: "key of the search trial whose place it takes",
    names.NOTES: "what the trial remarked, such as a damaged checkpoint",
    names.RANDOM: "backend of its random numbers, for its repetition: generator or counter",
    names.WAY: "how its epochs were trained: alone, and why; or in a cohort, and how",
    names.TEST_OPENED: "when the trial looked at test images, milliseconds since 1970",
    names.WINNER: "of the parent run: the trial that the search put first, where it was confirmed",
    names.VERDICT: "of the parent run: whether that trial is better than the reference, certainly",
    names.NOW: "and a setting's name: its value now; MLflow keeps a parameter as first logged",
    names.KIND: "the module of the study",
    names.DATASET: "the data set",
    names.COMMIT: "the checkout's commit",
    names.PROBE: "a run with which a study asked, at its start, whether it may write; deleted",
}


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    escaped = [[re.sub(r"(?<!\\)\|", r"\|", cell) for cell in row] for row in rows]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in escaped]) + "\n"


def configuration() -> str:
    """Every field of a trial's configuration."""
    rows = []
    for name, field in SETTINGS.items():
        kind = re.sub(r"typing\.|<class '|'>", "", str(field.annotation)).replace("|", "\\|")
        owner = PLACES[name][0] or "trial"
        rows.append(
            (f"`{name}`", owner, f"`{kind}`", f"`{field.default}`", field.description or "")
        )
    return "# Configuration of a trial\n\n" + table(
        ("field", "of", "type", "default", "meaning"), rows
    )


def command_line() -> str:
    """Every flag of a study."""
    hints = typing.get_type_hints(Settings, include_extras=True)
    rows = []
    for field in fields(Settings):
        option = hints[field.name].__metadata__[0]
        flag = "--" + field.name.replace("_", "-")
        rows.append((option.rich_help_panel, f"`{flag}`", f"`{field.default}`", option.help))
    return (
        "# Command line of a study\n\n`python -m studies.NAME [flags]`\n\n"
        + table(("about", "flag", "default", "meaning"), rows)
        + "\nExit codes: 0 done; 1 stopped for the printed reason; 2 bad input, nothing was "
        "started; 3 all was trained, but the tracker did not take all of it (the last lines name "
        "the command that sends the rest); 130 Ctrl-C; 143 SIGTERM.\n"
    )


def mlflow_names() -> str:
    """Every tag and file."""
    constants = {k: v for k, v in vars(names).items() if isinstance(v, str) and k.isupper()}
    tags = [(f"`{v}`", TAGS[v]) for v in constants.values() if v.startswith("vae.")]
    files = [(f"`{v}`",) for k, v in constants.items() if k.endswith("_FILE")]
    status = [(f"`{k}`", v) for k, v in names.MLFLOW_STATUS.items()]
    return (
        "# Names in MLflow\n\nOne experiment per study, named like it; one parent run, one child "
        "run per trial.\n\n## Tags\n\n"
        + table(("tag", "meaning"), tags)
        + "\n## Artifacts\n\n"
        + table(("file",), files)
        + "\n## Status\n\n"
        + table(("vae.status", "MLflow"), status)
    )


def metrics() -> str:
    """Metrics as a trial logs them."""
    rows = [(f"`{name}`", meaning) for name, meaning in METRICS.items()]
    return "# Metrics\n\nStep = epoch, from 1.\n\n" + table(("metric", "meaning, unit"), rows)


def python() -> str:
    """The public modules, by their docstrings."""
    modules = (
        "config", "datasets", "datasets.noise", "models", "objective.likelihoods",
        "objective.losses", "training.schedules", "metrics", "evaluation.representation",
        "evaluation.features", "evaluation.classifier", "evaluation.bounds",
        "evaluation.baselines", "training.trial", "training.session", "checkpoint",
        "evaluation.evaluator", "numerics.streams", "numerics.precision", "cohort",
        "models.own", "objective.terms", "source",
    )  # fmt: skip
    return "# Python\n\n" + "\n".join(f"::: vae_trainables.{name}\n" for name in modules)


def main() -> None:
    """Write all pages."""
    pages = {
        "configuration": configuration,
        "cli": command_line,
        "mlflow": mlflow_names,
        "metrics": metrics,
        "python": python,
    }
    FOLDER.mkdir(exist_ok=True)
    for name, write in pages.items():
        (FOLDER / f"{name}.md").write_text(write(), "utf-8")


if __name__ == "__main__":
    main()
