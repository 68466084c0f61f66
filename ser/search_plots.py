"""The figure of a random search: what each trial had for each setting, and how good it was."""
import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ser.plots import BLUE, GREY, ORANGE, add_footnote, new_figure
from ser.search import N_BEST, best_first
from ser.settings import Range

N_COLUMNS = 3
JITTER = 0.12               # of dots that share one value, as a share of the distance between values


def search_dots(trials, table, title):
    """A panel for each setting: its value (x) against the validation accuracy in per cent (y), a dot for each trial.

    trials : table with trial, a column for each setting, accuracy and nll (mean of the seeds), accuracy_<seed>; trial 0
             is the present settings
    table  : {setting: Range or tuple of values}, as in config.SEARCH
    """
    n_rows = -(-len(table) // N_COLUMNS)
    n_columns = min(N_COLUMNS, len(table))
    figure = new_figure(title, 2.4 + 2.4 * n_columns, 1.3 + 2.3 * n_rows)
    axes = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
    best = set(best_first(trials).trial[:N_BEST])
    seeds = 100 * trials[[name for name in trials if name.startswith("accuracy_")]]
    for ax, (name, choices) in zip(axes.flat, table.items()):
        x, names = places(trials[name], choices)
        ax.vlines(x, seeds.min(axis=1), seeds.max(axis=1), color=GREY, lw=0.8, zorder=1, label="from seed to seed")
        for own, colour, marker, label in (
                (~trials.trial.isin(best), GREY, "o", "other trials"),
                (trials.trial.isin(best), BLUE, "o", f"the best {min(N_BEST, len(trials))}"),
                (trials.trial == 0, ORANGE, "D", "present settings")):
            ax.scatter(x[own], 100 * trials.accuracy[own], s=22, c=colour, marker=marker, label=label,
                       zorder=3 if marker == "D" else 2, edgecolor="white", lw=0.5)
        show_values(ax, choices, names)
        ax.set_xlabel(name.removeprefix("MODELS."))
        ax.grid(axis="y")
    for ax in axes.flat[len(table):]:
        ax.set_visible(False)
    for row in axes:
        row[0].set_ylabel("validation accuracy (%)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper")
    add_footnote(figure, "A difference smaller than the grey lines are long, from the one seed to the other, is no "
                         "difference. Every panel has all trials: what one setting does is seen only where the others "
                         "do little.")
    return figure


def places(values, choices):
    """Where the values of a setting lie on its axis, (trials,), and the names of the places 0, 1 ... where these are
    values of a tuple: there, dots are a little apart; the present value may be another."""
    if isinstance(choices, Range):
        return pd.to_numeric(values, errors="coerce").to_numpy(float), None
    known = [*choices, *(value for value in values.unique() if value not in choices)]
    x = np.array([known.index(value) for value in values], float)
    for place in set(x):
        own = np.flatnonzero(x == place)
        x[own] += JITTER * np.linspace(-1, 1, len(own)) * (len(own) > 1)
    return x, list(map(str, known))


def show_values(ax, choices, names):
    """The axis of a setting: the names of its values, or its scale."""
    if names is not None:
        ax.set_xticks(range(len(names)), names)
    elif choices.scale == "log":
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=6))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        ax.xaxis.set_minor_formatter(NullFormatter())
