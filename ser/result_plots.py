"""Figures of the tables of a study: predictions, histories, summary, with columns as study/runs.py writes them.

labels : {name of a feature or model: text in figures}; chance : accuracy of guessing, 0 to 1. Rows keep their order.
"""
import textwrap

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import f1_score

from ser import metrics
from ser.plots import BLUE, ORANGE, WIDTH, add_legend, cells_below_legend, experiment_label, look, new_figure

RELIABILITY_BINS, MIN_BIN_CLIPS = 10, 20
NETWORK_LINE_WIDTH = 0.7        # points, of the curve of a single network
ENSEMBLE = "ensemble"           # the model that is of no single feature
ENSEMBLE_COLOUR = "0.2"
P_OFFSET = 66                   # points, from the axis of a comparison to its column with p
CHANCE = dict(color="0.4", ls=":")
MAX_RELIABILITY_START = 50      # per cent, where the axes begin at most
PANELS_ACROSS = 3               # reliability diagrams in a row


# -- training --------------------------------------------------------------------------------------
def training_curves(histories, chance, labels):
    """Loss (upper row) and accuracy (lower row) over the epochs, one column per feature, of one model.

    Thin lines are networks, thick ones their mean while at least two of them still train.
    """
    names = histories.feature.unique()
    figure = new_figure(f"{labels[histories.model.iloc[0]]}: training", WIDTH, 4.8)
    legend, cells = cells_below_legend(figure, 2, len(names))
    axes = cells.subplots(sharex="col", sharey="row", squeeze=False)
    for (upper, lower), name in zip(axes.T, names):
        rows = histories[histories.feature == name]
        for ax, quantity, scale in ((upper, "loss", 1), (lower, "accuracy", 100)):
            learning_curves(ax, rows, quantity, scale)
        lower.axhline(100 * chance, label=f"accuracy of guessing ({100 * chance:.1f} %)", **CHANCE)
        upper.set_title(textwrap.fill(labels[name], 16))
        lower.set(xlabel="epoch", ylim=(0, 100))
        lower.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes[0, 0].set_ylabel("cross-entropy (nats)")
    axes[1, 0].set_ylabel("accuracy (%)")
    handles, _ = axes[1, 0].get_legend_handles_labels()
    add_legend(figure, legend, handles, len(handles))
    return figure


def learning_curves(ax, histories, quantity, scale):
    """A column of the histories, times `scale`, over the epochs: training and validation, with the epochs kept."""
    for split, column, colour in (("training", quantity, BLUE), ("validation", f"val_{quantity}", ORANGE)):
        curves = scale * histories.pivot(index="epoch", columns=["fold", "member"], values=column)
        ax.plot(curves.index, curves, color=colour, alpha=0.4, lw=NETWORK_LINE_WIDTH)
        mean = curves.mean(axis=1)[curves.count(axis=1) >= min(2, curves.shape[1])]         # of a single one itself
        ax.plot(mean.index, mean, color=colour, lw=2, label=split)
    kept = histories[histories.kept == 1]
    ax.plot(kept.epoch, scale * kept[f"val_{quantity}"], "o", ms=4, color=ORANGE, mec="black", mew=0.7, ls="none",
            clip_on=False, label="kept epoch")
    ax.grid(axis="y")


