"""What a worker imports as it starts, before it has a trial (`RAY_preload_python_modules`)."""

from __future__ import annotations

from studies.workers.importing import uncollected

with uncollected():
    import studies.workers.trainable  # noqa: F401  # with torch and Tune: seconds
