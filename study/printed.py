"""What train.py prints of a study."""
import math
import textwrap

from ser.metrics import format_interval


def print_summary(summary, plan, predictions, seconds):
    """The table of the study; mean and standard deviation over folds, in per cent. seconds : of the command

    summary, predictions : tables of runs.py
    """
    say(f"\n{plan.protocol}")
    width = max(map(len, ["feature", *summary.feature]))
    print(f"{'feature':{width}} {'model':8} {'folds':>5} {'accuracy':>12} {'95 % interval':>13} {'UAR':>12} "
          f"{'weighted F1':>12} {'p':>6} {'parameters':>10} {'s/fit':>5}")
    for row in summary.itertuples():
        cells = {name: f"{100 * getattr(row, f'{name}_mean'):.1f} +- {100 * getattr(row, f'{name}_std'):.1f}"
                 .removesuffix(" +- nan") for name in ("accuracy", "uar", "weighted_f1")}      # nan: of a single fold
        interval = format_interval(row.accuracy_low, row.accuracy_high)
        p = "" if math.isnan(row.p_against_best) else f"{row.p_against_best:.3f}"
        print(f"{row.feature:{width}} {row.model:8} {row.folds:5} {cells['accuracy']:>12} {interval:>13} "
              f"{cells['uar']:>12} {cells['weighted_f1']:>12} {p:>6} {row.parameters:10,} {row.fit_seconds:5.0f}")
    say(f"per cent, mean +- standard deviation over the finished folds (of {len(plan.folds)}); interval: bootstrap "
        f"over actors, blank for a single one; p: corrected t-test against the model with the best validation "
        f"accuracy; chance {100 / len(plan.classes):.1f}; this command took {seconds / 60:.1f} min")
    if "corpus" in plan.clips and plan.clips.corpus[plan.clips.file.isin(predictions.file)].nunique() > 1:
        print_corpora(predictions, plan.clips)


def print_corpora(predictions, clips):
    """Accuracy and UAR on each corpus that was tested, in per cent."""
    rows = predictions.assign(corpus=predictions.file.map(clips.set_index("file").corpus),
                              correct=predictions.true == predictions.predicted)
    keys = ["feature", "model", "corpus"]
    accuracy = 100 * rows.groupby(keys).correct.mean().unstack()
    uar = 100 * rows.groupby([*keys, "true"]).correct.mean().groupby(keys).mean().unstack()
    width, first = max(13, *map(len, accuracy.columns)), max(map(len, ["feature", *rows.feature]))
    say("\naccuracy / UAR on each tested corpus, per cent")
    print(f"{'feature':{first}} {'model':8} " + " ".join(f"{name:>{width}}" for name in accuracy.columns))
    for (feature, model), row in accuracy.iterrows():
        cells = (f"{value:.1f} / {uar.loc[(feature, model), name]:.1f}" for name, value in row.items())
        print(f"{feature:{first}} {model:8} " + " ".join(f"{cell:>{width}}" for cell in cells))


def say(text):
    """Print text in lines of at most 100 columns; nothing of ""."""
    for line in text.split("\n") if text else ():
        print(textwrap.fill(line, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))
