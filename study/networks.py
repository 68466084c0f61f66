"""One fit: arrays in, a trained network and its predictions out. No files, no other fits, no test labels.

    training part --normalise, mixup, SpecAugment--> batches --> network --last weights, or the best on
    the validation part--> probabilities of validation and test clips

A fit trains several such networks, its members, each from weights of its own and with another validation part, and
averages their probabilities: with a thousand clips, chance in the weights costs more than anything a single network
could do better ("cross-validation committees": Krogh & Vedelsby, 1995; Parmanto et al., 1996).

The test clips enter in one place, `probabilities` after training; their labels never do. Everything random
hangs on the seed passed in, and a fit runs on one thread, so it gives the same digits wherever it runs.
"""
import contextlib
import ctypes
import math
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd


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
from data_preprocessing import fit_scaler, standardise
from ser import seeds
from ser.splits import out_of_fold_mean

tf.get_logger().setLevel("ERROR")
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3      # of mallopt(3)
VERSIONS = dict(keras=keras.__version__, tensorflow=tf.__version__)


def fit(kind, x, lengths, labels, members, seed, settings, weights=None):
    """Train one network of `kind` ("cnn1d", ...) for each member and predict validation and test clips by their mean.

    x       : float (clips, versions, frames, n) or, for functionals, (clips, versions, 13 n); version 0 is
              the clip, the others its altered copies, which only training sees
    lengths : int (clips, versions), real frames; None for functionals
    labels  : int (clips,); those of the test part are not looked at
    members : [{"train", "validation", "test"}: clip indices], as `splits.members_of_fold` gives them; the test part is
              the same for all. Without validation clips (CHECKPOINT "last") nothing is validated
    weights : (n,), what each column counts (features.weights); None: all the same
    The members share one normaliser, fitted on all clips that any of them trains on (without their labels).

    returns : dict(model, the bytes of a .keras file of all members; mean, std, parameters, seconds; history, a table
              with a row per member and epoch (History.table); and probabilities (clips, classes): validation of
              `splits.validated(members)`, each by those members that left the clip out; test by all)
    """
    start = time.perf_counter()
    use_one_thread()
    versions = x.shape[1]
    every_x = x.reshape(-1, *x.shape[2:])                                       # (clips x versions, frames, n), a view
    every_length = None if lengths is None else lengths.reshape(-1)
    heard = np.unique(np.concatenate([parts["train"] for parts in members]))    # by any member
    mean, std = fit_scaler(every_x, every_length, variant_rows(heard, versions), weights)

    trained, histories, validation = [], [], []
    for number, parts in enumerate(members):
        own_seed, rows = seeds.seed_for(seed, "member", number), variant_rows(parts["train"], versions)
        keras.utils.set_random_seed(own_seed)
        batch_size = min(settings.BATCH_SIZE[kind], len(rows))
        network = new_network(kind, x.shape[2:], len(rows) // batch_size, own_seed, settings)
        epoch = make_dataset(every_x, every_length, rows, labels[rows // versions], mean, std, batch_size, own_seed,
                        settings)
        x_validation = load_unaugmented(x, lengths, parts["validation"], mean, std)     # (clips, frames, n)
        history = train_network(network, epoch, x_validation, labels[parts["validation"]], kind, settings)
        histories.append(history.assign(member=number))
        validation.append(predict_proba(network, x_validation))
        trained.append([np.array(variable) for variable in network.variables])

    network = build_ensemble(kind, x.shape[2:], trained, settings)
    x_test = load_unaugmented(x, lengths, members[0]["test"], mean, std)
    return dict(model=network_bytes(network), mean=mean, std=std, parameters=network.count_params(),
                history=pd.concat(histories, ignore_index=True),
                validation=out_of_fold_mean(members, validation), test=predict_proba(network, x_test),
                seconds=time.perf_counter() - start)


def variant_rows(clips, versions):
    """Where clips and their copies lie, if all versions of all clips stand in one column: int (clips x versions,)."""
    return (np.asarray(clips)[:, None] * versions + np.arange(versions)).ravel()


def train_network(network, epoch, x_validation, labels, kind, settings):
    """Train a new network on the batches of `epoch`, again and again: -> table of its epochs (pd.DataFrame)."""
    targets = smoothed_one_hot(labels, settings.LABEL_SMOOTHING, len(settings.CLASSES))
    history = History()
    network.fit(epoch, epochs=settings.EPOCHS[kind], shuffle=False,
                validation_data=(x_validation, targets) if len(targets) else None,
                validation_batch_size=len(targets) or None,
                callbacks=callbacks(kind, history, settings), verbose=0)
    return history.table(settings.CHECKPOINT)


def build_ensemble(kind, input_shape, trained, settings):
    """One network that averages the members, from the values of all their variables: [[array, ...], ...]."""
    keras.utils.clear_session()             # layer names are counted from the start again
    networks = [model.BUILDERS[kind](input_shape, len(settings.CLASSES)) for _ in trained]
    for network, values in zip(networks, trained):
        for variable, value in zip(network.variables, values):
            variable.assign(value)
    return model.average_ensemble(networks)


def use_one_thread():
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


TRACED_NETWORKS = {}         # {what it was built and compiled for: (network, initial values)} of this process
MAX_TRACED = 12    # of them are kept: enough for a study whose folds are alike


def new_network(kind, input_shape, steps, seed, settings):
    """A compiled network with weights drawn from `seed`, trained for `steps` steps in one call.

    TensorFlow takes as long to trace a network as to train it for some epochs. So it is traced once in a process,
    and the next fit of the same kind and shape gets the same object with every variable set as if it were new.
    """
    built_for = (kind, input_shape, steps, settings.CLASSES, settings.WEIGHT_DECAY, settings.EMA_DECAY)
    if built_for not in TRACED_NETWORKS:
        if len(TRACED_NETWORKS) >= MAX_TRACED:
            del TRACED_NETWORKS[next(iter(TRACED_NETWORKS))]      # the oldest
        keras.utils.clear_session()             # layer names are counted from the start again
        network = model.BUILDERS[kind](input_shape, len(settings.CLASSES))
        network.compile(
            keras.optimizers.AdamW(weight_decay=settings.WEIGHT_DECAY,
                                   use_ema=settings.EMA_DECAY > 0, ema_momentum=settings.EMA_DECAY or None),
            loss="categorical_crossentropy", metrics=["accuracy"],
            jit_compile=False,                  # XLA was slower on the CPU for every net tried: EXPERIMENTS.md
            steps_per_execution=steps)          # a whole epoch in one call
        network.optimizer.build(network.trainable_variables)
        TRACED_NETWORKS[built_for] = network, [np.array(variable.numpy()) for variable in network.variables]
    network, initial_values = TRACED_NETWORKS[built_for]
    initialise_weights(network, initial_values, seed)
    for variable in network.optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    network.optimizer.learning_rate = settings.LEARNING_RATE[kind]
    return network


def initialise_weights(network, initial_values, seed):
    """Draw every random variable of a network from a seed of its own; give the others their initial values.

    Keras would draw them from Python's one generator, which other threads of a worker use as well.
    """
    for number, (variable, value) in enumerate(zip(network.variables, initial_values)):
        own_seed = seeds.seed_for(seed, "variable", number)
        if variable.name == "kernel":
            value = keras.initializers.GlorotUniform(seed=own_seed)(variable.shape)
        elif variable.name == "recurrent_kernel":
            value = keras.initializers.Orthogonal(seed=own_seed)(variable.shape)
        elif variable.name == "seed_generator_state":       # of a dropout layer
            value = np.array([own_seed, 0])
        variable.assign(value)


def load_unaugmented(x, lengths, clips, mean, std):
    """The chosen clips as recorded, without copies, normalised: (clips, ...)."""
    return standardise(np.asarray(x[clips, 0]), mean, std, None if lengths is None else lengths[clips, 0])


def smoothed_one_hot(labels, smoothing, classes):
    """One-hot targets with `smoothing` of each spread evenly: int (clips,) -> float32 (clips, classes)."""
    return np.eye(classes, dtype=np.float32)[labels] * (1 - smoothing) + np.float32(smoothing / classes)


def predict_proba(network, x):
    """(clips, ...) -> (clips, classes), in one pass."""
    return np.asarray(network(x, training=False)) if len(x) else np.empty((0, *network.output_shape[1:]), np.float32)


# -- batches ---------------------------------------------------------------------------------------
def make_dataset(x, lengths, rows, labels, mean, std, batch_size, seed, settings):
    """tf.data.Dataset of one epoch: (batch, ...) inputs and (batch, classes) targets, new draws every epoch.

    x (any, frames, n) with lengths (any,), or (any, n) without, stays where it is, say on disk; a batch of its
    `rows` is read when its turn comes, then normalised, masked and mixed in one compiled step.
    labels : int, of each of the rows
    """
    targets = tf.constant(smoothed_one_hot(labels, settings.LABEL_SMOOTHING, len(settings.CLASSES)))
    mean, std = tf.constant(mean, tf.float32), tf.constant(std, tf.float32)
    row_lengths = None if lengths is None else tf.constant(lengths[rows], tf.int64)
    widest = dict(frames=int(settings.TIME_MASK_SECONDS * settings.SAMPLE_RATE / settings.HOP_LENGTH),
                  bands=int(settings.FREQ_MASK_FRACTION * x.shape[-1]))

    def make(indices, draw):
        own_seeds, masks = tf.random.split([draw, 0], 3), []
        batch = tf.numpy_function(lambda chosen: np.asarray(x[rows[chosen]]), [indices], tf.float32)
        batch = tf.ensure_shape(batch, (batch_size, *x.shape[1:]))
        if row_lengths is not None:
            real = tf.sequence_mask(tf.gather(row_lengths, indices), x.shape[1], tf.float32)
            real *= random_mask(batch_size, x.shape[1], widest["frames"], own_seeds[0])
            bands = random_mask(batch_size, x.shape[2], widest["bands"], own_seeds[1])
            masks = [real[:, :, None], bands[:, None, :]]               # (batch, frames, 1), (batch, 1, n)
        share = mixup_weights(batch_size, settings.MIXUP_ALPHA, own_seeds[2])
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

    Park et al., "SpecAugment", 2019. Zero is the mean of normalised features.
    """
    draws = tf.random.stateless_uniform((2, batch_size, 1), seed)
    width = tf.floor(draws[0] * (widest + 1))
    start = tf.floor(draws[1] * (size - width + 1))
    position = tf.range(size, dtype=tf.float32)
    return tf.cast((position < start) | (position >= start + width), tf.float32)


# -- during training -------------------------------------------------------------------------------
def callbacks(kind, history, settings):
    """What happens after each epoch. Only validation clips are looked at."""
    averaged = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if settings.EMA_DECAY > 0 else []
    stopping = [keras.callbacks.EarlyStopping("val_choice", mode="max", patience=settings.EARLY_STOPPING_PATIENCE,
                                              restore_best_weights=True)] if settings.CHECKPOINT == "best" else []
    # Averaging comes first: the averaged weights are what the others see, keep and restore.
    return [*averaged, history, *stopping, lr_schedule(settings.LEARNING_RATE[kind], settings.EPOCHS[kind], settings)]


def lr_schedule(start, epochs, settings):
    """Callback that lowers the learning rate from `start`."""
    if settings.LR_SCHEDULE == "cosine":
        return keras.callbacks.LearningRateScheduler(
            lambda epoch, _: start * (1 + math.cos(math.pi * epoch / epochs)) / 2)
    return keras.callbacks.ReduceLROnPlateau("val_loss", mode="min", factor=settings.PLATEAU_FACTOR,
                                             patience=settings.PLATEAU_PATIENCE, min_lr=settings.MINIMUM_LEARNING_RATE)


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
        if "val_loss" in logs:
            logs["val_choice"] = logs["val_accuracy"] - 1e-4 * min(logs["val_loss"], 10)   # less than one clip
        row = dict(logs, epoch=epoch + 1, seconds=time.perf_counter() - self.start,
                   learning_rate=float(self.model.optimizer.learning_rate))
        for name, column in self.columns.items():
            column.append(row.get(name, math.nan))

    def table(self, keep):
        """A row per epoch, counted from 1; `kept` is 1 for that whose weights were kept, else 0."""
        table = pd.DataFrame(self.columns)
        kept = table.val_choice.idxmax() if keep == "best" else len(table) - 1
        return table.assign(kept=(table.index == kept).astype(int))


def network_bytes(network):
    """The content of a .keras file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        network.save(path)
        return path.read_bytes()


def load_network(path):
    """The network in a .keras file, in Keras's safe mode: no code comes with it."""
    return keras.models.load_model(path, compile=False, safe_mode=True)
