"""A run on one page: its results in words, tables and figures, in a single HTML file that opens by double click.

Nothing is fetched: pictures are embedded, and so are styles and script (ser/report_style.py). Light and dark follow the
reader's system, and the page is readable on a phone and on paper. What it says in words is in ser/conclusions.py.
`labels` is {name of a feature or model: text} throughout.
"""
import base64
import io
from html import escape
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from PIL import Image

from ser import conclusions, metrics
from ser.names import in_order
from ser.plots import experiment_label
from ser.report_style import SCRIPT, STYLE
from ser.terminal import plural

N_HARDEST = 20            # clips in the table of the hardest
MAX_LETTERS = 4           # of speakers' names that head a column; longer ones head a row
N_COLOURS = 128           # of an embedded picture


class Picture(NamedTuple):
    name: str               # of its file, without the ending
    path: Path              # of the PNG
    title: str
    caption: str            # how to read it


NO_PICTURE = Picture("", Path(), "", "")


class Section(NamedTuple):
    """A row of SECTIONS."""
    title: str
    pictures: tuple = ()        # how the names of the pictures that belong here begin
    of_results: bool = True     # its numbers depend on whether the speakers were known: the title says which
    pick: str = ""              # of pictures whose names begin so, one is shown at a time


SECTIONS = {                    # by the name that links have, in the order of the page; without contents it is left out
    "results": Section("Results", ("comparison",)),
    "emotions": Section("Recall per emotion", ("per_emotion",)),
    "confusion": Section("Confusion matrices", ("confusion",), pick="confusion_"),
    "actors": Section("Accuracy per actor", ("per_actor",)),
    "subgroups": Section("Subgroups of the clips", ("subgroups",)),
    "clips": Section("The hardest clips"),
    "confidence": Section("Confidence", ("reliability",)),
    "training": Section("Training", ("curves_",)),
    "explanations": Section("What the decision depends on", ("occlusion", "permutation_importance", "tsne")),
    "more": Section("More figures", ("",), of_results=False),           # what no other section takes
    "data": Section("Data", ("data_statistics", "example_features"), of_results=False),
    "protocol": Section("Protocol and environment", of_results=False),
}


def page(run, pictures, labels, missing=(0, ())):
    """The HTML of a run's page (str), each picture in it once.

    run      : as study.runs.read_run gives it
    pictures : [Picture, ...]
    missing  : of the fits that were asked for, as study.runs.missing_fits gives it
    """
    title = f"Speech emotion recognition: {run.folder.resolve().name}"
    tables = {"data": facts({run.config["data"]: data_report(run.clips)}),
              "protocol": facts({"protocol": run.config["protocol"], "command": run.config["command"],
                                 **run.environment})}
    if len(run.summary):
        tables |= result_tables(run, labels)
        best_first = [f"{row.feature}_{row.model}" for row in run.summary.itertuples()]
        pictures = sorted(pictures, key=lambda picture: rank(picture, best_first))
    kind = "speaker-independent" if run.config["speaker_independent"] else "speaker-dependent"
    kind += ", adapted to each speaker" * (run.config.get("adapt") == "speaker")
    links, parts = [], []
    for name, section in SECTIONS.items():
        own = [picture for picture in pictures if section_of(picture) == name]
        if own or name in tables:
            heading = f"{section.title}, {kind}" if section.of_results else section.title
            links.append(f'<li><a href="#{name}">{escape(section.title)}</a></li>')
            parts.append(f'<section id="{name}"><h2>{escape(heading)}</h2>{tables.get(name, "")}'
                         f"{figures(own, section.pick)}</section>")
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{STYLE}</style></head>\n<body><header><h1>{escape(title)}</h1>{summary(run, labels, missing)}"
            f'<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav></header>\n'
            f"<main>{''.join(parts)}</main>\n<script>{SCRIPT}</script></body></html>\n")


