"""The trial that a gallery is about: found by its run id, with its model, history and images.

Test images come from where the study took its data, and are refused if they are others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.classes import Language, class_name
from analysis.models import sources, trained
from analysis.models.trained import TrainedModel
from analysis.tracker import lookup
from analysis.tracker.client import Record, Tracker
from studies.tracker import names
from vae_trainables import datasets, metrics
from vae_trainables.config import DataConfig, TrialConfig
from vae_trainables.datasets import binarising
from vae_trainables.datasets.splits import Split
from vae_trainables.evaluation import evaluator as evaluation

History = Mapping[str, Mapping[int, float]]  # value by metric and epoch

HISTORY = (
    *(f"train/{term}" for term in ("loss", "recon", "kl", "supcon")),
    *(f"val/{term}" for term in ("neg_elbo", "recon", "kl", "supcon")),
    "beta",
    "lr",
)


class GalleryError(Exception):
    """A gallery that was asked for in a way that cannot be; the message is for the user."""


@dataclass(frozen=True)
class Quality:
    """Means over images: `mse` per pixel, `psnr` in dB, `ssim`."""

    mse: float
    psnr: float
    ssim: float


@dataclass(frozen=True, eq=False)
class Subject:
    """One trial, ready to be shown.

    Attributes:
        record: the trial's run.
        siblings: the other trials of its study.
        history: metrics by epoch, 1-based.
        trained: its model.
        source: where its images come from.
        language: of the names of classes and the titles of figures.
        pair: the two test images between which interpolation walks.
    """

    record: Record
    siblings: tuple[Record, ...]
    history: History
    trained: TrainedModel
    tracker: Tracker
    source: datasets.Source
    language: Language = "tr"
    pair: tuple[int, int] = (0, 1)
    test: Split = field(kw_only=True)

    @property
    def config(self) -> TrialConfig:
        """The trial's configuration."""
        return self.trained.config

    @property
    def trial(self) -> str:
        """The trial's key in its study."""
        return self.trained.trial

    @property
    def title(self) -> str:
        """Trial, study and seed, for a caption."""
        study = self.record.tags.get(names.STUDY, "")
        return f"{study} {self.trial}, seed {self.config.seed}"

    @property
    def epochs(self) -> tuple[int, ...]:
        """Epochs that were reported."""
        return tuple(sorted({epoch for values in self.history.values() for epoch in values}))

    @property
    def denoises(self) -> bool:
        """Whether the trial learned or was judged on noisy images."""
        config = self.config
        return bool(
            config.noise.factor or config.noise.factor_max or config.evaluation.noise_factor
        )

    @cached_property
    def train(self) -> Split:
        """The images that the trial learned from."""
        return self._train(self.config.data.train_size)

    @cached_property
    def probed(self) -> Split:
        """The images that probes are fitted on, as `test/probe` is: the study's, not the trial's.

        A trial may learn from fewer (`train_size`).
        """
        return self._train(evaluation.PROBE_IMAGES)

    def _train(self, count: int | None) -> Split:
        """The first training images, in the form of the test images."""
        train = self.source.splits(("train",))["train"].take(count)
        return binarising.as_evaluated(train, self.config.data.binarise)

    @cached_property
    def clean(self) -> Tensor:
        """Test images, float `(N, C, H, W)`."""
        return evaluation.as_float(self.test.images)

    @cached_property
    def noisy(self) -> Tensor:
        """The same with the fixed evaluation noise; the very same at factor 0."""
        kind, factor = self.config.evaluation.noise_kind, self.config.evaluation.noise_factor
        return evaluation.evaluation_noise(self.clean, kind, factor)

    @cached_property
    def restored(self) -> Tensor:
        """Reconstructions of `noisy` from the latent mean."""
        trained = self.trained
        return evaluation.denoise(trained.model, trained.likelihood, self.noisy, self.told)

    @cached_property
    def told(self) -> Tensor | None:
        """The classes of `noisy` as a conditional model is told them; None for other kinds."""
        return self.trained.told(self.noisy, self.labels)

    @cached_property
    def codes(self) -> NDArray[np.float32]:
        """z_mean `(N, D)` of the clean test images."""
        return self.trained.codes(self.test.images.numpy())

    @property
    def labels(self) -> NDArray[np.int64]:
        """Classes of the test images, `(N,)`."""
        classes: NDArray[np.int64] = self.test.labels.numpy()
        return classes

    def class_name(self, label: int) -> str:
        """A class's name in the gallery's language, if it has one in that."""
        if not self.test.labelled:
            return ""
        return class_name(self.config.data.dataset, label, self.language, self.test.classes)

    def prior(
        self, eps: NDArray[np.float32], labels: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """Images `(N, C, H, W)` decoded from draws `eps` `(N, D)` of the prior.

        `labels` matter to a model that is conditioned on the class only.
        """
        classes = None if labels is None else torch.tensor(labels)
        with torch.inference_mode():
            logits = self.trained.model.sample(torch.from_numpy(eps), classes)
            images: NDArray[np.float32] = self.trained.likelihood.mean(logits).numpy()
        return images


def quality(images: Tensor, clean: Tensor) -> Quality:
    """Of images against the clean ones, `(N, C, H, W)` twice."""
    measures = (metrics.mse, metrics.psnr, metrics.ssim)
    return Quality(*(float(measure(images, clean).double().mean()) for measure in measures))


def open_subject(
    run_id: str,
    *,
    tracking_uri: str | None = None,
    data_dir: Path | None = None,
    data: str | None = None,
    language: Language = "tr",
    pair: tuple[int, int] | None = None,
    tracker: Tracker | None = None,
    study: str | None = None,
) -> Subject:
    """A trial by its key, by its MLflow run's id or the first digits of that.

    data_dir, data: where the images are now, if not where the study took them.
    tracker: one that is open already, in place of `tracking_uri`.
    study: whose trial it is, where several have one of that key.

    Raises TrackerError, WeightsError, DataError or GalleryError, each with one line for the user.
    """
    tracker = tracker or Tracker(tracking_uri)
    record, others = lookup.find(tracker, run_id, study)
    model = trained.load(tracker, record.run_id, record.tags.get(names.TRIAL, record.run_id[:8]))
    parent = _Study(tracker, record.tags.get(names.PARENT))
    source = parent.source(model.config.data, data, data_dir)
    parent.check_data(source)
    test = source.splits(("test",))["test"]
    return Subject(
        record,
        tuple(others),
        history(tracker, record.run_id),
        model,
        tracker,
        source,
        language,
        _checked_pair(pair, len(test)),
        test=test,
    )


def history(tracker: Tracker, run_id: str) -> History:
    """All values of `HISTORY` in a run."""
    values: dict[str, dict[int, float]] = {}
    for point in tracker.histories([run_id], HISTORY):
        values.setdefault(point.metric, {})[point.step] = point.value
    return values


class _Study:
    """What the parent run says about the data."""

    def __init__(self, tracker: Tracker, run_id: str | None) -> None:
        self.tracker, self.run_id = tracker, run_id

    def _json(self, name: str) -> dict[str, Any]:
        path = self.tracker.artifact(self.run_id, name) if self.run_id else None
        content = json.loads(path.read_text("utf-8")) if path else {}
        return content if isinstance(content, dict) else {}

    def source(
        self, wanted: DataConfig, data: str | None, data_dir: Path | None
    ) -> datasets.Source:
        """Where the study took its images, unless that folder is gone, or where they are now."""
        settings = dict(self._json(names.STUDY_FILE).get("settings", {}))
        folder = settings.get("data_dir")
        if folder and not Path(folder).is_dir():
            settings["data_dir"] = None
        arrays = sources.arrays(self.tracker, self.run_id)
        return datasets.recorded_source(
            wanted, settings, data=data, data_dir=data_dir, arrays=arrays
        )

    def check_data(self, source: datasets.Source) -> None:
        """Raise GalleryError if the images here are not those of the study."""
        expected = self._json(names.PROVENANCE_FILE).get("data", {}).get("val")
        fingerprint = source.splits(("val",))["val"].fingerprint()
        if expected not in (None, fingerprint):
            folder = source.folder or source.path
            where = f"in {folder}" if folder else "found here"
            raise GalleryError(
                f"the {source.dataset} images {where} are not those of the run (fingerprint "
                f"{fingerprint}, not {expected}): name their place with --data-dir or --data"
            )


TALK_PAIR = (892, 7739)  # the two test images of the reference's talk, of 10,000
TALK_COUNT = 10_000


def _checked_pair(pair: tuple[int, int] | None, count: int) -> tuple[int, int]:
    """`pair`, or the talk's; in a smaller test set the images as far along as those."""
    if pair is None:
        if count >= TALK_COUNT:
            return TALK_PAIR
        return TALK_PAIR[0] * count // TALK_COUNT, TALK_PAIR[1] * count // TALK_COUNT
    if not all(0 <= index < count for index in pair):
        raise GalleryError(
            f"--pair is {pair[0]},{pair[1]}; the {count} test images have indices 0 to {count - 1}"
        )
    return pair
