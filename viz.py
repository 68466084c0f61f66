"""Draws a run: reads results/<run>/ or reference/, writes pictures (PNG and SVG) to visualizations/. Never trains.

    python viz.py                       the run named in config.py, finished or not
    python viz.py --run reference       the run behind the README's table: needs no training

    data_statistics.png                 the clips: classes, actors, durations, levels
    example_features.png                one clip per emotion in the three features (needs audio)
    comparison.png                      accuracy and weighted F1 of all features and models, fold by fold
    reliability.png                     how often a model is right when it says 80 %
    per_emotion.png, per_actor.png      where each of them is right
    subgroups.png                       by sex, intensity, sentence and repetition
    curves_<model>.png                  loss and accuracy over the epochs
    confusion.png                       all confusion matrices at a glance
    confusion_<feature>_<model>.png     one of them, with counts
    heard.png, functionals.png, map.png what the networks hang on, and how clips lie to each other (needs audio and
                                        the trained models)
    report.html                         all of it on one page, with tables

Every figure is a function of tables or arrays that returns a matplotlib `Figure`; `main` adds the small
print (run, protocol, finished folds) and saves. The tables are the run's own, see results.py.
"""
import argparse
import sys
import tempfile
import textwrap
from pathlib import Path

import config
from ser import corpora, demo_corpus, metrics, report, signals
from ser.files import write_atomically
from study import ensemble, explain, runs

if __name__ == "__main__":      # before the slow imports: --help and a mistyped flag answer at once
    signals.install_interrupt_handler()
    parser = argparse.ArgumentParser(description="Draw a run of train.py.")
    parser.add_argument("--run", default=config.RUN_NAME, metavar="NAME_OR_FOLDER",
                        help="a run's name under the results folder, or a folder such as reference "
                             "(default: %(default)s)")
    parser.add_argument("--results-dir", default=config.RESULTS_DIR, type=Path, metavar="DIR",
                        help="folder with the runs (default: %(default)s)")
    parser.add_argument("--data-dir", metavar="DIR",
                        help="folder or CSV with the clips of the run, for the example clips "
                             "(default: $RAVDESS_DIR, else DATA_DIR in config.py, else the project root)")
    parser.add_argument("--out", default=config.VISUALIZATIONS_DIR, type=Path, metavar="DIR",
                        help="folder for the pictures (default: %(default)s)")
    ARGUMENTS = parser.parse_args()

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix, f1_score, recall_score

import data_preprocessing
import features

# -- looks -----------------------------------------------------------------------------------------
STYLE = {"font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9, "figure.titlesize": 12,
         "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8, "legend.frameon": False,
         "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
         "text.parse_math": False,                  # a $ in a file's name, or an emotion's, is a $
         "axes.grid": False, "grid.color": "0.88", "savefig.dpi": 150}
COLOURS = sns.color_palette("colorblind")
BLUE, ORANGE, GREEN = COLOURS[:3]
SEX_COLOURS = {"female": ORANGE, "male": BLUE, "not known": COLOURS[7]}
DISPLAY_NAMES = {"mfcc": "MFCC", "mel": "Mel spectrogram", "gauss": "Gaussian cepstra",
          "cnn1d": "1-D CNN", "bilstm": "BiLSTM", "hybrid": "Hybrid", "mlp": "MLP", "svm": "SVM", "dtw": "DTW + SVM",
          "all": "All features", "ensemble": "Ensemble"}
FOOTNOTE_SIZE = 7         # points
CURVES_NOTE = ("Thin: networks; thick: their mean while at least two still train. Training values are measured on "
               "augmented, masked and mixed-up batches, so the two curves do not compare directly.")
SUBGROUPS = {"sex": "{}", "intensity": "{}", "statement": "sentence {}", "repetition": "take {}"}
DEMO = "Synthesised demo corpus: not real results"


def sex_of(clips):
    """A key of SEX_COLOURS for each clip: (clips,)."""
    sexes = clips.sex if "sex" in clips else pd.Series(np.nan, clips.index)
    return sexes.where(sexes.isin(list(SEX_COLOURS)), "not known")


def display_name(name):
    """What a feature or model is called in a figure."""
    return DISPLAY_NAMES.get(name, name)


