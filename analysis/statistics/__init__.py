"""Pure functions from numbers to numbers: intervals, tests, importance. No tracker, no figure."""
