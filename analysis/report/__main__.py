"""`python -m analysis.report`."""

from analysis.report.builder import app

app()
