"""`python -m vae_trainables.datasets fetch|check NAME`."""

import sys

from vae_trainables.datasets.cli import main

sys.exit(main())
