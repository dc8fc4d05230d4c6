"""Ray Tune as the engine: it places trials on workers; the desk decides everything else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from studies.runner.desk import Desk
from studies.runner.ledger import LedgerTrial, Status
from vae_trainables.session import Record

# Set before Tune is imported: its own logging, snapshots and signal handling would only cost time
# and contradict the ledger.
QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})

from ray import tune  # noqa: E402
from ray.tune.callback import Callback  # noqa: E402
from ray.tune.experiment import Trial  # noqa: E402
from ray.tune.schedulers import FIFOScheduler, TrialScheduler  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402


class _AtTheDesk:
    """Tune pickles its parts for a restore that we never do: the desk stays out of that."""

    desk: Desk

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "desk"}


class DeskSearcher(_AtTheDesk, Searcher):
    """Asks the desk for the next trial; knows nothing about search."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(metric=None, mode=None)
        self.desk = desk

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        trial = self.desk.next()
        return self.desk.assignment(trial) if trial is not None else Searcher.FINISHED

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

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return self._decide(trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._decide(trial, result)

    def _decide(self, trial: Trial, result: dict[str, Any]) -> str:
        ended = self.desk.report(
            _ledger_trial(self.desk, trial), Record.from_json(result["record"])
        )
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
        self.desk.started(_ledger_trial(self.desk, trial))

    def on_trial_error(
        self, iteration: int, trials: list[Trial], trial: Trial, **info: Any
    ) -> None:
        """Tune gave up on the trial: its worker died more often than it may."""
        lines = str(trial.error_file and Path(trial.error_file).read_text()).strip().splitlines()
        text = lines[-1] if lines else "the worker process died"
        out_of_memory = any("OutOfMemory" in line for line in lines)
        status: Status = "out_of_memory" if out_of_memory else "worker_lost"
        self.desk.end(_ledger_trial(self.desk, trial), status, text[:300])


def _ledger_trial(desk: Desk, trial: Trial) -> LedgerTrial:
    return desk.ledger.trials[trial.config["key"]]


def run(
    desk: Desk,
    trainable: type[tune.Trainable],
    *,
    parameters: dict[str, Any],
    resources: dict[str, float],
    concurrent: int,
    worker_retries: int,
) -> None:
    """Train all that the desk hands out; returns when it has no more.

    `parameters` go to the trainable's `setup` through Ray's object store. Raises StudyStopped.
    """
    with tempfile.TemporaryDirectory(prefix="vae-studies-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(trainable, **parameters), resources),
            tune_config=tune.TuneConfig(
                search_alg=DeskSearcher(desk),
                scheduler=DeskScheduler(desk),
                num_samples=-1,
                max_concurrent_trials=concurrent,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                callbacks=[DeskCallback(desk)],
                failure_config=tune.FailureConfig(max_failures=worker_retries),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        tuner.fit()
