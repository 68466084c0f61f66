"""Accuracy on new speakers against the number of their unlabelled clips that a model is adapted by.

    python benchmarks/adaptation.py --run default-emobox-adapted        writes benchmarks/ADAPTATION.md

The models of a finished run of `train.py --adapt speaker` on RAVDESS answer the test clips of their folds; nothing is
trained and nothing is chosen here. Needs RAVDESS_DIR. Minutes: 2 on two cores, 6 with an encoder or DTW.
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
from benchmarks.robustness import parse_fit
from ser import corpora, seeds
from ser.audio import read_audio
from ser.errors import UserError, run_command
from ser.files import write_atomically
from study import inference, runs, segments

N_CLIPS = (0, 1, 5, 10, 20)             # unlabelled clips of a speaker, drawn at random; then all
N_DRAWS = 3
ONE_SIDED = ("angry", "calm", "neutral", "happy")       # all clips of one emotion; tested on the speaker's others


def load_windows(path, specs):
    """A clip as the models take it: segments.Window."""
    y, rate = read_audio(path)
    return segments.Window(0, 1, 1, segments.model_inputs(y, rate, specs)[0])


def choices(emotions, rng):
    """Of the clips of a speaker, {name: (those to adapt by, those to test)}, indices; emotions : (clips,)."""
    every = np.arange(len(emotions))
    found = {f"{n} clips, draw {draw}": (rng.choice(every, n, replace=False), every)
             for n in N_CLIPS if n <= len(every) for draw in range(N_DRAWS if n else 1)}
    found["all clips, draw 0"] = every, every
    for name in ONE_SIDED:
        found[f"{name} clips alone"] = np.flatnonzero(emotions == name), np.flatnonzero(emotions != name)
    return found


def is_correct(model, windows, emotions, adapting=()):
    """Whether a model, adapted by some windows (indices), is right about each: bool (windows,)."""
    (model,) = inference.adapt_models([model], [dict(file=k, windows=[windows[k]]) for k in adapting])
    p = inference.predict_inputs(model, [window.inputs[model.input_key] for window in windows])
    return np.array(model.metadata["labels"])[p.argmax(axis=1)] == emotions


def measure(run_folder, experiments, paths, jobs):
    """A row for each experiment, test speaker and choice: experiment, choice, accuracy, and the accuracy without
    adaptation on the same clips. experiments : [(feature, model), ...]; paths : {file: path}"""
    run = runs.read_run(run_folder)
    folders = {(*experiment, fold): run_folder / "fits" / runs.fit_name(*experiment, fold)
               for experiment in experiments for fold in range(run.config["n_folds"])}
    models = {name: inference.load_model(folder) for name, folder in folders.items()}
    plain = [model.name for model in models.values() if model.metadata["speaker_mean"] is None]
    if plain:
        raise UserError(f"{run_folder}: {plain[0]} was not trained with --adapt speaker")
    specs = inference.input_specs(models.values())
    tested = run.folds[run.folds.fold >= 0]
    windows = dict(zip(tested.file, joblib.Parallel(jobs, prefer="threads")(
        joblib.delayed(load_windows)(paths[file], specs) for file in tested.file)))
    rows = []
    for (fold, speaker), own in tested.groupby(["fold", "actor"]):
        emotions, inputs = own.emotion.to_numpy(), [windows[file] for file in own.file]
        chosen = choices(emotions, seeds.generator(0, "adaptation", speaker))
        for experiment in experiments:
            model = models[(*experiment, fold)]
            without = is_correct(model, inputs, emotions)
            for name, (adapting, testing) in chosen.items():
                rows.append(dict(experiment="-".join(experiment), choice=name.split(", draw")[0],
                                 accuracy=is_correct(model, inputs, emotions, adapting)[testing].mean(),
                                 without=without[testing].mean()))
    return pd.DataFrame(rows)


def page(table, run):
    """The text of ADAPTATION.md; table : of `measure`, run : as runs.read_run gives it."""
    means = 100 * table.groupby(["choice", "experiment"], sort=False)[["accuracy", "without"]].mean()
    experiments = list(table.experiment.unique())
    cells = [[choice, *("{:.1f} ({:.1f})".format(*means.loc[choice, name]) for name in experiments)]
             for choice in table.choice.unique()]
    intro = (f"# Adaptation to a speaker\n\nWritten by `python {' '.join(sys.argv)}` on {date.today()}; do not edit. "
             f"Protocol: {run.config['protocol']}. Accuracy on a test speaker's clips in per cent, mean over the "
             "speakers, by models that are adapted by so many of the speaker's clips, labels unseen; in brackets "
             "without adaptation, on the same clips. Clips drawn at random: three draws, tested on all clips of the "
             "speaker. Clips of one emotion alone: all there are, tested on the others.")
    return intro + "\n\n" + markdown_table(["adapted by", *experiments], cells) + "\n"


def parse(arguments=None):
    parser = argparse.ArgumentParser(description="Accuracy against the number of a speaker's unlabelled clips; writes "
                                     "benchmarks/ADAPTATION.md. Needs RAVDESS_DIR.")
    parser.add_argument("--run", default=f"{config.RUN_NAME}-emobox-adapted", help="default: %(default)s")
    parser.add_argument("--results-dir", type=Path, default=Path(config.RESULTS_DIR), help="default: %(default)s")
    parser.add_argument("--fits", nargs="+", metavar="FEATURE-MODEL",
                        default=["mfcc-cnn1d", "mfcc-hybrid", "mfcc-dtw", "mfcc-svm"], help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=-1, help="threads (default: one per core)")
    return parser.parse_args(arguments)


def main(args):
    corpus = corpora.find_corpus(corpora.data_dir(default=config.DATA_DIR), config.CLASSES)
    paths, experiments = dict(zip(corpus.clips.file, corpus.clips.path)), [parse_fit(name) for name in args.fits]
    run = args.results_dir / args.run
    text = page(measure(run, experiments, paths, args.jobs), runs.read_run(run))
    with write_atomically(HERE / "ADAPTATION.md") as tmp_path:
        tmp_path.write_text(text)
    print(text)


if __name__ == "__main__":
    run_command("adaptation.py", main, parse())