def summary(run, labels, missing):
    """What came out, in words."""
    paragraphs = [("warning", text) for text in conclusions.warnings(run, *missing)]
    if run.summary.empty:
        paragraphs.append(("lead", "No fit is finished: there are no results yet."))
    else:
        paragraphs += [("lead", conclusions.headline(run, labels)), ("plain", conclusions.tested_on(run)),
                       ("quiet", f"Protocol: {run.config['protocol']}.")]
        if conclusions.numbers_mean_something(run):
            paragraphs += [("plain", conclusions.expectation(run)),
                           ("plain", conclusions.chosen_without_test_clips(run, labels))]
    return "".join(f'<p class="{kind}">{unbroken(text)}</p>' for kind, text in paragraphs if text)


def result_tables(run, labels):
    """{name of a section: its table}"""
    experiments = list(zip(run.summary.model, run.summary.feature))             # best first
    by_class = run.predictions.assign(emotion=pd.Categorical(run.predictions.true, run.config["classes"]))
    by_actor = run.predictions.assign(actor=pd.Categorical(run.predictions.actor, in_order(run.predictions.actor)))
    per_actor = accuracy_table(by_actor, "actor", experiments, labels)
    if max(by_actor.actor.astype(str).str.len()) > MAX_LETTERS:
        per_actor = per_actor.set_index("model").T.rename_axis("actor").reset_index()
    return {
        "results": html_table(results_table(run.summary, labels)) + note(
            "Per cent, mean ± standard deviation over folds. WA: weighted accuracy, the fraction of correct clips; its "
            "95 % interval is a bootstrap over actors. UAR: unweighted average recall, the mean over emotions. p: "
            "corrected t-test of WA against the model with the best validation accuracy, whose own p is left blank."),
        "emotions": html_table(accuracy_table(by_class, "emotion", experiments, labels)) + note(
            "Per cent of the clips of an emotion that were classified correctly."),
        "actors": html_table(per_actor) + note("Per cent of the clips of an actor that were classified correctly."),
        "clips": html_table(hardest_clips(run.predictions), words=True) + note(
            "Misclassified by most models, the ensemble apart; their predictions, most frequent first.")}


# -- pictures --------------------------------------------------------------------------------------
def section_of(picture):
    """The name of the section where a picture belongs: that with the longest beginning of its name."""
    beginnings = {beginning: name for name, section in SECTIONS.items() for beginning in section.pictures}
    return beginnings[max(filter(picture.name.startswith, beginnings), key=len)]


def rank(picture, best_first):
    """The place of a picture of one experiment among them; 0 of any other."""
    return next((k for k, name in enumerate(best_first, start=1) if picture.name.endswith(f"_{name}")), 0)


def figures(pictures, pick):
    """Pictures below each other, what the same words explain without repeating them; of several whose names begin with
    `pick`, one at a time."""
    shown = [figure(picture, "" if picture.caption == before.caption else picture.caption)
             for before, picture in zip([NO_PICTURE, *pictures], pictures)]
    picked = [k for k, picture in enumerate(pictures) if pick and picture.name.startswith(pick)]
    if len(picked) < 2:
        return "".join(shown)
    folded = "".join(f"<details><summary>{escape(pictures[k].title)}</summary>{shown[k]}</details>" for k in picked)
    return ("".join(text for k, text in enumerate(shown) if k not in picked)
            + f'<div class="picker" data-label="Show">{folded}</div>')


def figure(picture, caption):
    """A picture, embedded, with how to read it."""
    content, (width, height) = compressed(picture.path)
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return (f'<figure><img alt="{escape(picture.title)}" width="{width}" height="{height}" loading="lazy" '
            f'src="data:image/webp;base64,{base64.b64encode(content).decode()}">{below}</figure>')


