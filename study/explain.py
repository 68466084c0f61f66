"""What networks receive and what their decisions depend on, stored in the run's folder for viz.py to draw.

    examples.npz                 one clip per emotion, as every feature
    occlusion.npz                a sequence network: the regions of a clip that its decision depends on
    tsne.csv                     the same network: clips on a plane, by what its last layer receives
    permutation_importance.csv   a network on functionals: the fall of accuracy when a functional is permuted
"""
import os
import zipfile
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import features
from ser.files import read_csv, write_atomically, write_csv
from ser.parallel import disable_worker_recycling, parallel_backend
from ser.parallel import run as run_in_parallel
from ser.signals import follow_driver
from study import inference, runs

PATCH = (8, 0.125)          # frames, fraction of the columns that are occluded together
BATCH_SIZE = 256            # clips in one pass
N_REPEATS = 5               # permutations of each functional
TSNE_MIN_CLIPS = 4          # for a perplexity of 1


# -- what the run's folder gets --------------------------------------------------------------------
def write_examples(run_folder, clips, sequences, lengths, params):
    """One clip per emotion, as every feature that is no encoder's -> examples.npz, if there is one. Nothing is decoded.

    clips     : table with file, emotion, label, a row per clip
    sequences : {feature: float (clips, variants, frames, n)}, variant 0 is the clip itself; may be memory-mapped
    lengths   : {feature: int (clips, variants)}, real frames; params : of the features

    Keys: emotions, files (str), one float32 (examples, frames, n) per feature, and in the order of the features lengths
    (features, examples), hop_seconds, the time between their frames, and axes (str), what their columns are.
    """
    rows = clips.reset_index(drop=True).pipe(choose_examples).index.to_numpy()
    chosen = clips.iloc[rows]
    sequences = {name: array for name, array in sequences.items() if not features.FEATURES[name].encoder}
    if not sequences:
        return
    write_arrays(run_folder / "examples.npz", emotions=chosen.emotion, files=chosen.file,
                 lengths=[lengths[name][rows, 0] for name in sequences],
                 hop_seconds=[features.frame_seconds(name, params) for name in sequences],
                 axes=[features.FEATURES[name].axis for name in sequences],
                 **{name: np.float32(array[rows, 0]) for name, array in sequences.items()})


def write_explanations(run_folder, sequences, functionals, lengths):
    """Explanations of two networks of the run's first finished fold on its test clips -> occlusion.npz, tsne.csv and
    permutation_importance.csv.

    The networks are those with the best inner validation accuracy: one on sequences, of a spectrogram where there is
    one, since its columns are easy to read; and one on functionals. What is already there for the same fit is kept.

    sequences, lengths : as in `write_examples`, the clips in the order of clips.csv
    functionals        : {feature: float (clips, variants, 13 n)}
    """
    run = runs.read_run(run_folder)
    rows_of_files = pd.Series(range(len(run.clips)), run.clips.file)
    for explain, names, arrays, fit in ((explain_sequences, ("occlusion.npz", "tsne.csv"), sequences,
                                         best_network(run, "frames", sequences)),
                                        (explain_functionals, ("permutation_importance.csv",), functionals,
                                         best_network(run, "functionals", functionals))):
        if fit is None or all(fit_of_artefact(run.folder / name) == fit.fit_id for name in names):
            continue
        model = inference.load_model(fit_folder(run, fit), lite=False)          # loads TensorFlow
        model = replace(model, speaker_mean=0.0)        # of --adapt speaker: the arrays are centred already
        table = run.predictions.query("feature == @fit.feature and model == @fit.model and fold == @fit.fold")
        table = table[["file", "actor", "true", "predicted", *(f"p_{name}" for name in model.metadata["labels"])]]
        table = table.reset_index(drop=True)
        rows = rows_of_files[table.file].to_numpy()
        explain(run, fit, model, table, np.array(arrays[fit.feature][rows, 0]), np.array(lengths[fit.feature][rows, 0]))


def explain_models(run_folder, extracted, jobs):
    """What viz.py draws of the models: by a worker of this machine, which has TensorFlow loaded from its fits.

    extracted : the arrays of data_preprocessing.build_features
    """
    with parallel_backend("loky", jobs=min(jobs, 2)) as workers:        # one task; 1 would be this process
        for _ in run_in_parallel([joblib.delayed(run_in_worker)(
                os.getpid(), run_folder, extracted.sequences, extracted.functionals, extracted.lengths)], workers.jobs):
            pass


def run_in_worker(driver, *arguments):
    """`write_explanations`, in a worker of the process `driver`."""
    follow_driver(driver)
    disable_worker_recycling()
    write_explanations(*arguments)


