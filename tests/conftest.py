"""Shared test settings: one torch thread, Ctrl-C heard, and the tests' own helpers importable."""

import signal
import sys
from pathlib import Path

import torch
from hypothesis import settings

# For worker processes too: they import `tiny` by name.
sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)
# A shell that runs the tests in the background has it ignored, for all programs they start, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
# On a busy machine a first call takes long.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