def compressed(path):
    """A PNG as WebP (bytes), and its (width, height): in fewer colours, without loss otherwise, a quarter as large."""
    with Image.open(path) as image:
        fewer = image.convert("RGB").quantize(N_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    content = io.BytesIO()
    fewer.save(content, "WEBP", lossless=True)
    return content.getvalue(), fewer.size


# -- tables ----------------------------------------------------------------------------------------
def data_report(clips):
    """One line about the table of clips."""
    counts = clips.emotion.value_counts()
    return (f"{plural(len(clips), 'clip')}, {plural(clips.actor.nunique(), 'actor')}, "
            f"{clips.seconds.sum() / 3600:.2f} hours; "
            + ", ".join(f"{name} {count}" for name, count in counts.items()))


def results_table(summary, labels):
    """The table of the study, best first, in per cent."""
    def mean_and_std(name):
        return [metrics.format_mean(*both) for both in zip(summary[f"{name}_mean"], summary[f"{name}_std"])]
    return pd.DataFrame({
        "model": [experiment_label(row.model, row.feature, labels) for row in summary.itertuples()],
        "folds": summary.folds, "WA (accuracy)": mean_and_std("accuracy"),
        "95 % interval of WA": [
            metrics.format_interval(*ends) for ends in zip(summary.accuracy_low, summary.accuracy_high)],
        "UAR": mean_and_std("uar"), "weighted F1": mean_and_std("weighted_f1"), "macro F1": mean_and_std("macro_f1"),
        "p": summary.p_against_best.map(metrics.format_p, na_action="ignore").astype(object).fillna(""),
        "parameters": summary.parameters.map("{:,}".format),
        "s per fit": summary.fit_seconds.map(lambda seconds: f"{seconds:.0f}" if seconds >= 1 else "<1")})


def accuracy_table(predictions, column, experiments, labels):
    """Per cent correct of the experiments [(model, feature), ...] (rows), by the values of a column (columns)."""
    correct = predictions.assign(correct=100.0 * (predictions.true == predictions.predicted))
    table = correct.groupby(["model", "feature", column], observed=True).correct.mean().unstack().loc[experiments]
    table = table.map("{:.0f}".format, na_action="ignore").astype(object).fillna("")
    table.columns = list(table.columns)
    table.insert(0, "model", [experiment_label(*key, labels) for key in experiments])
    return table


def hardest_clips(predictions):
    """The clips that most models misclassify, and what these predict."""
    single = predictions[predictions.model != "ensemble"]
    wrong = single[single.true != single.predicted]
    answers = wrong.groupby("file").predicted.agg(
        lambda names: ", ".join(f"{name} {count}" for name, count in names.value_counts().items()))
    models = single.groupby("file").size()
    counts = wrong.groupby("file").size().sort_values(ascending=False, kind="stable").head(N_HARDEST)
    facts_of = single.drop_duplicates("file").set_index("file").loc[counts.index]
    return pd.DataFrame({"clip": counts.index, "actor": facts_of.actor.to_numpy(),
                         "true emotion": facts_of.true.to_numpy(),
                         "misclassified by": [f"{count} of {models[file]}" for file, count in counts.items()],
                         "predicted": answers[counts.index].to_numpy()})


# -- HTML ------------------------------------------------------------------------------------------
def unbroken(text):
    """Text, escaped, that keeps a number and its per cent on one line."""
    return escape(text).replace(" %", "&nbsp;%")


def note(text):
    return f'<p class="quiet">{escape(text)}</p>'


def facts(pairs):
    """{name: value} as a list of definitions."""
    return "<dl>" + "".join(f"<dt>{escape(str(name))}</dt><dd><code>{escape(str(value))}</code></dd>"
                            for name, value in pairs.items()) + "</dl>"


def html_table(table, words=False):
    """A DataFrame, escaped, that scrolls within its own box; its first column names the rows."""
    head = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in table)
    rows = "".join(f'<tr><th scope="row">{escape(str(first))}</th>'
                   + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"
                   for first, *cells in table.itertuples(index=False, name=None))
    return (f'<div class="table{" words" * words}" tabindex="0"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>")
