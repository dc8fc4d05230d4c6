"""A study in one file: the same bytes each time, whole again elsewhere, harmless from strangers."""

from __future__ import annotations

import fcntl
import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from typer.testing import CliRunner

from studies import pack as pack_command
from studies import unpack as unpack_command
from studies.archive import contents, telling, unpacking
from studies.archive.packing import pack
from studies.errors import InputError
from studies.tracker import names
from studies.tracker.spool import Spool
from tests.studies.tracker.test_delivery import metric_events, run_event, status

LIMIT = 10**9
SECRET = "hunter2"


def made(folder: Path, began: int = 5) -> Path:
    """A study of one trial as it lies in a storage."""
    spool = Spool(folder / "spool")
    for event in (
        {**run_event("", **{names.ROLE: names.ROLE_STUDY}), "time": began},
        run_event("0000", **{names.ROLE: names.ROLE_TRIAL}),
        *metric_events("0000", 3),
        {"event": "artifact", "key": "0000", "path": "trials/0000/weights.safetensors",
         "folder": "checkpoint"},
        status("0000", "finished"),
        status("", "finished"),
        {"event": "close"},
    ):  # fmt: skip
        spool.append(**event)
    spool.close()
    header = {"uri": f"http://me:{SECRET}@there", "address": "abc", "study": "kept", "data": []}
    (folder / "spool/study.json").write_text(json.dumps(header))
    (folder / "spool/delivered").write_text("17")
    (folder / "ledger.journal").write_bytes(b'{"op_code": 0, "study_name": "kept"}\n')
    (folder / "trials/0000").mkdir(parents=True)
    (folder / "trials/0000/weights.safetensors").write_bytes(bytes(range(256)) * 100)
    (folder / "record").mkdir()
    (folder / "record/study.json").write_text("{}")
    return folder


@pytest.fixture(autouse=True)
def of_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tracker's address that MLflow has left in another test's environment."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    pack(made(tmp_path / "there/kept"), tmp_path / "kept.tar.gz")
    return tmp_path / "kept.tar.gz"


