"""`python -m studies.doctor`: which fast paths of this machine's GPUs are right, and how fast.

Needs torch, pydantic and safetensors; neither Ray nor MLflow nor data: it trains on noise, some
minutes for each GPU. A verdict that is written to a study's storage is obeyed by its `--cohort
auto` and `--convolution auto`.
"""
