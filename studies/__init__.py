"""Studies are data (one file each); `studies.runner` runs them, `studies.tracker` records them."""
