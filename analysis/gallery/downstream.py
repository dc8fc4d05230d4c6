"""R1: classifiers on the encoder's codes against the same classifiers on raw pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.gallery import drawing
from analysis.gallery.output import Output
from analysis.gallery.subject import Subject
from analysis.gallery.wording import say
from analysis.tables.table import Column, Table
from vae_trainables.evaluation import representation
from vae_trainables.evaluation.representation import NEIGHBOURS, ProbeResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NEAREST = f"{NEIGHBOURS}-NN"
CLASSIFIERS: dict[str, Callable[..., ProbeResult]] = {
    "logistic regression": representation.logistic_probe,
    NEAREST: representation.knn_probe,
    f"MLP ({representation.MLP_WIDTH} hidden)": representation.mlp_probe,
}
SOURCES = ("codes", "pixels")


@dataclass(frozen=True, eq=False)
class Result:
    """One classifier on one kind of input; `confusion` `(K, K)` counts true by predicted class."""

    classifier: str
    source: str
    inputs: int
    accuracy: float
    macro_f1: float
    confusion: NDArray[np.int64]

    @property
    def shares(self) -> NDArray[np.float64]:
        """The confusion matrix as shares of each true class; zeros where a class is absent."""
        totals = self.confusion.sum(1, keepdims=True)
        matrix: NDArray[np.float64] = self.confusion / np.maximum(totals, 1)
        return matrix


def measure(subject: Subject, out: Output) -> list[Result]:
    """Every classifier on both: fitted on training images, as `test/probe` is, judged on test."""
    train = subject.probed
    inputs = {
        "codes": (subject.trained.codes(train.images.numpy()), subject.codes),
        "pixels": (_flat(train.images.numpy()), _flat(subject.test.images.numpy())),
    }
    names = [name for name in CLASSIFIERS if name != NEAREST or len(train) >= NEIGHBOURS]
    jobs = [(name, source) for name in names for source in SOURCES]
    results = []
    for name, source in out.track(jobs, "classifiers on codes and pixels"):
        fitted, judged = inputs[source]
        result = CLASSIFIERS[name](fitted, train.labels.numpy(), judged, subject.labels)
        confusion = _confusion(subject.labels, result.predictions, subject.config.model.num_classes)
        results.append(
            Result(name, source, judged.shape[1], result.accuracy, result.macro_f1, confusion)
        )
    return results


def unfit(subject: Subject) -> str:
    """Why no classifier can be fitted, or nothing."""
    if not subject.test.labelled:
        return "the data has no labels"
    classes = subject.probed.labels.unique()
    return "" if len(classes) > 1 else "its training images are of one class"


def _flat(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.divide(images.reshape(len(images), -1), 255, dtype=np.float32)


def _confusion(labels: NDArray[Any], predictions: NDArray[Any], classes: int) -> NDArray[np.int64]:
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predictions), 1)
    return counts


def table(subject: Subject, results: list[Result]) -> Table:
    """R1's table: accuracy and macro-F1 of each."""
    rows = [
        {"classifier": r.classifier, "on": r.source, "inputs": r.inputs,
         "accuracy": r.accuracy, "f1": r.macro_f1}
        for r in results
    ]  # fmt: skip
    columns = (
        Column("classifier", "classifier"),
        Column("on", "on"),
        Column("inputs", "inputs", spec="d"),
        Column("accuracy", "accuracy", direction="maximize", spec=".4f"),
        Column("f1", "macro-F1", direction="maximize", spec=".4f"),
    )
    count = len(subject.probed)
    note = (
        f"Fitted on {count:,} clean training images, judged on {len(subject.test):,} test images; "
        "codes are z_mean; everything standardised with training statistics."
    )
    return Table(columns, pd.DataFrame(rows), f"Downstream classifiers: {subject.title}", note)


def confusion_csv(subject: Subject, results: list[Result]) -> str:
    """Every confusion matrix, long: classifier, on, true, predicted, count."""
    lines = ["classifier,on,true,predicted,count"]
    for result in results:
        for (true, predicted), count in np.ndenumerate(result.confusion):
            lines.append(f"{result.classifier},{result.source},{true},{predicted},{count}")
    return "\n".join(lines) + "\n"


def draw_confusion(subject: Subject, results: list[Result]) -> Figure:
    """The classifier that does best on codes: its matrix there, and on pixels beside it."""
    from matplotlib.figure import Figure

    best = max((r for r in results if r.source == "codes"), key=lambda r: r.accuracy).classifier
    shown = [r for r in results if r.classifier == best]
    language = subject.language
    names = [subject.class_name(label) for label in range(subject.config.model.num_classes)]
    labels = say("predicted", language), say("true", language)
    figure = Figure(figsize=(12.4, 6), layout="constrained")
    for axes, result in zip(figure.subplots(1, len(shown)), shown, strict=True):
        source = say(result.source, language)
        title = say("confusion", language, classifier=best, source=source)
        heading = f"{title}: {result.accuracy:.1%}"
        drawing.matrix(axes, heading, result.shares, names, labels)
    return figure


def draw(subject: Subject, out: Output) -> None:
    """`downstream.*`, `confusion_matrices.csv` and `confusion_matrix.png`."""
    results = measure(subject, out)
    out.table("downstream", table(subject, results))
    out.text("confusion_matrices.csv", confusion_csv(subject, results))
    out.figure("confusion_matrix.png", draw_confusion(subject, results))
