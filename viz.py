"""Draws a run: reads results/<run>/ or reference/, writes pictures (PNG and SVG) and report.html to visualizations/.

    python viz.py                       the run named in config.py, finished or not
    python viz.py --run reference       the run behind the table of results: needs no training

It only reads tables and arrays: nothing is trained, predicted or decoded. FIGURES lists the figures: file name,
function, how to read it. A new figure is its function, which gets the run and returns a matplotlib `Figure`, and its
row. What several figures share is in ser/plots.py.
"""
import argparse
from pathlib import Path
from typing import NamedTuple

import config
from ser.errors import UserError, run_command
from ser.signals import install_interrupt_handler


def parse(arguments=None):
    parser = argparse.ArgumentParser(description="Draw a run of train.py.")
    parser.add_argument("--run", default=config.RUN_NAME, metavar="NAME_OR_FOLDER",
                        help="a run's name under the results folder, or a folder such as reference "
                             "(default: %(default)s)")
    parser.add_argument("--results-dir", default=config.RESULTS_DIR, type=Path, metavar="DIR",
                        help="folder with the runs (default: %(default)s)")
    parser.add_argument("--out", default=config.VISUALIZATIONS_DIR, type=Path, metavar="DIR",
                        help="folder for the pictures (default: %(default)s)")
    parser.add_argument("--data-dir", help=argparse.SUPPRESS)       # before, of the clips; nothing needs them any more
    return parser.parse_args(arguments)


if __name__ == "__main__":      # before the slow imports: --help and a mistyped flag answer at once
    install_interrupt_handler()
    ARGUMENTS = parse()

import zipfile

import matplotlib
import numpy as np

from ser import clip_plots, heat_maps, plots, report, result_plots
from ser.files import read_csv, write_atomically
from ser.settings import PROJECT
from study import ensemble, runs

SUBGROUPS = {"sex": "{}", "intensity": "{}", "statement": "sentence {}", "repetition": "take {}"}
MAX_SUBGROUPS = 12          # values of a column that are shown side by side
DEMO = "Synthesised demo corpus: not real results"


# -- the data --------------------------------------------------------------------------------------
def data_statistics(run):
    """Clips per emotion and actor, durations (s), peak levels (dBFS)."""
    return clip_plots.data_statistics(run.clips, run.config["classes"])


def example_features(run):
    """One clip per emotion (rows) as each feature (columns)."""
    stored, params = run.artefacts["examples.npz"], run.config["feature_params"]
    names = [name for name in stored if name not in ("emotions", "files", "lengths", "hop_seconds", "axes")]
    # Of older runs: one length for all features, and none has frames of its own.
    lengths = np.broadcast_to(stored["lengths"], (len(names), len(stored["emotions"])))
    hop_seconds = stored.get("hop_seconds", np.full(len(names), params["hop_length"] / params["sr"]))
    clips = {name: real_frames(stored[name], own) for name, own in zip(names, lengths)}
    return clip_plots.feature_examples(
        stored["emotions"], {name: clips[name] for name in run.config["features"] if name in names},
        dict(zip(names, hop_seconds)), run.labels, dict(zip(names, stored["axes"])), level_unit(run))


# -- results ---------------------------------------------------------------------------------------
def comparison(run):
    """Accuracy and weighted F1 of all features and models, fold by fold."""
    return result_plots.comparison(run.predictions, run.summary, run.chance, run.labels)


def reliability(run):
    """How often a model is right when it says 80 %."""
    return result_plots.reliability(run.predictions, run.fits, run.labels)


def per_emotion(run):
    """Recall and F1 of every emotion (columns) for every model and feature (rows), folds pooled."""
    return heat_maps.results_per_emotion(run.predictions, run.config["classes"], run.labels)


def per_actor(run):
    """Accuracy on each actor's clips (rows, women and men apart) for every model and feature (columns)."""
    sexes = dict(zip(run.clips.actor, clip_plots.sex_of_clips(run.clips)))
    return heat_maps.accuracy_per_actor(run.predictions, sexes, run.labels)


