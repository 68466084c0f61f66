"""What train.py prints of a study."""
import math
import shlex

from ser.metrics import format_interval
from ser.search import N_BEST, best_first, seed_spread
from ser.terminal import WIDTH, duration, plural, say, say_table


def announce(run, plan, chosen, pending, settings, jobs):
    """The facts, before compute is spent. chosen : tasks of this command; pending : those not finished yet"""
    split, members = chosen[0].member_splits[0], len(chosen[0].member_splits)
    of_member = f", each of {plural(members, 'member')} of a fit" if members > 1 else ""
    say(f"protocol: {plan.protocol}\n"
        f"fold {chosen[0].fold}{of_member}: {plural(len(split['train']), 'clip')} to train on (networks: "
        f"{plural(settings.N_AUGMENTED + 1, 'variant')} of each), {len(split['validation'])} to validate, "
        f"{len(split['test'])} to test; {plural(len(plan.classes), 'class', 'classes')}, "
        f"chance {1 / len(plan.classes):.1%}\n"
        f"recipe {settings.RECIPE}; run {run}: {plural(len(chosen), 'fit')}, {len(chosen) - len(pending)} finished "
        f"before, {len(pending)} to do, {min(jobs, max(len(pending), 1))} side by side")


def print_features(extracted, names, settings):
    """Names and shapes of the features that this command uses, and where they are kept."""
    shapes = ", ".join([f"{name} {x.shape[2:]}" for name, x in extracted.sequences.items() if name in names]
                       + [f"functionals {name} {x.shape[2]}" for name, x in extracted.functionals.items()
                          if name in names])
    copies = f"; each clip and {plural(settings.N_AUGMENTED, 'altered copy', 'altered copies')}" * bool(
        settings.N_AUGMENTED)
    say(f"features, (frames, n): {shapes}{copies}, in {settings.CACHE_DIR}/features-*")


def print_summary(summary, plan, predictions, seconds):
    """The table of the study; mean and standard deviation over folds, in per cent. seconds : of the command

    summary, predictions : tables of runs.py
    """
    say(f"\n{plan.protocol}")
    names = ("feature", "model", "folds", "accuracy", "95 % interval", "UAR", "weighted F1", "p", "time/fit",
             "parameters")
    rows = [(row.feature, row.model, str(row.folds), mean_and_std(row, "accuracy"),
             format_interval(row.accuracy_low, row.accuracy_high), mean_and_std(row, "uar"),
             mean_and_std(row, "weighted_f1"), "" if math.isnan(row.p_against_best) else f"{row.p_against_best:.3f}",
             duration(row.fit_seconds), f"{row.parameters:,}") for row in summary.itertuples()]
    several = bool(summary.folds.max() > 1)
    if not several:                         # no test without folds to compare
        column = names.index("p")
        names, rows = without_column(names, column), [without_column(row, column) for row in rows]
    absent = say_table(names, rows, left=2)
    say(("per cent, mean +- standard deviation over the finished folds" if several else "per cent, of a single fold")
        + f" (of {len(plan.folds)}); interval: bootstrap over actors, blank for a single one"
        + "; p: corrected t-test against the model with the best validation accuracy" * several
        + f"; chance {100 / len(plan.classes):.1f}" + f"; {', '.join(absent)}: see summary.csv" * bool(absent)
        + f"; this command took {duration(seconds)}")
    if "corpus" in plan.clips and plan.clips.corpus[plan.clips.file.isin(predictions.file)].nunique() > 1:
        print_corpora(predictions, plan.clips)


def without_column(row, number):
    return row[:number] + row[number + 1:]


def mean_and_std(row, name):
    """"72.1 +- 1.6" in per cent; of a single fold "72.1"."""
    mean, std = 100 * getattr(row, f"{name}_mean"), 100 * getattr(row, f"{name}_std")
    return f"{mean:.1f}" if math.isnan(std) else f"{mean:.1f} +- {std:.1f}"


def print_corpora(predictions, clips):
    """Accuracy and UAR on each corpus that was tested, in per cent; blank where a fold has none of it."""
    rows = predictions.assign(corpus=predictions.file.map(clips.set_index("file").corpus),
                              correct=predictions.true == predictions.predicted)
    keys = ["feature", "model", "corpus"]
    accuracy = 100 * rows.groupby(keys).correct.mean().unstack()
    uar = 100 * rows.groupby([*keys, "true"]).correct.mean().groupby(keys).mean().unstack()
    say("\naccuracy / UAR on each tested corpus, per cent")
    say_table(("feature", "model", *accuracy.columns), [
        (*names, *("" if math.isnan(value) else f"{value:.1f} / {uar.loc[names, corpus]:.1f}"
                   for corpus, value in row.items())) for names, row in accuracy.iterrows()], left=2)


def print_search(trials, table, seeds):
    """The best trials of a search, each with the flags that set it, and the present settings among them.

    trials : as study.search.run_search gives them; table : {setting: Range or tuple}; seeds : of the validation clips
    """
    columns = [f"accuracy_{seed}" for seed in seeds]
    ranked = best_first(trials)
    best, place = ranked[:N_BEST], list(ranked.trial).index(0) + 1
    print()
    say_table(("trial", *(f"seed {seed}" for seed in seeds), "mean", "NLL"), [
        (str(row["trial"]) + " (present settings)" * (row["trial"] == 0),
         *(f"{100 * row[name]:.1f}" for name in columns), f"{100 * row['accuracy']:.1f}", f"{row['nll']:.3f}")
        for row in best.to_dict("records")])
    for row in best[best.trial != 0].to_dict("records"):
        print(f"trial {row['trial']}:\n  " + flags_to_copy({name: row[name] for name in table}))
    say(f"validation accuracy in per cent, and mean negative log-likelihood in nats, of "
        f"{plural(len(trials), 'trial')}; the present settings are number {place}. "
        f"From the one seed to the other the accuracy of a trial differs by {100 * seed_spread(trials, columns):.1f} "
        "points on average: a difference smaller than that is no difference")


def flags_to_copy(values):
    """{setting: value} as flags of train.py, in lines that a shell takes for one."""
    lines = [""]
    for name, value in values.items():
        flag = f"--set {shlex.quote(f'{name}={value}')}"
        if lines[-1] and len(lines[-1]) + len(flag) > WIDTH - 5:        # 5: before it and behind
            lines.append("")
        lines[-1] += " " * bool(lines[-1]) + flag
    return " \\\n  ".join(lines)
