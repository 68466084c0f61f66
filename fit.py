"""One fit: arrays in, a trained network and its predictions out. No files, no other fits, no test labels.

    training part --normalise, mixup, SpecAugment--> batches --> network --early stopping on the
    validation part--> best weights --> probabilities of validation and test clips

The test clips enter in one place, `probabilities` after training; their labels never do. Everything random
hangs on the seed passed in, and a fit runs on one thread, so it gives the same digits wherever it runs.
"""
import contextlib
import ctypes
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


@contextlib.contextmanager
def quiet_start():
    """TensorFlow's libraries write notices to file descriptor 2 when they load; its own switches miss some."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
with quiet_start():
    import keras
    import tensorflow as tf

import model
from data_preprocessing import normalise, normaliser

tf.get_logger().setLevel("ERROR")
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3      # of mallopt(3)
VERSIONS = dict(keras=keras.__version__, tensorflow=tf.__version__)


def fit(kind, x, lengths, labels, parts, seed, settings):
    """Train one network of `kind` ("cnn1d", ...) and predict its validation and test clips.

    x       : float (clips, versions, frames, n) or, for functionals, (clips, versions, 13 n); version 0 is
              the clip, the others its altered copies, which only training sees
    lengths : int (clips, versions), real frames; None for functionals
    labels  : int (clips,); those of the test part are not looked at
    parts   : {"train", "validation", "test"}: clip indices
    returns : dict(network, mean, std, history {column: [value per epoch]}, best_epoch from 1, parameters,
              validation and test probabilities (clips, classes), seconds)
    """
    start = time.perf_counter()
    one_thread()
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)

    x_train, train_lengths = every_version(x, parts["train"]), None
    if lengths is not None:
        train_lengths = every_version(lengths, parts["train"])
    mean, std = normaliser(x_train, train_lengths)
    x_train = normalise(x_train, mean, std, train_lengths)                  # (clips x versions, frames, n)
    y_train = np.repeat(labels[parts["train"]], x.shape[1])                 # (clips x versions,)
    x_validation = original(x, lengths, parts["validation"], mean, std)     # (clips, frames, n)
    targets = smooth(labels[parts["validation"]], settings.LABEL_SMOOTHING, len(settings.CLASSES))

    network = model.BUILDERS[kind](x_train.shape[1:], len(settings.CLASSES))
    batch_size = min(settings.BATCH_SIZE[kind], len(x_train))
    steps = len(x_train) // batch_size
    network.compile(
        keras.optimizers.AdamW(settings.LEARNING_RATE[kind], weight_decay=settings.WEIGHT_DECAY,
                               use_ema=settings.EMA > 0, ema_momentum=settings.EMA or None),
        loss="categorical_crossentropy", metrics=["accuracy"],
        jit_compile=False,           # XLA was slower on the CPU for every net tried: EXPERIMENTS.md
        steps_per_execution=steps)   # a whole epoch in one call
    history = History()
    network.fit(batches(x_train, y_train, batch_size, seed, settings), epochs=settings.EPOCHS[kind], shuffle=False,
                validation_data=(x_validation, targets), validation_batch_size=len(targets),
                callbacks=callbacks(history, settings), verbose=0)

    x_test = original(x, lengths, parts["test"], mean, std)
    return dict(network=network, mean=mean, std=std, history=history.columns, best_epoch=history.best_epoch(),
                parameters=network.count_params(), validation=probabilities(network, x_validation),
                test=probabilities(network, x_test), seconds=time.perf_counter() - start)


def one_thread():
    """One thread for TensorFlow, so that as many fits as cores run side by side and sums keep their order.

    And memory that TensorFlow frees stays with the process: by default glibc hands every large array back to
    the system and has it zeroed again for the next step (a convolutional net: up to 1.4 times slower).
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if hasattr(libc, "mallopt"):            # glibc only
        for parameter, value in ((M_MMAP_THRESHOLD, 2**30), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**27)):
            libc.mallopt(parameter, value)
    if tf.config.threading.get_intra_op_parallelism_threads() != 1:      # cannot be set twice in a process
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def every_version(array, clips):
    """(all clips, versions, ...) -> (clips x versions, ...): the chosen clips, each with its copies."""
    return np.asarray(array[clips]).reshape(-1, *array.shape[2:])


def original(x, lengths, clips, mean, std):
    """The chosen clips as recorded, without copies, normalised: (clips, ...)."""
    return normalise(np.asarray(x[clips, 0]), mean, std, None if lengths is None else lengths[clips, 0])


def smooth(labels, smoothing, classes):
    """One-hot targets with `smoothing` of each spread evenly: int (clips,) -> float32 (clips, classes)."""
    return np.eye(classes, dtype=np.float32)[labels] * (1 - smoothing) + np.float32(smoothing / classes)