# -- how good --------------------------------------------------------------------------------------
def comparison(predictions, summary, chance, labels):
    """Accuracy (WA) and weighted F1 of every feature and model, best first: folds as dots, their mean, and the 95 %
    interval by bootstrap over actors."""
    summary = summary.sort_values("accuracy_mean", ascending=False, kind="stable")
    experiments = list(zip(summary.model, summary.feature))                                 # best first
    rows = dict(list(predictions.groupby(["model", "feature"])))
    features = list(predictions.feature[predictions.model != ENSEMBLE].unique())
    colours = {key: ENSEMBLE_COLOUR if key[0] == ENSEMBLE else look(features.index(key[1]))["color"]
               for key in experiments}
    figure = new_figure("Features and models compared, best first", WIDTH, 2 + 0.23 * len(experiments))
    legend, cells = cells_below_legend(figure, 1, 2)
    axes = cells.subplots(sharey=True)
    for y, row in enumerate(summary.itertuples()):
        clips, colour = rows[row.model, row.feature], colours[row.model, row.feature]
        f1_interval = metrics.speaker_bootstrap_f1_ci(clips.true, clips.predicted, clips.actor)
        fold_scores(axes[0], y, accuracy_of_folds(clips), (row.accuracy_low, row.accuracy_high), colour,
                    row.p_against_best)
        fold_scores(axes[1], y, f1_of_folds(clips), f1_interval, colour)
    for ax, name in zip(axes, ("accuracy, WA (%)", "weighted F1 (%)")):
        ax.set_xlabel(name)
        ax.margins(x=0.06)
        ax.grid(axis="x")
        note_beside(ax, None, "mean ± std" if predictions.fold.nunique() > 1 else "mean")
        if ax.get_xlim()[0] <= 100 * chance:                                    # else the footnote says it
            ax.axvline(100 * chance, **CHANCE)
    if summary.p_against_best.notna().any():
        note_beside(axes[0], None, "p", P_OFFSET)
    axes[0].set(yticks=range(len(experiments)), ylim=(len(experiments) - 0.4, -0.6),
                yticklabels=[experiment_label(*key, labels) for key in experiments])
    add_legend(figure, legend, comparison_legend(colours, labels, 100 * chance, axes), 3)
    return figure


def accuracy_of_folds(clips):
    """Accuracy of each fold, in per cent: (folds,)"""
    return 100 * (clips.true == clips.predicted).groupby(clips.fold).mean().to_numpy()


def f1_of_folds(clips):
    """Weighted F1 of each fold, in per cent: (folds,)"""
    return np.array([100 * f1_score(fold.true, fold.predicted, average="weighted")
                     for _, fold in clips.groupby("fold")])


def fold_scores(ax, y, scores, interval, colour, p=np.nan):
    """One experiment at height `y`: scores (folds,) in per cent as dots, their mean, its interval (low, high; 0 to 1)
    unless NaN; beside the axis mean and standard deviation over folds as text, and p unless NaN."""
    mean = scores.mean()
    ax.plot(scores, np.full(len(scores), y + 0.22), "o", ms=3.5, color=colour, alpha=0.5, mew=0)
    ax.plot(mean, y - 0.1, "|", ms=9, mew=2.2, color=colour)
    if np.isfinite(interval).all():
        ax.errorbar(100 * np.mean(interval), y - 0.1, xerr=50 * np.diff(interval)[0], fmt="none", capsize=3, lw=1.3,
                    color=colour)
    note_beside(ax, y, f"{mean:.1f} ± {scores.std(ddof=1):.1f}" if len(scores) > 1 else f"{mean:.1f} (1 fold)")
    if np.isfinite(p):
        note_beside(ax, y, metrics.format_p(p), P_OFFSET)


def note_beside(ax, y, text, offset=4):
    """Text at height `y`, or above all of them (None), some points to the right of an axis."""
    where = dict(xy=(1, 1), xytext=(offset, 6), xycoords="axes fraction") if y is None else dict(
        xy=(1, y), xytext=(offset, 0), xycoords=ax.get_yaxis_transform())
    ax.annotate(text, textcoords="offset points", va="center", fontsize=8, annotation_clip=False, **where)


def comparison_legend(colours, labels, chance, axes):
    """Handles: what a dot and a bar are, the colour of each feature and of the ensemble, and chance where it is drawn.

    colours : {(model, feature): colour}
    """
    names = {"Ensemble of all" if model == ENSEMBLE else labels[feature]: colour
             for (model, feature), colour in colours.items()}
    handles = [Line2D([], [], color=colour, lw=5, label=name) for name, colour in names.items()]
    handles += [Line2D([], [], color="0.4", marker="o", ms=3.5, ls="none", label="one fold"),
                Line2D([], [], color="0.4", marker="|", ms=9, mew=2.2, lw=1.3, label="mean, 95 % interval")]
    if any(ax.get_xlim()[0] <= chance for ax in axes):
        handles.append(Line2D([], [], label=f"chance ({chance:.1f} %)", **CHANCE))
    return handles


