"""Adaptation to a speaker: features centred by the speaker's own clips, whose emotions are not looked at.

What is left is how a clip differs from the speaker's other clips. The clips must be a mixture of emotions: centred by
angry clips alone, anger looks neutral. Unlabelled clips of the tested speakers are used, so a number obtained this way
is of a protocol of its own.
"""
import numpy as np


def mean_of(x, lengths=None):
    """Mean of clips (clips, 13 n), or of the real frames of clips (clips, frames, n) with lengths (clips,): float (n,).
    """
    x = np.asarray(x, np.float64)
    if lengths is None:
        return x.mean(axis=0)
    return x[np.arange(x.shape[1]) < np.asarray(lengths)[:, None]].mean(axis=0)


def centre(x, mean, lengths=None):
    """x - mean, and exactly 0 in padded frames: float32 (clips, ...)."""
    x = np.float32(x - mean)
    if lengths is not None:
        x[np.arange(x.shape[1]) >= np.asarray(lengths)[:, None]] = 0
    return x


def centre_speaker(x, lengths=None):
    """All clips and copies of one speaker, centred by the clips themselves (variant 0).

    x : (clips, variants, frames, n) with lengths (clips, variants), or (clips, variants, 13 n)
    """
    mean = mean_of(x[:, 0], None if lengths is None else lengths[:, 0])
    return np.stack([centre(x[:, k], mean, None if lengths is None else lengths[:, k]) for k in range(x.shape[1])],
                    axis=1)
