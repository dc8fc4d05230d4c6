"""What a trained model is worth: validation, the look at the test set, probes, baselines.

Nothing here changes a weight.
"""
