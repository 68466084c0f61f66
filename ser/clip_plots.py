"""Figures of the clips: the data set, features of single clips, and explanations that study/explain.py writes."""
from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from ser.heat_maps import turn_names
from ser.names import in_order
from ser.plots import BLUE, COLOURS, GREY, LIGHT_BLUE, ORANGE, SMALL, WIDTH, look, new_figure, shorten
from ser.terminal import plural

SEX_COLOURS = {"female": ORANGE, "male": BLUE, "not known": GREY}
LEVEL_UNIT = "dB re full scale"
MAX_BARS = 40                   # actors whose names have room below bars
MAX_ACTORS = 24                 # actors that a legend names; the others are one entry


# -- the data set ----------------------------------------------------------------------------------
def data_statistics(clips, classes):
    """Clips per emotion and actor, durations (s), peak levels (dBFS); clips : with columns as clips.csv."""
    seconds, n_actors = clips.seconds.sum(), clips.actor.nunique()
    duration = f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"
    figure = new_figure(f"The data: {plural(len(clips), 'clip')}, {plural(n_actors, 'actor')}, {duration}", WIDTH, 6.2)
    (by_class, by_actor), (durations, levels) = figure.subplots(2, 2)
    emotion_bars(by_class, clips, classes)
    actor_bars(by_actor, clips)

    lengths = clips[["seconds", "trimmed_seconds"]].set_axis(["as recorded", "trimmed"], axis=1)
    sns.histplot(lengths, bins=50, palette=[BLUE, ORANGE], ax=durations, edgecolor="none")
    durations.set(title="Durations", xlabel="duration (s)", ylabel="clips", xlim=(0, None),
                  ylim=(0, 1.25 * durations.get_ylim()[1]))
    sns.move_legend(durations, "upper center", ncols=2, title="")

    sns.boxplot(clips, x="emotion", y="peak_dbfs", order=classes, color=LIGHT_BLUE, fliersize=2,
                linewidth=0.8, ax=levels)
    levels.set(title="Levels", xlabel="", ylabel="peak level (dBFS)")
    for ax in (by_class, levels):
        ax.set_xticks(range(len(classes)), map(shorten, classes))
        turn_names(ax, 45)
    return figure


def emotion_bars(ax, clips, classes):
    """Clips per emotion, and of which intensity."""
    intensities = clips.intensity.fillna("not known") if "intensity" in clips else "any"
    counts = clips.assign(intensity=intensities).groupby(["emotion", "intensity"]).size().unstack(fill_value=0)
    counts = counts.reindex(classes, fill_value=0)                                  # (emotions, intensities)
    counts.plot.bar(stacked=True, ax=ax, color=COLOURS, width=0.8, legend=counts.shape[1] > 1)
    if counts.shape[1] > 1:
        ax.legend(title="intensity", ncols=2)
    ax.set(title="Clips per emotion", xlabel="", ylabel="clips", ylim=(0, 1.3 * counts.sum(axis=1).max()))


def actor_bars(ax, clips):
    """Clips per actor, and of which sex; of very many actors without their names."""
    actors = in_order(clips.actor)
    per_actor = clips.assign(sex=sex_of_clips(clips)).groupby(["actor", "sex"]).size().reset_index(name="clips")
    sexes = [sex for sex in SEX_COLOURS if sex in set(per_actor.sex)]
    sns.barplot(per_actor, x="actor", y="clips", order=actors, hue="sex", hue_order=sexes, palette=SEX_COLOURS,
                saturation=1, ax=ax, legend=len(sexes) > 1)
    if len(sexes) > 1:
        ax.legend(title="", ncols=2)
    ax.set(title="Clips per actor", xlabel="actor", ylim=(0, 1.3 * per_actor.clips.max()))
    if len(actors) <= MAX_BARS:
        ax.set_xticks(range(len(actors)), map(shorten, actors))
        ax.tick_params(axis="x", labelsize=SMALL, rotation=90 if len(actors) > 12 or longest(actors) > 3 else 0)
    else:
        ax.set(xticks=[], xlabel=f"{len(actors)} actors")


def longest(names):
    """Letters of the longest name."""
    return max(len(str(name)) for name in names)


def sex_of_clips(clips):
    """A key of SEX_COLOURS for each clip: (clips,)."""
    sexes = clips.sex if "sex" in clips else pd.Series(np.nan, clips.index)
    return sexes.where(sexes.isin(list(SEX_COLOURS)), "not known")


# -- single clips, and how networks decide on them -------------------------------------------------
def feature_examples(emotions, clips, hop_seconds, labels, axes_names, level_unit=LEVEL_UNIT):
    """One row per clip, one column per feature.

    emotions    : the title of each clip
    clips       : {feature: [float (frames, n) of each clip]}
    hop_seconds : {feature: time between frames, in s}
    labels, axes_names : {feature: its label, and what its columns are}; called "band", they are levels in `level_unit`

    Other features are standardised per column over all clips shown: a coefficient 0 would outshine the others.
    """
    figure = new_figure("One clip per emotion", WIDTH, 1.6 + 1.1 * len(emotions))
    axes = figure.subplots(len(emotions), len(clips), sharex=True, sharey="col", squeeze=False)
    for column, (name, arrays) in zip(axes.T, clips.items()):
        scale = display_scale(np.concatenate(arrays), level_unit if axes_names[name] == "band" else None)
        for ax, x in zip(column, arrays):
            image = show_frames(ax, x, hop_seconds[name], scale)
            ax.set_ylabel(axes_names[name], fontsize=SMALL)
        column[0].set_title(labels[name])
        column[-1].set_xlabel("time (s)")
        column[0].set_xlim(0, max(hop_seconds[one] * max(map(len, own)) for one, own in clips.items()))
        figure.colorbar(image, ax=list(column), location="bottom", label=scale.unit, aspect=30, pad=0.01)
        figure.align_ylabels(column)
    for ax, title in zip(axes[:, 0], emotions):
        ax.annotate(shorten(title), (0, 0.5), (-40, 0), xycoords="axes fraction", textcoords="offset points",
                    rotation=90, ha="right", va="center", weight="bold")
    return figure


