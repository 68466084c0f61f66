"""Ours beside the usual way, measured on this machine: `python benchmarks/run.py` writes benchmarks/RESULTS.md.

Takes about 20 minutes on two cores. Clips come from RAVDESS_DIR (24 of them), else from the synthesised corpus of
--demo; the arrays for training are random, in the shape of one fold's training part, since time does not depend on
what is in them. The two ways take turns, `--repeats` times; a figure is the median, with the lowest and highest. Each
fit has a process of its own.

What is compared: usual.py is the recipe as most public repositories write it. Its networks are of the usual size, and
ours are also timed under the usual `fit`, so that the table tells what the nets save from what the loop saves.
"""
import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import numpy as np

import config

KINDS = ("cnn1d", "bilstm", "hybrid", "mlp")
CLIPS = 24
TRAIN, VALIDATION, TEST = 1035, 116, 289             # clips of fold 0; training sees 1 + N_AUGMENTED versions
N_FOLDS, FEATURES, SIZES = config.N_FOLDS, ("mfcc", "mel", "gauss"), dict(mfcc=40, mel=128, gauss=40)
PREDICTED = 10                                       # times CLIPS recordings are predicted
OUR_EPOCHS, USUAL_EPOCHS = 4, 2                      # timed in a process; the first, which traces, is told apart
GEMM = 2048                                          # rows and columns of the matrices of the peak


# -- one fit, in a process of its own --------------------------------------------------------------
def arrays(kind, feature):
    """Random stand-ins of one fold: x (clips, versions, frames, n) or (clips, versions, 13 n), lengths, labels."""
    rng = np.random.default_rng(0)
    clips, versions, n = TRAIN + VALIDATION + TEST, 1 + config.N_AUGMENTED, SIZES[feature]
    shape = (clips, versions, 13 * n) if kind == "mlp" else (clips, versions, config.N_FRAMES, n)
    x = rng.standard_normal(shape, dtype=np.float32)
    lengths = None if kind == "mlp" else rng.integers(50, config.N_FRAMES + 1, (clips, versions))
    return x, lengths, rng.integers(0, len(config.CLASSES), clips)


def fit_ours(kind, feature):
    """One short fit by fit.py, on one thread."""
    from types import SimpleNamespace
    settings = SimpleNamespace(**{name: value for name, value in vars(config).items() if name.isupper()})
    settings.EPOCHS = {kind: OUR_EPOCHS}
    x, lengths, labels = arrays(kind, feature)
    parts = dict(zip(("train", "validation", "test"), np.split(np.arange(len(x)), [TRAIN, TRAIN + VALIDATION])))
    began = time.perf_counter()
    from study import networks
    imports = time.perf_counter() - began
    outcome = networks.fit(kind, x, lengths, labels, [parts] * config.ENSEMBLE_SIZE, 1, settings)
    epochs = list(outcome["history"].seconds)
    held, rows = memory(), np.arange(TRAIN * x.shape[1])
    every_x, every_length = x.reshape(-1, *x.shape[2:]), None if lengths is None else lengths.reshape(-1)
    pipeline = networks.make_dataset(every_x, every_length, rows, rows % 8, outcome["mean"], outcome["std"],
                           settings.BATCH_SIZE[kind], 1, settings)
    list(pipeline.take(2))
    began = time.perf_counter()
    steps = sum(1 for _ in pipeline)
    return dict(epoch=float(np.median(epochs[1:])), start=outcome["seconds"] - sum(epochs) + epochs[0]
                - float(np.median(epochs[1:])), imports=imports, pipeline=time.perf_counter() - began, steps=steps,
                flops=training_flops(next(iter(networks.TRACED_NETWORKS.values()))[0], settings.BATCH_SIZE[kind]) * steps,
                parameters=outcome["parameters"], memory=held)


