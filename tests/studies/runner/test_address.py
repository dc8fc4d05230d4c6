"""Which Ray is meant; what is no cluster's address is refused before anything is tried."""

from __future__ import annotations

import pytest

from studies.runner import address
from studies.runner.preflight import PreflightError
from studies.runner.settings import Settings


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.parametrize("given", ["auto", "10.0.0.1:6379", "head.example:6379", "[::1]:6379"])
def test_a_cluster_is_named_by_host_and_port(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address.check(Settings(address=given), "python -m studies.mine")
    assert address.cluster_address(Settings(address=given)) == given
    monkeypatch.setenv("RAY_ADDRESS", given)
    address.check(Settings(), "python -m studies.mine")
    assert address.cluster_address(Settings()) == given


@pytest.mark.parametrize("given", ["", " ", "local"])
def test_nothing_and_local_are_a_ray_of_ones_own(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", given)
    address.check(Settings(), "python -m studies.mine")
    assert address.cluster_address(Settings()) is None
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert address.cluster_address(Settings(address=given)) is None  # the flag is stronger


@pytest.mark.parametrize("source", ["--address", "RAY_ADDRESS"])
@pytest.mark.parametrize(
    ("given", "way_out"),
    [
        (
            "http://127.0.0.1:8265",
            "`ray job submit --address http://127.0.0.1:8265 --working-dir . -- "
            "python -m studies.mine …`; the cluster's own address is HOST:PORT, by default "
            "HOST:6379",
        ),
        ("https://ada:secret@ray.example/", "--address https://***@ray.example/"),
        ("ray://head:10001", "as a job with `ray job submit`"),
        ("RAY://head:10001", "as a job with `ray job submit`"),
        ("head", "'head'; the cluster's own address is HOST:PORT"),
        ("head:port", "HOST:PORT"),
        ("head:", "HOST:PORT"),
        (":6379", "HOST:PORT"),
        ("head:0", "HOST:PORT"),
        ("head:99999", "HOST:PORT"),
        ("redis://head:6379", "HOST:PORT"),
        ("::1:6379", "HOST:PORT"),
        ("two words:6379", "HOST:PORT"),
        ("AUTO", "HOST:PORT"),
    ],
)
def test_what_is_no_address_says_which_one_is(
    source: str, given: str, way_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if source == "RAY_ADDRESS":
        monkeypatch.setenv("RAY_ADDRESS", given)
    settings = Settings(address=given if source == "--address" else None)
    with pytest.raises(PreflightError) as refusal:
        address.check(settings, "python -m studies.mine")
    line = str(refusal.value)
    assert line.startswith(f"{source} is ")
    assert way_out in line
    assert "secret" not in line
    assert "\n" not in line
