"""Training batches: rows of an array in random order, standardised, masked (SpecAugment) and mixed (mixup)."""
import numpy as np

from study.backend import tf

LENGTH_JITTER = 40          # frames: clips of a batch differ by about this much in length
WIDTH_STEP = 8              # frames: batches are as wide as their longest clip, rounded up to a multiple of this


def make_dataset(x, lengths, rows, targets, scaler, *, batch_size, seed, mixup_alpha, max_time_mask, max_freq_mask,
                 any_width=True):
    """tf.data.Dataset of epoch after epoch, without end: (batch, ...) inputs and (batch, n_classes) targets.

    An epoch has len(rows) // batch_size batches, with draws of its own.

    x (any, frames, n) with lengths (any,), or (any, n) without, stays where it is, say on disk; a batch of its
    `rows` is read when its turn comes, then standardised, masked and mixed in one compiled step. Clips of similar
    length share a batch, which is as wide as it must be: (batch, width, n), width <= frames. With all clips padded to
    the longest, a third of the arithmetic would be spent on padding.

    targets       : float (rows, n_classes)
    scaler        : mean and std, each (n,)
    max_time_mask : frames; max_freq_mask : columns; the widest masks of SpecAugment
    any_width     : False leaves batches as wide as x, in any order, for networks that need it so
    """
    targets = tf.constant(targets)
    mean, std = (tf.constant(part, tf.float32) for part in scaler)
    row_lengths = None if lengths is None else tf.constant(lengths[rows], tf.int64)
    sorts, n_batches = any_width and lengths is not None, len(rows) // batch_size

    def make(indices, draw):
        own_seeds, masks = tf.random.split([draw, 0], 3), []
        batch = tf.numpy_function(lambda chosen: np.asarray(x[rows[chosen]]), [indices], tf.float32)
        batch = tf.ensure_shape(batch, (batch_size, *x.shape[1:]))
        if row_lengths is not None:
            own_lengths = tf.gather(row_lengths, indices)
            frames = tf.sequence_mask(own_lengths, x.shape[1], tf.float32)
            frames *= random_mask(batch_size, x.shape[1], max_time_mask, own_seeds[0])
            bands = random_mask(batch_size, x.shape[2], max_freq_mask, own_seeds[1])
            masks = [frames[:, :, None], bands[:, None, :]]               # (batch, frames, 1), (batch, 1, n)
        share = mixup_weights(batch_size, mixup_alpha, own_seeds[2])
        batch = standardise_mask_mix(batch, mean, std, masks, share)
        if sorts:
            batch = batch[:, :-(-tf.reduce_max(own_lengths) // WIDTH_STEP) * WIDTH_STEP]
        return batch, mixup(tf.gather(targets, indices), share)

    def batches_of_epoch(draw):
        return tf.data.Dataset.from_tensor_slices((
            batch_indices(row_lengths if sorts else None, len(rows), batch_size, draw),
            tf.random.stateless_uniform([n_batches], [draw, 2], minval=None, maxval=None, dtype=tf.int64)))

    def draw_of_each_epoch():
        rng = np.random.default_rng(seed)
        while True:
            yield rng.integers(2**63)

    draws = tf.data.Dataset.from_generator(draw_of_each_epoch, output_signature=tf.TensorSpec((), tf.int64))
    options = tf.data.Options()
    options.deterministic = True
    options.threading.private_threadpool_size = 1
    return draws.flat_map(batches_of_epoch).map(make).prefetch(1).with_options(options)


def batch_indices(lengths, n_rows, batch_size, draw):
    """Rows of the batches of an epoch, in random order: int (batches, batch_size); a random remainder is left out.

    lengths : int (n_rows,), clips of similar length share a batch; or None, any do
    draw    : int, the random seed of this epoch
    """
    n_batches = n_rows // batch_size
    own_seeds = tf.random.split([draw, 1], 4)
    order = tf.random.experimental.stateless_shuffle(tf.range(n_rows, dtype=tf.int64), own_seeds[0])
    order = order[:n_batches * batch_size]
    if lengths is not None:
        jitter = tf.random.stateless_uniform(order.shape, own_seeds[1], maxval=LENGTH_JITTER)
        order = tf.gather(order, tf.argsort(tf.cast(tf.gather(lengths, order), tf.float32) + jitter))
    batches = tf.reshape(order, (n_batches, batch_size))
    # A partner in mixup is a neighbour: random within the batch, not the next in length.
    within = tf.argsort(tf.random.stateless_uniform(batches.shape, own_seeds[2]), axis=1)
    batches = tf.gather(batches, within, axis=1, batch_dims=1)
    return tf.random.experimental.stateless_shuffle(batches, own_seeds[3])


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