def fit_usual(kind, feature, nets):
    """Keras `fit` on arrays, all cores, of the usual networks or of ours."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import usual

    import model
    x, _, labels = arrays(kind, feature)
    x, y = x[:TRAIN].reshape(-1, *x.shape[2:]), np.eye(8, dtype=np.float32)[labels[:TRAIN]].repeat(x.shape[1], axis=0)
    network = {"usual": usual, "ours": model}[nets].BUILDERS[kind](x.shape[1:], 8)
    network.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    ends = []
    network.fit(x, y, batch_size=usual.BATCH_SIZE, epochs=USUAL_EPOCHS, verbose=0, callbacks=[
        keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: ends.append(time.perf_counter()))])
    ends.append(time.perf_counter())
    epochs = np.diff(ends)
    return dict(epoch=float(epochs[-1]), start=float(epochs[0] - epochs[-1]), parameters=network.count_params(),
                memory=memory())


def predict_clips(way, paths):
    """Recordings a second, features and network (cnn1d on MFCC, untrained): ours as predict.py, in parallel and in
    batches, or a loop over files with `predict` on each, as usual."""
    from types import SimpleNamespace

    import model
    network = model.average_ensemble([model.BUILDERS["cnn1d"]((config.N_FRAMES, config.N_MFCC), len(config.CLASSES))
                             for _ in range(config.ENSEMBLE_SIZE)])
    paths = [Path(path) for path in paths] * PREDICTED
    if way == "ours":
        import predict
        from study import networks
        kept = dict(labels=list(config.CLASSES), feature="mfcc", input="sequences", frames=config.N_FRAMES, mean=[0.0],
                    std=[1.0], temperature=1.0, loading=config.LOADING_SETTINGS, features=config.FEATURE_SETTINGS)
        models = [predict.Model("cnn1d", network, lambda x, _: networks.predict_proba(network, x), kept)]
        how = SimpleNamespace(window=None, hop=1, jobs=-1)
        run = lambda chosen: [predict.predict_segments(heard, models, list(config.CLASSES), 0.5)            # noqa: E731
                              for heard in predict.in_batches(predict.iter_segments(chosen, models, how))]
    else:
        import usual

        import data_preprocessing as data
        run = lambda chosen: [network.predict(data.pad_or_crop(usual.mfcc(usual.load(path)), config.N_FRAMES)[0][None],  # noqa: E731
                                              verbose=0) for path in chosen]
    run(paths[:CLIPS])                                                          # starts workers, traces
    began = time.perf_counter()
    run(paths)
    return dict(rate=len(paths) / (time.perf_counter() - began))


def training_flops(network, batch):
    """Arithmetic of one training step: products and sums of every matrix product, three times (forward, and
    backward by inputs and by weights). Element by element work is not counted."""
    total = 0
    for layer in network.layers:
        kind, name = type(layer).__name__, layer.name
        if kind in ("Conv1D", "Conv2D"):                # every output position sees the whole kernel
            total += 2 * int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:-1]))
        elif kind == "Dense":
            total += 2 * layer.kernel.shape[0] * layer.kernel.shape[1]
        elif kind == "Bidirectional":
            cell, steps = layer.forward_layer.cell, layer.output.shape[1]
            total += 2 * steps * 2 * (np.prod(cell.kernel.shape) + np.prod(cell.recurrent_kernel.shape))
        elif layer.weights and kind != "BatchNormalization":
            raise ValueError(f"{name}: arithmetic of a {kind} is not known here")
    return 3 * batch * int(total)


def memory():
    """Most memory this process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**3 if sys.platform == "darwin" else 1024**2)


def side_by_side(*jobs):
    """Run the fits at the same time, a process each -> their figures (list of dicts)."""
    running = [subprocess.Popen([sys.executable, __file__, "--one", json.dumps(job)], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True) for job in jobs]
    outputs = [process.communicate()[0] for process in running]
    return [json.loads(output.splitlines()[-1]) for output in outputs]


# -- clips -----------------------------------------------------------------------------------------
def some_clips(folder):
    """Paths of CLIPS clips, spread over actors and emotions."""
    from ser import corpora, demo_corpus
    if not os.environ.get("RAVDESS_DIR"):
        demo_corpus.write_corpus(Path(folder))
        clips = corpora.find_corpus(folder).clips
    else:
        clips = corpora.find_corpus(corpora.data_dir()).clips
    return list(clips.path.iloc[np.linspace(0, len(clips) - 1, CLIPS).astype(int)])