def reliability(predictions, fits, labels):
    """Accuracy against confidence, uncalibrated (dashed) and calibrated by the temperature of each fit (solid); a panel
    per model, a colour and a marker per feature."""
    models = list(predictions.model.unique())
    features = list(predictions.feature[predictions.model != ENSEMBLE].unique())
    across = min(PANELS_ACROSS, len(models))
    down = -(-len(models) // across)
    figure = new_figure("Reliability diagrams", WIDTH, 1.6 + 2.4 * down)
    legend, cells = cells_below_legend(figure, down, across)
    axes = cells.subplots(sharex=True, sharey=True, squeeze=False).ravel()
    for ax, model in zip(axes, models):
        for feature, rows in predictions[predictions.model == model].groupby("feature", sort=False):
            reliability_lines(ax, rows, fits, experiment_look(model, feature, features))
        ax.set_title(labels[model])
        ax.grid()
    for ax in axes[len(models):]:
        ax.set_visible(False)
    frame_reliability(axes[:len(models)], across)
    for ax in axes[::across]:
        ax.set_ylabel("accuracy (%)")
    add_legend(figure, legend, reliability_legend(predictions, features, labels), 3)
    return figure


def frame_reliability(axes, across):
    """Equal axes that begin where the data do, and the diagonal; axes : panels in rows of `across`"""
    lowest = [line.get_xydata().min() for ax in axes for line in ax.lines if len(line.get_xdata())]
    low = 10 * np.floor(min([*lowest, MAX_RELIABILITY_START]) / 10)
    for k, ax in enumerate(axes):
        if not any(len(line.get_xdata()) for line in ax.lines):
            ax.text(0.95, 0.1, "too few clips", transform=ax.transAxes, ha="right")
        ax.plot([low, 100], [low, 100], color="0.6", lw=0.8, zorder=1)
        ax.set(xlim=(low, 102), ylim=(low, 102), aspect="equal")
        ax.tick_params(labelbottom=True)
        if k + across >= len(axes):
            ax.set_xlabel("confidence (%)")


def reliability_lines(ax, rows, fits, style):
    """The two lines of one feature and model; style : colour and marker"""
    temperatures = fits.set_index(["feature", "model", "fold"]).temperature
    p, correct = rows[[name for name in rows if name.startswith("p_")]].to_numpy(), (rows.true == rows.predicted)
    temperature = temperatures.loc[list(zip(rows.feature, rows.model, rows.fold))].to_numpy()[:, None]
    for probabilities, line in ((p, dict(ls="--", lw=1, mfc="white", alpha=0.8)),
                                (metrics.apply_temperature(p, temperature), dict(ls="-", lw=1.5))):
        confidence, accuracy, clips = metrics.reliability_curve(probabilities, correct, bins=RELIABILITY_BINS)
        enough = clips >= MIN_BIN_CLIPS
        ax.plot(100 * confidence[enough], 100 * accuracy[enough], ms=4, **style, **line)


def experiment_look(model, feature, features):
    """Colour and marker of a feature; the ensemble's are its own."""
    return dict(color=ENSEMBLE_COLOUR, marker="D") if model == ENSEMBLE else look(features.index(feature))


def reliability_legend(predictions, features, labels):
    """Handles: the features, and what dashed and solid mean."""
    experiments = predictions.assign(single=predictions.model != ENSEMBLE).drop_duplicates(["feature", "single"])
    names = {labels[feature] if model != ENSEMBLE else "Ensemble of all": experiment_look(model, feature, features)
             for model, feature in zip(experiments.model, experiments.feature)}
    return [Line2D([], [], ms=4, lw=1.5, label=name, **style) for name, style in names.items()] + [
        Line2D([], [], color="0.3", marker="o", ms=4, mfc="white", ls="--", lw=1, label="uncalibrated"),
        Line2D([], [], color="0.3", marker="o", ms=4, lw=1.5, label="calibrated"),
        Line2D([], [], color="0.6", lw=0.8, label="confidence = accuracy")]
