"""Every name under which a study appears in MLflow: the contract between tracker and analysis."""

from __future__ import annotations

PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
RUN_NAME = "mlflow.runName"

ROLE = "vae.role"
STUDY = "vae.study"
TRIAL = "vae.trial"
PHASE = "vae.phase"
STATUS = "vae.status"
REASON = "vae.reason"
SEED = "vae.seed"
CONFIG = "vae.config"
REFERENCE = "vae.reference"
ATTEMPT = "vae.attempt"
LIKE = "vae.like"  # key of the search trial whose configuration this one repeats
HEIR_OF = "vae.heir_of"  # key of the search trial from whose weights an heir goes on
INHERITED = "vae.inherited"  # epochs that its parent has trained
INSTEAD_OF = "vae.instead_of"  # key of the search trial whose place an heir takes
NOTES = "vae.notes"
RANDOM = "vae.random"
WAY = "vae.way"  # how its epochs were trained: alone or in a cohort
TEST_OPENED = "vae.test_opened"  # milliseconds since 1970
KIND = "vae.kind"
DATASET = "vae.dataset"
COMMIT = "vae.commit"
WINNER = "vae.winner"  # key of the trial that the search put first, where it was confirmed
VERDICT = "vae.verdict"  # the confirmation's, of winner against reference
NOW = "vae.now."  # and a setting's name: its value, if it is no longer that of the parameter
PROBE = "vae.probe"  # a run that the check at the start made, and deleted

ROLE_STUDY = "study"
ROLE_TRIAL = "trial"

STUDY_FILE = "study.json"
PROVENANCE_FILE = "provenance.json"
DIFF_FILE = "diff.patch"
SOURCE_FILE = "source.json"  # the user's own file with its neighbours, if the study has one
BASELINES_FILE = "baselines.json"
EXAMPLES_FILE = "examples.npz"
ROBUSTNESS_FILE = "robustness.json"
TEST_IMAGES_FILE = "test_images.npz"  # of a confirmation run: PSNR, SSIM, −ELBO of each test image
BASELINE_ROBUSTNESS_FILE = "baseline_robustness.json"
WEIGHTS_FILE = "checkpoint/weights.safetensors"
CONFIG_FILE = "checkpoint/config.json"

COURSE = "study/"  # how the names of the parent's own metrics begin: how the study goes
SEARCHED_S = "study/search_s"  # seconds of the search, in all its starts

# What a trial has cost its worker; of a worker that trains several trials, the trial's part.
COST = "system/"  # how their names begin
WORKER_S = "system/worker_s"  # from taking the epoch up to handing it in
WAITED_S = "system/waited_s"  # before that, with nothing to train
TRAIN_S = "system/train_s"  # of worker_s
EVAL_S = "system/eval_s"  # of worker_s; the rest opens, saves and tests
CPU_S = "system/cpu_s"  # of all threads
MEMORY_MIB = "system/memory_mib"  # at its peak
GPU_PERCENT = "system/gpu_percent"
ENERGY_J = "system/energy_j"
ADDED_UP = frozenset({WORKER_S, WAITED_S, TRAIN_S, EVAL_S, CPU_S, ENERGY_J})
"""Measured by epoch, and recorded as what they come to so far, like the peak of memory."""

# What MLflow's own status says for each status of ours (the truth is in the tag).
MLFLOW_STATUS = {
    "running": "RUNNING",
    "finished": "FINISHED",
    "pruned": "FINISHED",
    "failed": "FAILED",
    "diverged": "FAILED",
    "out_of_memory": "FAILED",
    "worker_lost": "FAILED",
    "interrupted": "KILLED",
}