def probabilities(network, x):
    """(clips, ...) -> (clips, classes), in one pass."""
    return np.asarray(network(x, training=False))


# -- batches ---------------------------------------------------------------------------------------
def batches(x, labels, batch_size, seed, settings):
    """tf.data.Dataset of one epoch: (batch, ...) inputs and (batch, classes) targets, new draws every epoch.

    The data lie in memory once; a batch is gathered, masked and mixed in one compiled step.
    """
    inputs, targets = tf.constant(x), tf.constant(smooth(labels, settings.LABEL_SMOOTHING, len(settings.CLASSES)))
    frames = int(settings.TIME_MASK_SECONDS * settings.SAMPLE_RATE / settings.HOP_LENGTH)
    bands = int(settings.BAND_MASK_SHARE * x.shape[-1])

    def make(indices, draw):
        seeds = tf.random.split([draw, 0], 3)
        batch, target = tf.gather(inputs, indices), tf.gather(targets, indices)
        if x.ndim == 3:
            batch = batch * band_mask(batch_size, x.shape[1], frames, seeds[0])[:, :, None]
            batch = batch * band_mask(batch_size, x.shape[2], bands, seeds[1])[:, None, :]
        return mixup(batch, target, settings.MIXUP_ALPHA, seeds[2])

    order = tf.data.Dataset.range(len(x)).shuffle(len(x), seed=seed, reshuffle_each_iteration=True)
    draws = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
    options = tf.data.Options()
    options.deterministic = True
    options.threading.private_threadpool_size = 1
    return (tf.data.Dataset.zip(order.batch(batch_size, drop_remainder=True), draws)
            .map(make).prefetch(1).with_options(options))


def mixup(x, targets, alpha, seed):
    """Mix each clip of the batch with its neighbour, its share drawn from Beta(alpha, alpha).

    Zhang et al., "mixup: beyond empirical risk minimization", 2018. Rows are in random order, so a
    neighbour is a random partner. x (batch, ...), targets (batch, classes); alpha 0 changes nothing.
    """
    if alpha == 0:
        return x, targets
    gamma = tf.random.stateless_gamma((2, x.shape[0]), seed, alpha)
    share = tf.math.divide_no_nan(gamma[0], gamma[0] + gamma[1])                # Beta(alpha, alpha), (batch,)
    share = tf.maximum(share, 1 - share)                                        # the clip itself outweighs
    wide = tf.reshape(share, [-1] + [1] * (len(x.shape) - 1))
    mixed = wide * x + (1 - wide) * tf.roll(x, 1, axis=0)
    return mixed, share[:, None] * targets + (1 - share[:, None]) * tf.roll(targets, 1, axis=0)


def band_mask(batch_size, size, widest, seed):
    """SpecAugment's mask: (batch, size) of ones with a run of 0 to `widest` zeros in each row.

    Park et al., "SpecAugment", 2019. Zero is the mean of normalised features.
    """
    draws = tf.random.stateless_uniform((2, batch_size, 1), seed)
    width = tf.floor(draws[0] * (widest + 1))
    start = tf.floor(draws[1] * (size - width + 1))
    position = tf.range(size, dtype=tf.float32)
    return tf.cast((position < start) | (position >= start + width), tf.float32)


# -- during training -------------------------------------------------------------------------------
def callbacks(history, settings):
    """What happens after each epoch. Only validation clips are looked at."""
    averaged = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if settings.EMA > 0 else []
    return averaged + [       # first: the averaged weights are what the others see, keep and restore
        history,
        keras.callbacks.EarlyStopping("val_choice", mode="max", patience=settings.EARLY_STOPPING_PATIENCE,
                                      restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau("val_loss", mode="min", factor=settings.PLATEAU_FACTOR,
                                          patience=settings.PLATEAU_PATIENCE, min_lr=settings.MINIMUM_LEARNING_RATE),
    ]


class History(keras.callbacks.Callback):
    """Collects one row per epoch, and says how good an epoch was (`val_choice`).

    An epoch is as good as its validation accuracy; among equals the lower validation loss wins. About a
    hundred clips give many equals, and the first of them would be a lucky early epoch.
    """
    def __init__(self):
        super().__init__()
        self.columns = {name: [] for name in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy",
                                              "val_choice", "learning_rate", "seconds")}

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        logs["val_choice"] = logs["val_accuracy"] - 1e-4 * min(logs["val_loss"], 10)   # less than one clip
        row = dict(logs, epoch=epoch + 1, seconds=time.perf_counter() - self.start,
                   learning_rate=float(self.model.optimizer.learning_rate))
        for name, column in self.columns.items():
            column.append(row[name])

    def best_epoch(self):
        """The epoch whose weights were kept, counted from 1."""
        return self.columns["epoch"][int(np.argmax(self.columns["val_choice"]))]


def model_bytes(network):
    """The content of a .keras file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        network.save(path)
        return path.read_bytes()
