"""A study carried elsewhere: its report is the same, it goes on, and the old place stays as it was.

In every state, by every way: moved, copied, packed for another user, and for an `mlflow server` on
PostgreSQL. The driver that goes on is watched by strace: every file that it or any of its processes
writes, makes, renames or removes is in the new storage, or in the folders for scratch that it was
given.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.harness import NAME, ROOT, Study, assert_whole, full_form, wait_until
from tests.crash.servers import MlflowServer
from tests.studies.tracker.databases import QUOTED, needs_postgresql, postgresql

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")

FLAGS = ("--trials", "2", "--scheduler", "none")
STATES = {
    "finished": FLAGS,
    "confirmed": (*FLAGS, "--confirm-top", "1", "--confirm-seeds", "2"),
    "half-finished": FLAGS,
}
NOBODY = 65534
WRITING = re.compile(r"O_(WRONLY|RDWR|CREAT|TRUNC)|^(mkdir|rename|unlink|rmdir|symlink|link|creat)")
ELSEWHERE = {  # the study's first command, too, names the place where it was given
    r"sqlite:///\S*?mlflow\.db|http://127\.0\.0\.1:\d+": "TRACKER",
    r"/tmp/vsm-\w+": "PLACE",
    r"Report of [^<]* UTC": "DATE",
    r"\b[0-9a-f]{32}\b": "ID",
}
NOT_FILES = ("/dev/", "/proc/", "/sys/")


@dataclass
class Place:
    """A folder for a storage, and folders for scratch beside it; `user`: whose they are."""

    folder: Path
    user: int | None = None

    def __post_init__(self) -> None:
        for part in ("home", "tmp", "ray"):
            (self.folder / part).mkdir(parents=True)
        self.own()

    def own(self) -> None:
        """All of it belongs to the user."""
        if self.user is not None:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, self.user, self.user)

    @property
    def as_user(self) -> list[str]:
        """The command that becomes the user: one who may read all, Python too, and write nothing.

        Nothing but what is theirs: a Python in another's home would be out of reach else.
        """
        if self.user is None:
            return []
        reading = "-all,+dac_read_search"
        return [
            *("setpriv", "--reuid", str(self.user), "--regid", str(self.user), "--clear-groups"),
            *(f"--inh-caps={reading}", f"--ambient-caps={reading}", f"--bounding-set={reading}"),
        ]

    @property
    def storage(self) -> Path:
        """Where the study is."""
        return self.folder / "storage"

    @property
    def env(self) -> dict[str, str]:
        """Variables that keep scratch here."""
        return {
            "HOME": str(self.folder / "home"),
            "TMPDIR": str(self.folder / "tmp"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def call(self, module: str, *arguments: str) -> str:
        """What a command prints; fails if it fails."""
        done = subprocess.run(
            [*self.as_user, sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=os.environ | self.env,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def study(self, uri: str = "", prefix: list[str] | None = None) -> Study:
        """The study that lies here."""
        ray = str(self.folder / "ray")
        as_user = [*self.as_user, *(prefix or [])]
        return Study(self.storage, ray, uri, cases="plain,long", env=self.env, prefix=as_user)


@pytest.fixture
def place() -> Iterator[Callable[..., Place]]:
    """Makes places with short names, which another user can enter."""
    made: list[Path] = []

    def make(user: int | None = None) -> Place:
        made.append(Path(tempfile.mkdtemp(prefix="vsm-", dir="/tmp")))
        made[-1].chmod(0o755)
        return Place(made[-1], user)

    yield make
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


def begun(there: Place, state: str) -> Study:
    """The study in a state, and nobody at work on it."""
    there.storage.mkdir()
    study = there.study()
    driver = study.start(*STATES[state])
    if state == "half-finished":
        driver.until(lambda: study.reported("0001") >= 2, "two epochs of the second trial")
        driver.kill()
        wait_until(study.settled, "the sender has told all")
    else:
        driver.finish()
    return study


def report(here: Place, uri: str) -> dict[str, str]:
    """The files of a study's report, without what another place and day change."""
    out = here.folder / "report"
    here.call("analysis.report", "--study", NAME, "--tracking-uri", uri, "--out", str(out))
    texts = {}
    for path in sorted(out.rglob("*")):
        if path.is_file() and path.suffix in (".html", ".csv", ".md", ".tex"):
            text = path.read_text("utf-8")
            for pattern, name in ELSEWHERE.items():
                text = re.sub(pattern, name, text)
            texts[path.relative_to(out).as_posix()] = text
    shutil.rmtree(out)
    return texts


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def written(log: Path) -> set[str]:
    """Absolute paths that the traced processes changed."""
    paths: set[str] = set()
    for line in log.read_text("utf-8", "replace").splitlines():
        call = line.partition(" ")[2].strip()
        if " = -1 " in call or not WRITING.search(call):
            continue
        paths |= {
            path for path in re.findall(r'"(/[^"]*)"', call) if not path.startswith(NOT_FILES)
        }
    return paths


