"""What the runner costs when training costs nothing: results per second and the driver's memory.

    python -m benchmarks.runner_overhead --trials 400 --repeats 5       # bare Tune against ours
    python -m benchmarks.runner_overhead --mode cohort --trials 10000   # through one cohort worker

Epochs return at once: `--reports` of them per trial through Tune, one through a cohort. `bare` is
Tune with a light class trainable, actors reused, no loggers. `ours` adds ledger, tracker (a real
MLflow on sqlite) and pruning. `cohort` deals configurations to one long-lived worker.

`results_per_s` counts from the call to the last result; `start_s` of that went by before the first
trial was asked for, while Ray started the worker, and `going_per_s` is the rate without it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
import psutil
import ray
from ray import tune

from studies.definition import Goal, Objective
from studies.ledger.ledger import Ledger, LedgerTrial
from studies.scheduling.desk import Desk, Limits
from studies.scheduling.pruning import SuccessiveHalving
from studies.tracker.tracker import Tracker, now_ms
from studies.workers import cohorts, tuning
from studies.workers.mailbox import Mailbox, epoch_result
from studies.workers.replacing import replaced
from vae_trainables.config import TrialConfig
from vae_trainables.training.session import Outcome, Record

MSE = Objective("val/mse", "minimize")


def reference(reports: int) -> TrialConfig:
    """What the trials vary."""
    return TrialConfig(kind="mlp_vae", epochs=reports)


def record(config: TrialConfig, epoch: int) -> Record:
    """An epoch whose values depend on the configuration alone."""
    outcome: Outcome = "finished" if epoch == config.budget.epochs else "running"
    metrics = {"val/mse": config.optimiser.lr, "val/psnr": 1 / config.optimiser.lr}
    return Record(epoch, outcome, "", now_ms(), metrics)


class Bare(tune.Trainable):  # type: ignore[misc]
    """Returns at once."""

    epoch = 0

    def step(self) -> dict[str, Any]:
        """One result."""
        self.epoch += 1
        return {"loss": self.config["lr"], "done": self.epoch == self.config["reports"]}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Reused."""
        self.config, self.epoch = new_config, 0
        return True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Nothing."""


class Simulated(Bare):
    """Returns a record as a trial does."""

    def setup(self, config: dict[str, Any]) -> None:
        """Take the configuration."""
        self.config = config

    def step(self) -> dict[str, Any]:
        """One record."""
        config = TrialConfig.model_validate_json(self.config["config"])
        self.epoch += 1
        found = record(config, self.epoch)
        return {"record": found.to_json(), "done": found.outcome == "finished"}


class SimulatedCohort(Bare):
    """Returns a record of every trial it was dealt."""

    def setup(self, config: dict[str, Any], mailbox: Any, slots: int) -> None:
        """Called once."""
        self.name, self.mailbox, self.slots = config["worker"], mailbox, slots

    def step(self) -> dict[str, Any]:
        """All records at once."""
        letters = ray.get(self.mailbox.take.remote(self.name))
        reports = [
            (letter["key"], record(TrialConfig.model_validate_json(letter["config"]), 1))
            for letter in letters
            if "key" in letter
        ]
        return epoch_result(reports, slots=self.slots)


class Office:
    """A desk with real ledger and tracker in a temporary folder; watches the driver's memory."""

    def __init__(self, folder: Path, trials: int, reports: int) -> None:
        self.ledger = Ledger(folder, "simulated")
        self.ledger.create(Goal((MSE,), MSE), {})
        self.ledger.use_sampler(optuna.samplers.RandomSampler(seed=0))
        artifacts = (folder / "artifacts").as_uri()
        uri = f"sqlite:///{folder}/mlflow.db"
        self.tracker = Tracker(folder / "spool", uri, "simulated", artifacts)
        self.tracker.study({}, {}, "")
        self.trials, self.memory, self.reference = trials, [0.0], reference(reports)
        self.first_asked: float | None = None
        self.desk = Desk(
            self.ledger,
            self.tracker,
            folder=folder,
            source=self.plan,
            objectives=[MSE],
            prune_on=MSE,
            pruner=SuccessiveHalving(grace=100, eta=3, max_epochs=1_000, direction="minimize"),
            limits=Limits(),
            tags={},
            backlog=[],
        )

    def plan(self) -> LedgerTrial | None:
        """The next of so many trials."""
        done = self.ledger.suggested
        self.first_asked = self.first_asked or time.perf_counter()
        if done % max(self.trials // 20, 1) == 0:
            self.memory.append(psutil.Process().memory_info().rss / 2**20)
        return None if done >= self.trials else self.ledger.ask(self.configure, self.reference)

    def configure(self, trial: optuna.Trial) -> TrialConfig:
        """One hyperparameter."""
        lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
        return self.reference.model_copy(update={"lr": lr})

    def close(self) -> str:
        """What could not be delivered."""
        left = self.tracker.close(600)
        self.ledger.close()
        return left


def bare(trials: int, concurrent: int, reports: int) -> dict[str, float]:
    """Results per second of Tune alone."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        tune.Tuner(
            tune.with_resources(Bare, {"cpu": 1}),
            param_space={"lr": tune.loguniform(1e-4, 1e-1), "reports": reports},
            tune_config=tune.TuneConfig(
                num_samples=trials, max_concurrent_trials=concurrent, reuse_actors=True
            ),
            run_config=tune.RunConfig(storage_path=scratch, verbose=0),
        ).fit()
    return {"results_per_s": trials * reports / (time.perf_counter() - started)}


def ours(mode: str, trials: int, concurrent: int, slots: int, reports: int) -> dict[str, float]:
    """Results per second with ledger and tracker; memory of the driver at 20 % and at the end."""
    with tempfile.TemporaryDirectory() as scratch:
        office = Office(Path(scratch), trials, reports)
        started = time.perf_counter()
        if mode == "cohort":
            mailbox = Mailbox.remote()  # type: ignore[attr-defined]
            dealer = cohorts.Dealer(office.desk, mailbox, slots)
            tuning.fit(
                tune.with_parameters(SimulatedCohort, mailbox=mailbox, slots=slots),
                cohorts.DealerCallback(dealer),
                0,
                param_space={"worker": tune.grid_search(["w"])},
                scheduler=cohorts.DealerScheduler(dealer),
            )
        else:
            with replaced(tuning.WAITING):
                tuning.run(
                    office.desk,
                    Simulated,
                    parameters={},
                    resources={"cpu": 1},
                    concurrent=concurrent,
                )
        took = time.perf_counter() - started
        assert office.first_asked is not None
        start = office.first_asked - started
        left = office.close()
        delivered = time.perf_counter() - started
        finished = sum(t.status == "finished" for t in office.ledger.trials.values())
        assert finished == trials, (finished, trials)
        assert not left, left
        early = office.memory[max(1, len(office.memory) // 5)]
        return {
            "results_per_s": trials * reports / took,
            "start_s": start,
            "going_per_s": trials * reports / (took - start),
            "delivered_s": delivered,
            "memory_early_mib": early,
            "memory_end_mib": office.memory[-1],
        }


def main() -> None:
    """Measure in turn and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", choices=["tune", "cohort"], default="tune")
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--reports", type=int, default=5, help="per trial, through Tune")
    parser.add_argument("--concurrent", type=int, default=os.cpu_count())
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    ray.init(num_cpus=options.concurrent, include_dashboard=False, log_to_driver=False)
    trials, concurrent = options.trials, options.concurrent
    reports = options.reports if options.mode == "tune" else 1
    ratios = []
    for _ in range(options.repeats):
        row: dict[str, Any] = {
            "ours": ours(options.mode, trials, concurrent, options.slots, reports)
        }
        if options.mode == "tune":
            row["bare"] = bare(trials, concurrent, reports)
            row["ratio"] = row["ours"]["results_per_s"] / row["bare"]["results_per_s"]
            ratios.append(row["ratio"])
        print(json.dumps(row), flush=True)
    if ratios:
        print("median ratio", statistics.median(ratios))


if __name__ == "__main__":
    main()
