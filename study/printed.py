"""What train.py prints of a study."""
import math
import textwrap


def print_summary(summary, plan, predictions, seconds):
    """The table of the study; mean and standard deviation over folds, in per cent. seconds : of the command

    summary, predictions : tables of runs.py
    """
    say(f"\n{plan.protocol}")
    print(f"{'feature':7} {'model':8} {'folds':>5} {'accuracy':>12} {'95 % interval':>13} {'UAR':>12} "
          f"{'weighted F1':>12} {'p':>6} {'parameters':>10} {'s/fit':>5}")
    for row in summary.itertuples():
        cells = {name: f"{100 * getattr(row, f'{name}_mean'):.1f} +- {100 * getattr(row, f'{name}_std'):.1f}"
                 .removesuffix(" +- nan") for name in ("accuracy", "uar", "weighted_f1")}      # nan: of a single fold
        interval = f"{100 * row.accuracy_low:.1f} to {100 * row.accuracy_high:.1f}"
        p = "" if math.isnan(row.p_against_best) else f"{row.p_against_best:.3f}"
        print(f"{row.feature:7} {row.model:8} {row.folds:5} {cells['accuracy']:>12} {interval:>13} {cells['uar']:>12} "
              f"{cells['weighted_f1']:>12} {p:>6} {row.parameters:10,} {row.fit_seconds:5.0f}")
    say(f"per cent, mean +- standard deviation over the finished folds (of {len(plan.folds)}); interval: bootstrap "
        f"over actors; p: corrected t-test against the model with the best validation accuracy; chance "
        f"{100 / len(plan.classes):.1f}; this command took {seconds / 60:.1f} min")
    if "corpus" in plan.clips and plan.clips.corpus[plan.clips.file.isin(predictions.file)].nunique() > 1:
        print_corpora(predictions, plan.clips)


def print_corpora(predictions, clips):
    """Accuracy on each corpus that was tested, in per cent."""
    corpus = predictions.file.map(clips.set_index("file").corpus)
    correct = (predictions.true == predictions.predicted).groupby([predictions.feature, predictions.model, corpus])
    table = 100 * correct.mean().unstack()
    width = max(10, *map(len, table.columns))
    say("\naccuracy on each tested corpus, per cent")
    print(f"{'feature':7} {'model':8} " + " ".join(f"{name:>{width}}" for name in table.columns))
    for (feature, model), row in table.iterrows():
        print(f"{feature:7} {model:8} " + " ".join(f"{value:{width}.1f}" for value in row))


def say(text):
    """Print text in lines of at most 100 columns."""
    for line in text.split("\n"):
        print(textwrap.fill(line, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))
