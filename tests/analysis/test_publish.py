"""Publishing to a real MLflow: loaded in other processes, the model does what its run says."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from analysis import publish as publishing
from analysis.models.registry import ALIAS, RegistryError
from analysis.publish import Published, publish
from analysis.tracker.client import TrackerError
from studies.tracker import names
from tests.analysis import trained_study
from tests.analysis.trained_study import TINY, Planned, TrainedStudy, mean_psnr, noisy_and_clean

pytestmark = pytest.mark.slow

DECIBELS = 0.01


@pytest.fixture(scope="module")
def published(trained: TrainedStudy) -> Published:
    return publish(trained.name, tracking_uri=trained.uri)


def client(trained: TrainedStudy) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(trained.uri, trained.uri)


def champion(trained: TrainedStudy, published: Published) -> Any:
    return client(trained).get_model_version_by_alias(published.registered.name, ALIAS)


def model_folder(trained: TrainedStudy, published: Published) -> Path:
    version = champion(trained, published)
    model_id = version.source.removeprefix("models:/")
    location = client(trained).get_logged_model(model_id).artifact_location
    return Path(location.removeprefix("file://"))


def test_the_winner_is_the_best_confirmed_configuration_on_its_better_seed(
    trained: TrainedStudy, published: Published
) -> None:
    scores = {key: trained.metrics[key]["val/mse"] for key in ("confirm-0001", "confirm-0003")}
    assert published.winner.trial == min(scores, key=lambda key: scores[key])
    assert published.registered.uri == "models:/Gürültü giderme 2_3@champion"
    version = champion(trained, published)
    assert version.tags[names.STUDY] == trained.name
    assert version.run_id == published.winner.run_id
    assert "2 fresh seeds" in version.description
    test_psnr = trained.metrics[published.winner.trial]["test/psnr"]
    assert f"| test PSNR (dB) | {test_psnr:.2f} |" in version.description


def test_the_model_lies_with_the_study_and_holds_no_pickle(
    trained: TrainedStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)  # as in most shells
    again = publish(trained.name, tracking_uri=trained.uri, name="unloaded")
    folder = model_folder(trained, again)
    assert str(folder).startswith(trained.uri.removeprefix("sqlite:///").removesuffix("mlflow.db"))
    files = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"MLmodel", "weights.safetensors", "config.json", "input_example.json"} <= files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pt", ".pth", ".pyc"))]
    wanted = (folder / "requirements.txt").read_text().split()
    assert [each.partition("==")[0] for each in wanted] == [
        "mlflow", "numpy", "pydantic", "safetensors", "torch",
    ]  # fmt: skip


def test_publishing_leaves_the_run_as_it_ended(trained: TrainedStudy, published: Published) -> None:
    run = client(trained).get_run(published.winner.run_id)
    assert (run.info.status, run.info.end_time) == ("FINISHED", 61_000)
    assert run.data.tags[names.STATUS] == "finished"
    experiment = client(trained).get_experiment(run.info.experiment_id)
    assert len(client(trained).search_runs([experiment.experiment_id])) == 7


FRESH = """
import sys
for name in ("ray", "optuna", "studies", "analysis", "torchvision", "skimage", "umap"):
    sys.modules[name] = None  # importing one of them now fails
import mlflow, numpy as np
uri, address, given, out = sys.argv[1:]
mlflow.set_tracking_uri(uri)
model = mlflow.pyfunc.load_model(address)
noisy = np.load(given)
results = {
    "deep": model.predict(noisy),
    "flat": model.predict(noisy[:, 0].astype(np.float64)),
    "grey": model.predict((noisy * 255).round().astype(np.uint8)),
    "codes": model.predict(noisy, params={"what": "encode"}),
    "unwrapped": model.unwrap_python_model().encode(noisy[:, 0]),
}
np.savez(out, **results)
import vae_trainables
print(vae_trainables.__file__)
for bad in (np.zeros((2, 32, 32), np.float32), np.full((1, 28, 28), 7.0)):
    try:
        model.predict(bad)
    except mlflow.exceptions.MlflowException as error:
        print(error.error_code, error)
"""


@pytest.fixture(scope="module")
def fresh(
    trained: TrainedStudy, published: Published, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, np.ndarray], str]:
    """What a process that knows nothing of this project gets from the model; and what it says."""
    folder = tmp_path_factory.mktemp("elsewhere")
    noisy, _ = noisy_and_clean("test", TINY)
    np.save(folder / "noisy.npy", noisy)
    arguments = [trained.uri, published.registered.uri, "noisy.npy", "out.npz"]
    done = subprocess.run(
        [sys.executable, "-I", "-c", FRESH, *arguments],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with np.load(folder / "out.npz") as found:
        return dict(found), done.stdout


TOLD = """
import sys
import mlflow, numpy as np
uri, address, given, labels = sys.argv[1:]
mlflow.set_tracking_uri(uri)
model = mlflow.pyfunc.load_model(address)
noisy = np.load(given)
told = model.predict(noisy, params={"labels": np.load(labels).tolist()})
np.savez("out.npz", predicted=model.predict(noisy), given=told)
try:
    model.predict(noisy, params={"labels": [3]})
