"""TIM-Net beside our networks, under our protocol.

    python benchmarks/timnet.py                 writes benchmarks/TIMNET.md; 54 minutes on two cores
    python benchmarks/timnet.py --folds 0 1     22 minutes: two of the five folds

TIM-Net (Ye et al., "Temporal modeling matters", ICASSP 2023) holds the one clean record on RAVDESS speech. It is
written here in our own words from the paper and trained as there: 39 MFCCs of five seconds of every clip, neither
trimmed nor normalised; Adam at 1e-3, batches of 64, label smoothing, neither augmented copies nor mixup nor masks; the
weights of the last epoch. The folds are ours; the validation part of our first member is left out of its training.

Two folds run side by side, one thread each; a finished fold is kept in results/timnet and not done again.
"""
import argparse
import json
import sys
import time
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import joblib
import numpy as np
import pandas as pd

import data_preprocessing as data
import train
from ser import corpora, metrics, parallel
from ser.audio import load_waveform
from ser.files import hash_json, write_json
from ser.machine import processor_name
from study import tasks

PROTOCOL, N_FOLDS = "stratified", 5
SECONDS, SAMPLE_RATE, N_MFCC = 110_000 / 22_050, 22_050, 39     # 215 frames of librosa's MFCCs, defaults throughout
DILATIONS = (1, 2, 4, 8, 16, 32, 64, 128)       # of each block, in frames
FILTERS, KERNEL, DROPOUT = 39, 2, 0.1           # as many filters as coefficients, so that the gate fits its input
BATCH_SIZE, LEARNING_RATE, BETAS = 64, 1e-3, (0.93, 0.98)


def mfcc(path):
    """A clip, silence added to both of its ends or both cut off: float32 (215 frames, 39)."""
    import librosa
    y = load_waveform(path, sr=SAMPLE_RATE, trim_db=None, level="recorded")
    return librosa.feature.mfcc(y=pad_or_crop(y, round(SECONDS * SAMPLE_RATE)), sr=SAMPLE_RATE,
                                n_mfcc=N_MFCC).T.astype(np.float32)


