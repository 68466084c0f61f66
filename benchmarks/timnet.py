"""TIM-Net beside our nets, under our protocol: `python benchmarks/timnet.py` writes benchmarks/TIMNET.md.

TIM-Net (Ye et al., "Temporal modeling matters", ICASSP 2023) holds the one clean record on RAVDESS speech. It is
written here in our own words from the paper and trained as there: 39 MFCCs of five seconds of every clip, neither
trimmed nor normalised; Adam at 1e-3, batches of 64, label smoothing, neither copies nor mixup nor masks, the last epoch
kept. The folds are ours; the validation part of our first member is left out of its training.

Two folds run side by side, one thread each; a finished fold is kept in results/timnet and not done again.
"""
import argparse
import json
import sys
import time
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import joblib
import numpy as np
import pandas as pd

import data_preprocessing as data
import train
from ser import corpora, metrics, parallel
from ser.files import hash_json, write_json

SECONDS, RATE, COEFFICIENTS = 110_000 / 22_050, 22_050, 39      # 215 frames of librosa's MFCCs, defaults throughout
DILATIONS = (1, 2, 4, 8, 16, 32, 64, 128)       # of each block, in frames
FILTERS, KERNEL, DROPOUT = 39, 2, 0.1           # as many filters as coefficients, so that the gate fits its input
BATCH_SIZE, LEARNING_RATE, BETAS = 64, 1e-3, (0.93, 0.98)