except mlflow.exceptions.MlflowException as error:
    print(error.error_code, error)
"""


def test_a_conditional_winner_denoises_as_its_page_says_by_either_source(tmp_path: Path) -> None:
    told = TINY.model_copy(update={"kind": "cond_conv_vae", "widths": (4, 8), "latent_dim": 4})
    study = trained_study.write(tmp_path, "told", [Planned("reference-0000", told, reference=True)])
    out = publish(study.name, tracking_uri=study.uri, run="reference-0000")
    page = champion(study, out).description
    metrics = study.metrics["reference-0000"]
    assert "noise of factor 0.45, true class given:" in page
    assert f"| test MSE, class predicted | {metrics['test/predicted_mse']:.5f} |" in page
    noisy, clean = noisy_and_clean("test", told)
    test = trained_study.digits().test
    assert test is not None
    np.save(tmp_path / "noisy.npy", noisy)
    np.save(tmp_path / "labels.npy", test.labels.numpy())
    done = subprocess.run(
        [sys.executable, "-I", "-c", TOLD, study.uri, out.registered.uri, "noisy.npy",
         "labels.npy"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "INVALID_PARAMETER_VALUE" in done.stdout
    with np.load(tmp_path / "out.npz") as found:
        for name, score in (("given", "test/mse"), ("predicted", "test/predicted_mse")):
            mse = float(np.square(found[name] - clean).mean())
            assert mse == pytest.approx(metrics[score], rel=1e-5), name


def test_in_a_fresh_process_it_denoises_as_well_as_its_run_says(
    trained: TrainedStudy, published: Published, fresh: tuple[dict[str, np.ndarray], str]
) -> None:
    found, _ = fresh
    _, clean = noisy_and_clean("test", TINY)
    expected = trained.metrics[published.winner.trial]["test/psnr"]
    for name in ("deep", "flat", "grey"):
        images = found[name].reshape(clean.shape)
        assert mean_psnr(images, clean) == pytest.approx(expected, abs=DECIBELS), name
    assert found["flat"].shape == clean[:, 0].shape
    assert expected > mean_psnr(noisy_and_clean("test", TINY)[0], clean) + 3  # it learned


def test_in_a_fresh_process_it_encodes(fresh: tuple[dict[str, np.ndarray], str]) -> None:
    found, _ = fresh
    assert found["codes"].shape == (len(found["deep"]), 16)
    np.testing.assert_array_equal(found["codes"], found["unwrapped"])


def test_a_fresh_process_runs_the_code_that_the_model_carries_and_refuses_in_words(
    fresh: tuple[dict[str, np.ndarray], str],
) -> None:
    code, shape, value = fresh[1].splitlines()
    assert code.endswith("/code/vae_trainables/__init__.py")
    assert shape.startswith("INVALID_PARAMETER_VALUE")
    assert "got (2, 32, 32)" in shape
    assert "float64 from 7 to 7" in value


@pytest.fixture(scope="module")
def server(trained: TrainedStudy, published: Published) -> Iterator[str]:
    """`mlflow models serve` on a free port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", published.registered.uri,
        "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port),
    ]  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"  # uvicorn's
    process = subprocess.Popen(
        command,
        cwd=Path(trained.uri.removeprefix("sqlite:///")).parent,
        env=environment | {"MLFLOW_TRACKING_URI": trained.uri, "PATH": programs},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _await(address + "/ping", process)
        yield address + "/invocations"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)


def _await(address: str, process: subprocess.Popen[bytes], limit: float = 240) -> None:
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise TimeoutError(address)


