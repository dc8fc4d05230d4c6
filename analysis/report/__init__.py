"""The report: one self-contained page from the tracker alone. `python -m analysis.report`."""
