"""A run on one page: tables and pictures of viz.py in a single HTML file that opens by double click.

Nothing is fetched: pictures are embedded, styles are inline, there is no script. Light and dark follow the reader's
system, and the page is readable on a phone.
"""
import base64
from html import escape

import pandas as pd

from ser import metrics

# How to read each picture, by the beginning of its name; the longest that fits counts.
CAPTIONS = {
    "data_statistics": "How many clips of which kind there are, how long they are and how loud.",
    "example_features": "What the networks are shown: one clip per emotion, as each feature.",
    "comparison": "Further right is better; where the whiskers overlap widely, do not trust the order.",
    "reliability": "On the grey diagonal a probability means what it says; below it the model is too sure of itself.",
    "per_emotion": "Darker is better; a pale cell is an emotion that this model misses or overuses.",
    "per_actor": "Darker is better; pale columns are voices that every model finds hard.",
    "subgroups": "Darker is better; pairs of columns that differ show what the models depend on.",
    "curves": "Validation that falls while training rises is overfitting; curves that still rise want more epochs.",
    "heard": "Red is where the answer hangs on the sound; blue is where the sound speaks against it.",
    "functionals": "Long bars are what the MLP cannot do without.",
    "map": "Emotions that form islands are told apart; islands of one actor would mean that the voice decides.",
    "confusion": "A row is what was spoken, a column what was heard; off the diagonal are the mistakes.",
}
N_HARDEST = 20            # clips named

STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --quiet: #5c5c5c; --page: #fff; --line: #ddd; --stripe: #f6f7f9; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e8e8e8; --quiet: #a8a8a8; --page: #16181b; --line: #3a3d42; --stripe: #1f2226; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
       max-width: 60rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; }
