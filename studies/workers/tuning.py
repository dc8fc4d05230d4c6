"""Ray Tune as the engine: it places trials on workers; the desk decides everything else."""

from __future__ import annotations

import gc
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import studies.workers.environment  # noqa: F401  # before Tune
from studies.errors import StudyError, StudyStopped
from studies.ledger.ledger import LedgerTrial, Status
from studies.scheduling.desk import Desk
from studies.tracker.spool import SpoolError
from studies.workers.replacing import Replacement, replaced
from vae_trainables.training.session import Record

logging.getLogger("ray.tune").setLevel(logging.ERROR)  # it warns of what we switched off

from ray import tune  # noqa: E402
from ray.air.execution import FixedResourceManager  # noqa: E402
from ray.tune.callback import Callback  # noqa: E402
from ray.tune.experiment import Trial  # noqa: E402
from ray.tune.schedulers import FIFOScheduler, TrialScheduler  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402

UNCOUNTED: tuple[Replacement, ...] = (
    ("ray.air._internal.usage", "tag_callbacks", lambda callbacks: False),
)
"""To count which callbacks people use, Tune imports all it knows, MLflow among them: 1.3 s."""


RARE = (20_000, 20, 20)
"""Objects made until Python looks through the newest; times that, until it looks through older."""


class _AtTheDesk:
    """Tune pickles its parts for a restore that we never do: what is alive stays out of that."""

    desk: Desk

    def __getstate__(self) -> dict[str, Any]:
        alive = ("desk", "waiting")
        return {name: value for name, value in vars(self).items() if name not in alive}


class DeskSearcher(_AtTheDesk, Searcher):
    """Asks the desk for the next trial; knows nothing about search."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(metric=None, mode=None)
        self.desk = desk

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """None while a trial under way may still bring more work: its other seeds, its retry."""
        with stopping():
            trial = self.desk.next()
        if trial is not None:
            return self.desk.assignment(trial)
        return None if self.desk.under_way else str(Searcher.FINISHED)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """The desk has heard it already."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the ledger is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class DeskScheduler(_AtTheDesk, FIFOScheduler):
    """Passes each result to the desk and does what it says."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self.desk = desk
        self.waiting: list[Trial] = []

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        self.waiting.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The newest that waits: it takes the worker that has become free.

        Tune's own choice, the oldest, may wait for a worker of its own that is just starting; given
        the free one, Tune kills that start and begins another for the next trial. With trials
        shorter than a start, seconds, there would be one worker at work and a start going on for
        ever.
        """
        self.waiting = [trial for trial in self.waiting if trial.status == Trial.PENDING]
        return self.waiting[-1] if self.waiting else None

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return self._decide(trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._decide(trial, result)

    def _decide(self, trial: Trial, result: dict[str, Any]) -> str:
        record = Record.from_json(result["record"])
        with stopping():
            ended = self.desk.report(_ledger_trial(self.desk, trial), record)
        return str(TrialScheduler.STOP if ended else TrialScheduler.CONTINUE)


class DeskCallback(_AtTheDesk, Callback):
    """Tells the desk of starts and lost workers, and lets it stop the study between two events."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        self.desk.check()

    def on_trial_start(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        with stopping():
            self.desk.started(_ledger_trial(self.desk, trial))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """The trial's worker died, or could not even begin."""
        text = Path(trial.error_file).read_text() if trial.error_file else ""
        out_of_memory = "OutOfMemory" in text or "MemoryError" in text
        status: Status = "out_of_memory" if out_of_memory else "worker_lost"
        last = (text.strip().splitlines() or ["no word from it"])[-1]
        with stopping():
            self.desk.lost(
                _ledger_trial(self.desk, trial), status, f"the worker process died ({last[:300]})"
            )


@contextmanager
def stopping() -> Iterator[None]:
    """Where the desk cannot record, the study ends: Tune would wrap the error in a traceback."""
    try:
        yield
    except (StudyError, SpoolError) as error:
        raise StudyStopped(str(error)) from error


def _ledger_trial(desk: Desk, trial: Trial) -> LedgerTrial:
    return desk.ledger.trials[trial.config["key"]]


WAITING: tuple[Replacement, ...] = (
    ("ray.tune.execution.class_cache", "DEFAULT_ENV_VARS", {}),
    ("ray.tune.execution.class_cache", "ENV_VARS_TO_PROPAGATE", set()),
    (
        "ray.tune.execution.tune_controller",
        "PlacementGroupResourceManager",
        FixedResourceManager,
    ),
)
"""On a Ray of our own: trials begin in the workers that Ray has started with itself.

Tune gives its actors environment variables, which ours have inherited, and reserves CPUs by a
task on each; for both Ray takes other processes, which import all anew: seconds.
"""


def run(
    desk: Desk,
    trainable: type[tune.Trainable],
    *,
    parameters: dict[str, Any],
    resources: dict[str, float],
    concurrent: int,
) -> None:
    """Train all that the desk hands out, one configuration per Tune trial.

    `parameters` go to the trainable's `setup` through Ray's object store. Raises StudyStopped.
    """
    fit(
        tune.with_resources(tune.with_parameters(trainable, **parameters), resources),
        DeskCallback(desk),
        0,  # the desk itself tries a lost trial again, also one whose worker never began
        search_alg=DeskSearcher(desk),
        scheduler=DeskScheduler(desk),
        num_samples=-1,
        max_concurrent_trials=concurrent,
        reuse_actors=True,
    )


@contextmanager
def rare_collections() -> Iterator[None]:
    """Meanwhile Python seldom looks for cycles to free.

    What a driver makes, it keeps: at 10,000 trials a sixth of its time went into looking through
    modules and trials in vain.
    """
    thresholds = gc.get_threshold()
    gc.freeze()  # the modules
    gc.set_threshold(*RARE)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def fit(
    trainable: Any,
    callback: Callback,
    worker_retries: int,
    *,
    param_space: dict[str, Any] | None = None,
    **tune_config: Any,
) -> None:
    """Run Tune without loggers, snapshots and checkpoints; what it leaves on disk is removed."""
    folder = tempfile.TemporaryDirectory(prefix="vae-studies-")
    with rare_collections(), replaced(UNCOUNTED), folder as scratch:
        tune.Tuner(
            trainable,
            param_space=param_space,
            tune_config=tune.TuneConfig(**tune_config),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                callbacks=[callback],
                failure_config=tune.FailureConfig(max_failures=worker_retries),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        ).fit()
