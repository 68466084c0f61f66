"""Training batches: rows of an array in random order, standardised, masked (SpecAugment) and mixed (mixup)."""
import numpy as np

from study.backend import tf


def make_dataset(x, lengths, rows, targets, scaler, *, batch_size, seed, mixup_alpha, max_time_mask, max_freq_mask):
    """tf.data.Dataset of one epoch: (batch, ...) inputs and (batch, n_classes) targets, new draws every epoch.

    x (any, frames, n) with lengths (any,), or (any, n) without, stays where it is, say on disk; a batch of its
    `rows` is read when its turn comes, then standardised, masked and mixed in one compiled step.

    targets       : float (rows, n_classes)
    scaler        : mean and std, each (n,)
    max_time_mask : frames; max_freq_mask : columns; the widest masks of SpecAugment
    """
    targets = tf.constant(targets)
    mean, std = (tf.constant(part, tf.float32) for part in scaler)
    row_lengths = None if lengths is None else tf.constant(lengths[rows], tf.int64)

    def make(indices, draw):
        own_seeds, masks = tf.random.split([draw, 0], 3), []
        batch = tf.numpy_function(lambda chosen: np.asarray(x[rows[chosen]]), [indices], tf.float32)
        batch = tf.ensure_shape(batch, (batch_size, *x.shape[1:]))
        if row_lengths is not None:
            frames = tf.sequence_mask(tf.gather(row_lengths, indices), x.shape[1], tf.float32)
            frames *= random_mask(batch_size, x.shape[1], max_time_mask, own_seeds[0])
            bands = random_mask(batch_size, x.shape[2], max_freq_mask, own_seeds[1])
            masks = [frames[:, :, None], bands[:, None, :]]               # (batch, frames, 1), (batch, 1, n)
        share = mixup_weights(batch_size, mixup_alpha, own_seeds[2])
        return standardise_mask_mix(batch, mean, std, masks, share), mixup(tf.gather(targets, indices), share)

    order = tf.data.Dataset.range(len(rows)).shuffle(len(rows), seed=seed, reshuffle_each_iteration=True)
    draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
    options = tf.data.Options()
    options.deterministic = True
    options.threading.private_threadpool_size = 1
    return (tf.data.Dataset.zip(order.batch(batch_size, drop_remainder=True), draws)
            .map(make).prefetch(1).with_options(options))


@tf.function(jit_compile=True)      # one pass over the batch in place of ten
def standardise_mask_mix(batch, mean, std, masks, share):
    batch = (batch - mean) / std
    for mask in masks:
        batch = batch * mask
    return mixup(batch, share)


def mixup(x, share):
    """Each row mixed with its neighbour: x (batch, ...), share (batch,) of itself, the rest of the row before.

    Zhang et al., "mixup: beyond empirical risk minimization", 2018. Rows are in random order, so a neighbour is a
    random partner.
    """
    share = tf.reshape(share, [-1] + [1] * (len(x.shape) - 1))
    return share * x + (1 - share) * tf.roll(x, 1, axis=0)


def mixup_weights(batch_size, alpha, seed):
    """(batch,) draws of Beta(alpha, alpha), or 1 minus it: the row itself outweighs. Alpha 0: all 1, no mixing."""
    if alpha == 0:
        return tf.ones(batch_size)
    gamma = tf.random.stateless_gamma((2, batch_size), seed, alpha)
    share = tf.math.divide_no_nan(gamma[0], gamma[0] + gamma[1])                # Beta(alpha, alpha)
    return tf.maximum(share, 1 - share)


def random_mask(batch_size, size, widest, seed):
    """SpecAugment's mask: (batch, size) of ones with a run of 0 to `widest` zeros in each row.

    Park et al., "SpecAugment", 2019. Zero is the mean of standardised features.
    """
    draws = tf.random.stateless_uniform((2, batch_size, 1), seed)
    width = tf.floor(draws[0] * (widest + 1))
    start = tf.floor(draws[1] * (size - width + 1))
    position = tf.range(size, dtype=tf.float32)
    return tf.cast((position < start) | (position >= start + width), tf.float32)
