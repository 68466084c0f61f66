"""Figures of the tables of a study: predictions, histories, summary, with columns as study/runs.py writes them.

labels : {name of a feature or model: text in figures}; chance : accuracy of guessing, 0 to 1. Rows keep their order.
"""
import numpy as np
import pandas as pd
from sklearn.metrics import f1_score, recall_score

from ser import metrics
from ser.names import in_order
from ser.plots import BLUE, COLOURS, ORANGE, colour_bar, experiment_label, heat_map, new_figure

RELIABILITY_BINS, MIN_BIN_CLIPS = 10, 20
NETWORK_LINE_WIDTH = 0.7        # points, of the curve of a single network


# -- training --------------------------------------------------------------------------------------
def training_curves(histories, chance, labels):
    """Loss (upper row) and accuracy (lower row) over the epochs, one column per feature, of one model.

    Thin lines are networks, thick ones their mean while at least two of them still train.
    """
    names = histories.feature.unique()
    figure = new_figure(f"{labels[histories.model.iloc[0]]}: training", 1 + 2.7 * len(names), 5.2)
    axes = figure.subplots(2, len(names), sharex="col", sharey="row", squeeze=False)
    for (upper, lower), name in zip(axes.T, names):
        rows = histories[histories.feature == name]
        for ax, quantity, scale in ((upper, "loss", 1), (lower, "accuracy", 100)):
            learning_curves(ax, rows, quantity, scale)
        lower.axhline(100 * chance, color="0.4", ls=":", label="chance")
        folds = rows.fold.nunique()
        upper.set_title(f"{labels[name]}, {folds} fold{'s' * (folds > 1)}")
        lower.set(xlabel="epoch", ylim=(0, 100))
    axes[0, 0].set_ylabel("cross-entropy loss (nats)")
    axes[1, 0].set_ylabel("accuracy (%)")
    axes[0, -1].legend(*axes[1, -1].get_legend_handles_labels(), loc="upper right")
    return figure


def learning_curves(ax, histories, quantity, scale):
    """A column of the histories, times `scale`, over the epochs: training and validation, with the epochs kept."""
    for split, column, colour in (("training", quantity, BLUE), ("validation", f"val_{quantity}", ORANGE)):
        curves = scale * histories.pivot(index="epoch", columns=["fold", "member"], values=column)
        ax.plot(curves.index, curves, color=colour, alpha=0.4, lw=NETWORK_LINE_WIDTH)
        mean = curves.mean(axis=1)[curves.count(axis=1) >= 2]
        ax.plot(mean.index, mean, color=colour, lw=2, label=split)
    kept = histories[histories.kept == 1]
    ax.plot(kept.epoch, scale * kept[f"val_{quantity}"], "o", ms=4, color=ORANGE, mec="black", mew=0.7, ls="none",
            label="kept epoch")
    ax.grid(axis="y")


# -- how good --------------------------------------------------------------------------------------
def comparison(predictions, summary, chance, labels):
    """Accuracy (WA) and weighted F1 of every feature and model: folds as dots, their mean, and its uncertainty."""
    summary = summary.set_index(["model", "feature"])
    models, features = list(predictions.model.unique()), list(predictions.feature.unique())
    shared = predictions[predictions.model != "ensemble"].feature.nunique()     # the ensemble needs no room of its own
    figure = new_figure("Features and models compared", 8.5, 1.6 + 0.28 * len(models) * (1 + shared))
    axes = figure.subplots(1, 2, sharey=True)
    measures = {"accuracy, WA (%)": lambda fold: 100 * (fold.true == fold.predicted).mean(),
                "weighted F1 (%)": lambda fold: 100 * f1_score(fold.true, fold.predicted, average="weighted")}
    for ax, (name, score) in zip(axes, measures.items()):
        ax.axvline(100 * chance, color="0.4", ls=":", label=f"chance ({100 * chance:.1f} %)")
        for (model, feature), rows in predictions.groupby(["model", "feature"], sort=False):
            scores = np.array([score(fold) for _, fold in rows.groupby("fold")])            # (folds,)
            own = list(predictions[predictions.model == model].feature.unique())
            y = models.index(model) + (own.index(feature) - (len(own) - 1) / 2) / (shared + 1)
            row = summary.loc[(model, feature)]
            wa = ax is axes[0]
            fold_scores(ax, y, scores, COLOURS[features.index(feature) % len(COLOURS)],
                        label=None if model == "ensemble" else labels[feature],
                        interval=(100 * row.accuracy_low, 100 * row.accuracy_high) if wa else None,
                        p=row.p_against_best if wa else np.nan)
        ax.set(xlabel=name, xlim=(100 * chance - 2.5, 100))
        ax.grid(axis="x")
    axes[0].set(yticks=range(len(models)), yticklabels=[labels[name] for name in models],
                ylim=(len(models) - 0.5, -0.5))
    handles = dict(zip(*axes[0].get_legend_handles_labels()[::-1]))                 # one for each name
    figure.legend(handles.values(), handles.keys(), loc="outside upper right", ncols=min(3, 1 + shared))
    return figure


