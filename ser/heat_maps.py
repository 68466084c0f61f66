"""Heat maps of results: tables of percentages as coloured cells, and confusion matrices.

labels : {name of a feature or model: text in figures}. Rows keep their order.
"""
import numpy as np
import pandas as pd
from sklearn.metrics import f1_score, recall_score

from ser.names import in_order
from ser.plots import SMALL, WIDTH, experiment_label, new_figure, shorten
from ser.terminal import plural

GROUPS = {"female": ("woman", "women"), "male": ("man", "men"), "not known": ("actor", "actors")}
STEP = 5                        # per cent, to which a scale is rounded
MAX_SIDE_BY_SIDE = 10           # emotions of two heat maps that stand beside each other
CLASSES_ACROSS = 32             # cells beside each other, of all confusion matrices in a row, that can be read
MAX_MATRICES_ACROSS = 4


# -- the parts -------------------------------------------------------------------------------------
def heat_map(ax, table, limits=(0, 100), text="{:.0f}".format, size=SMALL):
    """A DataFrame of percentages as coloured cells, light at the lower limit, dark at the upper; NaN stays empty.

    text : cell -> what is written in it, or a DataFrame of that; size : of the text, in points
    """
    written = table.map(text, na_action="ignore") if callable(text) else text
    low, high = limits
    ax.imshow(table, vmin=low, vmax=high, cmap="Blues", aspect="auto")
    for (i, j), percent in np.ndenumerate(table):
        if np.isfinite(percent):
            ax.text(j, i, written.iat[i, j], ha="center", va="center", fontsize=size, in_layout=False,
                    color="white" if percent > low + 0.6 * (high - low) else "black")
    ax.set_xticks(range(table.shape[1]), table.columns)
    ax.set_yticks(range(table.shape[0]), table.index)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def several_heat_maps(title, tables, unit, text="{:.0f}".format, rotation=0, down=False):
    """Heat maps that share their scale, which fits their values: {title: DataFrame of percentages}.

    They stand side by side and share their rows, or one below the other (`down`) and share their columns.
    unit : at the colour bar; text : as in `heat_map`; rotation : of the column names, in degrees
    """
    rows = [len(table) for table in tables.values()]
    height = 0.23 * max(sum(rows) if down else rows[0], 5)
    figure = new_figure(title, WIDTH, 1.6 + height + 1.2 * (rotation > 60))
    grid = dict(nrows=len(tables), sharex=True, height_ratios=rows) if down else dict(ncols=len(tables), sharey=True)
    axes = figure.subplots(squeeze=False, **grid).ravel()
    limits = scale_limits(tables.values())
    for ax, (name, table) in zip(axes, tables.items()):
        heat_map(ax, table, limits, text)
        ax.set_title(name)
        turn_names(ax, rotation)
    colour_bar(figure, axes, unit)
    return figure


def scale_limits(tables):
    """(low, high) of a scale for all finite values of some tables (%), multiples of STEP."""
    values = np.concatenate([np.ravel(table) for table in tables]).astype(float)
    values = values[np.isfinite(values)]
    low, high = STEP * np.floor(values.min() / STEP), STEP * np.ceil(values.max() / STEP)
    return (low, high) if low < high else (low - STEP, high)


def turn_names(ax, rotation):
    """Turn the names below an axis by some degrees, so that they end at their ticks."""
    ax.tick_params(axis="x", rotation=rotation)
    if 0 < rotation < 90:
        for label in ax.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")


def names_above(ax, what):
    """Put the names of the columns, and what they are, above a heat map."""
    ax.xaxis.set_ticks_position("top")
    ax.xaxis.set_label_position("top")
    ax.tick_params(axis="x", length=0, rotation=90)
    ax.set_xlabel(what)


def colour_bar(figure, axes, text):
    """One colour bar for the heat maps in `axes`, which share a scale."""
    figure.colorbar(axes[0].images[0], ax=axes, label=text, shrink=0.8, pad=0.02, aspect=30)


# -- where they are right --------------------------------------------------------------------------
def results_per_emotion(predictions, classes, labels):
    """`recall_and_f1` beside each other, of many emotions one below the other."""
    return several_heat_maps("Recall and F1 per emotion (%)", recall_and_f1(predictions, classes, labels),
                             "recall, F1 (%)", rotation=45, down=len(classes) > MAX_SIDE_BY_SIDE)


