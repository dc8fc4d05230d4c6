"""A study in a file outside of the checkout, from the first command to the published model."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from studies import study_file
from studies.errors import InputError
from studies.tracker import names
from tests.studies.own.strangers import call, kill_while_it_trains
from vae_trainables.kinds import KINDS

HERE = Path(__file__).parent
FLAGS = ("--trials", "3", "--cpus", "2", "--scheduler", "none")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The user's folder."""
    for name in ("my_study.py", "my_nets.py"):
        shutil.copy(HERE / name, tmp_path)
    return tmp_path


@pytest.mark.alone  # starts Ray
@pytest.mark.slow
def test_an_own_file_is_killed_carried_home_resumed_reproduced_published_and_used(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cluster = tmp_path_factory.mktemp("cluster")
    for name in ("my_study.py", "my_nets.py"):
        shutil.copy(HERE / name, cluster)
    kill_while_it_trains(cluster, "my_study", "my_study.py", *FLAGS)
    call(cluster, "-m", "studies.pack", "my_study", "-o", str(home / "my_study.tar.gz"))
    shutil.rmtree(cluster)
    call(home, "-m", "studies.unpack", "my_study.tar.gz")
    call(home, "-m", "studies.run", "my_study.py", *FLAGS, "--resume")
    assert not cluster.exists(), "nothing is written to the old place"
    client = MlflowClient(f"sqlite:///{home}/runs/mlflow.db")
    experiment = client.get_experiment_by_name("my_study")
    runs = client.search_runs([experiment.experiment_id])
    trials = [run for run in runs if run.data.tags[names.ROLE] == names.ROLE_TRIAL]
    assert sorted(run.data.tags[names.STATUS] for run in trials) == ["finished"] * 3
    assert len(runs) == 4
    assert {run.data.params["hidden_size"] for run in trials} <= {"16", "32"}

    for name in ("my_study.py", "my_nets.py"):  # the tracker alone has to do from here on
        (home / name).unlink()
    again = call(home, "-m", "studies.reproduce", trials[0].info.run_id, "--check")
    assert "bit-equal" in again
    call(home, "-m", "analysis.publish", "--study", "my_study")
    np.save(home / "noisy.npy", np.random.default_rng(0).random((2, 28, 28), np.float32))
    use = (
        "import mlflow, numpy\n"
        "mlflow.set_tracking_uri('sqlite:///runs/mlflow.db')\n"
        "model = mlflow.pyfunc.load_model('models:/my_study@champion')\n"
        "print(model.predict(numpy.load('noisy.npy')).shape)"
    )
    assert "(2, 28, 28)" in call(home, "-c", use)
    call(home, "-m", "analysis.report", "--study", "my_study", "--out", "report")
    assert "hidden_size" in (home / "report" / "index.html").read_text("utf-8")


def test_a_change_of_any_file_of_a_study_is_seen(home: Path) -> None:
    before = study_file.load(home / "my_study.py").source
    nets = home / "my_nets.py"
    nets.write_text(nets.read_text().replace("nn.ReLU()", "nn.SiLU()"))
    after = study_file.load(home / "my_study.py").source
    assert before is not None
    assert after is not None
    assert before.digest() != after.digest()
    assert "tiny_norm_vae" in KINDS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import nothing_there\n", "my_study.py:1: ModuleNotFoundError"),
        ("x = 1\n", "defines no study"),
        ("def f(:\n", "invalid syntax"),
    ],
)
def test_a_file_without_a_study_is_refused_in_one_line(home: Path, text: str, words: str) -> None:
    path = home / "my_study.py"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as refused:
        study_file.load(path)
    assert len(str(refused.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="there is no study file"):
        study_file.load("nowhere/my_study.py")
