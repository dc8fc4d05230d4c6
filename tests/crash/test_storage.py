"""Disks that are full, read-only or damaged: a clear message, and nothing else is lost."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.crash.harness import Study, assert_as_uninterrupted, assert_whole, full_form

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system: needs root")


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small file system in memory at `folder`."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@full_form
@needs_root
def test_a_full_disk_is_named_and_costs_nothing_that_was_written(
    make_study: Callable[..., Study], tmp_path: Path
) -> None:
    with mounted(tmp_path / "storage", "size=24m"):
        tracker = f"sqlite:///{tmp_path}/mlflow.db"
        study = make_study("--trials", "3", "--scheduler", "none", uri=tracker, cases="plain,long")
        driver = study.start()
        driver.until(lambda: study.reported("0001") >= 2, "two epochs of the second trial")
        ballast = fill(study.storage)
        assert driver.wait() == 1, driver.text
        assert "No space left on device" in driver.text
        assert "Traceback" not in driver.text
        ballast.unlink()
        study.start().finish()
        trials = study.trials()
        assert trials["0000"].status == "finished"
        for key in ("0001", "0002"):  # the one that could not save its epoch may have failed
            row = trials[key]
            assert row.status == "finished" or "No space left on device" in row.reason
        assert_whole(study, len(trials))


def fill(folder: Path) -> Path:
    """Leave not a byte free; the file that does so."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 2**12, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue
    return ballast


@full_form
@needs_root
def test_a_read_only_artifact_root_holds_up_nothing_but_the_artifacts(
    make_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = make_study("--trials", "1", "--scheduler", "none", cases="long")
    with mounted(study.storage / "artifacts", "ro,size=1m"):
        refused = study.start()
        assert refused.wait() == 2, refused.text
        assert "Read-only file system" in refused.text
    driver = study.start()
    driver.until(lambda: study.reported("0000") >= 2, "two epochs")
    with mounted(study.storage / "artifacts", "ro,size=1m"):
        assert driver.wait() == 3, driver.text
        text = driver.text
    (told,) = [line for line in text.splitlines() if line.startswith("tracker:")]
    assert "files could not be delivered" in told
    assert "Read-only file system" in told
    assert_whole(study, 1)
    study.start("--trials", "2").finish()
    assert_whole(study, 2)
    for run in study.runs().values():
        stored = run.info.artifact_uri.removeprefix("file://")
        assert list(Path(stored).rglob("*.json")), "delivered once the store takes it"


@full_form
def test_a_damaged_newest_checkpoint_is_named_and_the_one_before_is_used(
    make_study: Callable[..., Study],
) -> None:
    study = make_study("--trials", "1", cases="long")
    driver = study.start()
    driver.until(lambda: study.reported("0000") >= 3, "three epochs")
    driver.stop(signal.SIGTERM)
    newest = max((study.folder / "trials" / "0000").glob("epoch-*"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    newest.write_bytes(content)
    text = study.start().finish()
    assert f"{newest.name}: checksum differs, the file is damaged; went on from" in text
    assert newest.name in study.runs()["0000"].data.tags["vae.notes"]
    assert_whole(study, 1)
    assert_as_uninterrupted(study, "0000")


@full_form
def test_a_torn_ledger_line_is_named_and_only_what_it_said_is_done_again(
    make_study: Callable[..., Study],
) -> None:
    study = make_study("--trials", "2", "--scheduler", "none", cases="plain,long")
    driver = study.start()
    driver.until(lambda: study.reported("0001") >= 3, "three epochs of the second trial")
    driver.kill()
    first = study.trials()["0000"]
    os.truncate(study.journal, study.journal.stat().st_size - 9)
    text = study.start().finish()
    assert "note: the ledger's last line was torn" in text
    assert study.trials()["0000"] == first
    assert_whole(study, 2)
    assert_as_uninterrupted(study, "0001")