def explain_sequences(run, fit, model, table, x, lengths):
    """occlusion.npz and tsne.csv; table : the fit's predictions; x : float (clips, frames, n) of its clips, not
    standardised; lengths : int (clips,)"""
    network, labels, inputs = model.estimator.network, model.metadata["labels"], model.standardise(x, lengths)
    best, predict = best_classified(table, labels), compiled(network)
    falls = np.zeros((len(best), *x.shape[1:]), np.float32)
    for fall, row, emotion in zip(falls, best.index, best.true):
        fall[:lengths[row]] = occlusion(predict, inputs[row], lengths[row], labels.index(emotion))
    hop_seconds = features.frame_seconds(fit.feature, run.config["feature_params"])
    write_arrays(run.folder / "occlusion.npz", **origin(fit), emotions=best.true, predicted=best.predicted,
                 files=best.file, axis=features.FEATURES[fit.feature].axis, lengths=lengths[best.index],
                 inputs=np.float32(x[best.index]), falls=falls,
                 hop_seconds=hop_seconds, patch_frames=PATCH[0], patch_fraction=PATCH[1])
    if len(inputs) >= TSNE_MIN_CLIPS:
        points = tsne(penultimate(network, inputs))                                         # (clips, 2)
        write_csv(run.folder / "tsne.csv", table[["file", "actor", "true"]].assign(
            x=points[:, 0].round(4), y=points[:, 1].round(4), **origin(fit)))


