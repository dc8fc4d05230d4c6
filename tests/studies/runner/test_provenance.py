"""Facts about a run's origin, without anybody's password in them."""

from __future__ import annotations

import sys

import pytest

from studies.runner import provenance


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("http://ada:s3cret@host:5000", "http://***@host:5000"),
        ("--tracking-uri=http://ada@host", "--tracking-uri=http://***@host"),
        ("postgresql://ada:s3/c@ret@db:5432/mlflow", "postgresql://***@db:5432/mlflow"),
        ("http://host:5000", "http://host:5000"),
        ("sqlite:////home/ada@work/mlflow.db", "sqlite:////home/ada@work/mlflow.db"),
        ("a study @ home", "a study @ home"),
    ],
)
def test_an_address_is_told_without_its_password(given: str, told: str) -> None:
    assert provenance.shown(given) == told


def test_the_command_that_is_recorded_holds_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "http://ada:s3cret@host:5000"
    monkeypatch.setattr(sys, "argv", ["x", "--tracking-uri", uri, "--study", "my study"])
    told = provenance.command("python -m studies.denoise_sweep", "--resume")
    assert "s3cret" not in told
    assert told.startswith("python -m studies.denoise_sweep --tracking-uri ")
    assert told.endswith("--study 'my study' --resume")


def test_equal_sources_have_equal_hashes() -> None:
    assert provenance.code_hash() == provenance.code_hash()
    assert len(provenance.code_hash()) == 16
