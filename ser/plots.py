"""The look of all figures, the parts they share, and the timeline of a recording.

Figures are made without pyplot, so nothing stays open; `matplotlib.rc_context(STYLE)` goes around drawing and saving.
"""
import textwrap

import numpy as np
from matplotlib.figure import Figure

WIDTH = 7.2                                         # inches; reports and READMEs show pictures some 700 pixels wide
STYLE = {"figure.facecolor": "white", "savefig.facecolor": "white", "axes.facecolor": "white",     # also on dark pages
         "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9, "figure.titlesize": 11,
         "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8, "legend.frameon": False,
         "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
         "text.parse_math": False,                  # a $ in the name of a file or an emotion is printed as it is
         "axes.grid": False, "grid.color": "0.88", "savefig.dpi": 150}
COLOURS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4", "#949494", "#ece133",
           "#56b4e9")                               # seaborn's palette "colorblind"
BLUE, ORANGE, GREY, LIGHT_BLUE = COLOURS[0], COLOURS[1], COLOURS[7], COLOURS[9]
MARKERS = "os^DvPX<*"                               # one fewer than colours: 90 different pairs of the two
SMALL = 7.5                                         # points
MAX_LETTERS = 18                                    # of a name in a figure
LETTERS_PER_INCH = 17                               # of small print, about
TIMELINE_COLUMNS = 2000                             # of the waveform and of the spectrogram of a timeline, about
WHOLE_SPECTROGRAM_SECONDS = 120                     # of longer recordings it is made of single frames


def new_figure(title, width, height):
    """An empty figure (in inches) with a title."""
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    return figure


def mark_title(figure, text):
    """Add a line to the title, and turn the title red."""
    figure.suptitle(f"{figure.get_suptitle()}\n{text}", x=0.01, ha="left", color="firebrick")


def add_footnote(figure, note):
    """Put `note` in small print below a figure."""
    lines = textwrap.fill(note, int(LETTERS_PER_INCH * figure.get_figwidth()))
    figure.supxlabel(lines, x=0.01, ha="left", fontsize=SMALL, color="0.3")


def experiment_label(model, feature, labels):
    """"BiLSTM, MFCC" for "bilstm" and "mfcc"; "Ensemble" for "ensemble", of whatever features; labels : {name: text}"""
    return labels[model] if model == "ensemble" else f"{labels[model]}, {labels[feature]}"


def shorten(name, letters=MAX_LETTERS):
    """A name of at most so many letters: its begin and its end."""
    name = str(name)
    return name if len(name) <= letters else f"{name[:letters // 2]}…{name[-((letters - 1) // 2):]}"


def look(number):
    """Colour and marker of the `number`-th of several things: different in colour and in shape."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}


def cells_below_legend(figure, rows, columns):
    """Grid cells for a legend below the title (see `add_legend`) and, (rows, columns), for the axes."""
    legend, axes = figure.add_gridspec(2, 1, height_ratios=[0.01, 1])
    return legend, axes.subgridspec(rows, columns)


def add_legend(figure, cell, handles, columns):
    """A legend in a grid cell of its own."""
    ax = figure.add_subplot(cell)
    ax.set_axis_off()
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 0), ncols=columns, borderaxespad=0)


# -- a recording over time -------------------------------------------------------------------------
def timeline(name, recording, rows, labels):
    """A recording and its emotions over time: waveform, mel spectrogram (dB), probabilities (%) of each window.

    recording : as in ser/recording.py; rows : start, end (s), label, unsure, p_<label>, a row per window
    """
    figure = new_figure(f"Emotion over time: {name}", WIDTH, 5.5)
    wave, mel, emotions = figure.subplots(3, 1, sharex=True, height_ratios=[1, 1.5, 2])
    seconds, (low, high) = recording.seconds, recording.envelope(TIMELINE_COLUMNS)
    wave.fill_between(np.linspace(0, seconds, len(low)), low, high, color=BLUE, lw=0.3)
    wave.set(ylabel="waveform", ylim=(-1.05 * recording.peak, 1.05 * recording.peak))

    level = recording_level(recording)                                      # (bands, frames)
    mel.imshow(level, origin="lower", aspect="auto", cmap="magma", extent=(0, seconds, 0, len(level)))
    mel.set(ylabel="mel band", yticks=[])

    window_probabilities(emotions, rows, labels, seconds)
    figure.colorbar(emotions.images[0], ax=emotions, label="probability (%)", pad=0.01)
    return figure


def window_probabilities(ax, rows, labels, seconds):
    """The probabilities (%) of each window as a column of cells, its most probable emotion as a dot.

    A column is as wide as its window; where windows overlap, each moment belongs to the one whose middle is nearest.
    """
    starts, ends = rows.start.to_numpy(float), rows.end.to_numpy(float)
    centres = (starts + ends) / 2
    between = (centres[:-1] + centres[1:]) / 2
    left, right = np.maximum(starts, [-np.inf, *between]), np.minimum(ends, [*between, np.inf])
    p_of_windows = 100 * rows[[f"p_{label}" for label in labels]].to_numpy()
    for x0, x1, p in zip(left, right, p_of_windows):
        ax.imshow(p[:, None], extent=(x0, x1, len(labels) - 0.5, -0.5), vmin=0, vmax=100, cmap="Blues", aspect="auto")
    for unsure, face in ((False, ORANGE), (True, "none")):
        best = rows[rows.unsure.astype(bool).eq(unsure) & rows.label.isin(labels)]          # a pause has no dot
        ax.scatter((best.start + best.end) / 2, [labels.index(label) for label in best.label], s=18, color=face,
                   edgecolor=ORANGE, label="unsure" if unsure else "answer")
    ax.set(xlabel=f"seconds (middle of a window of {np.median(ends - starts):.1f} s)", yticks=range(len(labels)),
           yticklabels=labels, xlim=(0, seconds), ylim=(len(labels) - 0.5, -0.5))
    ax.legend(ncols=2, loc="lower right", bbox_to_anchor=(1, 1))


def recording_level(recording):
    """`mel_level` of a recording, of some pieces of it where it is long: (bands, frames)."""
    step = max(512, int(recording.seconds * recording.rate) // TIMELINE_COLUMNS)
    if recording.seconds <= WHOLE_SPECTROGRAM_SECONDS:
        return mel_level(recording.read(0, recording.seconds), recording.rate, hop_length=step)
    starts, frame = np.linspace(0, recording.seconds - 0.1, TIMELINE_COLUMNS), 2048 / recording.rate
    power = [10 ** (mel_level(recording.read(start, start + frame), recording.rate, hop_length=4096)[:, 0] / 10)
             for start in starts]
    level = 10 * np.log10(np.array(power).T)
    return np.maximum(level, level.max() - 80)


def mel_level(y, rate, hop_length, n_mels=64):
    """Mel spectrogram for display: float (samples,) at `rate` Hz -> (n_mels, frames), dB, floor 80 dB below its peak.

    Hann windows of 2048 samples, `hop_length` samples apart; Slaney's triangular filters from 0 Hz to rate / 2.
    """
    import librosa  # slow to load, and only needed here

    power = librosa.feature.melspectrogram(
        y=np.asarray(y, np.float32), sr=rate, n_fft=2048, hop_length=hop_length, win_length=2048, window="hann",
        center=True, pad_mode="constant", power=2.0, n_mels=n_mels, fmin=0.0, fmax=rate / 2, htk=False, norm="slaney")
    return librosa.power_to_db(power, ref=1.0, amin=1e-10, top_db=80.0)