def recall_and_f1(predictions, classes, labels):
    """Two tables, {title: DataFrame of percentages}: every model and feature (rows), every emotion (columns)."""
    experiments = list(predictions.groupby(["model", "feature"], sort=False))
    names = [experiment_label(*key, labels) for key, _ in experiments]
    return {title: pd.DataFrame([100 * score(rows.true, rows.predicted, labels=list(classes), average=None,
                                             zero_division=0) for _, rows in experiments], names,
                                map(shorten, classes))
            for title, score in {"Recall (%)": recall_score, "F1 (%)": f1_score}.items()}


def accuracy_table(predictions, column, labels):
    """Accuracy (%) of every model and feature (rows) by the values of a column (columns), folds pooled."""
    correct = predictions.assign(correct=100.0 * (predictions.true == predictions.predicted))
    table = correct.groupby(["model", "feature", column], sort=False).correct.mean().unstack()
    table = table[in_order(table.columns)].rename_axis(columns=None)
    return table.set_axis([experiment_label(*key, labels) for key in table.index])


def accuracy_per_actor(predictions, sex_of_actor, labels):
    """Accuracy on each actor's clips (rows, women and men apart) of every model and feature (columns), and their mean.

    sex_of_actor : {actor: "female", "male" or "not known"}
    """
    table = accuracy_table(predictions, "actor", labels).T
    table["mean"] = table.mean(axis=1)
    tables = {}
    for sex, (one, many) in GROUPS.items():
        group = table[[sex_of_actor[actor] == sex for actor in table.index]]
        if len(group):
            tables[f"{len(group)} {many if len(group) > 1 else one}, mean {group['mean'].mean():.1f} %"] = \
                group.rename(index=shorten)
    return several_heat_maps("Accuracy per actor (%)", tables, "accuracy (%)", rotation=90, down=True)


# -- confusion matrices ----------------------------------------------------------------------------
def confusion_counts(predictions, classes):
    """Confusion matrix as counts and as percentages of each true class: two DataFrames (true, predicted)."""
    counts = pd.crosstab(predictions.true, predictions.predicted).reindex(index=classes, columns=classes, fill_value=0)
    return counts, (100 * counts).div(counts.sum(axis=1).clip(lower=1), axis=0)


def confusion_matrix(predictions, classes, labels):
    """Confusion matrix of one feature and model: percentages of each true class over counts."""
    counts, percent = confusion_counts(predictions, classes)
    name = experiment_label(predictions.model.iloc[0], predictions.feature.iloc[0], labels)
    accuracy = (predictions.true == predictions.predicted).mean()
    figure = new_figure(f"{name}: {100 * accuracy:.1f} % of {plural(len(predictions), 'clip')} correct", WIDTH, 6)
    ax = figure.subplots()
    heat_map(ax, percent.rename(index=shorten, columns=shorten), size=8,
             text=percent.map("{:.0f} %\n".format) + counts.astype(str))
    turn_names(ax, 40)
    ax.set(xlabel="predicted emotion", ylabel="true emotion")
    colour_bar(figure, [ax], "share of the row (%)")
    return figure


def confusion_grid(predictions, classes, labels):
    """All confusion matrices, best first, in rounded percentages of each true class."""
    correct = (predictions.true == predictions.predicted).groupby([predictions.model, predictions.feature]).mean()
    experiments = correct.sort_values(ascending=False, kind="stable")
    across = min(max(1, CLASSES_ACROSS // len(classes)), MAX_MATRICES_ACROSS, len(experiments))
    down = -(-len(experiments) // across)
    figure = new_figure("Confusion matrices (%), best first", WIDTH, 2.2 + WIDTH / across * 0.9 * down)
    axes = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
    rows = dict(list(predictions.groupby(["model", "feature"])))
    for k, (ax, (key, accuracy)) in enumerate(zip(axes, experiments.items())):
        percent = confusion_counts(rows[key], classes)[1].rename(index=shorten, columns=shorten)
        heat_map(ax, percent, text=lambda p: f"{p:.0f}" if p >= 0.5 else "")
        model, _, feature = experiment_label(*key, labels).partition(", ")
        ax.set_title(f"{model}, {100 * accuracy:.1f}\n{feature}".strip(), fontsize=8)
        if k < across:
            names_above(ax, "predicted emotion")
        else:
            ax.set_xticks([])
    for ax in axes[::across]:
        ax.set_ylabel("true emotion")
    for ax in axes[len(experiments):]:
        ax.set_axis_off()
    figure.colorbar(axes[0].images[0], ax=list(axes), label="share of the true emotion (%)", location="bottom",
                    shrink=0.5, aspect=40, pad=0.02)
    return figure
