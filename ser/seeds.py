"""Randomness: every random draw in the project comes from a generator made here.

A generator is seeded from the run's seed and the *names* of what it is for (purpose, clip, copy, fold),
never from how many draws came before. So order, subset and parallelism change nothing.
"""
import hashlib

import numpy as np


def seed_for(seed, *names):
    """A 32-bit seed (int) for `names`, say `seed_for(42, "fit", "mfcc", "cnn1d", 0)`."""
    text = "/".join(str(name) for name in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def generator(seed, *names):
    """A NumPy generator of its own for `names`: same names, same draws."""
    return np.random.default_rng(seed_for(seed, *names))
