"""What Ray and Tune are told by environment variables; the user's own values stand.

To be imported before Tune is, and before a Ray of our own starts: its workers inherit them.
"""

from __future__ import annotations

import os

RAY = {
    "RAY_raylet_start_wait_time_s": "180",  # on a busy machine Ray's start can take long
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "1",
}
# Tune's own logging, snapshots and signal handling would only cost time and contradict the ledger.
TUNE = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}

for name, value in (RAY | TUNE).items():
    os.environ.setdefault(name, value)
