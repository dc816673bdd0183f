"""Seeds for generators that take fewer than a config may give."""

from __future__ import annotations

import numpy as np

NARROW = 2**32
"""NumPy's old generators, which stable-baselines3 seeds, take seeds below this."""


def narrow_seed(seed: int) -> int:
    """Return a seed below 2^32: a small one as it is, a larger one hashed by `SeedSequence`.

    Example:
        >>> narrow_seed(7), narrow_seed(2**32) < 2**32
        (7, True)
    """
    return seed if seed < NARROW else int(np.random.SeedSequence(seed).generate_state(1)[0])