def explain_functionals(run, fit, model, table, x, lengths):
    """permutation_importance.csv; table and lengths as above; x : float (clips, 13 n) of its clips, not standardised"""
    names = features.FEATURES[fit.feature].statistics
    labels = table.true.map(model.metadata["labels"].index).to_numpy()                      # (clips,)
    groups = np.repeat(np.arange(len(names)), x.shape[1] // len(names))                     # (columns,)
    falls = permutation_importance(compiled(model.estimator.network), model.standardise(x, lengths), labels, groups,
                                   np.random.default_rng(0), N_REPEATS)                     # (functionals, repeats)
    write_csv(run.folder / "permutation_importance.csv", pd.DataFrame(dict(
        functional=np.repeat(names, N_REPEATS), repeat=np.tile(np.arange(N_REPEATS), len(names)),
        fall=falls.ravel().round(6), **origin(fit))))


# -- which clips, which networks -------------------------------------------------------------------
def choose_examples(clips):
    """One row per emotion, from the largest group that shares actor, sentence, intensity and repetition."""
    known = [name for name in ("actor", "statement", "intensity", "repetition") if name in clips]
    groups = clips.groupby(known, dropna=False).emotion
    largest_first = clips.assign(size=groups.transform("nunique"))
    largest_first = largest_first.sort_values("size", ascending=False, kind="stable")
    return largest_first.drop_duplicates("emotion").sort_values("label")


def best_classified(table, labels):
    """One row per emotion, in the order of `labels`: the correct one with the highest confidence, or where none is
    correct the one whose emotion has the highest probability. table : with true, predicted, p_<label>"""
    p = table[[f"p_{name}" for name in labels]].to_numpy()                                  # (clips, labels)
    p_true = p[np.arange(len(p)), table.true.map(labels.index)]
    ranked = table.assign(correct=table.true == table.predicted, p_true=p_true)
    ranked = ranked.sort_values(["correct", "p_true"], ascending=False, kind="stable").drop_duplicates("true")
    return ranked.sort_values("true", key=lambda names: names.map(labels.index))


def best_network(run, kind, arrays):
    """The row of fits.csv of the run's first finished fold with the best inner validation accuracy; None where there is
    none.

    kind : "frames" or "functionals", the input; arrays : {feature: ...}, those at hand
    """
    if run.fits.empty:
        return None
    rows = run.config["settings"]["MODELS"]
    fits = run.fits[(run.fits.fold == run.fits.fold.min()) & run.fits.feature.isin(list(arrays))
                    & run.fits.model.isin(list(rows))]                                  # the ensemble is no network
    fits = fits[np.array([rows[fit.model]["input"] == kind and (fit_folder(run, fit) / inference.NETWORK_FILE).exists()
                          for fit in fits.itertuples()], bool)]
    spectrogram = fits.feature.map(lambda name: features.FEATURES[name].axis == "band").astype(bool)
    if kind == "frames" and spectrogram.any():
        fits = fits[spectrogram]
    return next(fits.sort_values("validation_accuracy", ascending=False, kind="stable").itertuples(), None)


def fit_folder(run, fit):
    return run.folder / "fits" / runs.fit_name(fit.feature, fit.model, fit.fold)


def origin(fit):
    """The columns that say which fit an artefact explains."""
    return {name: getattr(fit, name) for name in ("feature", "model", "fold", "fit_id")}


# -- files -----------------------------------------------------------------------------------------
def write_arrays(path, **arrays):
    """An .npz of arrays, atomically; text as str arrays, so that nothing needs pickle."""
    arrays = {name: np.asarray(value) for name, value in arrays.items()}
    with write_atomically(path) as tmp_path:
        np.savez(tmp_path, **{name: value.astype(str) if value.dtype == object else value
                              for name, value in arrays.items()})


def fit_of_artefact(path):
    """The fit_id that is stored in an artefact; None where it is missing or damaged."""
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return str(arrays["fit_id"])
        return read_csv(path).fit_id.iloc[0]
    except (OSError, ValueError, AttributeError, IndexError, KeyError, EOFError, zipfile.BadZipFile):
        return None


# -- explanations: pure functions of a network's predictions and arrays ----------------------------
def compiled(network):
    """What a network computes: a function, (clips, ...) -> float32 (clips, outputs), that goes through the clips in
    pieces. Traced once, at the cost of some hundred clips, it is three to seven times as fast as the network itself."""
    from study.backend import tf
    of_any_clips = tf.TensorSpec((None, *network.input_shape[1:]), tf.float32)
    forward = tf.function(lambda x: network(x, training=False), input_signature=[of_any_clips])
    return lambda x: np.concatenate([forward(x[start:start + BATCH_SIZE]).numpy()
                                     for start in range(0, len(x), BATCH_SIZE)])


def occlusion(predict, x, length, label, patch=PATCH):
    """How far the log-odds of `label` fall where a patch of the clip is occluded: (frames, n) -> (length, n), in nats.

    Log-odds, ln(p / (1 - p)), since a probability near 1 hardly moves whatever is occluded.

    predict : (clips, frames, n) -> probabilities (clips, labels)
    x       : standardised, so that 0 is the mean, with `length` real frames

    Patches overlap by half; a cell has the mean over those that cover it (Zeiler & Fergus, "Visualizing and
    understanding convolutional networks", 2014).
    """
    frames, n = x.shape
    tall, wide = patch[0], max(1, round(patch[1] * n))
    corners = [(t, k) for t in range(0, length, max(1, tall // 2)) for k in range(0, n, max(1, wide // 2))]
    p = [predict(x[None])]
    for start in range(0, len(corners), BATCH_SIZE):            # all at once they take gigabytes, of a long clip
        some = corners[start:start + BATCH_SIZE]
        occluded = np.repeat(x[None], len(some), axis=0)                        # (patches, frames, n)
        for copy, (t, k) in zip(occluded, some):
            copy[t:t + tall, k:k + wide] = 0
        p.append(predict(occluded))
    p = np.concatenate(p)[:, label].clip(1e-7, 1 - 1e-7)
    log_odds = np.log(p / (1 - p))
    falls = log_odds[0] - log_odds[1:]                                          # (patches,)
    total, covered = np.zeros((frames, n)), np.zeros((frames, n))
    for fall, (t, k) in zip(falls, corners):
        total[t:t + tall, k:k + wide] += fall
        covered[t:t + tall, k:k + wide] += 1
    return (total / np.maximum(covered, 1))[:length]


def permutation_importance(predict, x, labels, groups, rng, repeats=N_REPEATS):
    """How far accuracy falls where the columns of a group are permuted over the clips, together: (groups, repeats).

    predict : (clips, columns) -> probabilities (clips, labels)
    x : (clips, columns), standardised; labels : int (clips,); groups : int (columns,), 0 ... groups - 1
    Breiman, "Random forests", 2001.
    """
    accuracy = (predict(x).argmax(axis=1) == labels).mean()
    falls = np.empty((groups.max() + 1, repeats))
    for group in range(len(falls)):
        for repeat in range(repeats):
            permuted = x.copy()
            permuted[:, groups == group] = x[rng.permutation(len(x))][:, groups == group]
            falls[group, repeat] = accuracy - (predict(permuted).argmax(axis=1) == labels).mean()
    return falls


def penultimate(network, x):
    """What the last layer receives: (clips, ...) -> (clips, units), the members' units side by side."""
    import keras
    members = [layer for layer in network.layers if isinstance(layer, keras.Model)] or [network]
    return np.concatenate([compiled(keras.Model(member.inputs[0], member.layers[-1].input))(x)
                           for member in members], axis=1)


def tsne(x):
    """Points on a plane that keep neighbours together: (clips, units) -> (clips, 2). At least TSNE_MIN_CLIPS clips.

    van der Maaten & Hinton, "Visualizing data using t-SNE", 2008.
    """
    from sklearn.manifold import TSNE
    with threadpool_limits(1):          # sums in one order; and threads that share a core wait for each other
        return TSNE(init="pca", random_state=0, perplexity=min(30, (len(x) - 1) / 3)).fit_transform(x)
