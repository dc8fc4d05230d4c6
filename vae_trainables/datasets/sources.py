"""Where the IDX files of a data set are looked for, and how they are fetched.

Knows files and folders only; what the files must contain is the business of `datasets`.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from vae_trainables.datasets.errors import DataError

Part = Literal["train", "t10k"]  # as the files are named: training and test

DEBIAN_ROOT = Path("/")  # below which Debian's packages are installed
CACHE_VARIABLE = "VAE_STUDIES_CACHE"
CONNECT_SECONDS = 10  # silence that ends a transfer
FETCH_SECONDS = 300  # what a whole download may take

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class IdxSet:
    """A published data set: its four files' MD5 when unpacked, and who distributes it."""

    md5: dict[str, str]
    torchvision: str
    debian_package: str | None = None
    debian_folder: str = ""


IDX_SETS = {
    "fashion-mnist": IdxSet(
        md5={
            "train-images": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels": "15d484375f8d13e6eb1aabb0c3f46965",
        },
        torchvision="FashionMNIST",
        debian_package="dataset-fashion-mnist",
        debian_folder="usr/share/datasets/fashion-mnist",
    ),
    "mnist": IdxSet(
        md5={
            "train-images": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels": "a25bea736e30d166cdddb491f175f624",
            "t10k-images": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels": "27ae3e4e09519cfbb04c329615203637",
        },
        torchvision="MNIST",
    ),
}


class AbsentError(DataError):
    """A place that has no file of the data set at all, which is nothing unusual."""


class FilePair(NamedTuple):
    """The image file and the label file of one part."""

    images: Path
    labels: Path


@dataclass(frozen=True)
class Place:
    """A place that may hold a data set; `folder` fetches it there first if need be.

    `folder` raises DataError, in one line, if there is nothing to be had.
    """

    label: str
    folder: Callable[[], Path]


def local_sources(name: str) -> list[Place]:
    """Folders of this machine that may hold the set, in the order of preference."""
    cache, idx_set = cache_folder(name), IDX_SETS[name]
    places = [Place("cache", lambda: cache)]
    if idx_set.debian_package:
        places.append(Place("Debian package", lambda: DEBIAN_ROOT / idx_set.debian_folder))
    return places


def remote_sources(name: str) -> list[Place]:
    """Ways to download the set into the cache, in the order of preference."""
    places = [Place("torchvision's downloader", lambda: fetch_with_torchvision(name))]
    if IDX_SETS[name].debian_package:
        places.append(Place("apt-get download", lambda: fetch_with_apt(name)))
    return places


def ways_to_get(name: str) -> str:
    """The end of an error message: how a user can come by the files."""
    package = IDX_SETS[name].debian_package
    ways = [f"`python -m vae_trainables.datasets fetch {name}`"]
    if package:
        ways.append(f"`apt-get install {package}`")
    ways.append(
        "give a folder with its four IDX files (train-images-idx3-ubyte.gz etc.) as data dir"
    )
    return "ways to get the data: " + ", or ".join(ways)


def cache_folder(name: str) -> Path:
    """Where downloads of the set `name` are kept for this user."""
    if own := os.environ.get(CACHE_VARIABLE):
        return Path(own).expanduser() / name
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:  # a container's user, who has no home folder
        base = Path(tempfile.gettempdir())
    return base / "vae-studies" / name


def locate(root: Path, name: str, part: Part) -> FilePair:
    """The files of `part` in `root` or in one of the sub-folders where other tools put them.

    Raises AbsentError if there is neither file, DataError if there is only one or the folder may
    not be read.
    """
    if not os.path.isdir(root):
        raise AbsentError(f"{root}: expected a folder with IDX files, found none")
    if not os.access(root, os.R_OK | os.X_OK):
        raise DataError(f"{root}: this folder may not be read by the current user")
    partial = None
    for folder in _layouts(root, name):
        images, labels = _find(folder, f"{part}-images"), _find(folder, f"{part}-labels")
        if images and labels:
            return FilePair(images, labels)
        partial = partial or images or labels
    missing = f"{part}-images-idx3-ubyte and {part}-labels-idx1-ubyte (plain or .gz)"
    if partial:
        raise DataError(f"{root}: expected {missing}, found only {partial.name}")
    raise AbsentError(f"{root}: expected {missing}, found {_listing(root)}")


def has_any_file(root: Path, name: str) -> bool:
    """Whether any of the set's four files is in one of the places where `locate` looks."""
    stems = IDX_SETS[name].md5
    return any(_find(folder, stem) for folder in _layouts(root, name) for stem in stems)


def copy_files(pairs: Iterable[FilePair], folder: Path) -> None:
    """Copy files into `folder`; each appears there whole or not at all."""
    with workspace(folder) as work:
        for path in (path for pair in pairs for path in pair):
            shutil.copyfile(path, work / path.name)
            os.replace(work / path.name, folder / path.name)


