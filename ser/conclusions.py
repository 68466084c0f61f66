"""What came out of a run, in words: the first paragraphs of its page (ser/report.py).

run    : config, clips, predictions and summary, as study.runs.read_run gives them
labels : {name of a feature or model: text}
"""
import pandas as pd

from ser import metrics
from ser.splits import TEST_ACTORS

DEMO = ("Synthesised demo corpus: not real results. Its clips are no speech, and the numbers mean nothing; they show "
        "that everything runs.")
QUICK = "A quick run (--quick): its networks are hardly trained, and the numbers mean nothing."
MAX_NAMED = 6               # lines of missing fits in the text
RAVDESS = "RAVDESS speech"  # ser.corpora calls it so


def warnings(run, n_missing=0, missing=()):
    """What a reader must know before any number: [sentence, ...]; n_missing, missing : as study.runs.missing_fits"""
    found = [DEMO] * bool(run.config.get("demo")) + [QUICK] * bool(run.config.get("quick"))
    if n_missing:
        named = ", ".join(missing[:MAX_NAMED]) + f" and {len(missing) - MAX_NAMED} more" * (len(missing) > MAX_NAMED)
        found.append(f"Unfinished: {counted(n_missing, 'fit')} of this run {'is' if n_missing == 1 else 'are'} "
                     f"missing ({named}).")
    return found


def numbers_mean_something(run):
    """False of a demo and of a quick run."""
    return not (run.config.get("demo") or run.config.get("quick"))


def headline(run, labels):
    """The best model, its accuracy with its interval, and what guessing gives (str)."""
    best, n_classes = run.summary.iloc[0], len(run.config["classes"])
    name = experiment(best, labels)
    subject = f"The best of {len(run.summary)} models, {name}," if len(run.summary) > 1 else name[0].upper() + name[1:]
    notes = [f"95 % interval {interval(best)}"] * bool(interval(best))
    notes.append(f"unweighted average recall {100 * best.uar_mean:.1f} %")
    majority = tested(run, best).true.value_counts(normalize=True).max()
    return (f"{subject} classifies {100 * best.accuracy_mean:.1f} % of the test clips correctly ({'; '.join(notes)}). "
            f"Guessing among the {n_classes} emotions gives {100 / n_classes:.1f} %, always naming the most frequent "
            f"one {100 * majority:.1f} %.")


def chosen_without_test_clips(run, labels):
    """The single model with the best inner validation; "" where there is nothing to choose from (str)."""
    single = run.summary[run.summary.model != "ensemble"]
    if len(single) < 2:
        return ""
    chosen = single.loc[single.validation_accuracy.idxmax()]
    if chosen.name == 0:
        return "The best model is also the best by inner validation, which sees no test clip."
    between = f" ({interval(chosen)})" if interval(chosen) else ""
    return ("To pick the best of many models by the test clips makes its number slightly optimistic. The best single "
            f"model by inner validation, which sees no test clip, is {experiment(chosen, labels)}: "
            f"{100 * chosen.accuracy_mean:.1f} %{between}.")


def tested_on(run):
    """The clips, speakers and folds behind the best model's number, and whether its speakers were known (str)."""
    best, config = run.summary.iloc[0], run.config
    own, folds = tested(run, best), config["n_folds"]
    text = (f"Tested on {counted(len(own), 'clip')} of {counted(own.actor.nunique(), 'speaker')} ({config['data']}) in "
            f"{counted(folds, 'fold') if best.folds == folds else f'{best.folds} of {folds} folds'}, each clip by "
            "models that were not trained on it. ")
    if config["speaker_independent"]:
        text += "The speakers are new to the models: nobody who is tested is in training."
    else:
        text += "The speakers are known to the models: other clips of the same speakers are in training."
    if config.get("adapt") == "speaker":
        text += " Features are centred by each speaker's own clips, also those that are tested; labels are not seen."
    return text


def expectation(run):
    """What to expect of other speakers and recordings (str)."""
    if run.config["speaker_independent"]:
        return ("This is what to expect of new speakers who are recorded in the same way. Expect less in other rooms "
                "and languages, through other microphones, and of emotions expressed in another way, such as "
                "spontaneous ones after acted ones.")
    speakers = set(run.clips.actor.astype(str))
    if len(speakers) == 1:
        return "Expect clearly less on new speakers; with the clips of one speaker that cannot be tested."
    all_of_ravdess = {str(actor) for actors in TEST_ACTORS["luna_jimenez"] for actor in actors}
    published = run.config["data"] == RAVDESS and speakers == all_of_ravdess
    return ("Expect clearly less on new speakers: train.py --protocol "
            f"{'luna_jimenez' if published else 'speakers'} tests it.")


# -- parts of sentences ------------------------------------------------------------------------------
def tested(run, row):
    """The predictions of a row of the summary."""
    return run.predictions[(run.predictions.model == row.model) & (run.predictions.feature == row.feature)]


def experiment(row, labels):
    """"BiLSTM on MFCC", "the ensemble"."""
    return "the ensemble" if row.model == "ensemble" else f"{labels[row.model]} on {labels[row.feature]}"


def interval(row):
    """"86.2 to 91.2 %", of the accuracy; "" of a single speaker, who has none."""
    return "" if pd.isna(row.accuracy_low) else f"{metrics.format_interval(row.accuracy_low, row.accuracy_high)} %"


def counted(number, noun):
    """"1 clip", "1,440 clips"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
