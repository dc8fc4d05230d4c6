"""Writing into MLflow's tables: what its client would have written, or the client itself."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

mlflow = pytest.importorskip("mlflow")

from studies.tracker import names  # noqa: E402
from studies.tracker.delivery import Delivery  # noqa: E402
from studies.tracker.store import make_database  # noqa: E402
from studies.tracker.tables import REVISIONS, DeletedError, Tables  # noqa: E402
from tests.studies.tracker.test_delivery import DATA, STORY, metric_events, run_event  # noqa: E402

pytestmark = pytest.mark.slow

ODD = {
    "event": "metrics", "key": "0000", "epoch": 3, "time": 103,
    "values": {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "whole": 3, "val/x y": 0.1},
}  # fmt: skip
LATER = [
    run_event("", **{names.NOTE: "What? [all](EXPERIMENT-ID)"}),
    run_event("0001", **{names.ATTEMPT: "2", names.STATUS: "running"}),
    {"event": "metrics", "key": "0000", "epoch": 2, "values": {"val/mse": 9.0}, "time": 1},
    {"event": "metrics", "key": "0001", "epoch": 2, "values": {"val/mse": 0.5}, "time": 999},
    {"event": "tags", "key": "0001", "tags": {"vae.way": "alone", names.REASON: "ü" * 6000}},
    run_event("0002", **{names.PHASE: "search"}),
    ODD,
]


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    address = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/m.db"
    make_database(address)
    return address


def database(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(uri.removeprefix("sqlite:///"))


QUERIES = {
    "runs": "SELECT name, source_type, source_name, entry_point_name, user_id, status, start_time, "
    "end_time, source_version, lifecycle_stage, deleted_time, "
    "replace(artifact_uri, run_uuid, 'ID') FROM runs WHERE experiment_id = :id",
    "params": "SELECT runs.name, key, value FROM params JOIN runs USING (run_uuid) "
    "WHERE experiment_id = :id",
    "tags": "SELECT runs.name, key, value FROM tags JOIN runs USING (run_uuid) "
    "WHERE experiment_id = :id AND key NOT IN ('mlflow.parentRunId', 'mlflow.note.content', "
    "'vae.study')",
    "metrics": "SELECT runs.name, key, value, timestamp, step, is_nan, typeof(is_nan), "
    "typeof(value) FROM metrics JOIN runs USING (run_uuid) WHERE experiment_id = :id",
    "latest_metrics": "SELECT runs.name, key, value, timestamp, step, is_nan FROM latest_metrics "
    "JOIN runs USING (run_uuid) WHERE experiment_id = :id",
    "datasets": "SELECT name, digest, dataset_source_type, dataset_source, dataset_schema, "
    "dataset_profile, length(dataset_uuid) FROM datasets WHERE experiment_id = :id",
    "inputs": "SELECT runs.name, datasets.name, input_tags.name, input_tags.value, "
    "inputs.source_type, inputs.destination_type, inputs.step, length(inputs.input_uuid) "
    "FROM inputs JOIN runs ON destination_id = run_uuid JOIN datasets ON source_id = dataset_uuid "
    "JOIN input_tags ON input_tags.input_uuid = inputs.input_uuid "
    "WHERE runs.experiment_id = :id",
}


def rows(uri: str, experiment: str) -> dict[str, list[Any]]:
    """All that a database holds of an experiment, without ids."""
    with closing(database(uri)) as connection:
        return {
            table: sorted(connection.execute(query, {"id": int(experiment)}).fetchall(), key=repr)
            for table, query in QUERIES.items()
        }


def told(uri: str, study: str, folder: Path, *, by_client: bool) -> dict[str, list[Any]]:
    for events in (STORY[:4], STORY, LATER, [*LATER, *STORY], metric_events("0000", 4)):
        delivery = Delivery(uri, study, (folder / "artifacts").as_uri(), data=DATA)
        assert delivery.tables is not None, "MLflow's tables have another revision: look at them"
        if by_client:
            delivery.tables = None
        delivery.deliver(events)
        delivery.abandon({"0001": 998})
    with closing(database(uri)) as connection:
        connection.execute("UPDATE runs SET end_time = 7 WHERE end_time > 999")  # now
        connection.commit()
    return rows(uri, delivery.experiment)


def test_tables_hold_what_the_client_would_have_written(uri: str, tmp_path: Path) -> None:
    by_client = told(uri, "by client", tmp_path, by_client=True)
    by_tables = told(uri, "by tables", tmp_path, by_client=False)
    assert len(by_client["runs"]) == 4
    assert len(by_client["inputs"]) >= 8
    for table, expected in by_client.items():
        assert by_tables[table] == expected, table


def test_the_client_reads_what_was_written(uri: str, tmp_path: Path) -> None:
    delivery = Delivery(uri, "read", tmp_path.as_uri(), data=DATA)
    delivery.deliver([*STORY, ODD])
    run = delivery.client.get_run(delivery.runs["0000"].run_id)
    assert math.isnan(run.data.metrics["nan"])
    assert run.data.metrics["val/mse"] == pytest.approx(1 / 3)
    assert {data.dataset.name for data in run.inputs.dataset_inputs} == {d["name"] for d in DATA}
    assert run.data.params == {"lr": "0.1", "hidden": "[400]"}


def test_tables_of_another_revision_are_left_to_the_client(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num)")
        connection.execute("INSERT INTO alembic_version VALUES ('of tomorrow')")
        connection.commit()
    assert Tables.of(f"sqlite:///{path}", "1", "file:///a") is None
    assert Tables.of("http://there", "1", "file:///a") is None
    (known,) = REVISIONS
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (known,))
        connection.commit()
    assert Tables.of(f"sqlite:///{path}", "1", "file:///a") is not None
    assert Tables.of(f"sqlite:///{path}", "1", "s3://bucket?region=x") is None


def test_what_is_deleted_meanwhile_is_refused_and_nothing_is_half_written(
    uri: str, tmp_path: Path
) -> None:
    delivery = Delivery(uri, "deleted", tmp_path.as_uri())
    delivery.deliver(STORY)
    delivery.client.delete_run(delivery.runs["0000"].run_id)
    before = rows(uri, delivery.experiment)
    more = [*metric_events("", 9), *metric_events("0000", 9)]
    with pytest.raises(DeletedError, match="is deleted"):
        delivery.deliver(more)
    assert rows(uri, delivery.experiment) == before
    delivery.client.delete_experiment(delivery.experiment)
    with pytest.raises(DeletedError, match="experiment"):
        delivery.deliver(more)


def test_a_history_that_is_told_again_is_not_written_again(uri: str, tmp_path: Path) -> None:
    first = Delivery(uri, "again", tmp_path.as_uri())
    first.deliver(STORY)
    again = Delivery(uri, "again", tmp_path.as_uri())
    assert again.tables is not None
    written: list[str] = []
    transaction = again.tables.transaction

    @contextmanager
    def traced() -> Iterator[Any]:
        with transaction() as writer:
            writer.connection.set_trace_callback(written.append)
            yield writer

    again.tables.transaction = traced  # type: ignore[method-assign]
    again.deliver(STORY)
    assert written
    assert not [text for text in written if text.startswith(("INSERT", "UPDATE"))]
