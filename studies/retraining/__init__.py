"""Tracked trials trained again: the same draws, or fresh seeds of what a study has printed."""
