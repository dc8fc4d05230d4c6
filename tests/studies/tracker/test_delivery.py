"""Delivery to a real MLflow (sqlite): twice is as good as once, and foreign runs are left alone."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

mlflow = pytest.importorskip("mlflow")

from mlflow import MlflowClient  # noqa: E402

from studies.tracker import names, pages  # noqa: E402
from studies.tracker.delivery import Delivery  # noqa: E402
from studies.tracker.sender import Sender  # noqa: E402
from studies.tracker.spool import Spool  # noqa: E402
from studies.tracker.store import FOR_TRAINING, KIND, database_store  # noqa: E402

ROOT = Path(__file__).parent.parent.parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/m.db"


@pytest.fixture
def study(uri: str, request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str, str]:
    return uri, request.node.name, tmp_path.as_uri()


def run_event(key: str, **tags: str) -> dict[str, Any]:
    params = {"lr": 0.1, "hidden": [400]}
    return {
        "event": "run",
        "key": key,
        "name": f"trial-{key}" if key else "study",
        "tags": tags,
        "params": params,
        "time": 5,
    }


def metric_events(key: str, epochs: int) -> list[dict[str, Any]]:
    return [
        {"event": "metrics", "key": key, "epoch": e, "values": {"val/mse": 1 / e}, "time": 100 + e}
        for e in range(1, epochs + 1)
    ]


def status(key: str, status: str) -> dict[str, Any]:
    return {"event": "status", "key": key, "status": status, "reason": "r", "time": 999}


STORY = [
    run_event("", **{names.ROLE: "study"}),
    run_event("0000", **{names.ROLE: "trial"}),
    *metric_events("0000", 3),
    status("0000", "pruned"),
    run_event("0001", **{names.ROLE: "trial"}),
    *metric_events("0001", 2),
    status("0001", "diverged"),
    status("", "finished"),
]


def runs(delivery: Delivery) -> dict[str, Any]:
    found = delivery.client.search_runs([delivery.experiment])
    return {run.data.tags.get(names.TRIAL, ""): run for run in found}


def points(delivery: Delivery, key: str) -> list[tuple[int, float]]:
    history = delivery.client.get_metric_history(runs(delivery)[key].info.run_id, "val/mse")
    return [(m.step, m.value) for m in history]


def test_a_story_told_twice_by_different_senders_is_stored_once(
    study: tuple[str, str, str],
) -> None:
    for _ in range(2):
        Delivery(*study).deliver(STORY)
    delivery = Delivery(*study)
    found = runs(delivery)
    assert len(delivery.client.search_runs([delivery.experiment])) == 3
    assert {key: run.info.status for key, run in found.items()} == {
        "": "FINISHED",
        "0000": "FINISHED",
        "0001": "FAILED",
    }
    assert found["0000"].data.tags[names.STATUS] == "pruned"
    assert found["0000"].data.tags[names.PARENT] == found[""].info.run_id
    assert [found[key].info.run_name for key in ("0000", "0001")] == [
        "pruned 0000",
        "diverged 0001",
    ]
    assert found["0000"].data.params == {"lr": "0.1", "hidden": "[400]"}
    assert points(delivery, "0000") == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]


def test_all_news_of_a_run_go_out_in_one_call(
    study: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = Delivery(*study)
    delivery.tables = None  # as of a server
    calls: list[tuple[int, int, int]] = []
    whole = delivery.client.log_batch

    def count(run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        calls.append((len(metrics), len(params), len(tags)))
        whole(run_id, metrics, params, tags)

    monkeypatch.setattr(delivery.client, "log_batch", count)
    delivery.deliver(STORY)
    assert len(calls) == 3  # the parent and two trials
    calls.clear()
    many = {f"m{i}": float(i) for i in range(1000)}
    event = {"event": "metrics", "key": "0000", "epoch": 9, "values": many, "time": 9}
    params = {f"p{i}": i for i in range(150)}
    delivery.deliver([event, {**run_event("0000"), "params": params}])
    assert [call[:2] for call in calls] == [(800, 100), (200, 50)]


@pytest.mark.parametrize("cut", range(1, len(STORY)))
def test_a_sender_that_died_anywhere_and_repeats_its_batch_changes_nothing(
    study: tuple[str, str, str], cut: int
) -> None:
    Delivery(*study).deliver(STORY[:cut])
    Delivery(*study).deliver(STORY)
    delivery = Delivery(*study)
    assert len(delivery.client.search_runs([delivery.experiment])) == 3
    assert len(points(delivery, "0000")) == 3
    assert len(points(delivery, "0001")) == 2


def test_two_runs_of_one_trial_become_one(study: tuple[str, str, str]) -> None:
    """A server that died between creating a run and answering leaves such a pair."""
    first = Delivery(*study)
    first.deliver(STORY[:2])
    tags = {names.STUDY: study[1], names.TRIAL: "0000"}
    first.client.create_run(first.experiment, tags=tags)
    second = Delivery(*study)
    second.deliver(STORY)
    assert len(second.client.search_runs([second.experiment])) == 3


def test_a_dead_drivers_runs_are_closed_and_opened_again(study: tuple[str, str, str]) -> None:
    delivery = Delivery(*study)
    delivery.deliver(STORY[:4])
    delivery.abandon({"0000": 103})
    assert {r.info.status for r in runs(delivery).values()} == {"KILLED"}
    assert runs(delivery)["0000"].info.end_time == 103
    again = Delivery(*study)
    again.deliver([run_event(""), run_event("0000")])
    assert {r.info.status for r in runs(again).values()} == {"RUNNING"}


def test_runs_of_others_in_the_same_experiment_are_left_alone(study: tuple[str, str, str]) -> None:
    delivery = Delivery(*study)
    foreign = delivery.client.create_run(delivery.experiment, tags={names.TRIAL: "0000"})
    Delivery(*study).deliver(STORY)
    run = delivery.client.get_run(foreign.info.run_id)
    assert run.info.status == "RUNNING"
    assert run.info.lifecycle_stage == "active"
    assert not run.data.metrics


@pytest.mark.parametrize("deleted", ["a trial", "all runs", "the experiment"])
def test_what_somebody_deleted_is_restored_and_said(
    study: tuple[str, str, str], deleted: str
) -> None:
    first = Delivery(*study)
    first.deliver(STORY[:4])
    before = {key: run.info.run_id for key, run in runs(first).items()}
    if deleted == "the experiment":
        first.client.delete_experiment(first.experiment)
    else:
        for key in ("0000",) if deleted == "a trial" else before:
            first.client.delete_run(before[key])
    second = Delivery(*study)
    second.deliver(STORY[4:])
    assert {key: run.info.run_id for key, run in runs(second).items()} == before | {
        "0001": second.runs["0001"].run_id
    }
    assert len(points(second, "0000")) == 3
    (note,) = second.notes
    assert ("experiment" in note) == (deleted == "the experiment")
    assert ("trial 0000" in note) == (deleted != "the experiment")
    assert Delivery(*study).notes == []


@pytest.mark.parametrize("gone", ["", "0000", "the experiment"])
def test_what_is_gone_for_good_is_told_again_from_the_spool(
    study: tuple[str, str, str], tmp_path: Path, gone: str
) -> None:
    uri, name, artifacts = study
    spool = Spool(tmp_path / "s" / "spool")
    (tmp_path / "s" / "weights").write_text("w")
    header = {"study": name, "artifact_location": artifacts, "data": DATA}
    (spool.folder / "study.json").write_text(json.dumps(header))
    weights = {"event": "artifact", "key": "0000", "path": "weights", "folder": None}
    for event in [*STORY[:5], weights]:
        spool.append(**event)
    assert Sender(spool.folder, uri, None).run()
    client, before = MlflowClient(uri), runs(Delivery(*study))
    store = database_store(client)
    experiment = client.get_experiment_by_name(name).experiment_id
    if gone == "the experiment":
        client.delete_experiment(experiment)
        store._hard_delete_experiment(experiment)
    else:
        client.delete_run(before[gone].info.run_id)
        store._hard_delete_run(before[gone].info.run_id)
    for event in STORY[5:]:
        spool.append(**event)
    again = Sender(spool.folder, uri, None)
    assert again.run()
    assert "runs were deleted for good" in again.notes[-1]
    after = Delivery(*study)
    found = runs(after)
    assert set(found) == {"", "0000", "0001"}
    assert {k: r.info.status for k, r in found.items()} == {
        "": "FINISHED", "0000": "FINISHED", "0001": "FAILED"
    }  # fmt: skip
    parents = {found[key].data.tags[names.PARENT] for key in ("0000", "0001")}
    assert parents == {found[""].info.run_id}
    assert points(after, "0000") == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert [a.path for a in client.list_artifacts(found["0000"].info.run_id)] == ["weights"]


DATA = [
    {
        "context": context,
        "name": f"digits {context}",
        "digest": f"{size:016x}",
        "profile": {"images": size},
        "source": "digits",
    }
    for context, size in (("training", 1000), ("validation", 200), ("test", 300))
]


def test_data_sets_are_logged_once_and_a_search_has_no_test_images(
    study: tuple[str, str, str],
) -> None:
    confirm = run_event("confirm-0000", **{names.PHASE: "confirm"})
    for _ in range(2):
        delivery = Delivery(*study, data=DATA)
        delivery.deliver([run_event(""), run_event("0000", **{names.PHASE: "search"}), confirm])
    seen = {
        key: sorted(data.tags[0].value for data in run.inputs.dataset_inputs)
        for key, run in runs(Delivery(*study)).items()
    }
    all_three = ["test", "training", "validation"]
    assert seen == {"": all_three, "0000": all_three[1:], "confirm-0000": all_three}
    query = "dataset.name = 'digits training' AND dataset.digest = '00000000000003e8'"
    assert len(delivery.client.search_runs([delivery.experiment], query)) == 3


def test_an_experiment_opens_as_model_training_unless_somebody_decided(
    study: tuple[str, str, str],
) -> None:
    client = MlflowClient(study[0])
    made = client.create_experiment(study[1])
    for before, after in (
        (None, True),
        ("genai_development_inferred", True),
        ("finetuning", False),
    ):
        if before is not None:
            client.set_experiment_tag(made, KIND, before)
        Delivery(*study)
        assert (client.get_experiment(made).tags[KIND] == FOR_TRAINING) == after


def test_a_run_whose_opening_line_was_damaged_keeps_its_points(
    study: tuple[str, str, str],
) -> None:
    delivery = Delivery(*study)
    delivery.deliver([STORY[0], *STORY[2:5]])
    delivery.deliver([STORY[1], STORY[5]])  # as the next driver tells it
    run = runs(delivery)["0000"]
    assert (len(points(delivery, "0000")), run.data.params["lr"]) == (3, "0.1")
    assert (run.data.tags[names.ROLE], run.info.status) == ("trial", "FINISHED")


def test_an_artifact_that_cannot_be_stored_is_handed_back(
    study: tuple[str, str, str], tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file where the artifacts' folder should be")
    refused: list[str] = []
    uri, name, _ = study
    location = (tmp_path / "taken").as_uri()
    delivery = Delivery(uri, name, location, lambda event, _: refused.append(event["path"]))
    file = tmp_path / "weights"
    file.write_text("x")
    artifact = {"event": "artifact", "key": "0000", "path": str(file), "folder": None}
    delivery.deliver([*STORY[:2], artifact, *STORY[2:]])
    assert refused == [str(file)]
    assert len(points(delivery, "0000")) == 3


def test_texts_longer_than_mlflow_takes_are_cut(study: tuple[str, str, str]) -> None:
    delivery = Delivery(*study)
    delivery.deliver([run_event("", reason="x" * 9000)])
    assert len(runs(delivery)[""].data.tags["reason"]) == 5000


def test_a_setting_that_changes_holds_up_nothing_and_its_newest_value_is_a_tag(
    study: tuple[str, str, str],
) -> None:
    """MLflow takes a parameter once and refuses another value for it."""
    for trials in (20, 60, 20):
        delivery = Delivery(*study)
        delivery.deliver([run_event("") | {"params": {"trials": trials, "sampler": "tpe"}}])
        run = delivery.client.get_run(delivery.runs[""].run_id)
        assert run.data.params == {"trials": "20", "sampler": "tpe"}
        assert run.data.tags.get("vae.now.trials", "20") == str(trials)
        assert "vae.now.sampler" not in run.data.tags


def test_a_database_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """Else who is killed while MLflow builds its tables leaves a file that nobody can open."""
    path = tmp_path / "m.db"
    path.write_bytes(b"")  # what a look at a missing file leaves
    (tmp_path / "m.db.new").write_bytes(b"half a database")
    code = (
        "import sys, mlflow\n"
        "from studies.tracker.store import make_database\n"
        "make_database(sys.argv[1])\n"
        "print(len(mlflow.MlflowClient(sys.argv[1]).search_experiments()))"
    )
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, f"sqlite:///{path}"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(2)
    ]
    sizes = set()
    while any(process.poll() is None for process in both):
        sizes.add(path.stat().st_size > 0 and _tables(path))
    assert [process.communicate()[0].strip() for process in both] == ["1", "1"]
    assert sizes <= {0, _tables(path)}


def _tables(path: Path) -> int:
    with sqlite3.connect(path) as database:
        return int(database.execute("select count(*) from sqlite_master").fetchone()[0])


def test_the_note_describes_the_experiment_unless_somebody_has_written_another(
    study: tuple[str, str, str],
) -> None:
    def described() -> str:
        delivery = Delivery(*study)
        return str(delivery.client.get_experiment(delivery.experiment).tags.get(names.NOTE))

    for text in ("How?", "How? Better."):
        note = f"{text} [all]({pages.table(pages.EXPERIMENT, 'val/mse', 'minimize')})"
        Delivery(*study).deliver([run_event("", **{names.NOTE: note})])
        delivery = Delivery(*study)
        assert described() == note.replace(pages.EXPERIMENT, delivery.experiment)
        assert runs(delivery)[""].data.tags[names.NOTE] == described()
    delivery.client.set_experiment_tag(delivery.experiment, names.NOTE, "mine")
    delivery.deliver([run_event("", **{names.NOTE: "How? Again."})])
    assert described() == "mine"


def test_a_trial_that_goes_on_has_its_name_back(study: tuple[str, str, str]) -> None:
    lost = [run_event(""), run_event("0000"), status("0000", "worker_lost")]
    Delivery(*study).deliver(lost)
    assert runs(Delivery(*study))["0000"].info.run_name == "worker lost 0000"
    Delivery(*study).deliver([run_event("0000")])
    assert runs(Delivery(*study))["0000"].info.run_name == "trial-0000"
