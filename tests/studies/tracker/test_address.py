"""Addresses of trackers: which are refused, with what words, and that nothing secret is in them."""

from __future__ import annotations

import pytest

from studies.tracker import address
from studies.tracker.address import AddressError, check, has_secret, redact, with_driver

SECRET = "s3cr/t#x"
WITH_SECRET = (
    f"postgresql://ada:{SECRET}@db:5432/m",
    f"mysql+pymysql://h/db?user=ada&password={SECRET}",
    "http://ada:s3cr%2Ft%23x@host:5000",
    f"postgresql://db/m?sslpassword={SECRET}",
)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Modules that seem to be there: those of the list."""
    there: list[str] = []
    monkeypatch.setattr(address, "find_spec", lambda name: name if name in there else None)
    return there


@pytest.mark.parametrize("uri", WITH_SECRET)
def test_no_form_of_a_secret_is_seen(uri: str) -> None:
    assert has_secret(uri)
    for text in (uri, f"cannot reach '{uri}'", f"--tracking-uri={uri}"):
        assert "s3cr" not in redact(text)


def test_what_libraries_say_of_a_secret_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "t0ken")
    said = f"auth of ada with {SECRET!r} failed; Invalid header value b'Bearer t0ken'"
    assert redact(said, WITH_SECRET[0]) == (
        "auth of ada with '***' failed; Invalid header value b'Bearer ***'"
    )
    assert redact("s3cr/t#x twice", WITH_SECRET[2]) == "*** twice"


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("ftp://x", "--tracking-uri has the scheme 'ftp'; give http://HOST:PORT"),
        ("http://[::1", "--tracking-uri is no address"),
        ("sqlite://x.db", "three slashes"),
        ("databricks", "a folder of files"),
        ("file:./mlruns", r"mlflow migrate-filestore --source ./mlruns --target sqlite:///"),
        ("file:///a%20b/mlruns", r"--source '?/a b/mlruns'? --target"),
    ],
)
def test_an_address_that_takes_no_study_is_refused(uri: str, message: str) -> None:
    with pytest.raises(AddressError, match=message):
        check(uri)


def test_the_variable_is_named_where_no_flag_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for uri in ("file:./mlruns", "ftp://x", "sqlite://x", "postgresql+none://u:s3cr@h/d"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        with pytest.raises(AddressError, match="variable MLFLOW_TRACKING_URI") as raised:
            check(uri)
        assert "s3cr" not in str(raised.value)


def test_a_driver_that_is_missing_is_named_with_the_extra(installed: list[str]) -> None:
    for dialect, package in (("postgresql", "psycopg"), ("mysql", "PyMySQL")):
        with pytest.raises(AddressError) as raised:
            check(f"{dialect}://u:s3cret@127.0.0.1/m")
        assert f'{package}) is not installed: pip install "vae-studies[{dialect}]"' in str(
            raised.value
        )
        assert "s3cret" not in str(raised.value)


def test_the_driver_that_is_there_is_used(installed: list[str]) -> None:
    installed += ["psycopg", "pymysql"]
    assert with_driver("postgresql://u@h/m") == "postgresql+psycopg://u@h/m"
    assert with_driver("mysql://u@h/m") == "mysql+pymysql://u@h/m"
    installed += ["psycopg2", "MySQLdb"]
    assert with_driver("postgresql://u@h/m") == "postgresql+psycopg2://u@h/m"
    assert with_driver("mysql+mysqldb://h/m") == "mysql+mysqldb://h/m"
    for uri in ("http://h:1", "sqlite:///x.db", "postgresql+psycopg://h/m"):
        assert with_driver(uri) == uri