def subgroups(run):
    """Accuracy by sex, intensity, sentence and repetition (columns) for every model and feature (rows), folds pooled;
    None where the clips have none of these."""
    columns = {name: text for name, text in SUBGROUPS.items()
               if name in run.clips and 1 < run.clips[name].nunique() <= MAX_SUBGROUPS}
    if not columns:
        return None
    predictions = run.predictions.drop(columns="actor").merge(run.clips[["file", *columns]], on="file")
    tables = {name: heat_maps.accuracy_table(predictions, name, run.labels).rename(columns=text.format)
              for name, text in columns.items()}
    return heat_maps.several_heat_maps("Accuracy in subgroups of the clips (%)", tables, "accuracy (%)",
                                       "{:.1f}".format, rotation=45)


def curves(run):
    """Loss and accuracy over the epochs, a figure per network."""
    for model, histories in run.histories.groupby("model", sort=False):
        yield model, result_plots.training_curves(histories, run.chance, run.labels)


def confusion_overview(run):
    """All confusion matrices at a glance."""
    return heat_maps.confusion_grid(run.predictions, run.config["classes"], run.labels)


def confusions(run):
    """A confusion matrix with counts per feature and model."""
    for (model, feature), rows in run.predictions.groupby(["model", "feature"], sort=False):
        yield f"{feature}_{model}", heat_maps.confusion_matrix(rows, run.config["classes"], run.labels)


# -- explanations ----------------------------------------------------------------------------------
def occlusion(run):
    """The regions of a clip that a network's decision depends on; None where there is no clip."""
    stored = run.artefacts["occlusion.npz"]
    if not len(stored["emotions"]):
        return None
    inputs, falls = (real_frames(stored[name], stored["lengths"]) for name in ("inputs", "falls"))
    predicted, axis = stored.get("predicted", stored["emotions"]), str(stored.get("axis", "column"))   # of older runs
    return clip_plots.occlusion_maps(stored["emotions"], predicted, inputs, falls, float(stored["hop_seconds"]), axis,
                                     f"Occlusion sensitivity: {fit_label(run, stored)}", level_unit(run))


def level_unit(run):
    """Of the mel bands of a run."""
    shifted = run.config["feature_params"].get("mean_subtraction") or run.config.get("adapt") == "speaker"
    return "dB, of which means are subtracted" if shifted else clip_plots.LEVEL_UNIT


def tsne(run):
    """Clips on a plane, by what a network's last layer receives."""
    table = run.artefacts["tsne.csv"]
    return clip_plots.tsne_scatter(table[["x", "y"]].to_numpy(), table.true, table.actor, run.config["classes"],
                                   f"t-SNE of the last layer's input: {fit_label(run, table.iloc[0])}")


def permutation_importance(run):
    """The fall of accuracy when a functional is permuted over the clips."""
    table = run.artefacts["permutation_importance.csv"]
    falls = table.pivot(index="functional", columns="repeat", values="fall").loc[table.functional.unique()]
    return clip_plots.importance_bars(falls.to_numpy(), list(falls.index),
                                      f"Permutation importance of functionals: {fit_label(run, table.iloc[0])}")


def fit_label(run, stored):
    """"Hybrid, Mel spectrogram, fold 0", of an artefact that says which fit it explains."""
    return f"{plots.experiment_label(str(stored['model']), str(stored['feature']), run.labels)}, fold {stored['fold']}"


def real_frames(arrays, lengths):
    """[(length, n), ...] of (clips, frames, n), padded at the end."""
    return [x[:length] for x, length in zip(arrays, lengths)]


# -- the table of figures --------------------------------------------------------------------------
class Figure(NamedTuple):
    """A row of FIGURES."""
    function: object        # of the run -> matplotlib Figure, or None: nothing to draw;
                            # for a name with <...>, a generator of (what stands there in the file name, Figure)
    caption: str            # how to read it, in report.html
    note: str = ""          # small print, with the names in braces that `footnote` knows
    table: str = ""         # "predictions" or "histories": drawn once there are rows in it
    needs: str = ""         # a file of study/explain.py: drawn where the run has it
    explains: str = ""      # the input of the networks that this file is about: a run without such has none


POOLED = "Test clips of all finished folds pooled."
SCALE = POOLED + " Chance is {chance:.1f} %."
CONFUSION = "A row is the true emotion, a column the predicted one; misclassified clips are off the diagonal."

