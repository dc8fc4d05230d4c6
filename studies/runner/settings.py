"""How a study is run: every flag of `python -m studies.NAME`, declared once, checked before work.

What is trained belongs to `vae_trainables.config.TrialConfig`; here is where, how much, how long.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal, get_type_hints

import typer

from studies.budget import Budget
from studies.definition import DEFAULT_SPACE
from studies.errors import InputError
from studies.tracker import address
from vae_trainables.config import Binarise, Precision

SEARCH, RESOURCES, DATA, RECORD, CONFIRM, SAFETY = (
    "What to search",
    "Where to run",
    "Data",
    "Where to record",
    "How to confirm",
    "When to stop",
)
Sampler = Literal["tpe", "random", "gp", "qmc", "nsga2"]
Scheduler = Literal["asha", "promotion", "hyperband", "median", "pbt", "none"]
Preset = Literal["demo", "quick", "full"]
CohortWay = Literal["auto", "eager", "off"]
Convolution = Literal["auto", "grouped", "im2col"]


def _option(help_text: str, panel: str, *names: str, **extra: object) -> object:
    return typer.Option(*names, help=help_text, rich_help_panel=panel, **extra)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Settings:
    """The flags, after presets."""

    trials: Annotated[
        int | None,
        _option("Configurations to try in all, resumed ones included. [default: 20]", SEARCH),
    ] = None
    budget: Annotated[
        str | None,
        _option(
            "What the search may take instead of a number of trials: a time as 2h or 90min, or "
            "500epochs of all trials together. A trial is begun while a whole one fits.",
            SEARCH,
        ),
    ] = None
    epochs: Annotated[
        int | None,
        _option(
            "Epochs of a trial that is not pruned. [default: 10; with --reference its own]", SEARCH
        ),
    ] = None
    objective: Annotated[
        str | None, _option("What to optimise; several with commas give a Pareto front.", SEARCH)
    ] = None
    space: Annotated[
        str,
        _option(
            "Which of the study's spaces to search; show prints them, with the reference's place "
            "in each, and ends.",
            SEARCH,
        ),
    ] = DEFAULT_SPACE
    set: Annotated[
        list[str] | None,
        _option(
            "NAME=VALUE holds a field of the configuration at a value, for reference and trials "
            "alike, and takes it out of the search; repeatable.",
            SEARCH,
            "--set",
        ),
    ] = None
    warm_start: Annotated[
        list[str] | None,
        _option(
            "A study in the tracker to begin with: its finished trials are shown to the sampler "
            "where they compare, else its best configurations are tried first; repeatable.",
            SEARCH,
            "--warm-start",
        ),
    ] = None
    sampler: Annotated[Sampler, _option("Optuna's sampler.", SEARCH)] = "tpe"
    scheduler: Annotated[
        Scheduler,
        _option(
            "asha ends trials early that fall behind; promotion lets them wait instead, and go on "
            "should they prove to be among the best; hyperband ends some of them later; median "
            "those behind the median of the others; pbt trains a population of --trials, whose "
            "worst give way to heirs of the best with changed settings; none trains all.",
            SEARCH,
        ),
    ] = "asha"
    grace: Annotated[
        int,
        _option("Epochs before a trial may be ended; with pbt, between two judgements.", SEARCH),
    ] = 1
    eta: Annotated[
        float,
        _option(
            "asha, promotion and hyperband keep the best 1/eta at each rung; with pbt the worst "
            "1/eta end.",
            SEARCH,
        ),
    ] = 4.0
    seed: Annotated[int, _option("Seed of the sampler and of each trial's first run.", SEARCH)] = 0
    seeds: Annotated[
        int, _option("Train each configuration with this many seeds; rank by the mean.", SEARCH)
    ] = 1
    reference: Annotated[
        bool,
        _option(
            "No search: train exactly the reference, and what it is compared with, --seeds times; "
            "test at the end.",
            SEARCH,
        ),
    ] = False
    preset: Annotated[
        Preset | None,
        _option(
            "demo: 6 trials of 2 epochs, then confirmation. quick: 30 of 6 on 20,000 images. "
            "full: 100 of 20, then confirmation.",
            SEARCH,
        ),
    ] = None

    gpus: Annotated[int, _option("GPUs to use; 0 trains on CPUs.", RESOURCES)] = 0
    cpus: Annotated[
        int | None,
        _option(
            "CPU trials at a time, one core each; never more than cores or trials. "
            "[default: all cores]",
            RESOURCES,
        ),
    ] = None
    oversubscribe: Annotated[
        bool, _option("Take --cpus, --gpus and --threads at their word, cores or not.", RESOURCES)
    ] = False
    slots_per_gpu: Annotated[
        str,
        _option("Configurations that train together on a GPU (a number also on a CPU).", RESOURCES),
    ] = "auto"
    cohort: Annotated[
        CohortWay,
        _option(
            "How these train together: eager step by step, without CUDA graphs and Triton; off: "
            "each alone; auto: as studies.doctor found, else as fast as it is right.",
            RESOURCES,
        ),
    ] = "auto"
    convolution: Annotated[
        Convolution,
        _option(
            "How their convolutions are one; auto: as studies.doctor found, else grouped.",
            RESOURCES,
        ),
    ] = "auto"
    threads: Annotated[
        int, _option("CPU threads per trial; another number gives other bits.", RESOURCES)
    ] = 1
    precision: Annotated[
        Precision | None,
        _option(
            "Bits of the products in training and validation: fp32; tf32, on GPUs alone; bf16. The "
            "test set is judged in fp32 always. Default: the reference's.",
            RESOURCES,
        ),
    ] = None
    address: Annotated[
        str | None, _option("A running Ray cluster; found by itself inside a job.", RESOURCES)
    ] = None

    data: Annotated[
        str | None,
        _option(
            "Own images: a folder of pictures, .npz, CSV, IDX; or a data set's name.",
            DATA,
        ),
    ] = None
    resize: Annotated[
        str,
        _option(
            "How own images get one size: N or HxW, and :pad, :crop or :stretch. auto keeps "
            "equal sizes of 8 to 128 pixels, pads others to squares of at most 64.",
            DATA,
        ),
    ] = "auto"
    dataset: Annotated[
        str | None,
        _option("fashion-mnist, mnist, digits, kmnist, ...; default: the study's.", DATA),
    ] = None
    data_dir: Annotated[
        Path | None,
        _option("Folder with the files of a data set that goes by its name, as IDX.", DATA),
    ] = None
    binarise: Annotated[
        Binarise | None,
        _option(
            "Grey values as probabilities of black and white pixels: none; static, drawn once; "
            "dynamic, training images anew each epoch. Default: the reference's.",
            DATA,
        ),
    ] = None
    train_size: Annotated[int | None, _option("Use only the first N training images.", DATA)] = None
    batch_size: Annotated[
        int | None, _option("Images per step; default: the reference's.", DATA)
    ] = None

    study: Annotated[str | None, _option("The study's name; default: the module's.", RECORD)] = None
    storage: Annotated[
        Path, _option("Folder of ledgers, checkpoints and the embedded tracker.", RECORD)
    ] = Path("runs")
    tracking_uri: Annotated[
        str | None,
        _option(
            "MLflow: http://server, sqlite:///file, postgresql://… or mysql://…; default: "
            "MLFLOW_TRACKING_URI, else mlflow.db in the storage.",
            RECORD,
        ),
    ] = None
    resume: Annotated[
        bool, _option("Continue a study that exists; a larger --trials extends it.", RECORD)
    ] = False
    allow_changed: Annotated[
        bool, _option("Resume although space, data or code have changed.", RECORD)
    ] = False

    confirm_top: Annotated[
        int | None,
        _option(
            "Retrain the best N and the reference on fresh seeds; 0: don't (--confirm-only: 3).",
            CONFIRM,
        ),
    ] = None
    confirm_seeds: Annotated[int, _option("How many fresh seeds.", CONFIRM)] = 5
    confirm_only: Annotated[bool, _option("No further search: confirm what is there.", CONFIRM)] = (
        False
    )

    ceiling: Annotated[
        Literal["auto", "on", "off"],
        _option(
            "Train a small U-Net, minutes of a core, as the ceiling of denoising tables on test "
            "images; auto: where all trials together see 20,000,000 training images, or may take "
            "an hour.",
            CONFIRM,
        ),
    ] = "auto"

    time_budget: Annotated[
        float | None, _option("Stop after so many seconds; resume later.", SAFETY)
    ] = None
    max_failures: Annotated[int, _option("Stop after so many failed trials in a row.", SAFETY)] = 5
    worker_retries: Annotated[int, _option("How often a trial may lose its worker.", SAFETY)] = 2
    trial_memory_gb: Annotated[
        float | None, _option("Memory that a worker may allocate.", SAFETY)
    ] = None
    dry_run: Annotated[
        bool, _option("Check everything, say what would run, start nothing.", SAFETY)
    ] = False
    debug: Annotated[bool, _option("Show tracebacks.", SAFETY)] = False

    def check(self) -> None:
        """Raise InputError for the first value that cannot work."""
        for name, least in _AT_LEAST.items():
            value = getattr(self, name)
            if value is not None and not least <= value < MOST:  # which no NaN is
                raise InputError(f"{_flag(name)} is {value}; it must be at least {least}")
        if self.seed + self.seeds > LARGEST_SEED:
            raise InputError(f"--seed is {self.seed}; the seeds must stay below {LARGEST_SEED:,}")
        if not re.fullmatch("auto|[1-9][0-9]{0,3}", self.slots_per_gpu):
            raise InputError(
                f"--slots-per-gpu is {self.slots_per_gpu!r}; give auto or a number from 1"
            )
        if self.budget is not None:
            Budget.parse(str(self.budget))  # from Python it may be a number
        if self.reference and self.budget is not None:
            raise InputError("--reference and --budget exclude each other: it searches nothing")
        if self.scheduler == "pbt" and self.budget is not None:
            raise InputError(
                "--scheduler pbt and --budget exclude each other: the population is --trials"
            )
        if self.scheduler == "pbt" and self.seeds > 1:
            raise InputError(
                "--scheduler pbt and --seeds exclude each other: its members are compared while "
                "they train; --confirm-top trains the best on fresh seeds"
            )
        if self.reference and self.confirm_only:
            raise InputError("--reference and --confirm-only exclude each other")
        if self.data is not None and (self.dataset is not None or self.data_dir is not None):
            raise InputError("--data excludes --dataset and --data-dir: it takes a path or a name")
        self._check_name()
        try:
            address.check(self.tracking_uri or "sqlite:///x")
        except address.AddressError as error:
            raise InputError(str(error)) from error

    def _check_name(self) -> None:
        """The study's name is the name of its experiment in MLflow."""
        name = self.study or "x"
        if not name.strip():
            raise InputError("--study is empty; give the study a name")
        if len(name) > LONGEST_NAME:
            raise InputError(
                f"--study has {len(name)} characters; MLflow's databases take {LONGEST_NAME}"
            )
        if not name.isprintable():  # half a character of a wrong encoding, a line's end
            raise InputError(f"--study is {name!a}; it must be readable text in one line")
        if name == "Default":
            raise InputError("--study is 'Default', which MLflow keeps for itself; choose another")

    @property
    def address_of_tracker(self) -> str:
        """The tracker's, with its secrets; by default a database in the storage."""
        return self.tracking_uri or f"sqlite:///{self.storage.absolute()}/mlflow.db"

    def asked(self) -> dict[str, object]:
        """The flags that decide what a study finds: what is searched, on which data, how confirmed.

        Without those that were left open.
        """
        deciding = {SEARCH, DATA, CONFIRM}
        hints = get_type_hints(Settings, include_extras=True)
        panels = {f.name: hints[f.name].__metadata__[0].rich_help_panel for f in fields(self)}
        values = {name: getattr(self, name) for name in panels if panels[name] in deciding}
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in values.items()
            if value is not None and value is not False
        }

    @property
    def search_budget(self) -> Budget | None:
        """Of `--budget`."""
        return None if self.budget is None else Budget.parse(self.budget)

    @property
    def most_trials(self) -> int:
        """Configurations to try at most; `ENDLESS` where a budget alone ends the search."""
        return self.trials or (0 if self.budget is None else ENDLESS)

    @property
    def slots(self) -> int | None:
        """The fixed number of slots, or None where it is to be measured."""
        return None if self.slots_per_gpu == "auto" else int(self.slots_per_gpu)