def clip_rows(paths, repeats):
    """Seconds for one clip (or one copy of it), ours and usual: {row: (ours [..], usual [..])}; one thread."""
    import librosa
    import usual
    from threadpoolctl import threadpool_limits

    import data_preprocessing as data
    import features
    from ser import dtw, seeds
    augmentation = dict(config.AUGMENTATION_SETTINGS, sr=config.SAMPLE_RATE)
    waveforms = [data.load_waveform(path, **config.LOADING_SETTINGS) for path in paths]
    extracted = [features.extract(y, **config.FEATURE_SETTINGS) for y in waveforms]
    padded = [{name: data.pad_or_crop(x, config.N_FRAMES) for name, x in clip.items()} for clip in extracted]
    steps = [dtw.frame_descriptors(clip["mfcc"], **dtw.DTW_PARAMS).astype(np.float32) for clip in extracted]
    stft = dict(n_fft=config.N_FFT, hop_length=config.HOP_LENGTH)

    def augment_ours(k):
        return data.augment(waveforms[k], seeds.generator(1, "augment", k, 1), **augmentation)

    def stretch(k):
        return data.stretch_and_shift(waveforms[k], sr=config.SAMPLE_RATE, rate=1.1, semitones=1.0)

    def functionals_ours(k):
        for x, length in padded[k].values():
            features.functionals(x[None], np.array([length]))

    def warp_usual(k):
        for clip in steps:
            librosa.sequence.dtw(steps[k].T, clip.T, backtrack=False)

    work = {
        "load, resample, trim": (lambda k: data.load_waveform(paths[k], **config.LOADING_SETTINGS),
                                 lambda k: usual.load(paths[k])),
        "MFCC + mel + Gaussian cepstra": (lambda k: features.extract(waveforms[k], **config.FEATURE_SETTINGS),
                                          lambda k: [usual.FEATURES[name](waveforms[k]) for name in FEATURES]),
        "MFCC alone": (None, lambda k: usual.mfcc(waveforms[k])),
        "mel alone": (None, lambda k: usual.mel(waveforms[k])),
        "Gaussian cepstra alone": (None, lambda k: usual.gauss(waveforms[k])),
        "augmentation, one copy": (augment_ours,
                                   lambda k: usual.augment(waveforms[k], np.random.default_rng(k))),
        "functionals of the three": (functionals_ours,
                                     lambda k: [usual.functionals(x) for x in extracted[k].values()]),
        f"DTW distances to {CLIPS} clips": (lambda k: dtw.distances([steps[k]], steps), warp_usual),
        "floor: one STFT": (lambda k: features.power_spectrogram(waveforms[k], **stft), None),
        "floor: one stretch and shift": (stretch, None),
    }
    rows = {name: ([], []) for name in work}
    with threadpool_limits(1):
        for number in range(repeats + 1):                           # the first round warms up
            for name, pair in work.items():
                for side, function in enumerate(pair):
                    if function is None:
                        continue
                    began = time.perf_counter()
                    for k in range(CLIPS):
                        function(k)
                    if number:
                        rows[name][side].append((time.perf_counter() - began) / CLIPS)
    return rows


def gemm_peak(threads):
    """float32 arithmetic of a large matrix product with that many threads, in GFLOP/s (best of five)."""
    from threadpoolctl import threadpool_limits
    a = np.random.default_rng(0).standard_normal((GEMM, GEMM), dtype=np.float32)
    best = np.inf
    with threadpool_limits(threads):
        for _ in range(5):
            began = time.perf_counter()
            a @ a
            best = min(best, time.perf_counter() - began)
    return 2 * GEMM**3 / best / 1e9


# -- the report ------------------------------------------------------------------------------------
def cell(values, unit=1.0, digits=1):
    """Median, and the lowest and highest behind it."""
    if not len(values):
        return ""
    low, middle, high = np.percentile(np.array(values) * unit, [0, 50, 100])
    return f"{middle:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def ratio(ours, usual):
    """Usual over ours, round by round."""
    return cell(np.array(usual) / np.array(ours)) if len(ours) and len(usual) else ""


def table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(value) for value in line) + " |" for line in lines)