def new_figure(title, width, height):
    """An empty titled figure, in inches; no pyplot, so nothing stays open."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def mark_title(figure, text):
    """Adds a line to the title, and turns it red."""
    figure.suptitle(f"{figure.get_suptitle()}\n{text}", x=0.01, ha="left", color="firebrick")


def add_footnote(figure, note):
    """Puts `note` in small print below a figure."""
    lines = textwrap.fill(note, int(18 * figure.get_figwidth()))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=FOOTNOTE_SIZE, color="0.3")


def heat_map(ax, table, lowest=0, text="{:.0f}".format, size=7):
    """A DataFrame of percentages as coloured cells, light at `lowest`, dark at 100 %; NaN stays empty.

    text : cell -> what is written in it, or a DataFrame of that
    """
    written = table.map(text, na_action="ignore") if callable(text) else text
    ax.imshow(table, vmin=lowest, vmax=100, cmap="Blues", aspect="auto")
    for (i, j), percent in np.ndenumerate(table):
        if np.isfinite(percent):
            ax.text(j, i, written.iat[i, j], ha="center", va="center", fontsize=size, in_layout=False,
                    color="white" if percent > 0.4 * lowest + 60 else "black")
    ax.set_xticks(range(table.shape[1]), table.columns)
    ax.set_yticks(range(table.shape[0]), table.index)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def colour_bar(figure, axes, text):
    """One colour bar for the heat maps in `axes`, which share a scale."""
    figure.colorbar(axes[0].images[0], ax=axes, label=text, shrink=0.8, pad=0.02)


def row_label(names):
    """"BiLSTM, MFCC" for ("bilstm", "mfcc"), "Ensemble" for ("ensemble", "all")."""
    return ", ".join(display_name(name) for name in names if name != "all")


# -- figures ---------------------------------------------------------------------------------------
def data_statistics(clips, classes):
    """Clips per emotion and actor, durations (s), peak levels (dBFS); `clips` as in clips.csv."""
    figure = new_figure(f"The data: {len(clips)} clips, {clips.actor.nunique()} actors, "
                        f"{clips.seconds.sum() / 3600:.2f} hours", 9, 6.5)
    (by_class, by_actor), (durations, levels) = figure.subplots(2, 2)

    intensities = clips.intensity.fillna("not known") if "intensity" in clips else "any"
    counts = clips.assign(intensity=intensities).groupby(["emotion", "intensity"]).size().unstack(fill_value=0)
    counts = counts.reindex(classes, fill_value=0)                                  # (emotions, intensities)
    counts.plot.bar(stacked=True, ax=by_class, color=COLOURS, width=0.8, rot=30, legend=counts.shape[1] > 1)
    if counts.shape[1] > 1:
        by_class.legend(title="intensity", ncols=2)
    by_class.set(title="Clips per emotion", xlabel="", ylabel="clips",
                 ylim=(0, 1.25 * counts.sum(axis=1).max()))

    per_actor = clips.assign(sex=sex_of(clips)).groupby(["actor", "sex"]).size().reset_index(name="clips")
    known = [sex for sex in SEX_COLOURS if sex in set(per_actor.sex)]
    sns.barplot(per_actor, x="actor", y="clips", hue="sex", hue_order=known, palette=SEX_COLOURS,
                saturation=1, ax=by_actor, legend=len(known) > 1)
    if len(known) > 1:
        by_actor.legend(title="", ncols=2)
    by_actor.set(title="Clips per actor", xlabel="actor", ylim=(0, 1.25 * per_actor.clips.max()))
    by_actor.tick_params(axis="x", labelsize=FOOTNOTE_SIZE, rotation=90 if clips.actor.nunique() > 24 else 0)

    lengths = clips[["seconds", "trimmed_seconds"]].set_axis(["as recorded", "trimmed"], axis=1)
    sns.histplot(lengths, bins=50, palette=[BLUE, ORANGE], ax=durations, edgecolor="none")
    durations.set(title="Durations", xlabel="duration (s)", ylabel="clips", xlim=(0, None))

    sns.boxplot(clips, x="emotion", y="peak_dbfs", order=classes, color=COLOURS[9], fliersize=2,
                linewidth=0.8, ax=levels)
    levels.tick_params(axis="x", rotation=30)
    levels.set(title="Levels", xlabel="", ylabel="peak level (dBFS)")
    return figure


def example_features(examples, hop_seconds):
    """One row per clip, one column per feature.

    examples : list of (title, {feature: (frames, n)}); hop_seconds : time between frames, in s
    Cepstra are standardised per coefficient over all clips shown: coefficient 0 would hide the others.
    """
    names = list(examples[0][1])
    figure = new_figure("One clip per emotion", 9, 1 + 1.25 * len(examples))
    axes = figure.subplots(len(examples), len(names), sharex=True, sharey="col", squeeze=False)
    for column, name in zip(axes.T, names):
        frames = np.concatenate([clip[name] for _, clip in examples])               # (all frames, n)
        if name == "mel":
            centre, spread, unit = 0, 1, "dB re full scale"
            look = {"cmap": "magma", "vmin": np.percentile(frames, 5), "vmax": frames.max()}
        else:
            centre, spread = frames.mean(axis=0), frames.std(axis=0)                # (n,)
            unit, look = "standard deviations from the mean", {"cmap": "RdBu_r", "vmin": -3, "vmax": 3}
        for ax, (_, clip) in zip(column, examples):
            picture = ((clip[name] - centre) / spread).T                            # (n, frames)
            edges = (-0.5 * hop_seconds, (picture.shape[1] - 0.5) * hop_seconds, -0.5, len(picture) - 0.5)
            image = ax.imshow(picture, aspect="auto", origin="lower", extent=edges, **look)
        column[0].set_title(display_name(name))
        column[-1].set_xlabel("time (s)")
        column[0].set_xlim(0, hop_seconds * max(len(clip[name]) for _, clip in examples))
        figure.colorbar(image, ax=list(column), location="bottom", label=unit, aspect=30, pad=0.01)
        figure.align_ylabels(column)
        for ax in column:
            ax.set_ylabel("band" if name == "mel" else "coefficient", fontsize=FOOTNOTE_SIZE)
    for ax, (title, _) in zip(axes[:, 0], examples):
        ax.annotate(title, (-0.3, 0.5), xycoords="axes fraction", rotation=90, ha="right", va="center",
                    weight="bold")
    return figure


def training_curves(histories, chance):
    """Loss (upper row) and accuracy (lower row) over the epochs, one column per feature.

    histories : rows of one model, columns as histories.csv.gz
    Thin lines are networks, thick ones their mean while at least two of them still train.
    """
    names = histories.feature.unique()
    figure = new_figure(f"{display_name(histories.model.iloc[0])}: training", 1 + 2.7 * len(names), 5.2)
    axes = figure.subplots(2, len(names), sharex="col", sharey="row", squeeze=False)
    for column, name in zip(axes.T, names):
        rows = histories[histories.feature == name]
        folds = rows.fold.nunique()
        for ax, quantity, scale in zip(column, ("loss", "accuracy"), (1, 100)):
            for part, prefix, colour in (("training", "", BLUE), ("validation", "val_", ORANGE)):
                curves = scale * rows.pivot(index="epoch", columns=["fold", "member"], values=prefix + quantity)
                ax.plot(curves.index, curves, color=colour, alpha=0.4, lw=0.7)
                mean = curves.mean(axis=1)[curves.count(axis=1) >= 2]
                ax.plot(mean.index, mean, color=colour, lw=2, label=part)
            kept = rows[rows.kept == 1]
            ax.plot(kept.epoch, scale * kept[f"val_{quantity}"], "o", ms=4, color=ORANGE, mec="black", mew=0.7,
                    ls="none", label="kept epoch")
            ax.grid(axis="y")
        column[1].axhline(100 * chance, color="0.4", ls=":", label="chance")
        column[0].set_title(f"{display_name(name)}, {folds} fold{'s' * (folds > 1)}")
        column[1].set(xlabel="epoch", ylim=(0, 100))
    axes[0, 0].set_ylabel("cross-entropy loss (nats)")
    axes[1, 0].set_ylabel("accuracy (%)")
    axes[0, -1].legend(*axes[1, -1].get_legend_handles_labels(), loc="upper right")
    return figure


def confusion_counts(predictions, classes):
    """Confusion matrix as counts and as percentages of each true class, both (true, predicted)."""
    counts = confusion_matrix(predictions.true, predictions.predicted, labels=list(classes))
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return [pd.DataFrame(table, index=classes, columns=classes) for table in (counts, percent)]


def confusion(predictions, classes):
    """Row-normalised confusion matrix of one feature and model, percentages over counts."""
    counts, percent = confusion_counts(predictions, classes)
    text = percent.map("{:.0f} %\n".format) + counts.astype(str)
    feature, model = predictions.feature.iloc[0], predictions.model.iloc[0]
    hit = (predictions.true == predictions.predicted).mean()
    figure = new_figure(f"{row_label((model, feature))}: {100 * hit:.1f} % of {len(predictions)} clips right",
                        6.5, 5.8)
    ax = figure.subplots()
    heat_map(ax, percent, text=text, size=8)
    ax.tick_params(axis="x", rotation=30)
    ax.set(xlabel="predicted emotion", ylabel="true emotion")
    colour_bar(figure, [ax], "share of the row (%)")
    return figure


def confusion_overview(predictions, classes):
    """All confusion matrices, models down and features across, in rounded percentages."""
    models, features = predictions.model.unique(), predictions.feature.unique()
    figure = new_figure("Confusion matrices", 1.4 + 2.5 * len(features), 1 + 2.4 * len(models))
    axes = figure.subplots(len(models), len(features), sharex=True, sharey=True, squeeze=False)
    groups = dict(list(predictions.groupby(["model", "feature"])))
    for row, model in zip(axes, models):
        for ax, feature in zip(row, features):
            if (model, feature) in groups:
                percent = confusion_counts(groups[model, feature], classes)[1]
            else:
                percent = pd.DataFrame(np.nan, index=classes, columns=classes)
                ax.text(0.5, 0.5, "no finished fold", transform=ax.transAxes, ha="center")
            heat_map(ax, percent, size=6)
            ax.set_title(row_label((model, feature)), fontsize=9)
    for ax in axes[:, 0]:
        ax.set_ylabel("true emotion")
    for ax in axes[-1]:
        ax.set_xlabel("predicted emotion")
        ax.tick_params(axis="x", rotation=90)
    colour_bar(figure, list(axes.flat), "share of the row (%)")
    return figure


def comparison(predictions, summary, chance):
    """Accuracy and weighted F1 of every feature and model: folds as dots, their mean, and how sure it is.

    predictions, summary : columns as predictions.csv.gz and summary.csv; chance : accuracy of guessing, 0 to 1
    """
    summary = summary.set_index(["model", "feature"])
    models, features = list(predictions.model.unique()), list(predictions.feature.unique())
    shared = sum(feature != "all" for feature in features)                      # the ensemble's needs no room
    figure = new_figure("Features and models compared", 8.5, 1.6 + 0.28 * len(models) * (1 + shared))
    axes = figure.subplots(1, 2, sharey=True)
    measures = {"accuracy (%)": lambda fold: 100 * (fold.true == fold.predicted).mean(),
                "weighted F1 (%)": lambda fold: 100 * f1_score(fold.true, fold.predicted, average="weighted")}
    for ax, (name, score) in zip(axes, measures.items()):
        ax.axvline(100 * chance, color="0.4", ls=":", label=f"chance ({100 * chance:.1f} %)")
        for (model, feature), rows in predictions.groupby(["model", "feature"], sort=False):
            folds = np.array([score(fold) for _, fold in rows.groupby("fold")])     # (folds,)
            k, own = features.index(feature), list(predictions[predictions.model == model].feature.unique())
            y = models.index(model) + (own.index(feature) - (len(own) - 1) / 2) / (shared + 1)
            mean, spread = folds.mean(), folds.std(ddof=1) if len(folds) > 1 else 0
            ax.plot(folds, np.full(len(folds), y + 0.07), "o", ms=4, color=COLOURS[k], alpha=0.5, mew=0)
            row = summary.loc[(model, feature)]
            low, high = (100 * row.accuracy_low, 100 * row.accuracy_high) if ax is axes[0] else (
                mean - spread, mean + spread)
            ax.errorbar(mean, y - 0.03, xerr=[[max(mean - low, 0)], [max(high - mean, 0)]], fmt="|", ms=10, mew=2,
                        capsize=3, lw=1.2, color=COLOURS[k], label=display_name(feature) if feature != "all" else None)
            text = f"{mean:.1f} ± {spread:.1f}" if len(folds) > 1 else f"{mean:.1f} (1 fold)"
            if ax is axes[0] and np.isfinite(row.p_against_best):
                text += f"  p {metrics.format_p(row.p_against_best)}"
            ax.text(1.01, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8)
        ax.set(xlabel=name, xlim=(100 * chance - 2.5, 100))
        ax.grid(axis="x")
    axes[0].set(yticks=range(len(models)), yticklabels=map(display_name, models), ylim=(len(models) - 0.5, -0.5))
    handles = dict(zip(*axes[0].get_legend_handles_labels()[::-1]))                 # one for each name
    figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=1 + shared)
    return figure


def reliability(predictions, fits):
    """Share of right answers against confidence, as given (dashed) and at the temperature of each fit (solid)."""
    models, features = list(predictions.model.unique()), list(predictions.feature.unique())
    temperature = fits.set_index(["feature", "model", "fold"]).temperature
    columns = [name for name in predictions if name.startswith("p_")]
    figure = new_figure("Can the probabilities be believed?", 2.4 * len(models), 3.4)
    axes = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for ax, model in zip(axes, models):
        ax.plot([0, 100], [0, 100], color="0.7", lw=0.8)
        for feature, rows in predictions[predictions.model == model].groupby("feature", sort=False):
            given, right = rows[columns].to_numpy(), (rows.true == rows.predicted).to_numpy()
            heat = temperature.loc[list(zip(rows.feature, rows.model, rows.fold))].to_numpy()[:, None]
            colour = COLOURS[features.index(feature)]
            for p, style in ((given, "--"), (metrics.apply_temperature(given, heat), "-")):
                confidence, share, clips = metrics.reliability_curve(p, right, bins=10)
                enough = clips >= 20
                ax.plot(100 * confidence[enough], 100 * share[enough], style, color=colour, lw=1.2,
                        label=display_name(feature) if style == "-" else None)
        ax.set(title=display_name(model), xlabel="confidence (%)", xlim=(0, 100), ylim=(0, 100), aspect="equal")
        ax.legend(loc="lower right", fontsize=6)
    axes[0].set_ylabel("right (%)")
    return figure


def per_emotion(predictions, classes):
    """Recall and F1 of every emotion (columns) for every model and feature (rows), folds pooled."""
    scores = {"Recall (%)": recall_score, "F1 (%)": f1_score}
    groups = list(predictions.groupby(["model", "feature"], sort=False))
    figure = new_figure("Results per emotion", 9, 2 + 0.27 * len(groups))
    axes = figure.subplots(1, 2, sharey=True)
    for ax, (title, score) in zip(axes, scores.items()):
        table = {row_label(names): 100 * score(rows.true, rows.predicted, labels=list(classes), average=None,
                                               zero_division=0) for names, rows in groups}
        heat_map(ax, pd.DataFrame(table, index=classes).T, lowest=100 / len(classes))
        ax.set_title(title)
        ax.tick_params(axis="x", rotation=40)
    colour_bar(figure, axes, "scale (%)")
    return figure


def per_actor(predictions, sexes, chance):
    """Accuracy on each actor's clips (columns, women and men apart) for every model and feature (rows).

    sexes : {actor: a key of SEX_COLOURS}; chance : accuracy of guessing, 0 to 1
    """
    hits = predictions.assign(hit=100.0 * (predictions.true == predictions.predicted))
    table = hits.groupby(["model", "feature", "actor"], sort=False).hit.mean().unstack().sort_index(axis=1)
    table.index = [row_label(names) for names in table.index]                       # (experiments, actors)
    table.loc["mean of the rows"] = table.mean()
    parts = {word: table[[actor for actor in table if sexes[actor] == sex]]
             for sex, word in zip(SEX_COLOURS, ("women", "men", "actors"))}
    parts = {word: part for word, part in parts.items() if part.shape[1]}
    figure = new_figure("Accuracy per actor (%)", 9.5, 1.7 + 0.27 * len(table))
    axes = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    for ax, (word, part) in zip(axes, parts.items()):
        heat_map(ax, part, lowest=100 * chance)
        ax.set(title=f"{part.shape[1]} {word}, mean {part.to_numpy()[-1].mean():.1f} %", xlabel="actor")
    colour_bar(figure, axes, "scale (%)")
    return figure


def timeline(name, y, rate, rows, labels):
    """A recording and its emotions over time: waveform, mel spectrogram (dB), probabilities (%) of each window.

    y : float (samples,) at `rate` Hz; rows : start, end (s), label, unsure, p_<label>, a row per window
    """
    seconds, columns = len(y) / rate, 2000                                  # columns of pixels, about
    figure = new_figure(f"Emotion over time: {name}", 9, 6)
    wave, mel, emotions = figure.subplots(3, 1, sharex=True, height_ratios=[1, 1.5, 2])
    step = max(1, len(y) // columns)
    pieces = y[:len(y) // step * step].reshape(-1, step)                    # (about columns, step)
    wave.fill_between(np.arange(len(pieces)) * step / rate, pieces.min(axis=1), pieces.max(axis=1), color=BLUE, lw=0.3)
    wave.set(ylabel="waveform", ylim=(-1.05 * np.abs(y).max(), 1.05 * np.abs(y).max()))

    power = features.power_spectrogram(y, n_fft=2048, hop_length=max(512, step))            # (frames, bins)
    decibels = features.mel_spectrogram(power, sr=rate, n_mels=64, fmin=0.0, fmax=rate / 2, top_db=80.0)
    mel.imshow(decibels.T, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, 64))
    mel.set(ylabel="mel band", yticks=[])

    hop = np.diff(rows.start).min() if len(rows) > 1 else seconds
    centres = ((rows.start + rows.end) / 2).to_numpy()
    for centre, p in zip(centres, 100 * rows[[f"p_{display_name}" for display_name in labels]].to_numpy()):
        emotions.imshow(p[:, None], extent=(centre - hop / 2, centre + hop / 2, len(labels) - 0.5, -0.5),
                        vmin=0, vmax=100, cmap="Blues", aspect="auto")
    for unsure, face in ((False, ORANGE), (True, "none")):
        best = rows[rows.unsure.astype(bool).eq(unsure) & rows.label.isin(labels)]
        emotions.scatter((best.start + best.end) / 2, [labels.index(label) for label in best.label], s=18, color=face,
                         edgecolor=ORANGE, label="unsure" if unsure else "answer")
    emotions.set(yticks=range(len(labels)), yticklabels=labels, xlabel="seconds (middle of the window)",
                 xlim=(0, seconds), ylim=(len(labels) - 0.5, -0.5))
    emotions.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1))
    figure.colorbar(emotions.images[0], ax=emotions, label="probability (%)", pad=0.01)
    return figure


def subgroup_figure(predictions, clips, chance):
    """Accuracy on parts of the clips (columns) for every model and feature (rows), folds pooled.

    clips : as in clips.csv; chance : accuracy of guessing, 0 to 1
    returns : None where nothing is known that would part the clips
    """
    parts = {name: text for name, text in SUBGROUPS.items() if name in clips and 1 < clips[name].nunique() <= 12}
    hits = predictions.assign(hit=100.0 * (predictions.true == predictions.predicted))
    if not parts:
        return None
    hits = hits.drop(columns="actor").merge(clips[["file", *parts]], on="file")
    rows = hits.groupby(["model", "feature"]).ngroups
    figure = new_figure("Accuracy on parts of the clips (%)", 9, 1.9 + 0.27 * rows)
    axes = figure.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    for ax, (column, text) in zip(axes, parts.items()):
        table = hits.groupby(["model", "feature", column], sort=False).hit.mean().unstack().sort_index(axis=1)
        table.index, table.columns = [row_label(names) for names in table.index], map(text.format, table.columns)
        heat_map(ax, table, lowest=100 * chance, text="{:.1f}".format)
        ax.set_title(column)
    colour_bar(figure, axes, "scale (%)")
    return figure


# -- examples, when there is audio -----------------------------------------------------------------
def load_examples(run, data_dir):
    """One clip per emotion, alike in actor, sentence, intensity and repetition where the data has that.

    returns : [(emotion, {feature: (frames, n)}), ...], a line that says whose clips these are, and whether
              they are synthesised: for a demo run, or because no data set was found
    raises  : corpora.DataError for a place without clips of this run that the user named
    """
    with tempfile.TemporaryDirectory() as scratch:
        clips = pd.DataFrame() if run.config.get("demo") else clips_of(run, data_dir)
        synthesised = clips.empty
        if synthesised:
            demo_corpus.write_corpus(scratch, actors=1)
            clips = corpora.find_corpus(scratch).clips
        chosen = matched_examples(clips)
        examples = []
        for clip in chosen.itertuples():
            try:
                y = data_preprocessing.load_waveform(clip.path, **run.config["LOADING_SETTINGS"])   # (samples,)
            except corpora.DataError as problem:
                raise corpora.DataError(f"{clip.path}: {problem}") from problem
            examples.append((clip.emotion, features.extract(y, **run.config["FEATURE_SETTINGS"])))
    return examples, f"Clips: {', '.join(chosen.file)}", synthesised


def clips_of(run, data_dir):
    """The clips of a run as its data has them (with their paths); an empty table where the data is not at hand.

    raises : corpora.DataError for a place without clips of this run that the user named
    """
    try:
        clips = corpora.find_corpus(corpora.data_dir(data_dir)).clips
        clips = clips[clips.file.isin(run.clips.file)]
        if clips.empty:
            raise corpora.DataError(f"{corpora.data_dir(data_dir)}: no clips of this run ({run.config['data']})")
    except corpora.DataError:
        if data_dir:
            raise
        return pd.DataFrame()
    return clips


def matched_examples(clips):
    """One row per emotion, from the largest group that shares actor, sentence, intensity and repetition."""
    known = [name for name in ("actor", "statement", "intensity", "repetition") if name in clips]
    groups = clips.groupby(known, dropna=False).emotion
    largest_first = clips.assign(size=groups.transform("nunique"))
    largest_first = largest_first.sort_values("size", ascending=False, kind="stable")
    return largest_first.drop_duplicates("emotion").sort_values("label")


# -- what the networks hear, when there are models too ---------------------------------------------
def occlusion_figure(examples, hop_seconds, title):
    """Each clip (left) and where blanking it speaks against the answer (right).

    examples : [(emotion, feature (frames, n), fall of log-odds (frames, n)), ...]
    """
    figure = new_figure(title, 9, 1 + 1.25 * len(examples))
    most = np.percentile(np.abs(np.concatenate([fall for *_, fall in examples])), 99.5)
    axes = figure.subplots(len(examples), 2, sharex=True, sharey=True, squeeze=False)
    for (left, right), (emotion, x, fall) in zip(axes, examples):
        look = dict(aspect="auto", origin="lower", extent=(0, len(x) * hop_seconds, 0, x.shape[1]))
        left.imshow(x.T, cmap="magma", vmin=np.percentile(x, 5), **look)
        image = right.imshow(fall.T, cmap="RdBu_r", vmin=-most, vmax=most, **look)
        left.set_ylabel(emotion, weight="bold")
    axes[0, 0].set_title("the clip")
    axes[0, 1].set_title("what the answer hangs on")
    figure.colorbar(image, ax=list(axes[:, 1]), shrink=0.5, label="fall of its log-odds")
    for ax in axes[-1]:
        ax.set(xlabel="time (s)", xlim=(0, hop_seconds * max(len(x) for _, x, _ in examples)))
    return figure


def importance_figure(falls, names, title):
    """Bars: how far accuracy falls when a functional is shuffled over the clips; falls (functionals, repeats)."""
    order = np.argsort(falls.mean(axis=1))
    figure = new_figure(title, 6, 3.5)
    ax = figure.subplots()
    mean, spread = 100 * falls.mean(axis=1)[order], 100 * falls.std(axis=1)[order]
    ax.barh(range(len(names)), mean, xerr=spread, color=BLUE, capsize=2)
    ax.set(yticks=range(len(names)), yticklabels=np.array(names)[order], xlabel="fall of accuracy (points)")
    ax.axvline(0, color="0.4", lw=0.8)
    return figure


def tsne_figure(points, emotions, actors, classes, title):
    """Clips as points (clips, 2), coloured by emotion and by actor."""
    figure = new_figure(title, 9, 4.6)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    colours = dict(zip(classes, sns.color_palette("colorblind", len(classes))))
    for emotion in classes:
        left.scatter(*points[emotions == emotion].T, s=14, color=colours[emotion], label=emotion)
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=4)
    left.set_title("by emotion")
    names, numbers = np.unique(actors, return_inverse=True)
    image = right.scatter(*points.T, s=14, c=numbers, cmap="viridis")
    right.set_title("by actor")
    figure.colorbar(image, ax=right, label="actor", shrink=0.7).ax.set_yticks(
        range(0, len(names), 1 + len(names) // 12), names[::1 + len(names) // 12])
    for ax in (left, right):
        ax.set(xticks=[], yticks=[])
    return figure


def listening(run, data_dir):
    """Yields (stem, figure, more small print) of the run's first fold, on its test clips: of the best sequence network
    on mel, which has bands to show (else the best), and the best MLP; nothing where models or sound are missing."""
    fits = run.fits[run.fits.fold == run.fits.fold.min()]
    fits = fits[[(run.folder / "fits" / runs.fit_name(*names) / runs.NETWORK_FILE).exists()
                 for names in fits[["feature", "model", "fold"]].itertuples(index=False)]]
    if fits.empty:
        return
    demo = Path(config.CACHE_DIR) / "demo-corpus"
    clips = clips_of(run, demo if run.config.get("demo") and demo.exists() else data_dir)
    if clips.empty:
        return
    paths = clips.set_index("file").path
    sequences = fits[fits.model != "mlp"].sort_values("validation_accuracy", ascending=False, kind="stable")
    pick = sequences[sequences.feature == "mel"] if "mel" in set(sequences.feature) else sequences
    if len(pick):
        yield from hear_sequence(run, pick.iloc[0], paths)
    mlps = fits[fits.model == "mlp"].sort_values("validation_accuracy", ascending=False, kind="stable")
    if len(mlps):
        yield hear_functionals(run, mlps.iloc[0], paths)


def inputs_of_test_clips(run, fit, paths):
    """A fit's model, its predictions of its test clips, and their inputs: x (clips, ...) as heard, lengths (clips,)."""
    import predict
    model = predict.load(run.folder / "fits" / runs.fit_name(fit.feature, fit.model, fit.fold))
    table = run.predictions.query("feature == @fit.feature and model == @fit.model and fold == @fit.fold")
    table = table[table.file.isin(paths.index)].reset_index(drop=True)
    key = predict.input_key(model)
    heard = [predict.load_segments(Path(paths[file]), {key: model.kept}, None, 1)[0] for file in table.file]
    for segment in heard:
        if "problem" in segment:
            raise corpora.DataError(f"{segment['file']}: {segment['problem']}")
    return model, table, *map(np.array, zip(*(segment["inputs"][key] for segment in heard)))


