"""Figures of the clips: the data set, features of single clips, and explanations that study/explain.py writes."""
import numpy as np
import pandas as pd
import seaborn as sns

from ser.names import in_order
from ser.plots import BLUE, COLOURS, GREY, LIGHT_BLUE, ORANGE, SMALL, new_figure

SEX_COLOURS = {"female": ORANGE, "male": BLUE, "not known": GREY}


# -- the data set ----------------------------------------------------------------------------------
def data_statistics(clips, classes):
    """Clips per emotion and actor, durations (s), peak levels (dBFS); clips : with columns as clips.csv."""
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

    per_actor = clips.assign(sex=sex_of_clips(clips)).groupby(["actor", "sex"]).size().reset_index(name="clips")
    sexes = [sex for sex in SEX_COLOURS if sex in set(per_actor.sex)]
    sns.barplot(per_actor, x="actor", y="clips", order=in_order(clips.actor), hue="sex", hue_order=sexes,
                palette=SEX_COLOURS, saturation=1, ax=by_actor, legend=len(sexes) > 1)
    if len(sexes) > 1:
        by_actor.legend(title="", ncols=2)
    by_actor.set(title="Clips per actor", xlabel="actor", ylim=(0, 1.25 * per_actor.clips.max()))
    by_actor.tick_params(axis="x", labelsize=SMALL, rotation=90 if clips.actor.nunique() > 24 else 0)

    lengths = clips[["seconds", "trimmed_seconds"]].set_axis(["as recorded", "trimmed"], axis=1)
    sns.histplot(lengths, bins=50, palette=[BLUE, ORANGE], ax=durations, edgecolor="none")
    durations.set(title="Durations", xlabel="duration (s)", ylabel="clips", xlim=(0, None))

    sns.boxplot(clips, x="emotion", y="peak_dbfs", order=classes, color=LIGHT_BLUE, fliersize=2,
                linewidth=0.8, ax=levels)
    levels.tick_params(axis="x", rotation=30)
    levels.set(title="Levels", xlabel="", ylabel="peak level (dBFS)")
    return figure


def sex_of_clips(clips):
    """A key of SEX_COLOURS for each clip: (clips,)."""
    sexes = clips.sex if "sex" in clips else pd.Series(np.nan, clips.index)
    return sexes.where(sexes.isin(list(SEX_COLOURS)), "not known")


# -- single clips, and how networks decide on them -------------------------------------------------
def feature_examples(emotions, clips, hop_seconds, labels, axes_names):
    """One row per clip, one column per feature.

    emotions    : the title of each clip
    clips       : {feature: [float (frames, n) of each clip]}
    hop_seconds : time between frames, in s
    labels, axes_names : {feature: its label, and what its columns are}; columns called "band" are levels in dB

    Other features are standardised per column over all clips shown: a coefficient 0 would outshine the others.
    """
    figure = new_figure("One clip per emotion", 9, 1 + 1.25 * len(emotions))
    axes = figure.subplots(len(emotions), len(clips), sharex=True, sharey="col", squeeze=False)
    for column, (name, arrays) in zip(axes.T, clips.items()):
        frames = np.concatenate(arrays)                                             # (all frames, n)
        mean, std, unit, look = display_scale(frames, axes_names[name] == "band")
        for ax, x in zip(column, arrays):
            picture = ((x - mean) / std).T                                          # (n, frames)
            edges = (-0.5 * hop_seconds, (len(x) - 0.5) * hop_seconds, -0.5, len(picture) - 0.5)
            image = ax.imshow(picture, aspect="auto", origin="lower", extent=edges, **look)
            ax.set_ylabel(axes_names[name], fontsize=SMALL)
        column[0].set_title(labels[name])
        column[-1].set_xlabel("time (s)")
        column[0].set_xlim(0, hop_seconds * max(map(len, arrays)))
        figure.colorbar(image, ax=list(column), location="bottom", label=unit, aspect=30, pad=0.01)
        figure.align_ylabels(column)
    for ax, title in zip(axes[:, 0], emotions):
        ax.annotate(title, (-0.3, 0.5), xycoords="axes fraction", rotation=90, ha="right", va="center",
                    weight="bold")
    return figure


