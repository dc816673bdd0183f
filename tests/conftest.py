"""Shared test settings: one torch thread, and the tests' own helpers importable."""

import sys
from pathlib import Path

import torch

# For worker processes too: they import `tiny` by name.
sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)