def goes_on(here: Place, uri: str, log: Path) -> None:
    """`--resume` with one trial more ends well, and changes nothing outside of its place."""
    trace = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=%file", "-e", "signal=none"]
    study = here.study(uri, [*trace, "-o", str(log)])
    study.start("--trials", "3", "--scheduler", "none").finish()
    assert len(study.trials()) == 3
    changed = written(log)
    assert any(path.startswith(str(study.folder)) for path in changed), "strace saw nothing"
    assert {path for path in changed if not path.startswith(str(here.folder))} == set()


def test_a_half_finished_study_that_was_moved_goes_on(place: Callable[..., Place]) -> None:
    """The short form of what follows."""
    there, here = place(), place()
    study = begun(there, "half-finished")
    os.rename(there.storage, here.storage)
    moved = here.study()
    moved.start(*FLAGS).finish()
    assert_whole(moved, 2)
    assert not study.storage.exists(), "nothing is written to the old place"


@full_form
@needs_strace
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("way", ["mv", "copy"])
def test_a_storage_is_carried(
    state: str, way: str, place: Callable[..., Place], tmp_path: Path
) -> None:
    there, here = place(), place()
    study = begun(there, state)
    before = report(there, study.uri)
    if way == "mv":
        os.rename(there.storage, here.storage)
    else:
        shutil.copytree(there.storage, here.storage)
    old = snapshot(there.folder)
    uri = f"sqlite:///{here.storage}/mlflow.db"
    assert report(here, uri) == before
    goes_on(here, uri, tmp_path / "trace")
    assert snapshot(there.folder) == old


@full_form
@needs_strace
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user: needs root")
@pytest.mark.parametrize("state", STATES)
def test_a_packed_study_goes_on_with_another_user(
    state: str, place: Callable[..., Place], tmp_path: Path
) -> None:
    there, here = place(), place(NOBODY)
    study = begun(there, state)
    before = report(there, study.uri)
    archive = here.folder / "packed.tar.gz"
    there.call("studies.pack", NAME, "--storage", str(there.storage), "-o", str(archive))
    here.own()
    here.call("studies.unpack", str(archive), "--storage", str(here.storage))
    old = snapshot(there.folder)
    uri = f"sqlite:///{here.storage}/mlflow.db"
    assert report(here, uri) == before
    goes_on(here, uri, here.folder / "tmp/trace")
    assert snapshot(there.folder) == old


@full_form
@needs_strace
@needs_postgresql
@pytest.mark.parametrize("state", STATES)
def test_a_packed_study_goes_on_with_a_server_on_postgresql(
    state: str, place: Callable[..., Place], tmp_path: Path
) -> None:
    there, here = place(), place()
    study = begun(there, state)
    before = report(there, study.uri)
    archive = there.folder / "packed.tar.gz"
    there.call("studies.pack", NAME, "--storage", str(there.storage), "-o", str(archive))
    old = snapshot(there.folder)
    with ExitStack() as stack:
        port = stack.enter_context(postgresql())
        database = f"postgresql+psycopg://ada:{QUOTED}@127.0.0.1:{port}/m"
        server = MlflowServer(tmp_path / "server", database=database)
        stack.callback(server.kill)
        here.call(
            "studies.unpack", str(archive),
            "--storage", str(here.storage), "--tracking-uri", server.uri,
        )  # fmt: skip
        assert report(here, server.uri) == before
        goes_on(here, server.uri, tmp_path / "trace")
    assert snapshot(there.folder) == old
