"""Random search of the settings of training, on inner validation alone: `train.py --search N`.

    given = training_clips(protocol, clips, settings, fold)         the test clips of the fold are gone from here on
    run_search(folder, n, given, classes, settings, ...)            -> table of trials

A trial is its settings, fitted once for each of SEEDS, which draw the validation clips and all else that is random. Its
result is the accuracy on those validation clips, each predicted by the members that were not trained on it. A fit gets
its clips from a table that the test clips have been taken out of, and so do the features.

    results/<run>-search/  config.json trials.csv search.png
                           trials/0003-seed7-mfcc-svm.json      a fit: kept, and read back by the next search
"""
import dataclasses
import io
import json

import numpy as np
import pandas as pd

import features
from data_preprocessing import extraction_params
from ser import search, splits
from ser.errors import UserError
from ser.files import read_csv, write_atomically, write_csv, write_json
from ser.settings import override, validate
from ser.terminal import plural
from study import tasks
from study.estimators import hyperparameters

SEEDS = (7, 8)                  # of inner validation: others than that of any number that is reported


@dataclasses.dataclass(frozen=True)
class Given:
    """What a search may look at."""
    clips: pd.DataFrame         # the training clips of a fold
    member_splits: dict         # {seed: [{"train", "validation", "test"}: indices of these clips]}; test is empty


def training_clips(protocol, clips, settings, fold):
    """The training clips of one fold, without its test clips, and their inner splits by each of SEEDS -> Given.

    raises : UserError for clips that the protocol does not fit
    """
    s = settings
    try:
        fold_of_clip = splits.assign_folds(protocol, clips, s.N_FOLDS, s.SEED)
        if not 0 <= fold <= fold_of_clip.max():
            raise UserError(f"argument --folds: {fold} is not within 0..{fold_of_clip.max()}")
        inner = {seed: splits.inner_splits(protocol, fold, fold_of_clip, clips, s.VALIDATION_FRACTION, seed,
                                           s.ENSEMBLE_SIZE) for seed in SEEDS}
    except UserError:
        raise
    except ValueError as problem:
        raise UserError(f"these clips do not suit --protocol {protocol}: {problem}") from problem
    kept = np.unique(np.concatenate([split[part] for members in inner.values() for split in members
                                     for part in ("train", "validation")]))
    return Given(clips.iloc[kept].reset_index(drop=True), {
        seed: [{"train": np.searchsorted(kept, split["train"]), "test": kept[:0],
                "validation": np.searchsorted(kept, split["validation"])} for split in members]
        for seed, members in inner.items()})


def searched(settings, models, names, extraction):
    """The rows of settings.SEARCH that make a difference to these models on these features; the names of the others.

    raises : UserError for a setting or value that cannot be searched
    """
    def decided(changed):
        """All that settings decide of a fit, beside its clips."""
        return [hyperparameters(changed.MODELS[model], changed, features.frame_seconds(name, extraction.params))
                for model in models for name in names] + [
            changed.CEPSTRAL_DECAY if any(features.FEATURES[name].cepstral for name in names) else None]

    table, without_effect = {}, []
    for name, choices in settings.SEARCH.items():
        for value in search.bounds(choices):
            try:
                changed = override(settings, [f"{name}={value!r}"])
                validate(changed, only=(name.split(".")[0],))
                if extraction_params(changed, names) != extraction:
                    raise UserError(f"{name} changes the features, and a search is of settings of training")
            except UserError as problem:
                raise UserError(f"config.py: SEARCH: {problem}") from problem
            if decided(changed) != decided(settings):
                table[name] = choices
        if name not in table:
            without_effect.append(name)
    if not table:
        raise UserError(f"no setting of SEARCH in config.py makes a difference to {' '.join(models)}")
    return table, without_effect


def announcement(n, given, n_clips, fold, protocol, names, models, table, without_effect):
    """What a search does, before it does it."""
    one, members = " (one; --models and --features take others)", next(iter(given.member_splits.values()))
    lines = [
        f"search: {plural(n, 'trial')} of {plural(len(table), 'setting')}, of {', '.join(models)} on {', '.join(names)}"
        + one * (len(models) == len(names) == 1),
        f"on the {len(given.clips)} training clips of fold {fold} ({protocol}); its other {n_clips - len(given.clips)} "
        f"clips take no part. Judged on inner validation, {plural(len(members), 'member')} a fit, seeds "
        f"{' and '.join(map(str, given.member_splits))}"]
    if without_effect:
        lines.append(f"not searched, since they change nothing here: {', '.join(without_effect)}")
    return "\n".join(lines)


