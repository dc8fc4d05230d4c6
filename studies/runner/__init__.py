"""From a study to finished trials: ledger, search, pruning, Ray Tune, signals, preflight."""
