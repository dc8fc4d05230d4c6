"""Proof by simulation that the statistics keep their promises, on studies whose truth is known."""
