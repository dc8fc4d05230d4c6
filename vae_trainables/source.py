"""A user's own file and what it imports from beside it: as text, hashed, imported from memory.

A model, a loss term or a metric that this package has never seen travels as source: to workers, to
the tracker, into a published model. Nothing is unpickled. Importing a source runs it: it is code
like any other that its user trusts.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

PACKAGES = frozenset({"studies", "vae_trainables", "analysis"})  # ours are installed, not carried
LARGEST = 2 * 2**20  # bytes of text: code, not data


class SourceError(ValueError):
    """A file that cannot be read, or cannot be imported; the message is for the user."""


@dataclass(frozen=True)
class Source:
    """Python files by their path relative to the main one's folder, with `/`.

    >>> Source("a.py", {"a.py": "import b", "b.py": ""}).module
    'a'
    """

    main: str
    files: Mapping[str, str]
    root: str = field(default="", compare=False)
    """The folder where the files lie on this machine: their modules' `__file__`, if given."""

    @property
    def module(self) -> str:
        """The name that the main file is imported by."""
        return _dotted(self.main)

    def digest(self) -> str:
        """16 hex digits of the SHA-256 over names and texts."""
        digest = hashlib.sha256(self.main.encode())
        for name in sorted(self.files):
            for part in (name, self.files[name]):
                digest.update(hashlib.sha256(part.encode()).digest())
        return digest.hexdigest()[:16]

    def imports(self) -> set[str]:
        """Top-level names of all that the files import, their neighbours excepted."""
        trees = [ast.parse(text) for text in self.files.values()]
        tops = {module[0] for tree in trees for module in _imported(tree, ()) if module}
        return tops - {_dotted(name).partition(".")[0] for name in self.files}

    def to_json(self) -> str:
        """One text: what workers and the tracker are given."""
        return json.dumps({"main": self.main, "files": dict(sorted(self.files.items()))}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Source:
        """The source that `to_json` wrote; SourceError for anything else."""
        try:
            content = json.loads(text)
            main, files = content["main"], content["files"]
            whole = isinstance(main, str) and all(
                isinstance(part, str) for item in files.items() for part in item
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SourceError(f"not the source of a study: {error!r}") from error
        if not whole or main not in files:
            raise SourceError("not the source of a study: its main file is not in it")
        return cls(main, files)

    def load(self) -> ModuleType:
        """Import the main file, once for each content; what it registers is registered then.

        Its neighbours are found in the source alone, never on the disk. Raises SourceError with the
        place in the source where the import failed.
        """
        loaded = sys.modules.get(self.module)
        if loaded is not None and getattr(loaded, "__source_digest__", None) == self.digest():
            return loaded
        _Finder.install(self)
        try:
            module = importlib.import_module(self.module)
        except Exception as error:
            raise SourceError(f"{_place(error, self)}: {_words(error)}") from error
        module.__dict__["__source_digest__"] = self.digest()
        return module


def brought(source: Source) -> Callable[[], Mapping[str, Any]] | None:
    """What makes the images that the study of a source brings itself, if it does: `STUDY.data`."""
    study = getattr(source.load(), "STUDY", None)
    return getattr(study, "data", None)


def collect(main: Path) -> Source:
    """The file and, transitively, all that it imports from its own folder.

    Imports anywhere in the files count, also inside functions. Installed packages do not: they must
    be installed wherever the study runs.

    Raises SourceError where a file cannot be read or is not Python.
    """
    main = main.resolve()
    files: dict[str, str] = {}
    waiting = [main]
    while waiting:
        path = waiting.pop()
        name = path.relative_to(main.parent).as_posix()
        if name in files:
            continue
        files[name] = _read(path)
        waiting += _neighbours(path, files[name], main.parent)
        if sum(map(len, files.values())) > LARGEST:
            raise SourceError(f"{main} and its neighbours hold more than {LARGEST:,} bytes of code")
    return Source(main.name, files, str(main.parent))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is no Python file in UTF-8: {error}") from error


def _neighbours(path: Path, text: str, root: Path) -> list[Path]:
    """Files below `root` that `text`, of the file at `path`, imports."""
    try:
        tree = ast.parse(text, filename=str(path))
    except (SyntaxError, ValueError) as error:
        raise SourceError(f"{path}: {error}") from error
    package = path.relative_to(root).parent.parts
    paths: list[Path] = []
    for module in _imported(tree, package):
        if module and module[0] not in PACKAGES:
            paths += _files_of(module, root)
    return paths


def _imported(tree: ast.AST, package: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Dotted names, as tuples, that may be modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (tuple(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = tuple(package[: len(package) + 1 - node.level]) if node.level else ()
            base = above + tuple(node.module.split(".") if node.module else ())
            yield base
            yield from ((*base, alias.name) for alias in node.names)


def _files_of(module: Sequence[str], root: Path) -> list[Path]:
    """The module's file and the `__init__.py` of the packages around it, as far as they exist."""
    paths = []
    for depth in range(1, len(module) + 1):
        inner = root.joinpath(*module[:depth])
        paths += [p for p in (inner / "__init__.py", inner.with_suffix(".py")) if p.is_file()]
    return [path.resolve() for path in paths if path.resolve().is_relative_to(root)]


def _dotted(name: str) -> str:
    path = PurePosixPath(name)
    parts = path.parent.parts if path.name == "__init__.py" else path.with_suffix("").parts
    return ".".join(parts)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    """Finds the modules of one source before the disk does; one is installed at a time."""

    def __init__(self, source: Source) -> None:
        self.files = {_dotted(name): name for name in source.files}
        self.source = source

    @classmethod
    def install(cls, source: Source) -> None:
        """Take the place of the source before; what that has made lives on where it is used."""
        for before in [finder for finder in sys.meta_path if isinstance(finder, cls)]:
            sys.meta_path.remove(before)
            before._forget()
        finder = cls(source)
        finder._forget()
        sys.meta_path.insert(0, finder)

    def _forget(self) -> None:
        for name in self.files:
            if name != "__main__":
                sys.modules.pop(name, None)

    def find_spec(
        self, fullname: str, path: object, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of a module of the source; None leaves it to others."""
        if fullname not in self.files:
            return None
        origin, package = self.get_filename(fullname), self.is_package(fullname)
        spec = importlib.machinery.ModuleSpec(fullname, self, origin=origin, is_package=package)
        spec.has_location = True  # `inspect` finds the text by the module's file name
        return spec

    def is_package(self, fullname: str) -> bool:
        """Whether it is an `__init__.py`."""
        return self.files[fullname].endswith("__init__.py")

    def get_filename(self, fullname: str) -> str:
        """The module's `__file__`; where its file is on another machine, what stands for it."""
        return f"{self.source.root or f'<source {self.source.digest()}>'}/{self.files[fullname]}"

    def get_source(self, fullname: str) -> str:
        """Text, for tracebacks and `inspect`."""
        return self.source.files[self.files[fullname]]


def _place(error: Exception, source: Source) -> str:
    """File and line of the source in which an import failed."""
    trace, place = error.__traceback__, source.main
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if isinstance(trace.tb_frame.f_globals.get("__loader__"), _Finder):
            place = f"{module.replace('.', '/')}.py:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _words(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
