"""The Keras networks: trained, averaged, saved, loaded. No files of a run, no other fits.

    training clips --standardise, SpecAugment, mixup--> batches --> network --last weights, or the best on the
    validation clips--> probabilities of validation and test clips

A fit trains several such networks, the members, each from initial weights of its own and with another validation part,
and averages their probabilities: with a thousand clips, the scatter between initial weights costs more than anything
that a single network could do better ("cross-validation committees": Krogh & Vedelsby, 1995; Parmanto et al., 1996).

Everything random depends on the seed passed in, and a fit runs on one thread, so it gives the same digits wherever it
runs.
"""
import functools
import math
import pkgutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from study.backend import keras, tf, use_one_thread  # isort: skip (first, so that Keras loads without its notices)
# What keras.utils.clear_session does besides would throw away compiled functions: four seconds of every fit.
from keras.src.utils.naming import reset_uids

import model
from ser import seeds
from ser.errors import UserError
from study.batches import make_dataset
from study.fitting import flatten_variants, load_unaugmented, variant_rows
from study.optimizer import make_optimizer
from study.saved_model import check_network_file
from study.training import Training, convolution_precision
from study.training_form import training_form


class NetworkEnsemble:
    """An ensemble of networks that differ in initial weights and validation part; see fitting.Estimator.

    n_classes : number of emotions; seed : of everything random; the rest as in training.Training
    """
    FILE, USES_AUGMENTED = "model.keras", True

    def __init__(self, n_classes, seed=None, **training):
        self.n_classes, self.seed = n_classes, seed
        self.training = Training(**training) if training else None
        self.network = self.history = None

    @staticmethod
    def versions():
        return dict(keras=keras.__version__, tensorflow=tf.__version__)

    def fit(self, x, lengths, labels, member_splits, scaler):
        """See fitting.Estimator.fit; without validation clips (checkpoint "last") nothing is validated."""
        use_one_thread()
        convolution_precision(self.training.precision)          # a worker elsewhere may have another processor
        n_variants, input_shape = x.shape[1], x.shape[2:]
        any_width = len(input_shape) == 2 and takes_any_width(self.training.builder, input_shape[1], self.n_classes)
        train_shape = (None, input_shape[1]) if any_width else input_shape
        flat_x, flat_lengths = flatten_variants(x, lengths, n_variants)
        weights, histories, validation = [], [], []
        for number, split in enumerate(member_splits):
            seed, rows = seeds.seed_for(self.seed, "member", number), variant_rows(split["train"], n_variants)
            batch_size = min(self.training.batch_size, len(rows))
            network, plain = new_network(self.training, train_shape, self.n_classes, len(rows) // batch_size, seed)
            batches = make_dataset(
                flat_x, flat_lengths, rows, self.targets(labels[rows // n_variants]), scaler, batch_size=batch_size,
                seed=seed, mixup_alpha=self.training.mixup_alpha, max_time_mask=self.training.max_time_mask,
                max_freq_mask=int(self.training.max_freq_mask * x.shape[-1]), any_width=any_width)
            x_validation = load_unaugmented(x, lengths, split["validation"], scaler)        # (clips, frames, n)
            history = train_network(network, batches, len(rows) // batch_size, x_validation,
                                    self.targets(labels[split["validation"]]), self.training)
            histories.append(history.assign(member=number))
            weights.append([np.array(variable) for variable in network.variables])
            assign_all(plain, weights[-1])
            validation.append(predict_proba(plain, x_validation))
        self.network = build_ensemble(self.training.builder, input_shape, self.n_classes, weights)
        self.history = pd.concat(histories, ignore_index=True)
        return validation

    def targets(self, labels):
        return smoothed_one_hot(labels, self.training.label_smoothing, self.n_classes)

    def predict_proba(self, x, lengths):
        """Standardised clips, (clips, frames, n) or (clips, 13 n) -> probabilities (clips, n_classes).

        lengths : not used; a network knows padded frames by their zeros
        """
        return predict_proba(self.network, x)

    @property
    def n_parameters(self):
        return self.network.count_params()

    def save(self):
        """{file name: bytes}."""
        return {self.FILE: network_bytes(self.network)}

    @classmethod
    def load(cls, folder):
        """What `save` gave, from its file in a folder. raises : OSError, ValueError"""
        ensemble = cls(None)
        ensemble.network = load_network(folder / cls.FILE)
        ensemble.n_classes = ensemble.network.output_shape[-1]
        return ensemble


# -- training ----------------------------------------------------------------------------------------
def build(builder, input_shape, n_classes):
    """A new network by the function that `builder` ("module:name") names."""
    return pkgutil.resolve_name(builder)(input_shape, n_classes)


@functools.cache
def takes_any_width(builder, n, n_classes):
    """Whether a builder makes a network on any number of frames; one that flattens them, say, does not.

    An error of another kind comes up again where the network is built for its number of frames.
    """
    try:
        build(builder, (None, n), n_classes)
    except (ValueError, TypeError):
        return False
    return True


def train_network(network, batches, steps, x_validation, targets, training):
    """Train a new network, `steps` of the endless `batches` an epoch: -> table of its epochs (pd.DataFrame).

    targets : float (validation clips, n_classes)
    """
    history = History()
    validation = tf.data.Dataset.from_tensors((x_validation, targets)) if len(targets) else None    # a single batch
    network.fit(batches, epochs=training.epochs, steps_per_epoch=steps, shuffle=False, validation_data=validation,
                callbacks=callbacks(training, history), verbose=0)
    return history.table(training.checkpoint)


def build_ensemble(builder, input_shape, n_classes, weights):
    """One network that averages the members, from the values of all their variables: [[array, ...], ...]."""
    reset_uids()                    # layer names are counted from the start again
    networks = [build(builder, input_shape, n_classes) for _ in weights]
    for network, values in zip(networks, weights):
        assign_all(network, values)
    return model.average_ensemble(networks)


def assign_all(network, values):
    """Set every variable of a network: [array, ...] in their order."""
    for variable, value in zip(network.variables, values, strict=True):
        variable.assign(value)


TRACED_NETWORKS = {}    # {what it was built and compiled for: (network, plain network, initial values)} of this process
MAX_TRACED = 12    # of them are kept: enough for a study whose folds are alike


def new_network(training, input_shape, n_classes, steps, seed):
    """A compiled network with weights drawn from `seed`, trained for `steps` steps in one call, and the plain network
    that it is a training_form of.

    TensorFlow takes as long to trace a network as to train it for some epochs. So it is traced once in a process,
    and the next fit of the same builder and shape gets the same object with every variable set as if it were new.
    """
    built_for = (training.builder, input_shape, steps, n_classes, training.optimizer, training.weight_decay,
                 training.ema_decay, training.precision)
    if built_for not in TRACED_NETWORKS:
        if len(TRACED_NETWORKS) >= MAX_TRACED:
            del TRACED_NETWORKS[next(iter(TRACED_NETWORKS))]      # the oldest
        reset_uids()                # layer names are counted from the start again
        plain = build(training.builder, input_shape, n_classes)
        network = training_form(plain, training.precision)
        network.compile(
            make_optimizer(network, training), loss="categorical_crossentropy",
            # By the name alone its variables were made while the step is traced, and TensorFlow would trace it again.
            metrics=[keras.metrics.CategoricalAccuracy("accuracy")],
            jit_compile=False,              # XLA was slower on the CPU for every network tried: EXPERIMENTS.md
            steps_per_execution=steps)          # a whole epoch in one call
        network.optimizer.build(network.trainable_variables)
        TRACED_NETWORKS[built_for] = network, plain, [np.array(variable.numpy()) for variable in network.variables]
    network, plain, initial_values = TRACED_NETWORKS[built_for]
    initialise_weights(network, initial_values, seed)
    for variable in network.optimizer.variables:
        variable.assign(np.zeros(variable.shape, variable.dtype))
    network.optimizer.learning_rate = training.learning_rate
    return network, plain


def initialise_weights(network, initial_values, seed):
    """Draw every random variable of a network by its layer's initialiser, from a seed of its own; give the others their
    initial values.

    Keras would draw them from Python's one generator, which other threads of a worker use as well.
    raises : UserError for random weights that no initialiser of the layer draws
    """
    own = random_initialisers(network)
    for number, (variable, value) in enumerate(zip(network.variables, initial_values)):
        own_seed = seeds.seed_for(seed, "variable", number)
        if id(variable) in own:
            kind, config = own[id(variable)]
            value = kind.from_config(config | {"seed": own_seed})(variable.shape)
        elif variable.name == "seed_generator_state":       # of a dropout layer
            value = np.array([own_seed, 0])
        elif len(np.unique(value)) > 2:                         # random, but not drawn here: it would be shared
            raise UserError(f"{variable.path}: such weights are not drawn from the seed; see study/networks.py, "
                            "initialise_weights")
        variable.assign(value)


def random_initialisers(network):
    """{id of a variable: (class of its initialiser, its config)} of those that are drawn at random."""
    found = {}
    for layer in network._flatten_layers(include_self=False):           # cells of recurrent layers as well
        for attribute in [name for name in vars(layer) if name.endswith("_initializer")]:
            initialiser, name = getattr(layer, attribute), attribute.removesuffix("_initializer")
            config = initialiser.get_config() if isinstance(initialiser, keras.initializers.Initializer) else {}
            weight = getattr(layer, name, getattr(layer, f"{name}_kernel", None))       # recurrent_kernel
            if "seed" in config and weight is not None:
                found[id(weight)] = type(initialiser), config
    return found


def smoothed_one_hot(labels, smoothing, classes):
    """One-hot targets with `smoothing` of each spread evenly: int (clips,) -> float32 (clips, classes)."""
    return np.eye(classes, dtype=np.float32)[labels] * (1 - smoothing) + np.float32(smoothing / classes)


def predict_proba(network, x):
    """(clips, ...) -> (clips, classes), in one pass."""
    return np.asarray(network(x, training=False)) if len(x) else np.empty((0, *network.output_shape[1:]), np.float32)


# -- during training -------------------------------------------------------------------------------
def callbacks(training, history):
    """What happens after each epoch. Only validation clips are looked at."""
    averaged = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if training.ema_decay > 0 else []
    stopping = [keras.callbacks.EarlyStopping("val_score", mode="max", patience=training.early_stopping_patience,
                                              restore_best_weights=True)] if training.checkpoint == "best" else []
    # Averaging comes first: the averaged weights are what the others see, keep and restore.
    return [*averaged, history, *stopping, lr_schedule(training)]


def lr_schedule(training):
    """Callback that lowers the learning rate."""
    if training.lr_schedule == "cosine":
        return keras.callbacks.LearningRateScheduler(
            lambda epoch, _: training.learning_rate * (1 + math.cos(math.pi * epoch / training.epochs)) / 2)
    return keras.callbacks.ReduceLROnPlateau("val_loss", mode="min", factor=training.plateau_factor,
                                             patience=training.plateau_patience, min_lr=training.min_learning_rate)


class History(keras.callbacks.Callback):
    """Collects one row per epoch, and says how good an epoch was (`val_score`).

    An epoch is as good as its validation accuracy; among equals the lower validation loss wins. About a
    hundred clips give many equals, and the first of them would be a lucky early epoch.
    """
    def __init__(self):
        super().__init__()
        self.columns = {name: [] for name in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy",
                                              "val_score", "learning_rate", "seconds")}

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if "val_loss" in logs:
            logs["val_score"] = logs["val_accuracy"] - 1e-4 * min(logs["val_loss"], 10)   # less than one clip
        row = dict(logs, epoch=epoch + 1, seconds=time.perf_counter() - self.start,
                   learning_rate=float(self.model.optimizer.learning_rate))
        for name, column in self.columns.items():
            column.append(row.get(name, math.nan))

    def table(self, checkpoint):
        """A row per epoch, counted from 1; `kept` is 1 for that whose weights were kept, else 0."""
        table = pd.DataFrame(self.columns)
        kept = table.val_score.idxmax() if checkpoint == "best" else len(table) - 1
        return table.assign(kept=(table.index == kept).astype(int))


def network_bytes(network):
    """The content of a .keras file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        network.save(path)
        return path.read_bytes()


def load_network(path):
    """The network in a .keras file, in Keras's safe mode: no code comes with it. raises : OSError, ValueError"""
    check_network_file(Path(path))
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as problem:        # of Keras or TensorFlow, which share no base: of another version, an own layer
        raise ValueError(f"Keras cannot read it: {str(problem).strip() or type(problem).__name__}") from problem