def fetch_with_torchvision(name: str) -> Path:
    """Let torchvision download the set into the cache.

    It runs in a process of its own, because it has no time-out, prints, and a torchvision that
    does not fit the installed torch fails at import.
    """
    target = cache_folder(name)
    with workspace(target) as work:
        run_torchvision(name, IDX_SETS[name].torchvision, ({},), work)
        copy_files((locate(work, name, "train"), locate(work, name, "t10k")), target)
    return target


def run_torchvision(name: str, kind: str, calls: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Let torchvision's class `kind` download into `folder`, once with each call's keywords."""
    script = (
        "import json, socket, sys; socket.setdefaulttimeout(float(sys.argv[3])); "
        "import torchvision; kind = getattr(torchvision.datasets, sys.argv[1])\n"
        "for call in json.loads(sys.argv[4]): kind(sys.argv[2], download=True, **call)"
    )
    log.info("%s: downloading with torchvision (%d s at most)", name, FETCH_SECONDS)
    arguments = [
        kind,
        str(folder),
        str(CONNECT_SECONDS),
        json.dumps([dict(call) for call in calls]),
    ]
    _run([sys.executable, "-c", script, *arguments], folder)


def fetch_with_apt(name: str) -> Path:
    """Download Debian's package of the set and unpack it into the cache; needs no root.

    apt verifies the archive's signature. Where the host's package lists are missing (as in most
    container images), lists are fetched into the temporary folder.
    """
    package, target = IDX_SETS[name].debian_package, cache_folder(name)
    if not package or not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise DataError(f"no Debian package of {name}, or no apt-get and dpkg-deb on this machine")
    log.info("%s: downloading Debian's package %s", name, package)
    with tempfile.TemporaryDirectory(prefix="vae-studies-apt-") as download:
        deb = _apt_download(package, Path(download))
        with workspace(target) as work:
            _run(["dpkg-deb", "-x", str(deb), str(work)], work)
            unpacked = work / IDX_SETS[name].debian_folder
            copy_files((locate(unpacked, name, "train"), locate(unpacked, name, "t10k")), target)
    return target


def _apt_download(package: str, work: Path) -> Path:
    """The package file, in `work`."""
    if os.geteuid() == 0:  # apt drops root for its own user, who must be able to write here
        try:
            shutil.chown(work, user="_apt")
        except (LookupError, OSError):  # no such user, or a root without that right: apt only warns
            log.debug("cannot hand %s to the user _apt", work)
    limits = [f"-oAcquire::{kind}::Timeout={CONNECT_SECONDS}" for kind in ("http", "https")]
    apt = ["apt-get", "-q", "-oAcquire::Retries=1", *limits]
    try:
        _run([*apt, "download", package], work)
    except DataError as error:
        log.debug("the host's package lists do not help (%s): fetching some", error)
        (work / "lists").mkdir()
        apt += [f"-oDir::State::Lists={work / 'lists'}", f"-oDir::Cache={work / 'cache'}"]
        _run([*apt, "update"], work)
        _run([*apt, "download", package], work)
    return next(work.glob(f"{package}_*.deb"))


def _run(command: list[str], folder: Path) -> None:
    """Run `command` in `folder`; DataError with the last line of its complaint if it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=FETCH_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{Path(command[0]).name} took longer than {FETCH_SECONDS} s") from error
    if done.returncode:
        complaint = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise DataError(f"{Path(command[0]).name} failed: {complaint[-1]}")


@contextmanager
def workspace(target: Path) -> Iterator[Path]:
    """A temporary folder on the file system of `target`, which is created."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target) as work:
            yield Path(work)
    except OSError as error:
        raise DataError(
            f"{target}: cannot be written: {error.strerror or error}; {CACHE_VARIABLE} names "
            "another folder"
        ) from error


def _layouts(root: Path, name: str) -> list[Path]:
    """Folders to look in: flat (Kaggle, Debian), torchvision's, one root for several sets."""
    kind = IDX_SETS[name].torchvision
    return [root, root / kind / "raw", root / "raw", root / name]


def _find(folder: Path, stem: str) -> Path | None:
    """The file of this stem, such as train-images, under any of its usual names."""
    dims = 3 if stem.endswith("images") else 1
    for joint in ("-", "."):
        for suffix in ("", ".gz"):
            path = folder / f"{stem}{joint}idx{dims}-ubyte{suffix}"
            if os.path.isfile(path):
                return path
    return None


def _listing(folder: Path, most: int = 6) -> str:
    names = sorted(os.listdir(folder))
    if not names:
        return "an empty folder"
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if names[most:] else "")