def study_minutes(clip, fits, cores):
    """Minutes of the parts of the study, from medians: {part: (ours, usual)}; a part without a usual way has NaN."""
    middle = {name: [np.median(side) if len(side) else np.nan for side in sides] for name, sides in clip.items()}
    clips, versions = TRAIN + VALIDATION + TEST, 1 + config.N_AUGMENTED
    load, extract, functional = (middle[name] for name in (
        "load, resample, trim", "MFCC + mel + Gaussian cepstra", "functionals of the three"))
    copy, stft, stretch = (middle[name] for name in (
        "augmentation, one copy", "floor: one STFT", "floor: one stretch and shift"))
    extraction = clips * (load[0] + config.N_AUGMENTED * copy[0] + versions * (extract[0] + functional[0])) / cores
    floor = clips * (config.N_AUGMENTED * stretch[0] + versions * stft[0]) / cores
    extraction_usual = training = training_usual = 0
    for feature in FEATURES:
        alone = middle[{"mfcc": "MFCC alone", "mel": "mel alone", "gauss": "Gaussian cepstra alone"}[feature]][1]
        for kind in KINDS:
            once, more = clips * (load[1] + alone), TRAIN * config.N_AUGMENTED * (copy[1] + alone)
            statistics = (clips + TRAIN * config.N_AUGMENTED) * functional[1] / 3 if kind == "mlp" else 0
            preparation = once + more + statistics
            for way in ("ours", "usual"):
                one = fits[kind, feature if (kind, feature) in fits else "mfcc"][way]
                seconds = np.median([f["start"] + config.ENSEMBLE_SIZE * config.EPOCHS[kind] * f["epoch"] for f in one])
                if way == "ours":
                    training += N_FOLDS * seconds / cores
                else:
                    training_usual += N_FOLDS * seconds
            extraction_usual += N_FOLDS * preparation
    return {"extraction: 3 features, copies, functionals": (extraction / 60, extraction_usual / 60),
            "floor of extraction: STFTs and stretches alone": (floor / 60, np.nan),
            "fits": (training / 60, training_usual / 60),
            "the whole study": ((extraction + training) / 60, (extraction_usual + training_usual) / 60)}


def main():
    parser = argparse.ArgumentParser(description="Time ours beside the usual way; writes benchmarks/RESULTS.md.")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default: %(default)s)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        way, *job = json.loads(args.one)
        print(json.dumps({"ours": fit_ours, "usual": fit_usual, "predict": predict_clips}[way](*job)))
        return

    import joblib
    cores = joblib.cpu_count()
    peak = {threads: gemm_peak(threads) for threads in (1, cores)}
    with tempfile.TemporaryDirectory() as folder:
        paths = list(map(str, some_clips(folder)))
        clip = clip_rows(paths, args.repeats)
        predictions = {way: [side_by_side(("predict", way, paths))[0]["rate"] for _ in range(args.repeats)]
                       for way in ("ours", "usual")}
    fits = {(kind, feature): dict(ours=[], usual=[], same=[]) for kind in KINDS for feature in ("mfcc", "mel")
            if feature == "mfcc" or kind in ("cnn1d", "bilstm", "hybrid")}
    for number in range(args.repeats):
        for (kind, feature), found in fits.items():
            if number and feature == "mel":
                continue                                            # once is enough for the sum
            print(f"round {number + 1} of {args.repeats}: {kind} on {feature}", file=sys.stderr, flush=True)
            found["ours"] += side_by_side(*[("ours", kind, feature)] * cores)
            found["usual"] += side_by_side(("usual", kind, feature, "usual"))
            if feature == "mfcc":
                found["same"] += side_by_side(("usual", kind, feature, "ours"))
    (HERE / "RESULTS.md").write_text(report(clip, predictions, fits, peak, cores, args.repeats))
    print(f"written: {HERE / 'RESULTS.md'}")