def test_equal_studies_give_equal_files_that_tell_nothing_of_their_machine(
    archive: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.tar.gz"
    pack(made(tmp_path / "elsewhere/kept"), again)
    assert again.read_bytes() == archive.read_bytes()
    text = gzip.decompress(archive.read_bytes())
    for word in (SECRET, "there", str(tmp_path), "delivered"):
        assert word.encode() not in text


def test_what_was_packed_is_whole_again(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here/kept"
    manifest = unpacking.unpack(archive, folder, LIMIT)
    assert manifest.study == "kept"
    assert unpacking.holds(folder, manifest)
    for name in (contents.LEDGER, contents.EVENTS, "trials/0000/weights.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "there/kept" / name).read_bytes()
    assert [path.name for path in folder.parent.iterdir()] == ["kept"], "no scraps"


def test_a_running_study_is_not_packed(tmp_path: Path) -> None:
    folder = made(tmp_path / "kept")
    with (folder / "ledger.journal").open() as ledger:
        fcntl.flock(ledger, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="is running: pack it when it has stopped"):
            pack(folder, tmp_path / "kept.tar.gz")
    assert not (tmp_path / "kept.tar.gz").exists()


def test_a_folder_without_a_study_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no study"):
        pack(tmp_path, tmp_path / "x.tar.gz")


@pytest.mark.slow
def test_a_tracker_is_told_once_however_often_it_is_unpacked(archive: Path, tmp_path: Path) -> None:
    storage = tmp_path / "home/runs"
    arguments = [str(archive), "--storage", str(storage)]
    app = typer_app(unpack_command.main)
    for _ in range(2):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
        experiment = client.get_experiment_by_name("kept")
        runs = client.search_runs([experiment.experiment_id])
        by_key = {run.data.tags.get(names.TRIAL, ""): run for run in runs}
        assert sorted(by_key) == ["", "0000"]
        assert len(runs) == 2
        trial = by_key["0000"]
        assert trial.data.tags[names.PARENT] == by_key[""].info.run_id
        assert len(client.get_metric_history(trial.info.run_id, "val/mse")) == 3
        files = client.list_artifacts(trial.info.run_id, "checkpoint")
        assert [file.path for file in files] == ["checkpoint/weights.safetensors"]
        assert trial.info.artifact_uri.startswith((storage / "artifacts").as_uri())
    (storage / "kept/record/study.json").write_text("changed")
    refused = CliRunner().invoke(app, arguments)
    assert refused.exit_code == 2
    assert "holds another state of this study" in refused.output


@pytest.mark.slow
def test_what_was_under_way_is_closed_in_the_new_tracker(tmp_path: Path) -> None:
    folder = made(tmp_path / "there/kept")
    events = folder / "spool/events.jsonl"
    lines = events.read_text().splitlines(keepends=True)
    events.write_text("".join(lines[:4]))  # killed after the trial's second epoch
    telling.tell(f"sqlite:///{tmp_path}/m.db", folder, "kept")
    client = MlflowClient(f"sqlite:///{tmp_path}/m.db")
    runs = client.search_runs([client.get_experiment_by_name("kept").experiment_id])
    ends = {run.data.tags.get(names.TRIAL, ""): run.info for run in runs}
    assert {key: end.status for key, end in ends.items()} == {"": "KILLED", "0000": "KILLED"}
    assert ends["0000"].end_time == 102


@pytest.mark.slow
def test_another_study_of_the_same_name_is_left_alone(archive: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/shared.db"
    other = made(tmp_path / "other/kept", began=6)
    telling.tell(uri, other, "kept")
    refused = CliRunner().invoke(
        typer_app(unpack_command.main),
        [str(archive), "--storage", str(tmp_path / "runs"), "--tracking-uri", uri],
    )
    assert refused.exit_code == 2
    assert "has another study 'kept'" in refused.output
    assert not (tmp_path / "runs/kept").exists()


def test_the_command_packs_what_is_named(tmp_path: Path) -> None:
    made(tmp_path / "runs/kept")
    out = tmp_path / "out/kept.tar.gz"
    arguments = ["kept", "--storage", str(tmp_path / "runs"), "-o", str(out)]
    done = CliRunner().invoke(typer_app(pack_command.main), arguments)
    assert done.exit_code == 0, done.output
    assert "5 files" in done.output
    wrong = CliRunner().invoke(typer_app(pack_command.main), ["nothing", *arguments[1:3]])
    assert wrong.exit_code == 2


def typer_app(main: Callable[..., None]) -> object:
    import typer

    app = typer.Typer()
    app.command()(main)
    return app


def repacked(archive: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], None]) -> Path:
    """The archive with its members changed."""
    with tarfile.open(archive) as tar:
        members = [(m, (tar.extractfile(m) or io.BytesIO()).read()) for m in tar.getmembers()]
    change(members)
    hostile = archive.with_name("hostile.tar.gz")
    with tarfile.open(hostile, "w:gz") as tar:
        for entry, data in members:
            if entry.isreg():
                entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return hostile


def listed(members: list[tuple[tarfile.TarInfo, bytes]], old: str, new: str) -> None:
    """Give a member another name, in the list too."""
    for number, (entry, data) in enumerate(members):
        if entry.name == contents.MANIFEST:
            members[number] = (entry, data.replace(old.encode(), new.encode()))
        if entry.name == old:
            entry.name = new


def link(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    entry, _ = members[-1]
    entry.type, entry.linkname, entry.size = tarfile.SYMTYPE, "/etc/passwd", 0


def extra(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    members.append((tarfile.TarInfo("trials/0000/more"), b"x"))


def altered(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    entry, data = members[-1]
    members[-1] = (entry, bytes([data[0] ^ 1]) + data[1:])


def other_format(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    entry, data = members[0]
    members[0] = (entry, data.replace(b'"format": 1', b'"format": 2'))


WEIGHTS = "trials/0000/weights.safetensors"
HOSTILE: dict[str, tuple[Callable[[list[tuple[tarfile.TarInfo, bytes]]], None], str]] = {
    "above": (lambda m: listed(m, WEIGHTS, "trials/../../../evil"), "which no study has"),
    "absolute": (lambda m: listed(m, WEIGHTS, "/tmp/evil"), "which no study has"),
    "hidden": (lambda m: listed(m, WEIGHTS, "trials/0000/.bashrc"), "which no study has"),
    "code": (lambda m: listed(m, WEIGHTS, "evil.py"), "which no study has"),
    "line end": (lambda m: listed(m, WEIGHTS, "record/a\\nb"), "which no study has"),
    "link": (link, "is not where its list says"),
    "more": (extra, "holds more than its list"),
    "altered": (altered, "is not what was packed"),
    "without a list": (lambda m: m.pop(0), "does not begin with its list"),
    "without a ledger": (lambda m: listed(m, "ledger.journal", "record/x"), "is not whole"),
    "of tomorrow": (other_format, "this version reads 1"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_stranger_may_send_is_refused_and_leaves_nothing(
    name: str, archive: Path, tmp_path: Path
) -> None:
    change, words = HOSTILE[name]
    hostile = repacked(archive, change)
    with pytest.raises(InputError, match=words) as refused:
        unpacking.unpack(hostile, tmp_path / "here/kept", LIMIT)
    assert len(str(refused.value).splitlines()) == 1
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize("cut", [0, 10, 400])
def test_a_torn_archive_is_refused(cut: int, archive: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.tar.gz"
    torn.write_bytes(archive.read_bytes()[:cut])
    with pytest.raises(InputError):
        unpacking.unpack(torn, tmp_path / "here/kept", LIMIT)
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.slow
def test_a_damaged_archive_makes_no_tracker(archive: Path, tmp_path: Path) -> None:
    hostile = repacked(archive, altered)
    storage = tmp_path / "home/runs"
    app = typer_app(unpack_command.main)
    refused = CliRunner().invoke(app, [str(hostile), "--storage", str(storage)])
    assert refused.exit_code == 2
    assert "is not what was packed" in refused.output
    assert not list(storage.iterdir())


def test_more_than_is_allowed_is_refused_before_it_is_written(
    archive: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="raise --largest-gb if you trust it"):
        unpacking.unpack(archive, tmp_path / "here/kept", 1_000)
