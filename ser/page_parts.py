"""Parts of a web page about a recording, as HTML: the answer in words, its timeline, a table to download.

Everything is in the HTML itself (data: addresses), so that no file has to be kept for it.
"""
import base64
import html
import io
import threading
from pathlib import Path

import matplotlib

from ser import plots
from ser.files import as_csv

DARK = {**dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), "#e4e4e7"),
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "#18181b"),
        "axes.edgecolor": "#a1a1aa"}
DARK_COLOURS = matplotlib.colors.LinearSegmentedColormap.from_list("dark", ["#27272a", "#0173b2", "#d6ecfa"])
WIDE, NARROW = (9, 6), (3.4, 6)           # inches
DPI = 180                                   # a phone has two or three pixels where CSS has one
MOST_IN_WORDS = 12          # windows
DRAWING = threading.Lock()                  # matplotlib's styles are one for all threads


# -- in words --------------------------------------------------------------------------------------
def message(text, problem=False):
    """A sentence, or what went wrong, for the one place that has both."""
    return f'<div role="status" class="message{" problem" if problem else ""}">{text}</div>'


def problem_message(problem):
    """Why there is no answer. problem : an exception whose text is for people"""
    return message(f"<strong>No answer</strong><br>{html.escape(str(problem))}", problem=True)


def sentence(answer, threshold):
    """An Answer (study/recogniser.py) in words. threshold : of its confidence; below, it is unsure"""
    notes = html.escape("; ".join(answer.notes))
    label, note = html.escape(answer.label), f"<small>Note: {notes}</small>" * bool(notes)
    if not answer.probabilities:
        return message(f"<strong>{label}</strong><br>Nothing here sounds like speech.{note}")
    doubt = f"; below {threshold:.0%} the models are wrong too often to be believed" if answer.unsure else ""
    return message(f"<strong>{label}{' ?' * answer.unsure}</strong><br>{answer.confidence:.0%} sure{doubt}.{note}")


# -- over time -------------------------------------------------------------------------------------
def timeline(answer, windows, recording, dark=False, narrow=False):
    """The windows (study/answers.py) of an Answer as a picture, and as a table to download; nothing where there are
    none."""
    if windows.empty:
        return ""
    first = windows.iloc[0]
    whole = len(windows) == 1 and (first.start, first.end) == (answer.start, answer.end)
    title = "the whole recording" if whole else f"windows of {first.end - first.start:.1f} s"
    return (timeline_image(title, recording, windows, list(answer.probabilities), dark, narrow)
            + table_link(answer.file, windows))


def timeline_image(name, recording, windows, labels, dark=False, narrow=False):
    """The timeline of a recording (plots.timeline) as an <img> that is as wide as its place: HTML.

    windows : as plots.timeline's rows; dark : for a dark page; narrow : for a phone
    """
    with DRAWING, matplotlib.rc_context(plots.STYLE | (DARK if dark else {})):
        figure = plots.timeline(name, recording, windows, labels)
        figure.set_size_inches(*(NARROW if narrow else WIDE))
        for image in figure.axes[2].images if dark else ():
            image.set_cmap(DARK_COLOURS)
        picture = io.BytesIO()
        figure.savefig(picture, format="webp", dpi=DPI)
    return (f'<img class="timeline" style="width: 100%" alt="{html.escape(in_words(windows))}" '
            f'src="{data_address(picture.getvalue(), "image/webp")}">')


def in_words(windows):
    """What a timeline shows, for those who do not see it; of many windows how often each emotion."""
    if len(windows) > MOST_IN_WORDS:
        parts = [f"{label} in {count}" for label, count in windows.label.value_counts().items()]
        return f"Emotion over time: of {len(windows)} windows {', '.join(parts)}"
    return "Emotion over time: " + ", ".join(
        f"{row.start:.1f} to {row.end:.1f} s {row.label}{' (unsure)' if row.unsure else ''}"
        for row in windows.itertuples())


def table_link(name, windows):
    """A link that saves the windows of a recording as <name>-emotions.csv: HTML."""
    text = as_csv(windows.round(6))
    file = html.escape(f"{Path(name).stem}-emotions.csv", quote=True)
    return (f'<a class="download" download="{file}" href="{data_address(text.encode(), "text/csv;charset=utf-8")}">'
            "Download the table (CSV)</a>")


def data_address(content, kind):
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
