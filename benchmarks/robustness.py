"""The test clips of a fold, altered as microphones, rooms and channels do, predicted by the fold's saved models.

    python benchmarks/robustness.py --runs default default-robust       writes benchmarks/ROBUSTNESS.md

Each row is one alteration: accuracy, mean confidence after the temperature, and the share that is called unsure. The
models are those of the fold in each run; nothing is trained and nothing is chosen here. Needs RAVDESS_DIR and finished
runs on all of RAVDESS. Minutes: about 7 a run on two cores, with an encoder.
"""
import argparse
import sys
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

import joblib
import numpy as np
import pandas as pd

import config
from benchmarks.report import markdown_table
from ser import alterations, audio, corpora, metrics, seeds
from ser.errors import UserError, run_command
from ser.files import write_atomically
from study import inference, runs, segments

# (waveform (samples,), random generator, rate in Hz) -> waveform
ALTERATIONS = {
    "clean": lambda y, rng, sr: y,
    "44.1 kHz": lambda y, rng, sr: alterations.band_limited(y, sr, 44_100),
    "16 kHz": lambda y, rng, sr: alterations.band_limited(y, sr, 16_000),
    "8 kHz": lambda y, rng, sr: alterations.band_limited(y, sr, 8000),
    "offset 0.002": lambda y, rng, sr: without_offset(alterations.offset(y, 0.002)),
    "offset 0.05": lambda y, rng, sr: without_offset(alterations.offset(y, 0.05)),
    "hiss -65 dBFS": lambda y, rng, sr: alterations.hiss(y, rng, -65),
    "hiss -55 dBFS": lambda y, rng, sr: alterations.hiss(y, rng, -55),
    "gain -40 dB": lambda y, rng, sr: alterations.gain(y, -40),
    "gain -20 dB": lambda y, rng, sr: alterations.gain(y, -20),
    "gain +10 dB": lambda y, rng, sr: alterations.gain(y, 10),
    "reverberation 0.3 s": lambda y, rng, sr: alterations.reverberated(y, rng, sr, 0.3),
    "reverberation 0.8 s": lambda y, rng, sr: alterations.reverberated(y, rng, sr, 0.8),
    "speech-shaped noise at 20 dB": lambda y, rng, sr: alterations.speech_shaped_noise(y, rng, 20),
    "mu-law": lambda y, rng, sr: alterations.mu_law(y),
    "8 bit": lambda y, rng, sr: alterations.eight_bits(y),
    "telephone": lambda y, rng, sr: alterations.telephone(y, sr),
    "second channel inverted": lambda y, rng, sr: audio.mix_channels(np.stack([y, -y], axis=1)),
    "second channel silent": lambda y, rng, sr: audio.mix_channels(np.stack([y, 0 * y], axis=1)),
}
# What must hold: accuracy within so many points of clean.
WITHIN = {"16 kHz": 3, "offset 0.002": 3, "offset 0.05": 3, "hiss -65 dBFS": 3, "gain -20 dB": 3, "gain +10 dB": 3,
          "8 kHz": 10, "hiss -55 dBFS": 10, "reverberation 0.3 s": 10}
MAX_OVERCONFIDENCE = 15         # points by which confidence may be above accuracy


def without_offset(y):
    """As `read_audio` hands it on."""
    return y - y.mean()


def altered_inputs(path, file, specs):
    """{alteration: inputs of the models} of one clip."""
    y, rate = audio.read_audio(path)
    altered = {name: function(y, seeds.generator(0, "robustness", name, file), rate)
               for name, function in ALTERATIONS.items()}
    return {name: segments.model_inputs(np.float32(x), rate, specs)[0] for name, x in altered.items()}


def measure(run_folder, fold, experiments, paths, jobs):
    """A row per experiment and alteration: experiment, alteration, accuracy, confidence, unsure (fractions).

    experiments : [(feature, model), ...]; paths : {file: path}
    """
    run = runs.read_run(run_folder)
    predictions = tested_clips(run, fold)
    absent = set(predictions.file) - set(paths)
    if absent:
        raise UserError(f"{run_folder}: not of RAVDESS; {min(absent)} is none of its clips")
    folders = {experiment: run_folder / "fits" / runs.fit_name(*experiment, fold) for experiment in experiments}
    models = {experiment: inference.load_model(folder) for experiment, folder in folders.items()}
    specs = inference.input_specs(models.values())
    inputs = joblib.Parallel(jobs, prefer="threads")(
        joblib.delayed(altered_inputs)(paths[file], file, specs) for file in predictions.file)
    rows = []
    for experiment, model in models.items():
        labels, calibration = np.array(model.metadata["labels"]), inference.calibrate({folders[experiment]: 1.0})
        for name in ALTERATIONS:
            p = metrics.apply_temperature(inference.predict_inputs(
                model, [clip[name][model.input_key] for clip in inputs]), calibration.temperature)
            rows.append(dict(experiment="-".join(experiment), alteration=name, confidence=p.max(axis=1).mean(),
                             accuracy=(labels[p.argmax(axis=1)] == predictions.true.to_numpy()).mean(),
                             unsure=(p.max(axis=1) < calibration.threshold).mean()))
    return pd.DataFrame(rows)