FIGURES = {
    "data_statistics": Figure(
        data_statistics, "How many clips there are per emotion and actor, how long they are and how loud."),
    "example_features": Figure(
        example_features, "The input of the networks: one clip per emotion, as each feature.", "Clips: {files}.",
        needs="examples.npz"),
    "comparison": Figure(
        comparison, "Further right is better. Where intervals overlap widely, the order is not certain.",
        "Dots: folds; bar: their mean; whiskers: 95 % interval by bootstrap over actors. p: corrected t-test of "
        "accuracy against the model with the best validation accuracy. Chance is {chance:.1f} %.", "predictions"),
    "reliability": Figure(
        reliability, "On the grey diagonal, confidence equals accuracy; below it the model is overconfident.",
        "Dashed: uncalibrated; solid: calibrated by one temperature per fit, which is fitted on the validation "
        "predictions of single members, so their average, shown here, can still be off. Bins of 10 "
        f"points, those with {result_plots.MIN_BIN_CLIPS} clips or more.", "predictions"),
    "per_emotion": Figure(
        per_emotion, "Darker is better; a pale cell is an emotion that this model misses or predicts too often.",
        SCALE, "predictions"),
    "per_actor": Figure(
        per_actor, "Darker is better; pale rows are voices that every model finds hard.", SCALE, "predictions"),
    "subgroups": Figure(
        subgroups, "Darker is better; pairs of columns that differ show what accuracy depends on.", SCALE,
        "predictions"),
    "curves_<model>": Figure(
        curves, "Validation that gets worse while training gets better is overfitting; curves that still improve at "
        "the end call for more epochs.",
        "Thin: networks; thick: their mean while at least two still train. Training values are measured on augmented, "
        "masked and mixed-up batches, so the two curves do not compare directly.", "histories"),
    "occlusion": Figure(
        occlusion, "Orange: the decision depends on this region; purple: the region speaks against the emotion.",
        "{protocol}. Clips: {files}, of each emotion the correctly classified test clip with the highest confidence; "
        "where none is correct, the one that is most nearly so. Occluded: patches of {stored[patch_frames]} frames and "
        "{stored[patch_fraction]:.1%} of the rows, set to their mean.", needs="occlusion.npz", explains="frames"),
    "tsne": Figure(
        tsne, "Emotions that form clusters are separated; clusters of one actor would mean that the voice decides.",
        "{protocol}. t-SNE of what the last layers of the fit's networks receive, for its test clips. Only "
        "neighbourhood has a meaning.", needs="tsne.csv", explains="frames"),
    "permutation_importance": Figure(
        permutation_importance, "Long bars are the functionals that the network depends on most.",
        "{protocol}. Each functional, of all coefficients at once, permuted over the test clips; mean and standard "
        "deviation. Functionals that hold the same as others look unimportant.", needs="permutation_importance.csv",
        explains="functionals"),
    "confusion": Figure(confusion_overview, CONFUSION, POOLED, "predictions"),
    "confusion_<feature>_<model>": Figure(confusions, CONFUSION, POOLED, "predictions"),
}


def is_absent(row, run):
    """Whether a figure lacks the file that it is drawn of, and the run could have it."""
    models = run.config["settings"]["MODELS"]
    inputs = {models[name]["input"] for name in run.fits.get("model", ()) if models.get(name, {}).get("epochs")}
    return row.needs != "" and row.needs not in run.artefacts and (not row.explains or row.explains in inputs)


# -- the run ---------------------------------------------------------------------------------------
def find_run(name, results_dir):
    """Folder of the run `name`: under `results_dir`, else `name` as a path. raises : UserError"""
    for folder in (Path(results_dir) / name, Path(name), PROJECT / name):
        if folder.is_dir():
            return folder
    there = ", ".join(sorted(path.parent.name for path in Path(results_dir).glob("*/config.json")))
    raise UserError(f"no run '{name}': there is neither {Path(results_dir) / name} nor a folder {name}; "
                    + (f"--run takes one of {there}" if there else "train.py makes runs"))


