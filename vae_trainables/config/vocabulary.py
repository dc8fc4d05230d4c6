"""The names that a setting may have: those of this package, and those that users' files add."""

from __future__ import annotations

from collections.abc import Iterator


class Vocabulary:
    """Names of one kind of thing, each with the module of a user's file that added it, or ""."""

    def __init__(self, what: str, *names: str, identifiers: bool = True) -> None:
        """what: such a thing is called, for messages. identifiers: no other names can be added."""
        self.what, self.identifiers = what, identifiers
        self._origins = dict.fromkeys(names, "")

    def __iter__(self) -> Iterator[str]:
        return iter(self._origins)

    def __contains__(self, name: str) -> bool:
        return name in self._origins

    def add(self, name: str, origin: str) -> None:
        """Take in a name from a user's file, which may be run again, as a notebook's cell is.

        origin: the file's module. Raises ValueError for a name that is taken, or that is none.
        """
        if self.identifiers and not name.isidentifier():
            raise ValueError(f"a {self.what} is named like a variable of Python, not {name!r}")
        if self._origins.get(name, origin) != origin:
            raise ValueError(f"there is a {self.what} {name!r} already: give yours another name")
        self._origins[name] = origin

    def remove(self, name: str) -> None:
        """Take a name out again, as a test does with its own."""
        del self._origins[name]

    def is_own(self, name: str) -> bool:
        """Whether a user's file has added it."""
        return bool(self._origins.get(name))

    def checked(self, name: str) -> str:
        """`name`; ValueError, listing those there are, for any other."""
        if name not in self._origins:
            raise ValueError(
                f"there is no {self.what} {name!r}; there are {', '.join(self)}, and those of a "
                "study's own file once it is loaded (python -m studies.run FILE)"
            )
        return name
