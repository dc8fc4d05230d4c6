"""Writing to MLflow's model registry: the only module of this package that changes a tracker."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.models import sources
from analysis.tracker.client import TrackerError, default_uri, one_line, redact
from studies.tracker import address, location, names

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

ALIAS = "champion"
CODE = Path(__file__).with_name("published.py")
PACKAGES = ("mlflow", "numpy", "pydantic", "safetensors", "torch")  # what a model imports
NAME_LIMIT = 250  # characters; MLflow's database has room for 256
RUN = "vae.run"

# MLflow refuses / and : in a name, the others end or divide the address models:/NAME@ALIAS.
_REFUSED = re.compile(r"[/:?#@%\\\x00-\x1f\x7f]")


class RegistryError(TrackerError):
    """The model cannot be registered; the message says why and what to do."""


@dataclass(frozen=True)
class Registered:
    """A version of a registered model."""

    name: str
    version: str

    @property
    def uri(self) -> str:
        """The address that follows the champion, whatever its version."""
        return f"models:/{self.name}@{ALIAS}"


@dataclass(frozen=True)
class Content:
    """What a published model consists of: files, an example input and what it says of itself."""

    weights: Path
    config: Path
    example: Any
    epochs: int
    conditional: bool
    facts: Mapping[str, str]
    source: Path | None = None
    """Of a study's own file, which defines the model."""

    @property
    def artifacts(self) -> dict[str, str]:
        """The files that the model takes along."""
        files = {"weights": self.weights, "config": self.config, "source": self.source}
        return {name: str(path) for name, path in files.items() if path is not None}


def registered_name(study: str) -> str:
    """The study's name as MLflow takes it.

    >>> registered_name("gürültü giderme 2/3")
    'gürültü giderme 2_3'
    """
    name = _REFUSED.sub("_", study).strip()[:NAME_LIMIT]
    return re.sub(r"^\.+", "_", name) or "_"


def requirements(source: Path | None = None) -> list[str]:
    """The exact versions that run a published model, as pip wants them.

    A build's local label (`+cpu`) is left out: no registry has it.
    """
    ours = [f"{name}=={metadata.version(name).partition('+')[0]}" for name in PACKAGES]
    if source is None:
        return ours
    from vae_trainables.source import Source

    own = sources.requirements(Source.from_json(source.read_text("utf-8")))
    return ours + [line for line in own if line not in ours]


def _code(content: Content) -> list[str]:
    """Folders that lie beside a published model; a study's own file imports `studies` too."""
    import vae_trainables

    folders = [Path(vae_trainables.__file__).parent]
    if content.source is not None:
        folders.append(Path(names.__file__).parents[1])
    return [str(folder) for folder in folders]


class Registry:
    """One MLflow server or database, to write to."""

    def __init__(self, uri: str | None = None) -> None:
        self.uri = uri or default_uri()

    def log(self, run_id: str, content: Content) -> str:
        """Log a model to a run, which stays as it ended; the model's address `models:/<id>`."""
        import mlflow
        from mlflow.models import Model

        with self._pointed_at() as client:
            run = client.get_run(run_id)
            made = client.create_logged_model(
                run.info.experiment_id, "denoiser", run_id, params=run.data.params
            )
            # mlflow.pyfunc.log_model would open the run again, or log to another experiment.
            with _no_bytecode():
                Model.log(
                    artifact_path=None,
                    flavor=mlflow.pyfunc,
                    model_id=made.model_id,
                    run_id=run_id,
                    step=content.epochs,  # whose metrics the model's page shows
                    python_model=str(CODE),
                    code_paths=_code(content),
                    artifacts=content.artifacts,
                    pip_requirements=requirements(content.source),
                    signature=_signature(content.example, content.conditional),
                    input_example=content.example,
                    metadata=dict(content.facts),
                )
        return f"models:/{made.model_id}"

    def check(self, name: str, study: str) -> None:
        """Raise RegistryError where `name` is taken by another study or by somebody else."""
        with self._pointed_at() as client:
            registered = {model.name: model.tags for model in _registered_models(client, name)}
        owner = registered.get(name, {}).get(names.STUDY)
        if name in registered and owner != study:
            whose = f"study {owner!r}" if owner else "something that is not a study"
            raise RegistryError(
                f"the registered model {name!r} belongs to {whose}; give another with --name"
            )

    def register(self, model_uri: str, name: str, study: str, note: str, run_id: str) -> Registered:
        """Make a logged model the newest version of `name` and its champion."""
        import mlflow

        self.check(name, study)
        with self._pointed_at() as client:
            if not _registered_models(client, name):
                about = f"The best model of the study `{study}`."
                client.create_registered_model(name, {names.STUDY: study}, redact(about))
            with redirect_stderr(io.StringIO()):  # it prints what we say ourselves
                made = mlflow.register_model(
                    model_uri, name, tags={names.STUDY: study, RUN: run_id}
                )
            client.update_model_version(name, made.version, redact(note))
            client.set_registered_model_alias(name, ALIAS, made.version)
        return Registered(name, str(made.version))

    def load(self, model: str) -> Any:
        """The model at an address or in a folder, as `mlflow.pyfunc.load_model` gives it.

        Runs the code that the model carries.
        """
        import mlflow

        with self._pointed_at():
            return mlflow.pyfunc.load_model(model)

    @contextmanager
    def _pointed_at(self) -> Iterator[MlflowClient]:
        """MLflow's global settings at our tracker; whatever it raises becomes a TrackerError."""
        import mlflow
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
        # We name the requirements ourselves: no uv project that happens to lie here shall add any.
        os.environ["MLFLOW_UV_AUTO_DETECT"] = "false"
        os.environ["MLFLOW_RECORD_ENV_VARS_IN_MODEL_LOGGING"] = "false"
        mlflow.set_tracking_uri(address.with_driver(self.uri))
        try:
            location.settle(self.uri)  # what is written to a moved tracker goes where it is now
            yield mlflow.MlflowClient()
        except (MlflowException, SQLAlchemyError, OSError) as error:
            message = redact(one_line(error))
            raise TrackerError(f"the tracker {redact(self.uri)} refused: {message}") from error
        finally:
            mlflow.set_tracking_uri(before)


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """MLflow imports the model's code where it has just put it: nothing compiled stays there."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _registered_models(client: MlflowClient, name: str) -> list[Any]:
    """The registered model of exactly that name, in a list, if there is one."""
    from mlflow.exceptions import MlflowException

    try:
        return [client.get_registered_model(name)]
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise


def _signature(example: Any, conditional: bool) -> ModelSignature:
    """Any array in, since MLflow would refuse all dtypes and shapes but one; the model checks.

    The shape (-1,) of objects is MLflow's way to say that.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types.schema import DataType, ParamSchema, ParamSpec, Schema, TensorSpec

    params = [ParamSpec("what", DataType.string, "denoise")]
    if conditional:
        params.append(ParamSpec("labels", DataType.long, [], shape=(-1,)))
    return ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(object), (-1,))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, *example.shape[1:]))]),
        params=ParamSchema(params),
    )