def normalised(model, x, lengths):
    mean, std = (np.array(model.kept[name], np.float32) for name in ("mean", "std"))
    return data_preprocessing.standardise(x, mean, std, lengths if model.kept["input"] == "sequences" else None)


def hear_sequence(run, fit, paths):
    """The pictures heard and map."""
    from sklearn.manifold import TSNE
    model, table, x, lengths = inputs_of_test_clips(run, fit, paths)
    inputs, labels = normalised(model, x, lengths), model.kept["labels"]
    sure = table.assign(confidence=table[[f"p_{name}" for name in labels]].max(axis=1)).query("true == predicted")
    sure = sure.sort_values("confidence", ascending=False).drop_duplicates("true").set_index("true")
    examples = []
    for emotion in [name for name in labels if name in sure.index]:
        number = table.index[table.file == sure.file[emotion]][0]
        fall = explain.occlusion(model.network, inputs[number], lengths[number], labels.index(emotion))
        examples.append((emotion, x[number][:lengths[number]], fall))
    named = f"{row_label((fit.model, fit.feature))}, fold {fit.fold}"
    hop = model.kept["features"]["hop_length"] / model.kept["features"]["sr"]
    if examples:
        yield ("heard", occlusion_figure(examples, hop, f"What the answer hangs on: {named}"),
               f"Clips: {', '.join(sure.file)}, each the surest right answer of its emotion. Blanked: patches of "
               f"{explain.PATCH[0]} frames and {explain.PATCH[1]:.1%} of the rows, set to their mean.")
    within = explain.penultimate(model.network, inputs)                                     # (clips, units)
    points = TSNE(init="pca", random_state=0, perplexity=min(30, (len(within) - 1) / 3)).fit_transform(within)
    yield ("map", tsne_figure(points, table.true.to_numpy(), table.actor.to_numpy(), labels, f"How clips lie: {named}"),
           "t-SNE of what the networks' last layers decide on; test clips. Only who lies next to whom has a meaning.")