h2 { font-size: 1.2rem; margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: 1rem; }
p.quiet, figcaption, dt { color: var(--quiet); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.25rem 0.6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { white-space: normal; vertical-align: bottom; }
th:first-child, td:first-child, .words th, .words td { text-align: left; }
tbody tr:nth-child(even) { background: var(--stripe); }
figure { margin: 1.5rem 0; } figure img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
code { font-size: 0.9em; overflow-wrap: anywhere; } dd { margin: 0 0 0.4rem 0; }
.demo { color: #b22222; font-weight: bold; }
"""


def page(run, pictures, named):
    """The HTML of a run's page (str).

    run      : as runs.read_run gives it
    pictures : [(name, path of a PNG), ...] in the order of the page
    named    : name of a feature or model -> how it is called
    """
    config = run.config
    title = f"Speech emotion recognition: {run.folder.resolve().name}"
    demo = '<p class="demo">Synthesised demo corpus: not real results.</p>' if config.get("demo") else ""
    parts = [f"<h1>{escape(title)}</h1>{demo}",
             section("Protocol", facts({"protocol": config["protocol"], "command": config["command"],
                                        "data": f"{config['data']}: {data_report(run.clips)}"}))]
    if len(run.summary):
        best_first = list(zip(run.summary.model, run.summary.feature))
        parts += [section("Results", html_table(results_table(run.summary, named)) + note(
                      "Per cent, mean ± standard deviation over folds; the interval is a 95 % bootstrap over actors; "
                      "p is that of a corrected t-test against the model with the best validation accuracy.")),
                  section("Per emotion", html_table(recall_table(in_class_order(run), "emotion", best_first, named))
                          + note("Recall: of the clips of an emotion, per cent that were recognised.")),
                  section("Per actor", html_table(recall_table(run.predictions, "actor", best_first, named))
                          + note("Per cent of an actor's clips that were recognised.")),
                  section("The hardest clips", html_table(hardest(run.predictions), words=True) + note(
                      "Missed by most models; what they heard instead, most often first."))]
    parts.append(section("Pictures", "".join(figure(name, path) for name, path in pictures)))
    parts.append(section("Environment", facts(run.environment)))
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n")


# -- tables ----------------------------------------------------------------------------------------
def data_report(clips):
    """One line about the table of clips."""
    counts = clips.emotion.value_counts()
    return (f"{len(clips)} clips, {clips.actor.nunique()} actors, {clips.seconds.sum() / 3600:.2f} hours; "
            + ", ".join(f"{name} {count}" for name, count in counts.items()))


def results_table(summary, named):
    """The table of the study, best first, in per cent."""
    def spread(name):
        return [f"{100 * mean:.1f} ± {100 * std:.1f}" if pd.notna(std) else f"{100 * mean:.1f}"
                for mean, std in zip(summary[f"{name}_mean"], summary[f"{name}_std"])]
    return pd.DataFrame({
        "model": [f"{named(row.model)}, {named(row.feature)}" for row in summary.itertuples()],
        "folds": summary.folds, "accuracy": spread("accuracy"),
        "95 % interval": [f"{100 * low:.1f} to {100 * high:.1f}" for low, high in
                          zip(summary.accuracy_low, summary.accuracy_high)],
        "UAR": spread("uar"), "weighted F1": spread("weighted_f1"), "macro F1": spread("macro_f1"),
        "p": summary.p_against_best.map(metrics.format_p, na_action="ignore").astype(object).fillna(""),
        "parameters": summary.parameters.map("{:,}".format), "s a fit": summary.fit_seconds.map("{:.0f}".format)})


def in_class_order(run):
    """The predictions with a column emotion, which sorts as the classes do."""
    return run.predictions.assign(emotion=pd.Categorical(run.predictions.true, run.config["CLASSES"]))


def recall_table(predictions, column, models, named):
    """Per cent right by the values of a column (rows), for each of the models [(model, feature), ...] (columns)."""
    hits = predictions.assign(right=100.0 * (predictions.true == predictions.predicted))
    table = hits.groupby([column, "model", "feature"], observed=True).right.mean().unstack([1, 2])[models]
    table.columns = [f"{named(model)}, {named(feature)}" for model, feature in models]
    return table.map("{:.0f}".format, na_action="ignore").fillna("").rename_axis(column).reset_index()


def hardest(predictions):
    """The clips that most models miss, and what these take them for."""
    single = predictions[predictions.model != "ensemble"]
    missed = single[single.true != single.predicted]
    heard = missed.groupby("file").predicted.agg(
        lambda names: ", ".join(f"{name} {count}" for name, count in names.value_counts().items()))
    of = single.groupby("file").size()
    wrong = missed.groupby("file").size().sort_values(ascending=False, kind="stable").head(N_HARDEST)
    true = single.drop_duplicates("file").set_index("file").true
    return pd.DataFrame({"clip": wrong.index, "spoken": true[wrong.index].to_numpy(),
                         "missed by": [f"{count} of {of[file]}" for file, count in wrong.items()],
                         "heard": heard[wrong.index].to_numpy()})


# -- HTML ------------------------------------------------------------------------------------------
def section(title, body):
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def note(text):
    return f'<p class="quiet">{escape(text)}</p>'


def facts(pairs):
    """{name: value} as a list of definitions."""
    return "<dl>" + "".join(f"<dt>{escape(str(name))}</dt><dd><code>{escape(str(value))}</code></dd>"
                            for name, value in pairs.items()) + "</dl>"


def html_table(table, words=False):
    """A DataFrame, escaped, that scrolls sideways where the screen is narrow."""
    return f'<div class="wide">{table.to_html(index=False, border=0, classes=["words"] if words else [])}</div>'


def figure(name, path):
    """A picture, embedded, with how to read it."""
    fitting = max((start for start in CAPTIONS if name.startswith(start)), key=len, default=None)
    content = base64.b64encode(path.read_bytes()).decode()
    caption = CAPTIONS.get(fitting, "")
    return (f'<figure><img alt="{escape(name.replace("_", " "))}" src="data:image/png;base64,{content}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>")
