"""Figures: each module has a pure `info` function that returns data, and thin drawing functions."""