def trial_tasks(number, values, given, classes, settings, models, names, extraction, extracted):
    """The fits of a trial, [Task, ...]: `fold` says which trial and seed it is of. values : {setting: value}"""
    changed = override(settings, flags(values))
    found = []
    for seed, member_splits in given.member_splits.items():
        plan = tasks.Plan(given.clips, classes, names, {model: changed.MODELS[model] for model in models},
                          [member_splits], "search")
        found += [dataclasses.replace(task, fold=f"trial {number}, seed {seed}")
                  for task in tasks.make_tasks(plan, extraction, extracted, changed.replace(SEED=seed))]
    return found


def flags(values):
    """["NAME=VALUE", ...], as --set takes them."""
    return [f"{name}={value!r}" for name, value in values.items()]


def run_search(folder, n, given, classes, settings, table, models, names, extraction, extracted, workers,
               overwrite=False):
    """Fit what is not fitted yet of trials 0 ... n - 1 -> their table, as trials.csv has it, a row per trial.

    table : {setting: Range or tuple}, see `searched`
    """
    values = {number: search.trial_values(number, table, settings.SEED) for number in range(n)}
    fits = {number: trial_tasks(number, own, given, classes, settings, models, names, extraction, extracted)
            for number, own in values.items()}
    every_task = [task for own in fits.values() for task in own]
    pending = [task for task in every_task if overwrite or read_trial(folder, task) is None]

    def write(task, files):
        scores = search.validation_scores(read_csv(io.StringIO(files["validation_predictions.csv"])))
        write_json(trial_file(folder, task), dict(
            scores, fit_seconds=json.loads(files["metrics.json"])["fit_seconds"], fit_id=task.fit_id))
        return {"validation_accuracy": scores["accuracy"]}

    tasks.run_tasks(pending, extracted, workers, len(every_task) - len(pending), write)
    rows = []
    present = {name: value_of(settings, name) for name in table}
    for number, own in fits.items():
        results = pd.DataFrame([dict(read_trial(folder, task), seed=task.fold.split()[-1]) for task in own])
        of_seed = results.groupby("seed")[["accuracy", "nll"]].mean()           # of several models, their mean
        rows.append({"trial": number, **present, **values[number]} | {
            f"{name}_{seed}": of_seed[name][str(seed)] for name in ("accuracy", "nll") for seed in SEEDS}
            | of_seed.mean().to_dict() | {"seconds": results.fit_seconds.sum()})
    trials = pd.DataFrame(rows).assign(**{              # as they are: no 1.0 for 1, no nan for None
        name: pd.Series([row[name] for row in rows], dtype=object) for name in table})
    write_csv(folder / "trials.csv", trials.round(6))
    return trials


def draw(folder, trials, table, title):
    """search.png: the trials as dots."""
    import matplotlib

    from ser import plots, search_plots
    with matplotlib.rc_context(plots.STYLE), write_atomically(folder / "search.png") as tmp_path:
        search_plots.search_dots(trials, table, title).savefig(tmp_path)


def value_of(settings, name):
    """The value of a setting, or of "MODELS.<row>.<field>"."""
    setting, *keys = name.split(".")
    value = getattr(settings, setting)
    return getattr(value[keys[0]], keys[1]) if keys else value


def trial_file(folder, task):
    """Where the result of a fit is kept."""
    trial, seed = (part.split()[1] for part in task.fold.split(", "))
    return folder / "trials" / f"{int(trial):04d}-seed{seed}-{task.feature}-{task.model}.json"


def read_trial(folder, task):
    """The result of a finished fit (dict), or None where there is none of this very fit."""
    try:
        result = json.loads(trial_file(folder, task).read_text())
        return result if result["fit_id"] == task.fit_id else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):        # cut, or of another version: fitted again
        return None