def fold_scores(ax, y, scores, colour, label, interval, p):
    """One experiment at height `y`: scores (folds,) in per cent as dots, their mean and its whiskers, and both as text.

    interval : (low, high) of the whiskers, None for the standard deviation over folds; p : written unless NaN
    """
    mean, std = scores.mean(), scores.std(ddof=1) if len(scores) > 1 else 0
    low, high = interval or (mean - std, mean + std)
    ax.plot(scores, np.full(len(scores), y + 0.07), "o", ms=4, color=colour, alpha=0.5, mew=0)
    ax.errorbar(mean, y - 0.03, xerr=[[max(mean - low, 0)], [max(high - mean, 0)]], fmt="|", ms=10, mew=2, capsize=3,
                lw=1.2, color=colour, label=label)
    text = f"{mean:.1f} ± {std:.1f}" if len(scores) > 1 else f"{mean:.1f} (1 fold)"
    text += f"  p {metrics.format_p(p)}" if np.isfinite(p) else ""
    ax.text(1.01, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8)


def reliability(predictions, fits, labels):
    """Accuracy against confidence, uncalibrated (dashed) and calibrated by the temperature of each fit (solid)."""
    models, features = list(predictions.model.unique()), list(predictions.feature.unique())
    temperatures = fits.set_index(["feature", "model", "fold"]).temperature
    columns = [name for name in predictions if name.startswith("p_")]
    figure = new_figure("Reliability diagrams", 2.4 * len(models), 3.4)
    axes = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for ax, model in zip(axes, models):
        ax.plot([0, 100], [0, 100], color="0.7", lw=0.8)
        for feature, rows in predictions[predictions.model == model].groupby("feature", sort=False):
            p, correct = rows[columns].to_numpy(), (rows.true == rows.predicted).to_numpy()
            temperature = temperatures.loc[list(zip(rows.feature, rows.model, rows.fold))].to_numpy()[:, None]
            for probabilities, style in ((p, "--"), (metrics.apply_temperature(p, temperature), "-")):
                confidence, accuracy, clips = metrics.reliability_curve(probabilities, correct, bins=RELIABILITY_BINS)
                enough = clips >= MIN_BIN_CLIPS
                ax.plot(100 * confidence[enough], 100 * accuracy[enough], style, lw=1.2,
                        color=COLOURS[features.index(feature) % len(COLOURS)],
                        label=labels[feature] if style == "-" else None)
        ax.set(title=labels[model], xlabel="confidence (%)", xlim=(0, 100), ylim=(0, 100), aspect="equal")
        ax.legend(loc="lower right", fontsize=6)
    axes[0].set_ylabel("accuracy (%)")
    return figure


# -- where they are right --------------------------------------------------------------------------
def recall_and_f1(predictions, classes, labels):
    """Two tables, {title: DataFrame of percentages}: every model and feature (rows), every emotion (columns)."""
    experiments = list(predictions.groupby(["model", "feature"], sort=False))
    names = [experiment_label(*key, labels) for key, _ in experiments]
    return {title: pd.DataFrame([100 * score(rows.true, rows.predicted, labels=list(classes), average=None,
                                             zero_division=0) for _, rows in experiments], names, classes)
            for title, score in {"Recall (%)": recall_score, "F1 (%)": f1_score}.items()}


def accuracy_table(predictions, column, labels):
    """Accuracy (%) of every model and feature (rows) by the values of a column (columns), folds pooled."""
    correct = predictions.assign(correct=100.0 * (predictions.true == predictions.predicted))
    table = correct.groupby(["model", "feature", column], sort=False).correct.mean().unstack()
    table = table[in_order(table.columns)].rename_axis(columns=None)
    return table.set_axis([experiment_label(*key, labels) for key in table.index])


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
    figure = new_figure(f"{name}: {100 * accuracy:.1f} % of {len(predictions)} clips correct", 6.5, 5.8)
    ax = figure.subplots()
    heat_map(ax, percent, text=percent.map("{:.0f} %\n".format) + counts.astype(str), size=8)
    ax.tick_params(axis="x", rotation=30)
    ax.set(xlabel="predicted emotion", ylabel="true emotion")
    colour_bar(figure, [ax], "share of the row (%)")
    return figure


def confusion_grid(predictions, classes, labels):
    """All confusion matrices, models down and features across, in rounded percentages of each true class."""
    models, features = predictions.model.unique(), predictions.feature.unique()
    figure = new_figure("Confusion matrices", 1.4 + 2.5 * len(features), 1 + 2.4 * len(models))
    axes = figure.subplots(len(models), len(features), sharex=True, sharey=True, squeeze=False)
    experiments = dict(list(predictions.groupby(["model", "feature"])))
    for row, model in zip(axes, models):
        for ax, feature in zip(row, features):
            if (model, feature) in experiments:
                percent = confusion_counts(experiments[model, feature], classes)[1]
            else:
                percent = pd.DataFrame(np.nan, index=classes, columns=classes)
                ax.text(0.5, 0.5, "no fits", transform=ax.transAxes, ha="center")
            heat_map(ax, percent, size=6)
            ax.set_title(experiment_label(model, feature, labels), fontsize=9)
    for ax in axes[:, 0]:
        ax.set_ylabel("true emotion")
    for ax in axes[-1]:
        ax.set_xlabel("predicted emotion")
        ax.tick_params(axis="x", rotation=90)
    colour_bar(figure, list(axes.flat), "share of the row (%)")
    return figure
