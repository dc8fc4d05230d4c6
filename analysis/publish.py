"""The winner of a study as an MLflow model that anybody can load, serve or denoise with.

    python -m analysis.publish --study NAME

`publish` does the work; `main` is the command.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.command import WHERE, Debug, Study, TrackingUri, one_line_errors, quiet_libraries
from analysis.models import sources
from analysis.models.registry import Content, Registered, Registry, registered_name
from analysis.tracker.client import Tracker, TrackerError, redact
from analysis.tracker.runs import class_note
from studies.tracker import names

if TYPE_CHECKING:
    from pathlib import Path

    from analysis.models.winner import Winner
    from analysis.tracker.results import Examples
    from vae_trainables.config import ModelConfig

EXAMPLE_IMAGES = 2


class PublishError(TrackerError):
    """The winner cannot be published; the message says why."""


@dataclass(frozen=True, eq=False)
class Published:
    """What was published, and where."""

    registered: Registered
    winner: Winner


def publish(
    study: str,
    *,
    tracking_uri: str | None = None,
    run: str | None = None,
    name: str | None = None,
) -> Published:
    """Log the winner of `study` to its run and register it as champion.

    Args:
        run: publish this run (an MLflow id or a trial's key) in place of the winner.
        name: of the registered model; by default the study's.

    Raises TrackerError with one line: no such tracker, study or run, or nothing to publish.
    """
    from analysis.models import winner as winners
    from analysis.tracker.results import collect

    tracker, registry = Tracker(tracking_uri), Registry(tracking_uri)
    results = collect(study, tracker)
    winner = winners.named(results, run) if run else winners.choose(results)
    name = registered_name(name or study)
    registry.check(name, study)
    sources.adopt(tracker, winner.run_id)
    content = Content(
        weights=_file(tracker, winner, names.WEIGHTS_FILE),
        config=_file(tracker, winner, names.CONFIG_FILE),
        example=example_input(results.examples, _config(tracker, winner).image_shape),
        epochs=int(winner.run["epochs"]),
        conditional=bool(class_note(winner.run.to_dict())),
        facts={names.STUDY: study, names.TRIAL: winner.trial, "why": winner.why},
        source=sources.source_file(tracker, winner.run_id),
    )
    _check(content)
    model_uri = registry.log(winner.run_id, content)
    note = describe(study, winner, name, content.example.shape[1:])
    return Published(registry.register(model_uri, name, study, note, winner.run_id), winner)


def _file(tracker: Tracker, winner: Winner, name: str) -> Path:
    path = tracker.artifact(winner.run_id, name)
    if path is None:
        raise PublishError(f"{winner.title} has no {name} in the tracker: nothing to publish")
    return path


def _config(tracker: Tracker, winner: Winner) -> ModelConfig:
    """What the winner's model is made for."""
    from vae_trainables.config import TrialConfig

    return TrialConfig.model_validate_json(
        _file(tracker, winner, names.CONFIG_FILE).read_text("utf-8")
    ).model


def _check(content: Content) -> None:
    """The weights load and work, before anything is written."""
    from vae_trainables.checkpoint import CheckpointError
    from vae_trainables.inference import Denoiser, ImagesError

    try:
        Denoiser.load(content.weights, content.config).denoise(content.example)
    except CheckpointError as error:
        raise PublishError(str(error)) from error
    except ImagesError as error:
        raise PublishError(f"the model is for other images than the study's: {error}") from error


def example_input(examples: Examples | None, shape: tuple[int, int, int] = (1, 28, 28)) -> Any:
    """Two noisy images of `shape` (C, H, W), float32 in [0, 1]: the study's own, else random ones.

    `(2, H, W)` where they are grey, `(2, C, H, W)` else.
    """
    import numpy as np

    if examples is not None:
        images = (examples.noisy[:EXAMPLE_IMAGES] / 255).astype(np.float32)
    else:
        images = np.random.default_rng(0).random((EXAMPLE_IMAGES, *shape), dtype=np.float32)
    return images[:, 0] if images.shape[1] == 1 else images


def describe(study: str, winner: Winner, name: str, image: tuple[int, ...] = (28, 28)) -> str:
    """The model's description in MLflow, in Markdown; `image`: (H, W) of grey, (C, H, W) else."""
    from analysis.statistics.quantities import quantity

    scores = [
        f"| {quantity(metric).header} | {quantity(metric).text(value)} |"
        for metric, value in winner.scores.items()
    ]
    return "\n".join(
        [
            f"Study `{study}`, {winner.title}. {winner.why}",
            "",
            f"Judged on {winner.noise}{_comma(class_note(winner.run.to_dict()))}:",
            "",
            "| score | value |",
            "|---|---|",
            *scores,
            "",
            f"Takes arrays {_shapes(image)}, floats in [0, 1] or uint8.",
            *_about_classes(winner),
            "",
            "```python",
            f'model = mlflow.pyfunc.load_model("{Registered(name, "").uri}")',
            "clean = model.predict(noisy)",
            'codes = model.predict(noisy, params={"what": "encode"})',
            "```",
        ]
    )


def _shapes(image: tuple[int, ...]) -> str:
    sides = ", ".join(map(str, image))
    return f"(N, {sides})" + (f" or (N, 1, {sides})" if len(image) == 2 else "")


def _comma(note: str) -> str:
    return f", {note}" if note else ""


def _about_classes(winner: Winner) -> list[str]:
    """What a user of a conditional model must know; nothing of another one."""
    if not class_note(winner.run.to_dict()):
        return []
    return [
        "",
        "The model is told the class of every image: give it with `params={"
        '"labels": [3, 7]}`, one per image. Without labels the classifier that it brings predicts '
        "them from the noisy image; the scores of that are those with *class predicted*.",
    ]


def usage(published: Published, tracking_uri: str) -> list[str]:
    """Commands that use the model, to copy."""
    model, tracker = shlex.quote(published.registered.uri), shlex.quote(redact(tracking_uri))
    return [
        f"denoise:   python -m analysis.denoise IMAGE --model {model} --tracking-uri {tracker} "
        "--out clean",
        f"serve:     MLFLOW_TRACKING_URI={tracker} mlflow models serve --model-uri {model} "
        "--env-manager local --port 5001",
        f"ONNX:      python -m analysis.export_onnx --model {model} --tracking-uri {tracker} "
        "--out model.onnx",
    ]


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    study: Study,
    run: Annotated[
        str | None,
        typer.Option(
            help="Publish this run (its MLflow id or trial key), not the winner.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Name of the registered model; default: the study's.", rich_help_panel=WHERE
        ),
    ] = None,
    tracking_uri: TrackingUri = None,
    debug: Debug = False,
) -> None:
    """Register a study's best model in MLflow as NAME@champion, ready to load and to serve.

    The winner is the configuration with the best mean validation score over fresh seeds where the
    study was confirmed, else the best trial of the search.
    """
    quiet_libraries()
    with one_line_errors(TrackerError, debug=debug):
        published = publish(study, tracking_uri=tracking_uri, run=run, name=name)
        for line in told(published, Registry(tracking_uri).uri):
            typer.echo(line)


def told(published: Published, tracking_uri: str) -> list[str]:
    """What the command says."""
    from analysis.statistics.quantities import quantity

    registered, winner = published.registered, published.winner
    scores = (
        f"{quantity(name).label} {quantity(name).with_unit(value)}"
        for name, value in winner.scores.items()
    )
    return [
        f"published: {registered.uri} (version {registered.version})",
        f"winner:    {winner.title}. {winner.why}",
        f"scores:    {', '.join(scores)}, on {winner.noise}"
        f"{_comma(class_note(winner.run.to_dict()))}",
        *usage(published, tracking_uri),
    ]


if __name__ == "__main__":
    app()