def tested_clips(run, fold):
    """The predictions of one experiment on a fold's test clips, for their files and labels. raises : UserError"""
    if run.predictions.empty or fold not in set(run.predictions.fold):
        raise UserError(f"{run.folder}: nothing is finished of fold {fold}")
    return run.predictions[run.predictions.fold == fold].drop_duplicates("file")


def section(title, table):
    """A run's table in Markdown: "accuracy / confidence / unsure" for each experiment; * where a target is missed."""
    rows = []
    clean = table[table.alteration == "clean"].set_index("experiment").accuracy
    for name in ALTERATIONS:
        cells = []
        for row in table[table.alteration == name].itertuples():
            missed = 100 * (clean[row.experiment] - row.accuracy) > WITHIN.get(name, np.inf)
            missed |= 100 * (row.confidence - row.accuracy) > MAX_OVERCONFIDENCE
            shares = " / ".join(f"{100 * value:.0f}" for value in (row.accuracy, row.confidence, row.unsure))
            cells.append(shares + " *" * bool(missed))
        rows.append([name, *cells])
    return f"## {title}\n\n" + markdown_table(["alteration", *clean.index], rows)


def page(tables, protocols, fold, n_clips):
    """The text of ROBUSTNESS.md; tables, protocols : {name of a run: table of `measure`, its protocol in words}."""
    intro = (f"# Robustness\n\nWritten by `python {' '.join(sys.argv)}` on {date.today()}; do not edit. The {n_clips} "
             f"test clips of fold {fold}, altered before anything else is done with them: accuracy / mean confidence / "
             "share called unsure, in per cent. `*`: a target is missed; accuracy must be within 3 "
             "points of clean at 16 kHz, with an offset, with hiss at -65 dBFS and gain from -20 to +10 dB, within 10 "
             "at 8 kHz, with hiss at -55 dBFS and in a room of 0.3 s; confidence may be at most "
             f"{MAX_OVERCONFIDENCE} points above accuracy.")
    return "\n\n".join([intro, *(section(f"Run `{name}`: {protocols[name]}", table)
                                   for name, table in tables.items())]) + "\n"


def parse_fit(text):
    """"mfcc-cnn1d" -> ("mfcc", "cnn1d"). raises : UserError"""
    feature, dash, model = text.rpartition("-")
    if not dash:
        raise UserError(f"--fits {text}: name a feature and a model, such as mfcc-cnn1d")
    return feature, model


def parse(arguments=None):
    parser = argparse.ArgumentParser(description="Accuracy of a run's models on altered test clips; writes "
                                     "benchmarks/ROBUSTNESS.md. Needs RAVDESS_DIR.")
    parser.add_argument("--runs", nargs="+", default=[config.RUN_NAME], help="default: %(default)s")
    parser.add_argument("--results-dir", type=Path, default=Path(config.RESULTS_DIR), help="default: %(default)s")
    parser.add_argument("--fold", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--fits", nargs="+", metavar="FEATURE-MODEL",
                        default=["mfcc-dtw", "mfcc-cnn1d", "mfcc-hybrid", "mfcc-svm"], help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=-1, help="threads (default: one per core)")
    return parser.parse_args(arguments)


def main(args):
    corpus = corpora.find_corpus(corpora.data_dir(default=config.DATA_DIR), config.CLASSES)
    paths, tables = dict(zip(corpus.clips.file, corpus.clips.path)), {}
    experiments, protocols = [parse_fit(name) for name in args.fits], {}
    for name in args.runs:
        run = runs.read_run(args.results_dir / name)
        protocols[name], n_clips = run.config["protocol"], len(tested_clips(run, args.fold))
        tables[name] = measure(args.results_dir / name, args.fold, experiments, paths, args.jobs)
    text = page(tables, protocols, args.fold, n_clips)
    with write_atomically(HERE / "ROBUSTNESS.md") as tmp_path:
        tmp_path.write_text(text)
    print(text)


if __name__ == "__main__":
    run_command("robustness.py", main, parse())