MOST = 2**62
ENDLESS = 10**9  # trials, which no study comes to
LONGEST_NAME = 250
LARGEST_SEED = 1_000_000  # from there on seeds are fresh ones, of confirmations
_AT_LEAST = {
    "trials": 1,
    "epochs": 1,
    "grace": 1,
    "eta": 1.5,
    "seed": 0,
    "seeds": 1,
    "gpus": 0,
    "cpus": 1,
    "threads": 1,
    "train_size": 1,
    "batch_size": 1,
    "confirm_top": 0,
    "confirm_seeds": 2,
    "time_budget": 1,
    "max_failures": 1,
    "worker_retries": 0,
    "trial_memory_gb": 0.1,
}

CONFIRM_TOP = 3
PRESETS: dict[str, dict[str, object]] = {
    "demo": {"trials": 6, "epochs": 2, "confirm_top": 1, "confirm_seeds": 3},
    "quick": {"trials": 30, "epochs": 6, "train_size": 20_000},
    "full": {"trials": 100, "epochs": 20, "confirm_top": CONFIRM_TOP},
}
DEFAULTS: dict[str, object] = {"trials": 20, "epochs": 10}


def with_preset(values: dict[str, object]) -> Settings:
    """Settings from parsed flags: a preset fills what was left at its default.

    `--budget` stands in place of a preset's, or the default, number of trials.
    `--reference` has no defaults of its own: it means exactly the reference, its epochs included.
    `--confirm-only` without a number confirms `CONFIRM_TOP`.
    """
    initial = {f.name: f.default for f in fields(Settings)}
    preset = PRESETS.get(str(values.get("preset")), {})
    defaults = {} if values.get("reference") else DEFAULTS
    if values.get("budget") is not None:  # in place of a number that nobody gave
        defaults, preset = defaults | {"trials": None}, preset | {"trials": None}
    filled: dict[str, object] = {"tracking_uri": os.environ.get(address.VARIABLE) or None}
    filled |= {**defaults, **preset}
    if values.get("confirm_only"):
        filled.setdefault("confirm_top", CONFIRM_TOP)
    for name, value in filled.items():
        if values.get(name) == initial[name]:
            values = values | {name: value}
    return Settings(**values)  # type: ignore[arg-type]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