def pad_or_crop(y, samples):
    """(any,) -> (samples,): as much added to, or cut off, one end as the other."""
    missing = max(samples - len(y), 0)
    y = np.pad(y, (missing // 2, missing - missing // 2))
    start = (len(y) - samples) // 2
    return y[start:start + samples]


# -- the network -----------------------------------------------------------------------------------
def timnet(input_shape, n_classes, dilations=DILATIONS):
    """Two stacks of causal gated blocks, over the clip and over its reverse; their sums at every level, weighted."""
    from keras import Input, Model, layers, ops
    frames = Input(input_shape)                                                 # (batch, frames, n)
    directions = [layers.Conv1D(FILTERS, 1)(frames), layers.Conv1D(FILTERS, 1)(ops.flip(frames, axis=1))]
    levels = []
    for dilation in dilations:
        directions = [gated_block(x, dilation) for x in directions]             # two of (batch, frames, FILTERS)
        levels.append(layers.GlobalAveragePooling1D()(directions[0] + directions[1]))
    fused = layers.Dense(1, use_bias=False)(ops.stack(levels, axis=-1))         # (batch, FILTERS, 1)
    return Model(frames, layers.Dense(n_classes, activation="softmax")(layers.Flatten()(fused)))


def gated_block(x, dilation):
    """x * sigmoid(two causal dilated convolutions): (batch, frames, FILTERS) -> the same shape."""
    from keras import layers, ops
    gate = x
    for _ in range(2):
        gate = layers.Conv1D(FILTERS, KERNEL, dilation_rate=dilation, padding="causal")(gate)
        gate = layers.Activation("relu")(layers.BatchNormalization()(gate))
        gate = layers.SpatialDropout1D(DROPOUT)(gate)
    return x * ops.sigmoid(gate)


# -- a fold ----------------------------------------------------------------------------------------
def fit(x, labels, split, seed, epochs, settings, dilations=DILATIONS):
    """One fold -> dict(test, probabilities (clips, n_classes); parameters, seconds). x : (clips, frames, n)"""
    from study import networks
    from study.backend import keras, use_one_thread
    use_one_thread()
    keras.utils.set_random_seed(seed)
    n_classes = len(settings.CLASSES)
    network = timnet(x.shape[1:], n_classes, dilations)
    network.compile(keras.optimizers.Adam(LEARNING_RATE, *BETAS), "categorical_crossentropy", jit_compile=True)
    targets = networks.smoothed_one_hot(labels[split["train"]], settings.LABEL_SMOOTHING, n_classes)
    start = time.perf_counter()
    network.fit(x[split["train"]], targets, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
    seconds = time.perf_counter() - start
    return dict(test=networks.predict_proba(network, x[split["test"]]), parameters=network.count_params(),
                seconds=seconds)


def run_fold(fold, x, labels, split, seed, epochs, settings, path):
    """One fold, whose metrics are kept in the JSON file `path`."""
    parallel.disable_worker_recycling()
    outcome = fit(x, labels, split, seed, epochs, settings)
    predicted = outcome.pop("test").argmax(axis=1)
    write_json(path, dict(**outcome, fold=fold, epochs=epochs, seed=seed,
                          **metrics.classification_metrics(labels[split["test"]], predicted)))


# -- the report ------------------------------------------------------------------------------------
def table(rows, reference):
    """Markdown of TIM-Net's folds (dicts as `run_fold` writes them) beside the same folds of a run's table of fits."""
    reference = reference[(reference.feature == "mfcc") & reference.fold.isin([row["fold"] for row in rows])]
    shown = {"TIM-Net": pd.DataFrame(rows).rename(columns={"seconds": "fit_seconds"}),
             **{model: reference[reference.model == model] for model in ("cnn1d", "bilstm", "hybrid")}}
    lines = ["| network, on MFCC | accuracy | folds | UAR | parameters | minutes a fit |", "|---|---|---|---|---|---|"]
    for name, fits in shown.items():
        accuracy = 100 * fits.sort_values("fold").accuracy
        lines.append(f"| {name} | {accuracy.mean():.1f} ± {accuracy.std():.1f} | "
                     f"{' '.join(f'{value:.1f}' for value in accuracy)} | {100 * fits.uar.mean():.1f} | "
                     f"{fits.parameters.iloc[0]:,} | {fits.fit_seconds.mean() / 60:.1f} |")
    return "\n".join(lines)


def page(rows, reference, seed, epochs):
    """The text of TIMNET.md."""
    return (f"# TIM-Net beside our networks\n\nWritten by `python {' '.join(sys.argv)}` on {date.today()}, "
            f"{processor_name()}. {len(rows)} of {N_FOLDS} folds, {PROTOCOL}, seed {seed}, test evaluated once; "
            f"last of {epochs} epochs. Ours: `reference/` of that day, each fit the average of several networks, with "
            "four augmented copies of each training clip, mixup and masks. TIM-Net: one network, no copies, 39 MFCCs "
            "of five seconds as they are, neither trimmed nor normalised.\n\n" + table(rows, reference) + "\n")


def parse(arguments=None):
    parser = argparse.ArgumentParser(description="TIM-Net under our protocol; writes benchmarks/TIMNET.md. Needs "
                                     "RAVDESS_DIR.")
    parser.add_argument("--epochs", type=int, default=200, help="default: %(default)s; the paper has 500")
    parser.add_argument("--seed", type=int, default=42, help="of the folds; default: %(default)s")
    parser.add_argument("--folds", type=int, nargs="+", choices=range(N_FOLDS), default=range(N_FOLDS),
                        help="only these, counted from 0")
    return parser.parse_args(arguments)


def main(args):
    settings = train.resolve_settings(train.parse(["--seed", str(args.seed), "--set", "ENSEMBLE_SIZE=1",
                                                   "--set", f"N_FOLDS={N_FOLDS}"]))
    corpus = corpora.find_corpus(corpora.data_dir(default=settings.DATA_DIR), settings.CLASSES)
    clips = data.survey(corpus.clips, settings.CACHE_DIR)
    splits = [members[0] for members in tasks.make_folds(PROTOCOL, clips, settings)]
    x = np.stack(joblib.Parallel(2)(joblib.delayed(mfcc)(path) for path in clips.path))         # (clips, 215, 39)
    folder = Path(settings.RESULTS_DIR) / "timnet"
    paths = [folder / f"raw-seed{args.seed}-{args.epochs}epochs-{hash_json(split['validation'].tolist())}.json"
             for split in splits]
    joblib.Parallel(2)(joblib.delayed(run_fold)(fold, x, clips.label.to_numpy(), splits[fold], args.seed + fold,
                                                args.epochs, settings, paths[fold])
                       for fold in args.folds if not paths[fold].exists())
    rows = [json.loads(paths[fold].read_text()) for fold in args.folds]
    text = page(rows, pd.read_csv(HERE.parent / "reference/fits.csv"), args.seed, args.epochs)
    (HERE / "TIMNET.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main(parse())