def hear_functionals(run, fit, paths):
    """The picture functionals."""
    model, table, x, lengths = inputs_of_test_clips(run, fit, paths)
    labels = table.true.map(model.kept["labels"].index).to_numpy()
    groups = np.repeat(np.arange(len(features.FUNCTIONALS)), x.shape[1] // len(features.FUNCTIONALS))
    falls = explain.permutation_importance(model.network, normalised(model, x, lengths), labels, groups, np.random.default_rng(0))
    named = f"{row_label((fit.model, fit.feature))}, fold {fit.fold}"
    return ("functionals", importance_figure(falls, features.FUNCTIONALS, f"What the MLP hangs on: {named}"),
            "Each functional, of all coefficients at once, shuffled over the test clips five times; mean and standard "
            "deviation. Functionals that say the same as others look unimportant.")


# -- the run ---------------------------------------------------------------------------------------
def find_run(name, results_dir):
    """Folder of the run `name`: under `results_dir`, else `name` as a path; RunError when neither exists."""
    for folder in (Path(results_dir) / name, Path(name)):
        if folder.is_dir():
            return folder
    raise runs.RunError(f"no run '{name}': there is neither {Path(results_dir) / name} nor a folder "
                           f"{name}; train.py makes runs")


def in_order(table, plan):
    """Rows of `table` with models and features in the order of the plan."""
    names = {name: k for k, name in enumerate([*plan["models"], *plan["features"], *ensemble.NAME])}
    return table.sort_values(["model", "feature", "fold"], kind="stable", ignore_index=True,
                             key=lambda column: column if column.name == "fold" else column.map(names))


def folds_text(rows, planned):
    """"5 of 5 folds finished", or "1 to 3 of 5", for the features and models in `rows`."""
    counts = rows.groupby(["feature", "model"]).fold.nunique()
    few, many = counts.min(), counts.max()
    return f"{few if few == many else f'{few} to {many}'} of {planned} folds finished"


def missing_fits(run, plan):
    """What the run planned and has not finished: how many fits, and ["mfcc-cnn1d fold 3 4", ...]."""
    done = set()
    if len(run.predictions):
        done = set(run.predictions[["feature", "model", "fold"]].itertuples(index=False, name=None))
    count, lines = 0, []
    for model in plan["models"]:
        for feature in plan["features"]:
            left = [str(k) for k in range(plan["folds"]) if (feature, model, k) not in done]
            count += len(left)
            if left:
                which = "all folds" if len(left) == plan["folds"] else f"fold {' '.join(left)}"
                lines.append(f"{feature}-{model} {which}")
    return count, lines


def draw(run, plan, data_dir):
    """Yields (file stem, figure, rows of fits in it or None, more small print) for all there is to draw."""
    classes, chance = run.config["CLASSES"], 1 / len(run.config["CLASSES"])
    examples, note, synthesised = load_examples(run, data_dir)
    yield "data_statistics", data_statistics(run.clips, classes), None, ""
    figure = example_features(examples, run.config["HOP_LENGTH"] / run.config["SAMPLE_RATE"])
    if synthesised and not run.config.get("demo"):
        mark_title(figure, "Synthesised clips, not speech: no data set was found")
        print("no data set found, so the example clips are synthesised; name its folder with --data-dir")
    yield "example_features", figure, None, note
    if run.predictions.empty:
        return
    predictions, histories = in_order(run.predictions, plan), in_order(run.histories, plan)
    yield ("comparison", comparison(predictions, run.summary, chance), predictions,
           "Dots are folds, the bar is their mean, ± one standard deviation over folds. Whiskers: for accuracy the "
           "95 % interval by bootstrap over actors, for F1 the standard deviation. p: corrected t-test against the "
           "model with the best validation accuracy.")
    yield ("reliability", reliability(predictions, run.fits), predictions,
           "Dashed: as given; solid: at one temperature per fit, chosen on validation clips as single models hear "
           "them; the mean of several, shown here, is right more often than it says. Bins of 10 points, "
           "those with 20 clips or more.")
    pooled = "Test clips of all finished folds pooled."
    scale = f"{pooled} Colours start at chance ({100 * chance:.1f} %)."
    yield "per_emotion", per_emotion(predictions, classes), predictions, scale
    sexes = dict(zip(run.clips.actor, sex_of(run.clips)))
    yield "per_actor", per_actor(predictions, sexes, chance), predictions, scale
    parted = subgroup_figure(predictions, run.clips, chance)
    if parted:
        yield "subgroups", parted, predictions, scale
    for model, rows in histories.groupby("model", sort=False):
        yield f"curves_{model}", training_curves(rows, chance), rows, CURVES_NOTE
    for stem, figure, more in listening(run, data_dir):
        yield stem, figure, None, f"{run.config['protocol']}. {more}"
    members = predictions[predictions.model != "ensemble"]
    yield "confusion", confusion_overview(members, classes), members, pooled
    for (model, feature), rows in predictions.groupby(["model", "feature"], sort=False):
        yield f"confusion_{feature}_{model}", confusion(rows, classes), rows, pooled


def main(arguments):
    run = runs.read_run(find_run(arguments.run, arguments.results_dir))
    plan = {"features": run.config["FEATURES"], "models": run.config["MODELS"], "folds": run.config["N_FOLDS"]}
    pictures = []
    with matplotlib.rc_context(STYLE):
        for name, figure, rows, note in draw(run, plan, arguments.data_dir):
            facts = f"Run {Path(run.folder).resolve().name}, data {run.config['data']}."
            if rows is not None:
                facts += f" {run.config['protocol']}; {folds_text(rows, plan['folds'])}."
            add_footnote(figure, f"{facts} {note}")
            if run.config.get("demo"):
                mark_title(figure, DEMO)
            for path in (Path(arguments.out) / f"{name}.{ending}" for ending in ("svg", "png")):
                with write_atomically(path) as draft:
                    figure.savefig(draft)
            pictures.append((name, path))
            print(path, flush=True)
    path = Path(arguments.out) / "report.html"
    with write_atomically(path) as draft:
        draft.write_text(report.page(run, pictures, display_name), encoding="utf-8")
    print(path)
    count, missing = missing_fits(run, plan)
    if count:
        print(f"unfinished run, drawn as far as it is; {count} fits are missing: {', '.join(missing)}")


if __name__ == "__main__":
    try:
        main(ARGUMENTS)
    except (runs.RunError, corpora.DataError, OSError) as problem:
        print(f"{parser.prog}: error: {problem}", file=sys.stderr)
        sys.exit(2)