def display_scale(frames, is_level):
    """How a feature is shown: (mean, std, unit, arguments of imshow); frames (all frames, n), levels in dB or not."""
    if is_level:
        return 0, 1, "dB re full scale", {"cmap": "magma", "vmin": np.percentile(frames, 5), "vmax": frames.max()}
    std = frames.std(axis=0)                                                        # (n,)
    return (frames.mean(axis=0), np.where(std > 0, std, 1), "standard deviations from the mean",
            {"cmap": "RdBu_r", "vmin": -3, "vmax": 3})


def occlusion_maps(emotions, inputs, falls, hop_seconds, title):
    """Each clip (left), and how far the log-odds of its emotion fall where it is occluded (right).

    inputs, falls : lists of float (frames, n), a feature and the fall in nats; hop_seconds : time between frames, in s
    """
    figure = new_figure(title, 9, 1 + 1.25 * len(emotions))
    limit = np.percentile(np.abs(np.concatenate(falls)), 99.5)
    axes = figure.subplots(len(emotions), 2, sharex=True, sharey=True, squeeze=False)
    for (left, right), emotion, x, fall in zip(axes, emotions, inputs, falls):
        look = dict(aspect="auto", origin="lower", extent=(0, len(x) * hop_seconds, 0, x.shape[1]))
        left.imshow(x.T, cmap="magma", vmin=np.percentile(x, 5), **look)
        image = right.imshow(fall.T, cmap="RdBu_r", vmin=-limit, vmax=limit, **look)
        left.set_ylabel(emotion, weight="bold")
    axes[0, 0].set_title("the clip")
    axes[0, 1].set_title("what the decision depends on")
    figure.colorbar(image, ax=list(axes[:, 1]), shrink=0.5, label="fall of its log-odds (nats)")
    for ax in axes[-1]:
        ax.set(xlabel="time (s)", xlim=(0, hop_seconds * max(map(len, inputs))))
    return figure


def tsne_scatter(points, emotions, actors, classes, title):
    """Clips as points (clips, 2), coloured by emotion and by actor; emotions, actors : (clips,)"""
    figure = new_figure(title, 9, 4.6)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    for number, emotion in enumerate(classes):
        left.scatter(*points[emotions == emotion].T, s=14, color=COLOURS[number % len(COLOURS)], label=emotion)
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=4)
    left.set_title("by emotion")
    names = in_order(actors)
    numbers = [names.index(actor) for actor in actors]
    image = right.scatter(*points.T, s=14, c=numbers, cmap="viridis")
    right.set_title("by actor")
    every = 1 + len(names) // 12                                                    # at most 12 ticks
    figure.colorbar(image, ax=right, label="actor", shrink=0.7).ax.set_yticks(
        range(0, len(names), every), names[::every])
    for ax in (left, right):
        ax.set(xticks=[], yticks=[])
    return figure


def importance_bars(falls, names, title):
    """Fall of accuracy, mean and standard deviation, when an input is permuted; falls : (names, repeats), 0 to 1."""
    order = np.argsort(falls.mean(axis=1))
    mean, std = 100 * falls.mean(axis=1)[order], 100 * falls.std(axis=1)[order]
    figure = new_figure(title, 6, 3.5)
    ax = figure.subplots()
    ax.barh(range(len(names)), mean, xerr=std, color=BLUE, capsize=2)
    ax.set(yticks=range(len(names)), yticklabels=np.array(names)[order],
           xlabel=f"fall of accuracy (percentage points), {falls.shape[1]} permutations")
    ax.axvline(0, color="0.4", lw=0.8)
    return figure
