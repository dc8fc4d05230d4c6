"""Where trials are decided: which is next, which ends early, what is recorded of each."""
