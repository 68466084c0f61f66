"""A run on one page: its tables and figures in a single HTML file that opens by double click.

Nothing is fetched: pictures are embedded, styles are inline, there is no script. Light and dark follow the reader's
system, and the page is readable on a phone. `labels` is {name of a feature or model: text} throughout.
"""
import base64
from html import escape

import pandas as pd

from ser import metrics
from ser.names import in_order

N_HARDEST = 20            # clips in the table of the hardest

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


def page(run, pictures, labels):
    """The HTML of a run's page (str).

    run      : as study.runs.read_run gives it
    pictures : [(name, path of a PNG, how to read it), ...] in the order of the page
    """
    config = run.config
    title = f"Speech emotion recognition: {run.folder.resolve().name}"
    demo = '<p class="demo">Synthesised demo corpus: not real results.</p>' if config.get("demo") else ""
    parts = [f"<h1>{escape(title)}</h1>{demo}",
             section("Protocol", facts({"protocol": config["protocol"], "command": config["command"],
                                        "data": f"{config['data']}: {data_report(run.clips)}"}))]
    parts += result_sections(run, labels) if len(run.summary) else []
    parts.append(section("Figures", "".join(figure(*picture) for picture in pictures)))
    parts.append(section("Environment", facts(run.environment)))
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n")


def result_sections(run, labels):
    """The tables of the results as sections; each names the kind of protocol, as their numbers depend on it."""
    kind = "speaker-independent" if run.config["speaker_independent"] else "speaker-dependent"
    kind += ", adapted to each speaker" * (run.config.get("adapt") == "speaker")
    experiments = list(zip(run.summary.model, run.summary.feature))             # best first
    by_class = run.predictions.assign(emotion=pd.Categorical(run.predictions.true, run.config["classes"]))
    by_actor = run.predictions.assign(actor=pd.Categorical(run.predictions.actor, in_order(run.predictions.actor)))
    return [
        section(f"Results, {kind}", html_table(results_table(run.summary, labels)) + note(
            "Per cent, mean ± standard deviation over folds. WA: weighted accuracy, the fraction of correct clips; its "
            "95 % interval is a bootstrap over actors. UAR: unweighted average recall, the mean over emotions. p: "
            "corrected t-test of WA against the model with the best validation accuracy.")),
        section(f"Recall per emotion, {kind}", html_table(accuracy_table(by_class, "emotion", experiments, labels))
                + note("Per cent of the clips of an emotion that were classified correctly.")),
        section(f"Accuracy per actor, {kind}", html_table(accuracy_table(by_actor, "actor", experiments, labels))
                + note("Per cent of an actor's clips that were classified correctly.")),
        section(f"The hardest clips, {kind}", html_table(hardest_clips(run.predictions), words=True) + note(
            "Misclassified by most models, the ensemble apart; their predictions, most frequent first."))]


# -- tables ----------------------------------------------------------------------------------------
def data_report(clips):
    """One line about the table of clips."""
    counts = clips.emotion.value_counts()
    return (f"{len(clips)} clips, {clips.actor.nunique()} actors, {clips.seconds.sum() / 3600:.2f} hours; "
            + ", ".join(f"{name} {count}" for name, count in counts.items()))


def results_table(summary, labels):
    """The table of the study, best first, in per cent."""
    def mean_and_std(name):
        return [f"{100 * mean:.1f} ± {100 * std:.1f}" if pd.notna(std) else f"{100 * mean:.1f}"
                for mean, std in zip(summary[f"{name}_mean"], summary[f"{name}_std"])]
    return pd.DataFrame({
        "model": [f"{labels[row.model]}, {labels[row.feature]}" for row in summary.itertuples()],
        "folds": summary.folds, "WA (accuracy)": mean_and_std("accuracy"),
        "95 % interval of WA": [
            metrics.format_interval(*ends) for ends in zip(summary.accuracy_low, summary.accuracy_high)],
        "UAR": mean_and_std("uar"), "weighted F1": mean_and_std("weighted_f1"), "macro F1": mean_and_std("macro_f1"),
        "p": summary.p_against_best.map(metrics.format_p, na_action="ignore").astype(object).fillna(""),
        "parameters": summary.parameters.map("{:,}".format), "s per fit": summary.fit_seconds.map("{:.0f}".format)})


def accuracy_table(predictions, column, experiments, labels):
    """Per cent correct by the values of a column (rows), of the experiments [(model, feature), ...] (columns)."""
    correct = predictions.assign(correct=100.0 * (predictions.true == predictions.predicted))
    table = correct.groupby([column, "model", "feature"], observed=True).correct.mean().unstack([1, 2])[experiments]
    table.columns = [f"{labels[model]}, {labels[feature]}" for model, feature in experiments]
    table = table.map("{:.0f}".format, na_action="ignore").fillna("")
    return table.rename_axis(column).reset_index()


def hardest_clips(predictions):
    """The clips that most models misclassify, and what these predict."""
    single = predictions[predictions.model != "ensemble"]
    wrong = single[single.true != single.predicted]
    answers = wrong.groupby("file").predicted.agg(
        lambda names: ", ".join(f"{name} {count}" for name, count in names.value_counts().items()))
    models = single.groupby("file").size()
    counts = wrong.groupby("file").size().sort_values(ascending=False, kind="stable").head(N_HARDEST)
    true = single.drop_duplicates("file").set_index("file").true
    return pd.DataFrame({"clip": counts.index, "true emotion": true[counts.index].to_numpy(),
                         "misclassified by": [f"{count} of {models[file]}" for file, count in counts.items()],
                         "predicted": answers[counts.index].to_numpy()})


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


def figure(name, path, caption):
    """A picture (PNG), embedded, with how to read it."""
    content = base64.b64encode(path.read_bytes()).decode()
    return (f'<figure><img alt="{escape(name.replace("_", " "))}" src="data:image/png;base64,{content}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>")
