"""A study in one file: packed on one machine, unpacked on another, into any storage and tracker.

The ledger, the spool with all that a tracker is told, weights and records; from these everything
else is made again.
"""