def report(clip, predictions, fits, peak, cores, repeats):
    import importlib.metadata

    import train
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}"
                         for name in ("tensorflow", "keras", "numpy", "scipy", "librosa", "python-stretch"))
    parts = study_minutes(clip, fits, cores)
    steps = {key: np.median([f["epoch"] / f["steps"] for f in found["ours"]]) for key, found in fits.items()}
    rate = {key: np.median([f["flops"] / f["epoch"] / 1e9 for f in found["ours"]]) for key, found in fits.items()}
    return "\n\n".join([
        "# Benchmarks\n\nWritten by `python benchmarks/run.py"
        f"{f' --repeats {repeats}' if repeats != 3 else ''}`; do not edit. {date.today()}, {train.processor()}, "
        f"{cores} cores, {platform.system()}; Python {platform.python_version()}, {versions}.",
        "Median of the rounds (lowest to highest). The usual way is `benchmarks/usual.py`.",
        "## Clips\n\nMilliseconds for one clip or copy, one thread.",
        table(["what", "ours, ms", "usual, ms", "usual / ours"],
              [[name, cell(ours, 1e3), cell(usual, 1e3), ratio(ours, usual)] for name, (ours, usual) in clip.items()]),
        "## Prediction\n\nRecordings a second, from the file to the probabilities (cnn1d on MFCC), once started; ours "
        f"as `predict.py` on {cores} cores, the usual way a loop with `predict` on each file.",
        table(["ours", "usual", "ours / usual"], [[cell(predictions["ours"]), cell(predictions["usual"]),
                                                   ratio(predictions["usual"], predictions["ours"])]]),
        f"## Fits\n\nSeconds for an epoch of {TRAIN * (1 + config.N_AUGMENTED)} clips of {config.N_FRAMES} frames. Ours: "
        f"{cores} fits side by side, one thread each, so an epoch of ours is divided by {cores} in the ratios. Usual: "
        "one fit on all cores, batches of 32.",
        table(["net, feature", "ours, s", "our net, usual fit, s", "usual net and fit, s", "usual fit / ours",
               "usual net and fit / ours", "parameters, ours and usual"],
              [[f"{kind}, {feature}", cell([f["epoch"] for f in found["ours"]]),
                cell([f["epoch"] for f in found["same"]]), cell([f["epoch"] for f in found["usual"]]),
                *(cell([f["epoch"] for f in found[way]] / np.median([f["epoch"] for f in found["ours"]]) * cores)
                  if found[way] else "" for way in ("same", "usual")),
                f"{found['ours'][0]['parameters']:,} and {found['usual'][0]['parameters']:,}"]
               for (kind, feature), found in fits.items()]),
        "## What a step could take at least\n\nArithmetic counted from the layers (matrix products only, forward and "
        f"backward). Peak: a float32 product of {GEMM} x {GEMM} matrices by NumPy, one thread "
        f"{peak[1]:.0f} GFLOP/s, {cores} threads {peak[cores]:.0f} GFLOP/s.",
        table(["net, feature", "step, ms", "arithmetic, GFLOP", "GFLOP/s", "share of the peak",
               "input pipeline alone, share of a step", "besides epochs, s", "peak memory, GB"],
              [[f"{kind}, {feature}", f"{1e3 * steps[kind, feature]:.1f}",
                f"{rate[kind, feature] * steps[kind, feature]:.2f}", f"{rate[kind, feature]:.1f}",
                f"{rate[kind, feature] / peak[1]:.0%}",
                f"{np.median([f['pipeline'] / f['epoch'] for f in found['ours']]):.1%}",
                cell([f["start"] + f["imports"] for f in found["ours"]]),
                f"{max(f['memory'] for f in found['ours']):.2f}"] for (kind, feature), found in fits.items()]),
        "## The whole study\n\nExtrapolated from the rows above: the 60 fits of networks, with the epochs and "
        f"members of config.py; a usual fit is one network of as many epochs as our {config.ENSEMBLE_SIZE} members have "
        f"together. {cores} side by side (ours) or one after another (usual, each with its own loading, copies and "
        "feature). Gaussian cepstra take the epochs of MFCCs, and the MLP of mel those of MFCC.",
        table(["part", "ours, min", "usual, min", "usual / ours"],
              [[part, f"{ours:.2g}" if ours < 10 else f"{ours:.0f}", *(["", ""] if np.isnan(usual) else
                [f"{usual:.0f}", f"{usual / ours:.1f}"])] for part, (ours, usual) in parts.items()]),
    ]) + "\n"


if __name__ == "__main__":
    main()
