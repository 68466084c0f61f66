"""One short fit on random arrays of the size of a fold: ours, or the conventional implementation's.

Time does not depend on what is in the arrays. A fit is timed in a process of its own (run.py), since TensorFlow keeps
what it has traced, and its threads are set once.
"""
import resource
import sys
import time
from typing import NamedTuple

import numpy as np

OUR_EPOCHS, BASELINE_EPOCHS = 4, 2      # timed in a process; the first, which traces the network, counts as start


class FoldSize(NamedTuple):
    """Clips of a fold; training sees their augmented copies as well."""
    train: int
    validation: int
    test: int

    @property
    def clips(self):
        return sum(self)


FOLD = FoldSize(1035, 116, 289)         # fold 0 of RAVDESS, "stratified"


def random_fold(row, feature, settings, n_frames, size):
    """Random stand-ins for one fold: x (clips, variants, frames, n) or (clips, variants, 13 n), lengths (clips,
    variants) or None, labels (clips,), and its split.

    row : of config.MODELS; feature : mfcc, mel or gauss
    """
    rng = np.random.default_rng(0)
    n = {"mfcc": settings.N_MFCC, "mel": settings.N_MELS, "gauss": settings.N_GAUSS_COEFFICIENTS}[feature]
    variants, on_functionals = (size.clips, 1 + settings.N_AUGMENTED), row.input == "functionals"
    x = rng.standard_normal((*variants, 13 * n) if on_functionals else (*variants, n_frames, n), dtype=np.float32)
    # RAVDESS, trimmed, and its stretched copies: 81 of 128 frames, standard deviation 19, at least 43.
    share = rng.normal(0.63, 0.15, variants).clip(0.33, 1)
    lengths = None if on_functionals else (share * n_frames).round().astype(int)
    split = dict(zip(("train", "validation", "test"), np.split(np.arange(size.clips), np.cumsum(size[:2]))))
    return x, lengths, rng.integers(0, len(settings.CLASSES), size.clips), split


def fit_ours(settings, model_name, feature, size=FOLD):
    """One short fit as train.py makes it, on one thread: dict of

    epoch, start, imports, pipeline : seconds of an epoch, of all else in the fit, of the imports, and of the input
                                      pipeline alone in an epoch
    steps, flops                    : of an epoch; flops are floating-point operations
    parameters, memory              : of the whole fit; GB at its peak
    """
    start = time.perf_counter()
    import data_preprocessing as data
    import features
    from study import batches, estimators, fitting, networks
    imports = time.perf_counter() - start

    row = settings.MODELS[model_name]._replace(epochs=OUR_EPOCHS)
    extraction, n_classes = data.extraction_params(settings, [feature]), len(settings.CLASSES)
    x, lengths, labels, split = random_fold(row, feature, settings, extraction.n_frames(feature), size)
    frame_seconds = features.frame_seconds(feature, extraction.params)
    estimator = networks.NetworkEnsemble(n_classes, 1, **estimators.hyperparameters(row, settings, frame_seconds))
    fit = fitting.fit_fold(estimator, x, lengths, labels, [split] * settings.ENSEMBLE_SIZE)
    start = time.perf_counter()
    estimator.save()
    seconds = fit.seconds + time.perf_counter() - start
    epochs, gigabytes = estimator.history.seconds.to_numpy(), peak_memory()
    epoch = float(np.median(epochs[1:]))

    training, n_variants = estimator.training, x.shape[1]
    rows = fitting.variant_rows(split["train"], n_variants)
    batch_size = min(training.batch_size, len(rows))
    pipeline = batches.make_dataset(
        *fitting.flatten_variants(x, lengths, n_variants), rows, estimator.targets(labels[rows // n_variants]),
        (fit.mean, fit.std), batch_size=batch_size, seed=1, mixup_alpha=training.mixup_alpha,
        max_time_mask=training.max_time_mask, max_freq_mask=int(training.max_freq_mask * x.shape[-1]))
    list(pipeline.take(2))                                                      # traces it
    start = time.perf_counter()
    steps = len(rows) // batch_size
    shapes = [batch.shape for batch, _ in pipeline.take(steps)]
    pipeline_seconds = time.perf_counter() - start
    mean_width = np.mean(shapes, axis=0).round().astype(int)[1:]                # (frames, n), or (13 n,)
    network = networks.build(row.builder, tuple(map(int, mean_width)), n_classes)
    return dict(epoch=epoch, start=float(seconds - epochs[1:].sum() - epoch), imports=imports,
                pipeline=pipeline_seconds, steps=steps, flops=steps * training_flops(network, batch_size),
                parameters=estimator.n_parameters, memory=gigabytes)


def fit_baseline(settings, model_name, feature, network_of="baseline", size=FOLD):
    """Keras `fit` on arrays, on all cores: dict(epoch, start, parameters, memory) as in `fit_ours`.

    network_of : "baseline", or "ours" for one of our networks under the conventional fit
    """
    import data_preprocessing as data
    from benchmarks import baseline
    from study import networks
    from study.backend import keras

    row, n_classes = settings.MODELS[model_name], len(settings.CLASSES)
    n_frames = data.extraction_params(settings, [feature]).n_frames(feature)
    x, _, labels, split = random_fold(row, feature, settings, n_frames, size)
    targets = np.eye(n_classes, dtype=np.float32)[labels[split["train"]]].repeat(x.shape[1], axis=0)
    x = x[split["train"]].reshape(-1, *x.shape[2:])                             # (clips x variants, ...)
    network = baseline.BUILDERS[model_name](x.shape[1:], n_classes) if network_of == "baseline" else \
        networks.build(row.builder, x.shape[1:], n_classes)
    network.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    starts = []
    network.fit(x, targets, batch_size=baseline.BATCH_SIZE, epochs=BASELINE_EPOCHS, verbose=0, callbacks=[
        keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: starts.append(time.perf_counter()))])
    epochs = np.diff([*starts, time.perf_counter()])
    return dict(epoch=float(epochs[-1]), start=float(epochs[0] - epochs[-1]), parameters=network.count_params(),
                memory=peak_memory())


def training_flops(network, batch_size):
    """Floating-point operations of one training step: multiplications and additions of every matrix product, three
    times (forward, and backward by inputs and by weights). Element-wise work is not counted.

    raises : ValueError for a layer with weights whose operations are not known here
    """
    total = 0
    for layer in network.layers:
        layer_type = type(layer).__name__
        if layer_type in ("Conv1D", "Conv2D"):          # every output position sees the whole kernel
            total += 2 * int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:-1]))
        elif layer_type == "Dense":
            total += 2 * layer.kernel.shape[0] * layer.kernel.shape[1]
        elif layer_type == "Bidirectional":
            cell, steps = layer.forward_layer.cell, layer.output.shape[1]
            total += 2 * steps * 2 * (np.prod(cell.kernel.shape) + np.prod(cell.recurrent_kernel.shape))
        elif layer.weights and layer_type != "BatchNormalization":
            raise ValueError(f"{layer.name}: operations of a {layer_type} are not known here")
    return 3 * batch_size * int(total)


def peak_memory():
    """Most memory that this process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**3 if sys.platform == "darwin" else 1024**2)
