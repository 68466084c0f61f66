"""benchmarks/RESULTS.md from the figures of run.py: tables, ratios, and the minutes of the whole study."""
import importlib.metadata
import platform
from datetime import date

import numpy as np

import data_preprocessing as data
from benchmarks.baseline import BATCH_SIZE
from benchmarks.baseline import EPOCHS as CONVENTIONAL_EPOCHS
from benchmarks.clips import GEMM_SIZE
from benchmarks.fits import FOLD

ALONE = {"mfcc": "MFCC alone", "mel": "mel alone", "gauss": "Gaussian cepstra alone"}      # rows of clips.clip_work
PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "librosa", "python-stretch")


def cell(values, unit=1.0, digits=1):
    """Median, and the lowest and highest behind it."""
    if not len(values):
        return ""
    low, median, high = np.percentile(np.array(values) * unit, [0, 50, 100])
    return f"{median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def ratio(values, divisors):
    """Round by round."""
    return cell(np.array(values) / np.array(divisors)) if len(values) and len(divisors) else ""


def markdown_table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(value) for value in line) + " |" for line in lines)


def picked(fits, name):
    """One figure of several fits: [float, ...]."""
    return [fit[name] for fit in fits]


def study_minutes(clip, fits, cores, settings):
    """Minutes of the parts of the study, from medians: {part: (ours, conventional)}; NaN where there is no such part.

    clip : {row: (ours, conventional)} in seconds, see clips.time_work; fits : as in `results_page`
    """
    n_clips, n_copies, n_folds = FOLD.clips, settings.N_AUGMENTED, settings.N_FOLDS
    medians = {name: [np.median(side) if len(side) else np.nan for side in sides] for name, sides in clip.items()}
    load, extract, functionals, copy, stft, stretch = (medians[name][0] for name in (
        "load, resample, trim", "MFCC + mel + Gaussian cepstra", "functionals of the three", "augmentation, one copy",
        "floor: one STFT", "floor: one stretch and shift"))
    extraction = n_clips * (load + n_copies * copy + (1 + n_copies) * (extract + functionals)) / cores
    floor = n_clips * (n_copies * stretch + (1 + n_copies) * stft) / cores
    training = baseline_training = baseline_extraction = 0
    for feature in ALONE:
        for model_name in model_names(fits):
            measured, row = fits.get((model_name, feature), fits[model_name, "mfcc"]), settings.MODELS[model_name]
            epochs = {"ours": settings.ENSEMBLE_SIZE * row.epochs, "baseline": CONVENTIONAL_EPOCHS[model_name]}
            ours, baseline = (np.median([fit["start"] + n * fit["epoch"] for fit in measured[implementation]])
                              for implementation, n in epochs.items())
            training += n_folds * ours / cores
            baseline_training += n_folds * baseline
            baseline_extraction += n_folds * baseline_preparation(medians, feature, row, settings)
    return {"extraction: 3 features, copies, functionals": (extraction / 60, baseline_extraction / 60),
            "floor of extraction: STFTs and stretches alone": (floor / 60, np.nan),
            "fits": (training / 60, baseline_training / 60),
            "the whole study": ((extraction + training) / 60, (baseline_extraction + baseline_training) / 60)}


def baseline_preparation(medians, feature, row, settings):
    """Seconds that one conventional fit of a row of config.MODELS spends before training: loading, copies, feature."""
    load, copy, functionals, alone = (medians[name][1] for name in (
        "load, resample, trim", "augmentation, one copy", "functionals of the three", ALONE[feature]))
    n_copies = FOLD.train * settings.N_AUGMENTED
    statistics = (FOLD.clips + n_copies) * functionals / len(ALONE) if row.input == "functionals" else 0
    return FOLD.clips * (load + alone) + n_copies * (copy + alone) + statistics


def model_names(fits):
    """Of the keys of `fits`, each once."""
    return list(dict.fromkeys(model_name for model_name, _ in fits))


def results_page(clip, predictions, fits, peak, cores, repeats, settings):
    """The text of RESULTS.md.

    clip        : as in `study_minutes`
    predictions : recordings a second, {"ours" or "baseline": [float, ...]}
    fits        : {(model, feature): {"ours", "baseline", "our_network" (under the conventional fit): [dict, ...]}}, see
                  fits.py
    peak        : {threads: GFLOP/s}
    """
    return "\n\n".join([
        opening(cores, repeats), *clip_section(clip), *prediction_section(predictions, cores),
        *fit_section(fits, cores, settings), *step_section(fits, peak, cores),
        *study_section(study_minutes(clip, fits, cores, settings), fits, cores, settings)]) + "\n"