class Scale(NamedTuple):
    """How a feature is shown: (x - mean) / std, in a unit, with arguments of imshow."""
    mean: object
    std: object
    unit: str
    arguments: dict


def show_frames(ax, x, hop_seconds, scale):
    """A clip's feature, float (frames, n), over time: each frame is centred on its time."""
    picture = ((x - scale.mean) / scale.std).T                                      # (n, frames)
    edges = (-0.5 * hop_seconds, (len(x) - 0.5) * hop_seconds, -0.5, len(picture) - 0.5)
    return ax.imshow(picture, aspect="auto", origin="lower", extent=edges, **scale.arguments)


def display_scale(frames, level_unit=None):
    """The Scale of a feature; frames : (all frames, n), levels in `level_unit` where there is one"""
    if level_unit:
        return Scale(0, 1, level_unit, dict(cmap="magma", vmin=np.percentile(frames, 5), vmax=frames.max()))
    std = frames.std(axis=0)                                                        # (n,)
    return Scale(frames.mean(axis=0), np.where(std > 0, std, 1), "standard deviations",
                 dict(cmap="RdBu_r", vmin=-3, vmax=3))


def occlusion_maps(emotions, predicted, inputs, falls, hop_seconds, axis, title, level_unit=LEVEL_UNIT):
    """Each clip (left), and how far the log-odds of its emotion fall where it is occluded (right).

    emotions, predicted : of each clip; inputs, falls : lists of float (frames, n), a feature and the fall in nats
    hop_seconds : time between frames, in s; axis : what the n columns are, "band" of levels in `level_unit`, others
    standardised
    """
    figure = new_figure(title, WIDTH, 1.7 + 1.15 * len(emotions))
    limit = np.percentile(np.abs(np.concatenate(falls)), 99.5)
    clip_scale = display_scale(np.concatenate(inputs), level_unit if axis == "band" else None)
    fall_scale = Scale(0, 1, "fall of the emotion's log-odds (nats)", dict(cmap="PuOr_r", vmin=-limit, vmax=limit))
    axes = figure.subplots(len(emotions), 2, sharex=True, sharey=True, squeeze=False)
    for (left, right), emotion, answer, x, fall in zip(axes, emotions, predicted, inputs, falls):
        clip_image = show_frames(left, x, hop_seconds, clip_scale)
        fall_image = show_frames(right, fall, hop_seconds, fall_scale)
        wrong = f", classified as {shorten(answer)}" * (answer != emotion)
        left.set_title(shorten(emotion) + wrong, loc="left", fontsize=9, weight="bold")
        left.set_ylabel(axis)
    for ax in axes[-1]:
        ax.set(xlabel="time (s)", xlim=(0, hop_seconds * max(map(len, inputs))))
    for column, image, text in ((axes[:, 0], clip_image, f"the clip: {clip_scale.unit}"),
                                (axes[:, 1], fall_image, fall_scale.unit)):
        figure.colorbar(image, ax=list(column), location="bottom", label=text, aspect=30, pad=0.01,
                        ticks=MaxNLocator(5))
    return figure


def tsne_scatter(points, emotions, actors, classes, title):
    """Clips as points (clips, 2), with a colour and a marker for each emotion (left) and actor (right); of very many
    actors those with most clips. emotions, actors : (clips,)"""
    figure = new_figure(title, WIDTH, 5)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    counts = pd.Series(actors).value_counts()
    named = in_order(counts.index[:MAX_ACTORS])
    others = ~pd.Series(actors).isin(named).to_numpy()
    if others.any():
        right.scatter(*points[others].T, s=8, color="0.85", label=f"{len(counts) - len(named)} others")
    for ax, values, names, what in ((left, emotions, classes, "emotion"), (right, actors, named, "actor")):
        for number, name in enumerate(names):
            ax.scatter(*points[values == name].T, s=22, edgecolor="0.25", linewidth=0.4, label=shorten(name),
                       **look(number))
        ax.set(xticks=[], yticks=[], title=f"by {what}")
        ax.spines[:].set(visible=True, color="0.8")
        columns = 2 if longest(map(shorten, names)) > 10 else 3 if what == "emotion" else 6
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=columns, fontsize=SMALL,
                  columnspacing=0.8, handletextpad=0.2)
    return figure


def importance_bars(falls, names, title):
    """Fall of accuracy, mean and standard deviation, when an input is permuted; falls : (names, repeats), 0 to 1."""
    order = np.argsort(falls.mean(axis=1))
    mean, std = 100 * falls.mean(axis=1)[order], 100 * falls.std(axis=1)[order]
    figure = new_figure(title, WIDTH, 4)
    ax = figure.subplots()
    ax.barh(range(len(names)), mean, xerr=std, color=BLUE, capsize=2)
    ax.set(yticks=range(len(names)), yticklabels=np.array(names)[order],
           xlabel=f"fall of accuracy (percentage points), {falls.shape[1]} permutations")
    ax.axvline(0, color="0.4", lw=0.8)
    return figure
