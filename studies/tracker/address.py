"""Addresses of trackers: which kinds are accepted, what each needs, and what of them is secret.

Nothing here imports MLflow: flags are checked before anything that takes seconds.
"""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

VARIABLE = "MLFLOW_TRACKING_URI"
HIDDEN = "***"
FLAG = "--tracking-uri"
FILE = "sqlite:///"
# By dialect: the modules that SQLAlchemy can use, its own first choice first, and our extra.
DRIVERS = {
    "postgresql": (("psycopg2", "psycopg", "pg8000"), "psycopg"),
    "mysql": (("MySQLdb", "pymysql"), "PyMySQL"),
}
_NAMED = {"MySQLdb": "mysqldb"}  # SQLAlchemy's names where they are not the module's
_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")

# In http an unencoded "/" ends the address's user part; databases take it as part of a password.
_USER_INFO = re.compile(
    r"""(https?://)[^\s/'"]*@|(?<!http)(?<!https)(://)(?:[^:/@\s]*:[^\s'"]*|[^\s/@'"]*)@"""
)
_SECRET_QUERY = re.compile(
    r"(?i)([?&][^=&\s]*(?:pass|pwd|token|secret|key|auth|credential)[^=&\s]*=)[^&\s'\"]+"
)
_SECRET_NAME = re.compile(r"(?i)pass|pwd|token|secret|key|auth|credential")


class AddressError(ValueError):
    """No study can be recorded there; the message is for the user and holds no secret."""


def redact(text: str, uri: str = "") -> str:
    """`text` without the user, password or token of any address in it.

    uri: the address in use. What is secret in it, or in MLflow's variables for passwords, is
    hidden wherever it stands, for libraries put parts of an address into their messages.

    >>> redact("postgresql://ada:s3cret@db:5432/mlflow")
    'postgresql://***@db:5432/mlflow'
    """
    text = _SECRET_QUERY.sub(rf"\1{HIDDEN}", _USER_INFO.sub(rf"\1\2{HIDDEN}@", text))
    for secret in sorted(_secrets(uri), key=len, reverse=True) if uri else ():
        text = text.replace(secret, HIDDEN)
    return text


def has_secret(uri: str) -> bool:
    """Whether the address must not be written anywhere as it is."""
    return redact(uri) != uri


def check(uri: str) -> None:
    """Raise AddressError where no study can be recorded at such an address."""
    name, way_out = source(uri)
    try:
        scheme = urlsplit(uri).scheme
    except ValueError as error:
        raise AddressError(f"{name} is no address: {redact(str(error), uri)}; {way_out}") from error
    if scheme in ("", "file"):
        raise AddressError(_folder_of_files(uri, name, way_out))
    if scheme == "sqlite" and not uri.startswith(FILE):
        raise AddressError(
            f"{name} is {redact(uri)}; a file needs three slashes: sqlite:///FILE; {way_out}"
        )
    if scheme in ("sqlite", "http", "https"):
        return
    if scheme.partition("+")[0] not in DRIVERS:
        raise AddressError(
            f"{name} has the scheme {scheme!r}; give http://HOST:PORT, sqlite:///FILE, "
            "postgresql://… or mysql://…"
        )
    with_driver(uri)


def with_driver(uri: str) -> str:
    """The address with a driver that is installed, where it is a database's and names none.

    Raises AddressError with the command that installs one.
    """
    scheme, _, rest = uri.partition("://")
    dialect, _, named = scheme.partition("+")
    if dialect not in DRIVERS:
        return uri
    modules, package = DRIVERS[dialect]
    candidates = [m for m in modules if _NAMED.get(m, m) == named] or [named] if named else modules
    for module in candidates:
        if find_spec(module) is not None:
            return f"{dialect}+{named or _NAMED.get(module, module)}://{rest}"
    raise AddressError(
        f"{source(uri)[0]} is a {dialect} database, and the Python package that speaks to it "
        f'({named or package}) is not installed: pip install "vae-studies[{dialect}]"'
    )


def source(uri: str) -> tuple[str, str]:
    """Who gave the address, the flag or MLflow's variable, and the way out if it is wrong."""
    if uri and uri == os.environ.get(VARIABLE):
        return f"the variable {VARIABLE}", f"unset {VARIABLE} or give {FLAG}"
    return FLAG, f"give another {FLAG}, or none"


def is_http(uri: str) -> bool:
    """Whether a server is to be asked over HTTP."""
    return urlsplit(uri).scheme in ("http", "https")


def sqlite_file(uri: str) -> Path | None:
    """The file of a sqlite address, absolute; None for any other address."""
    if not uri.startswith(FILE):
        return None
    return Path(uri.removeprefix(FILE).partition("?")[0]).absolute()


def _folder_of_files(uri: str, name: str, way_out: str) -> str:
    folder = unquote(uri.removeprefix("file:").removeprefix("//")) or "."
    return (
        f"{name} is {redact(uri)}, a folder of files, which MLflow 3 no longer writes: {way_out}; "
        "what is in it moves into a database with `mlflow migrate-filestore --source "
        f"{folder} --target sqlite:///mlflow.db`"
    )


def _secrets(uri: str) -> set[str]:
    """What must not be seen of the address in use, and of what the environment adds to it."""
    try:
        parts = urlsplit(uri)
        password = parts.password or ("" if parts.password is not None else parts.username)
    except ValueError:
        return set()
    # a database's password may hold a "/" or "#", where urlsplit ends the address's user part
    whole = re.match(r"(?!http)[\w+]+://[^:/@]*:(.*)@", uri)
    secrets = {password or "", whole.group(1) if whole else ""}
    secrets |= {v for k, v in parse_qsl(parts.query) if _SECRET_NAME.search(k)}
    secrets |= {os.environ.get(name, "") for name in _SECRET_VARIABLES}
    return {text for secret in secrets for text in (secret, unquote(secret)) if text}
