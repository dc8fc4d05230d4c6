"""Errors whose one-line message is written for the user."""

from __future__ import annotations


class StudyError(Exception):
    """The study cannot go on; nothing that was recorded is lost."""

    exit_code = 1


class InputError(StudyError):
    """Bad input, found before any work was started."""

    exit_code = 2


class StudyStopped(BaseException):
    """The study ends now, with `reason` for the user; a BaseException so that Tune lets it pass."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
