"""What a network hears: pure functions of a network and arrays; viz.py draws them.

    occlusion     which parts of a clip a decision hangs on
    importance    which functionals an MLP hangs on
    penultimate   how clips lie to each other just before the decision
"""
import numpy as np

PATCH = (8, 0.125)          # frames, share of the columns that are blanked together
BATCH_SIZE = 256               # clips in one pass


def predict_batches(network, x):
    """(clips, ...) -> float32 (clips, outputs), in pieces."""
    pieces = [np.asarray(network(x[start:start + BATCH_SIZE], training=False)) for start in range(0, len(x), BATCH_SIZE)]
    return np.concatenate(pieces)


def occlusion(network, x, length, label, patch=PATCH):
    """How far the log-odds of `label` fall where a patch of the clip is blanked: (frames, n) -> (length, n), in nats.

    Log-odds, ln(p / (1 - p)), since a sure probability hardly moves whatever is blanked.

    x : normalised, so that 0 is the mean, with `length` real frames. Patches overlap by half; a cell has the mean over
    those that cover it (Zeiler & Fergus, "Visualizing and understanding convolutional networks", 2014).
    """
    frames, n = x.shape
    tall, wide = patch[0], max(1, round(patch[1] * n))
    corners = [(t, k) for t in range(0, length, max(1, tall // 2)) for k in range(0, n, max(1, wide // 2))]
    blanked = np.repeat(x[None], len(corners), axis=0)                          # (patches, frames, n)
    for copy, (t, k) in zip(blanked, corners):
        copy[t:t + tall, k:k + wide] = 0
    p = np.r_[predict_batches(network, x[None]), predict_batches(network, blanked)][:, label].clip(1e-7, 1 - 1e-7)
    odds = np.log(p / (1 - p))
    fall = odds[0] - odds[1:]                                                   # (patches,)
    total, covered = np.zeros((frames, n)), np.zeros((frames, n))
    for drop, (t, k) in zip(fall, corners):
        total[t:t + tall, k:k + wide] += drop
        covered[t:t + tall, k:k + wide] += 1
    return (total / np.maximum(covered, 1))[:length]


def permutation_importance(network, x, labels, groups, rng, repeats=5):
    """How far accuracy falls where the columns of a group are shuffled over the clips, together: (groups, repeats).

    x : (clips, columns), normalised; labels : int (clips,); groups : int (columns,), 0 ... groups - 1
    Breiman, "Random forests", 2001.
    """
    right = (predict_batches(network, x).argmax(axis=1) == labels).mean()
    falls = np.empty((groups.max() + 1, repeats))
    for group in range(len(falls)):
        for repeat in range(repeats):
            shuffled = x.copy()
            shuffled[:, groups == group] = x[rng.permutation(len(x))][:, groups == group]
            falls[group, repeat] = right - (predict_batches(network, shuffled).argmax(axis=1) == labels).mean()
    return falls


def penultimate(network, x):
    """What the last layer decides on: (clips, ...) -> (clips, units), the members' units side by side."""
    import keras
    members = [layer for layer in network.layers if isinstance(layer, keras.Model)] or [network]
    return np.concatenate([predict_batches(keras.Model(member.inputs[0], member.layers[-1].input), x) for member in members],
                          axis=1)
