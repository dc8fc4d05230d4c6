"""Which Ray a study runs on: its own, or the cluster that a flag or a variable names."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from studies.runner.preflight import PreflightError
from studies.runner.settings import Settings
from studies.tracker.address import redact

VARIABLE = "RAY_ADDRESS"
OWN = ("", "local")  # Ray's word for a Ray of one's own; a variable set to nothing names nothing
_HOST_AND_PORT = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:/@\[\]]+):(\d{1,5})")


def cluster_address(settings: Settings) -> str | None:
    """The cluster's address; None: a Ray of its own."""
    address = settings.address if settings.address is not None else os.environ.get(VARIABLE, "")
    return None if address.strip() in OWN else address.strip()


def check(settings: Settings, command: str) -> None:
    """Raise PreflightError for what is no address of a cluster; Ray would try it for a minute.

    command: that starts the study, for the one that does it right.
    """
    address = cluster_address(settings)
    if address is None or address == "auto":
        return
    source = "--address" if settings.address is not None else VARIABLE
    usual = "the cluster's own address is HOST:PORT, by default HOST:6379, or auto"
    scheme = urlsplit(address).scheme.lower() if "://" in address else ""
    if scheme in ("http", "https"):
        raise PreflightError(
            f"{source} is {redact(address)}, a dashboard, which takes jobs: `ray job submit "
            f"--address {redact(address)} --working-dir . -- {command} …`; {usual}"
        )
    if scheme == "ray":
        raise PreflightError(
            f"{source} is {redact(address)}, which is for Ray's client, and a study is none: run "
            f"it on a node of the cluster, or as a job with `ray job submit`; {usual}"
        )
    port = _HOST_AND_PORT.fullmatch(address)
    if port is None or not 0 < int(port[1]) < 2**16:
        raise PreflightError(f"{source} is {redact(address)!r}; {usual}")