def mfcc(path):
    """A clip, silence added to both of its ends or both cut off: float32 (215 frames, 39)."""
    import librosa
    y = data.load_waveform(path, sr=RATE, trim_db=None, peak_normalise=False)
    samples = round(SECONDS * RATE)
    missing = max(samples - len(y), 0)
    y = np.pad(y, (missing // 2, missing - missing // 2))
    start = (len(y) - samples) // 2
    return librosa.feature.mfcc(y=y[start:start + samples], sr=RATE, n_mfcc=COEFFICIENTS).T.astype(np.float32)


def timnet(input_shape, classes):
    """Two stacks of causal gated blocks, over the clip and over its reverse; their sums at every level, weighted."""
    from keras import Input, Model, layers, ops
    frames = Input(input_shape)                                                 # (batch, frames, n)
    directions = [layers.Conv1D(FILTERS, 1)(frames), layers.Conv1D(FILTERS, 1)(ops.flip(frames, axis=1))]
    levels = []
    for dilation in DILATIONS:
        directions = [block(x, dilation) for x in directions]                   # two of (batch, frames, FILTERS)
        levels.append(layers.GlobalAveragePooling1D()(directions[0] + directions[1]))
    fused = layers.Dense(1, use_bias=False)(ops.stack(levels, axis=-1))         # (batch, FILTERS, 1)
    return Model(frames, layers.Dense(classes, activation="softmax")(layers.Flatten()(fused)))


def block(x, dilation):
    """x * sigmoid(two causal dilated convolutions): (batch, frames, FILTERS) -> the same."""
    from keras import layers, ops
    gate = x
    for _ in range(2):
        gate = layers.Conv1D(FILTERS, KERNEL, dilation_rate=dilation, padding="causal")(gate)
        gate = layers.Activation("relu")(layers.BatchNormalization()(gate))
        gate = layers.SpatialDropout1D(DROPOUT)(gate)
    return x * ops.sigmoid(gate)


def fit(x, labels, parts, seed, epochs, settings):
    """One fold -> dict(test probabilities (clips, classes), parameters, seconds)."""
    import keras

    from study import networks as ours
    ours.use_one_thread()
    keras.utils.set_random_seed(seed)
    network = timnet(x.shape[1:], len(settings.CLASSES))
    network.compile(keras.optimizers.Adam(LEARNING_RATE, *BETAS), "categorical_crossentropy", jit_compile=True)
    began = time.perf_counter()
    network.fit(x[parts["train"]], ours.smoothed_one_hot(labels[parts["train"]], settings.LABEL_SMOOTHING, len(settings.CLASSES)),
                batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
    seconds = time.perf_counter() - began
    return dict(test=ours.predict_proba(network, x[parts["test"]]), parameters=network.count_params(), seconds=seconds)


def do(fold, x, labels, parts, seed, epochs, settings, path):
    """One fold, kept in `path`."""
    parallel.disable_worker_recycling()
    outcome = fit(x, labels, parts, seed, epochs, settings)
    predicted = outcome.pop("test").argmax(axis=1)
    write_json(path, dict(**outcome, fold=fold, epochs=epochs, seed=seed,
                                  **metrics.classification_metrics(labels[parts["test"]], predicted)))


def table(rows):
    """Markdown of TIM-Net's folds beside the same of the reference run."""
    reference = pd.read_csv(HERE.parent / "reference/fits.csv").query("feature == 'mfcc'")
    reference = reference[reference.fold.isin([row["fold"] for row in rows])]
    shown = {"TIM-Net": pd.DataFrame(rows).rename(columns={"seconds": "fit_seconds"}),
             **{model: reference[reference.model == model] for model in ("cnn1d", "bilstm", "hybrid")}}
    lines = ["| net, on MFCC | accuracy | folds | UAR | parameters | minutes a fit |", "|---|---|---|---|---|---|"]
    for name, fits in shown.items():
        accuracy = 100 * fits.sort_values("fold").accuracy
        lines.append(f"| {name} | {accuracy.mean():.1f} ± {accuracy.std():.1f} | "
                     f"{' '.join(f'{value:.1f}' for value in accuracy)} | {100 * fits.uar.mean():.1f} | "
                     f"{fits.parameters.iloc[0]:,} | {fits.fit_seconds.mean() / 60:.1f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description="TIM-Net under our protocol. Needs RAVDESS_DIR.")
    parser.add_argument("--epochs", type=int, default=200, help="default: %(default)s; the paper has 500")
    parser.add_argument("--seed", type=int, default=42, help="of the folds; default: %(default)s")
    parser.add_argument("--folds", type=int, nargs="+", choices=range(5), default=range(5),
                        help="only these, counted from 0")
    args = parser.parse_args()
    settings = train.resolve_settings(train.parse(["--seed", str(args.seed), "--features", "mfcc"]))
    clips = data.survey(corpora.find_corpus(corpora.data_dir()).clips, settings.CACHE_DIR)
    settings.ENSEMBLE_SIZE = 1
    parts_of_folds = [members[0] for members in train.make_folds(clips, settings, None)]
    x = np.stack(joblib.Parallel(2)(joblib.delayed(mfcc)(path) for path in clips.path))         # (clips, 215, 39)
    folder = Path(settings.RESULTS_DIR) / "timnet"
    paths = [folder / f"raw-seed{args.seed}-{args.epochs}epochs-{hash_json(parts['validation'].tolist())}.json"
             for parts in parts_of_folds]
    joblib.Parallel(2)(joblib.delayed(do)(fold, x, clips.label.to_numpy(), parts_of_folds[fold], args.seed + fold,
                                          args.epochs, settings, paths[fold])
                       for fold in args.folds if not paths[fold].exists())
    rows = [json.loads(paths[fold].read_text()) for fold in args.folds]
    text = (f"# TIM-Net beside our nets\n\nWritten by `python {' '.join(sys.argv)}` on "
            f"{date.today()}, {train.processor()}. {len(rows)} of 5 folds, stratified, seed {args.seed}, test read "
            f"once; last of {args.epochs} epochs. Ours: the reference run, each fit the mean of several networks, with "
            "four altered copies of each training clip, mixup and masks. TIM-Net: one network, no copies, 39 MFCCs "
            "of five seconds as they are, neither trimmed nor normalised.\n\n" + table(rows) + "\n")
    (HERE / "TIMNET.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
