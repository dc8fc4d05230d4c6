"""Facts about a run's origin, without anybody's password in them."""

from __future__ import annotations

import sys

import pytest

from studies.runner import provenance


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