def post(address: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        address, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["predictions"]


def test_over_http_it_denoises_as_well_as_its_run_says(
    trained: TrainedStudy, published: Published, server: str
) -> None:
    noisy, clean = noisy_and_clean("test", TINY)
    found = np.array(post(server, {"inputs": noisy.tolist()}))
    expected = trained.metrics[published.winner.trial]["test/psnr"]
    assert found.shape == clean.shape
    assert mean_psnr(found, clean) == pytest.approx(expected, abs=DECIBELS)
    flat = np.array(post(server, {"instances": noisy[:3, 0].tolist()}))
    np.testing.assert_allclose(flat, found[:3, 0], atol=1e-6)


def test_over_http_it_encodes_and_refuses_in_words(server: str) -> None:
    images = np.zeros((2, 28, 28)).tolist()
    codes = post(server, {"inputs": images, "params": {"what": "encode"}})
    assert np.array(codes).shape == (2, 16)
    for body, message in (
        ({"inputs": [[1, 2], [3, 4]]}, "got (2, 2)"),
        ({"inputs": images, "params": {"what": "dream"}}, "denoise, encode"),
    ):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            post(server, body)
        assert refusal.value.code == 400
        assert message in refusal.value.read().decode()


def test_publishing_again_moves_the_champion(trained: TrainedStudy, published: Published) -> None:
    again = publish(trained.name, tracking_uri=trained.uri, run="0001", name="moves")
    assert again.registered.version == "1"
    assert again.winner.why == "Chosen by hand."
    newest = publish(trained.name, tracking_uri=trained.uri, name="moves")
    assert champion(trained, newest).version == int(newest.registered.version) == 2
    assert champion(trained, published).version == int(published.registered.version)


def test_a_registered_model_of_somebody_else_is_left_alone(
    trained: TrainedStudy, published: Published
) -> None:
    client(trained).create_registered_model("theirs")
    with pytest.raises(RegistryError, match=r"something that is not a study; .* --name"):
        publish(trained.name, tracking_uri=trained.uri, name="theirs")
    client(trained).create_registered_model("other", {names.STUDY: "another study"})
    with pytest.raises(RegistryError, match="belongs to study 'another study'"):
        publish(trained.name, tracking_uri=trained.uri, name="other")
    assert not client(trained).search_model_versions("name='theirs'")


def test_it_leaves_mlflows_global_settings_as_they_were(
    trained: TrainedStudy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import mlflow

    def settings() -> tuple[object, ...]:
        variables = [os.environ.get(f"MLFLOW_{name}_URI") for name in ("TRACKING", "REGISTRY")]
        return mlflow.get_tracking_uri(), mlflow.get_registry_uri(), *variables

    before = settings()
    publish(trained.name, tracking_uri=trained.uri, name="settings")
    assert settings() == before
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    before = settings()
    publish(trained.name, tracking_uri=trained.uri, name="settings")
    assert settings() == before
    assert mlflow.active_run() is None
    assert not list(tmp_path.iterdir())


def run_command(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(publishing.app, [*arguments])
    return done.exit_code, done.stdout, done.stderr


def test_the_command_says_where_the_model_is_and_how_to_use_it(trained: TrainedStudy) -> None:
    code, out, _ = run_command(
        "--study", trained.name, "--tracking-uri", trained.uri, "--name", "said"
    )
    assert code == 0
    assert "published: models:/said@champion (version 1)" in out
    model = f"--model models:/said@champion --tracking-uri {trained.uri}"
    assert f"python -m analysis.denoise IMAGE {model} --out clean" in out
    assert f"python -m analysis.export_onnx {model} --out model.onnx" in out
    assert "mlflow models serve --model-uri models:/said@champion --env-manager local" in out


def test_what_cannot_be_published_is_said_in_one_line_with_exit_code_2(
    trained: TrainedStudy, tmp_path: Path
) -> None:
    for arguments, message in (
        (("--study", "absent"), "'absent' is not in"),
        (("--study", trained.name, "--run", "0007"), "has no run '0007'"),
    ):
        code, out, error = run_command(*arguments, "--tracking-uri", trained.uri)
        assert (code, out) == (2, "")
        assert error.startswith("error: ")
        assert message in error
        assert error.count("\n") == 1
    code, _, error = run_command("--study", "s", "--tracking-uri", f"sqlite:///{tmp_path}/no.db")
    assert (code, error.count("\n")) == (2, 1)
    assert not (tmp_path / "no.db").exists()


def test_a_study_without_winner_or_with_damaged_weights_is_refused(tmp_path: Path) -> None:
    empty = trained_study.write(tmp_path, "empty", [])
    with pytest.raises(TrackerError, match="no finished trial"):
        publish("empty", tracking_uri=empty.uri)
    short = TINY.model_copy(update={"epochs": 1, "train_size": 100})
    study = trained_study.write(tmp_path, "damaged", [Planned("0000", short)])
    run = client(study).get_run(study.run_ids["0000"])
    weights = Path(run.info.artifact_uri.removeprefix("file://")) / names.WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(TrackerError, match="not a whole checkpoint"):
        publish("damaged", tracking_uri=study.uri)
    weights.unlink()
    with pytest.raises(TrackerError, match="trial 0000, seed 0 has no checkpoint/weights"):
        publish("damaged", tracking_uri=study.uri)
    assert not client(study).search_registered_models()
