from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from studies.ledger.journal import Journal, LedgerError


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def test_what_was_appended_is_read_back_from_memory_and_from_disk(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    assert list(journal.read_logs(0)) == []
    journal.append_logs([{"op_code": 1}, {"op_code": 2}])
    assert list(journal.read_logs(0)) == [{"op_code": 1}, {"op_code": 2}]
    journal.append_logs([{"op_code": 3}])
    assert list(journal.read_logs(2)) == [{"op_code": 3}]
    assert list(journal.read_logs(3)) == []
    journal.close()
    assert list(Journal(tmp_path / "j").read_logs(1)) == [{"op_code": 2}, {"op_code": 3}]


def test_a_second_driver_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    with pytest.raises(LedgerError, match="another driver"):
        Journal(tmp_path / "j")
    journal.close()
    Journal(tmp_path / "j").close()


@pytest.mark.parametrize(
    "torn", [b'{"op_code": 3', b'{"op_code": 3}', b"\x00\x00\x00\n", b'{"op_code":\n']
)
def test_a_torn_last_line_is_cut_off_and_kept_beside(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'{"op_code": 1}\n{"op_code": 2}\n' + torn)
    journal = Journal(path)
    assert list(journal.read_logs(0)) == [{"op_code": 1}, {"op_code": 2}]
    assert journal.repaired is not None
    assert "torn" in journal.repaired
    assert next(tmp_path.glob("j.torn-*")).read_bytes() == torn
    journal.append_logs([{"op_code": 3}])
    assert lines(path)[-1] == b'{"op_code":3}'


def test_a_damaged_line_in_the_middle_is_named_and_nothing_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'{"op_code": 1}\nrubbish\n{"op_code": 2}\n')
    with pytest.raises(LedgerError, match=":2 is damaged"):
        list(Journal(path).read_logs(0))
    assert len(lines(path)) == 3


def test_a_full_disk_leaves_only_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    journal.append_logs([{"op_code": 1}])
    real, calls = os.write, []

    def half_then_full(fd: int, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) == 1:
            return real(fd, data[:5])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", half_then_full)
    with pytest.raises(LedgerError, match="No space left"):
        journal.append_logs([{"op_code": 2, "long": "x" * 50}])
    monkeypatch.undo()
    assert lines(path) == [b'{"op_code":1}']
    journal.append_logs([{"op_code": 3}])
    assert lines(path) == [b'{"op_code":1}', b'{"op_code":3}']


def test_lines_written_together_reach_the_file_at_once_or_never(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    with journal.together():
        journal.append_logs([{"op_code": 1}])
        assert lines(tmp_path / "j") == []
        journal.append_logs([{"op_code": 2}])
    assert len(lines(tmp_path / "j")) == 2


def test_optunas_own_backend_reads_what_we_write(tmp_path: Path) -> None:
    import optuna

    path = tmp_path / "j"
    storage = JournalStorage(Journal(path))
    study = optuna.create_study(storage=storage, study_name="s")
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.report(0.5, 1)
    study.tell(trial, 1.0)
    again = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))
    assert [t.params for t in again.trials] == [t.params for t in study.trials]
    assert again.trials[0].intermediate_values == {1: 0.5}


def test_asking_for_news_when_there_is_none_does_not_read_the_file(tmp_path: Path) -> None:
    """Optuna asks thousands of times; reading it all each time made long studies crawl."""
    journal = Journal(tmp_path / "j")
    journal.append_logs([{"n": 1}, {"n": 2}])
    assert len(list(journal.read_logs(0))) == 2
    journal.path.unlink()
    assert list(journal.read_logs(2)) == []
    journal.append_logs([{"n": 3}])
    assert list(journal.read_logs(2)) == [{"n": 3}]
    assert list(journal.read_logs(3)) == []