def opening(cores, repeats):
    from ser.machine import processor_name
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    arguments = f" --repeats {repeats}" if repeats != 3 else ""
    return (f"# Benchmarks\n\nWritten by `python benchmarks/run.py{arguments}`; do not edit. {date.today()}, "
            f"{processor_name()}, {cores} cores, {platform.system()}; Python {platform.python_version()}, "
            f"{versions}.\n\nMedian of the rounds (lowest to highest). The conventional implementation is "
            "`benchmarks/baseline.py`.")


def clip_section(clip):
    return ["## Clips\n\nMilliseconds for one clip or copy, one thread.", markdown_table(
        ["what", "ours, ms", "conventional, ms", "conventional / ours"],
        [[name, cell(ours, 1e3), cell(baseline, 1e3), ratio(baseline, ours)]
         for name, (ours, baseline) in clip.items()])]


def prediction_section(predictions, cores):
    return ["## Prediction\n\nRecordings a second, from the file to the probabilities (cnn1d on MFCC), once started; "
            f"ours as `predict.py` on {cores} cores, the conventional implementation as a loop with `predict` on each "
            "file.", markdown_table(
                ["ours", "conventional", "ours / conventional"],
                [[cell(predictions["ours"]), cell(predictions["baseline"]),
                  ratio(predictions["ours"], predictions["baseline"])]])]


def fit_section(fits, cores, settings):
    rows = []
    for (model_name, feature), fit in fits.items():
        ours = np.median(picked(fit["ours"], "epoch")) / cores
        ratios = [cell(np.array(picked(fit[name], "epoch")) / ours) for name in ("our_network", "baseline")]
        rows.append([f"{model_name}, {feature}",
                     *(cell(picked(fit[name], "epoch")) for name in ("ours", "our_network", "baseline")), *ratios,
                     f"{fit['ours'][0]['parameters']:,} and {fit['baseline'][0]['parameters']:,}"])
    n_frames = data.extraction_params(settings, ["mfcc"]).n_frames("mfcc")
    return [f"## Fits\n\nSeconds for an epoch of {FOLD.train * (1 + settings.N_AUGMENTED)} clips of {n_frames} frames. "
            f"Ours: {cores} fits side by side, one thread each, so an epoch of ours is divided by {cores} in the "
            f"ratios. Conventional: one fit on all cores, batches of {BATCH_SIZE}.", markdown_table(
                ["network, feature", "ours, s", "our network, conventional fit, s", "conventional network and fit, s",
                 "conventional fit / ours", "conventional network and fit / ours",
                 "parameters, ours and conventional"], rows)]


def step_section(fits, peak, cores):
    rows = []
    for (model_name, feature), fit in fits.items():
        ours = fit["ours"]
        step = np.median([one["epoch"] / one["steps"] for one in ours])                         # s
        rate = np.median([one["flops"] / one["epoch"] / 1e9 for one in ours])                   # GFLOP/s
        rows.append([f"{model_name}, {feature}", f"{1e3 * step:.1f}",
                     f"{ours[0]['flops'] / ours[0]['steps'] / 1e9:.2f}", f"{rate:.1f}",
                     f"{rate / peak[1]:.0%}", f"{np.median([one['pipeline'] / one['epoch'] for one in ours]):.1%}",
                     cell([one["start"] + one["imports"] for one in ours]), f"{max(picked(ours, 'memory')):.2f}"])
    return ["## What a step could take at least\n\nArithmetic counted from the layers (matrix products only, forward "
            f"and backward). Peak: a float32 product of {GEMM_SIZE} x {GEMM_SIZE} matrices by NumPy, one thread "
            f"{peak[1]:.0f} GFLOP/s, {cores} threads {peak[cores]:.0f} GFLOP/s.", markdown_table(
                ["network, feature", "step, ms", "arithmetic, GFLOP", "GFLOP/s", "share of the peak",
                 "input pipeline alone, share of a step", "besides epochs, s", "peak memory, GB"], rows)]


def study_section(minutes, fits, cores, settings):
    n_fits = settings.N_FOLDS * len(ALONE) * len(model_names(fits))
    rows = [[part, f"{ours:.2g}" if ours < 10 else f"{ours:.0f}", *(
        ["", ""] if np.isnan(baseline) else [f"{baseline:.0f}", f"{baseline / ours:.1f}"])]
        for part, (ours, baseline) in minutes.items()]
    return [f"## The whole study\n\nExtrapolated from the rows above: the {n_fits} fits of networks, with the epochs "
            "and ensemble size of config.py; a conventional fit is one network of as many epochs as early stopping "
            f"left it in reference/described ({', '.join(f'{name} {n}' for name, n in CONVENTIONAL_EPOCHS.items())}). "
            f"{cores} side by side (ours) or one after another (conventional, each with its own loading, augmented "
            "copies and feature). Gaussian cepstra take the epochs of MFCCs, and the MLP of mel those of MFCC.",
            markdown_table(["part", "ours, min", "conventional, min", "conventional / ours"], rows)]