def load_run(folder):
    """The run as study.runs.read_run gives it, its rows in the planned order, and with it
    labels    : {name of a feature or model: text in figures}
    chance    : accuracy of guessing, 0 to 1
    artefacts : {file name: contents} of what study/explain.py wrote, unless the fit was done again since
    """
    run = runs.read_run(folder)
    run.labels = dict(zip(ensemble.NAME, ("All features", "Ensemble"))) | run.config["labels"]
    run.chance = 1 / len(run.config["classes"])
    run.predictions, run.histories = (in_order(table, run.config) for table in (run.predictions, run.histories))
    fit_ids = {str(fit_id) for fit_id in run.fits.get("fit_id", ())}
    names = [row.needs for row in FIGURES.values() if row.needs and (run.folder / row.needs).exists()]
    contents = {name: read_artefact(run.folder / name) for name in names}
    run.artefacts = {name: stored for name, stored in contents.items()
                     if "fit_id" not in stored or str(np.ravel(stored["fit_id"])[0]) in fit_ids}
    return run


def read_artefact(path):
    """An .npz as {name: array}, a .csv as a DataFrame. raises : UserError"""
    try:
        if path.suffix == ".csv":
            return read_csv(path)
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: damaged ({error}); delete it, and train.py writes it again") from error


def in_order(table, plan):
    """Rows of `table` with models and features in the planned order."""
    if table.empty:
        return table
    order = {name: k for k, name in enumerate([*plan["models"], *plan["features"], *ensemble.NAME])}
    return table.sort_values(["model", "feature", "fold"], kind="stable", ignore_index=True,
                             key=lambda column: column if column.name == "fold" else column.map(order))


def finished_folds(rows, planned):
    """"5 of 5 folds finished", or "1 to 3 of 5", for the features and models in `rows`."""
    counts = rows.groupby(["feature", "model"]).fold.nunique()
    few, many = counts.min(), counts.max()
    return f"{few if few == many else f'{few} to {many}'} of {planned} folds finished"


def footnote(run, row, suffix):
    """The small print below a figure: run, data, protocol and finished folds of what is in it, and the row's note."""
    text = f"Run {Path(run.folder).resolve().name}, data {run.config['data']}."
    if row.table:
        table = getattr(run, row.table)
        own = [suffix in ("", model, f"{feature}_{model}") for feature, model in zip(table.feature, table.model)]
        text += f" {run.config['protocol']}; {finished_folds(table[own], run.config['n_folds'])}."
    stored = run.artefacts.get(row.needs, {})
    note = row.note.format(chance=100 * run.chance, protocol=run.config["protocol"], stored=stored,
                           files=", ".join(stored.get("files", ())))
    return f"{text} {note}"


# -- drawing ---------------------------------------------------------------------------------------
def draw_figures(run):
    """Yields (file stem, Figure, row of FIGURES) of all there is to draw."""
    for name, row in FIGURES.items():
        if row.needs and row.needs not in run.artefacts or row.table and getattr(run, row.table).empty:
            continue
        stem, family, _ = name.partition("<")
        for suffix, figure in row.function(run) if family else [("", row.function(run))]:
            if figure is not None:
                plots.add_footnote(figure, footnote(run, row, suffix))
                yield stem + suffix, figure, row


def main(args):
    run = load_run(find_run(args.run, args.results_dir))
    pictures = []
    with matplotlib.rc_context(plots.STYLE):
        for stem, figure, row in draw_figures(run):
            title = " ".join((figure.get_suptitle() or stem).split())
            if run.config["demo"]:
                plots.mark_title(figure, DEMO)
            for path in (args.out / f"{stem}.{ending}" for ending in ("svg", "png")):
                with write_atomically(path) as tmp_path:
                    figure.savefig(tmp_path)
            pictures.append(report.Picture(stem, path, title, row.caption))
            print(path, flush=True)
    count, missing = runs.missing_fits(run)
    path = args.out / "report.html"
    with write_atomically(path) as tmp_path:
        tmp_path.write_text(report.page(run, pictures, run.labels, (count, missing)), encoding="utf-8")
    print(path)
    absent = {name: row.needs for name, row in FIGURES.items() if is_absent(row, run)}
    if absent:
        print(f"not drawn: {', '.join(absent)}; {run.folder} has no up-to-date {', '.join(absent.values())}, "
              "which train.py writes")
    if count:
        print(f"unfinished run, drawn as far as it is; {count} fits are missing: {', '.join(missing)}")


if __name__ == "__main__":
    run_command("viz.py", main, ARGUMENTS)
