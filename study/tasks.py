"""The fits of a study: planned, identified, run in parallel, written.

    tasks = make_tasks(plan, extraction, extracted, settings)       every fit of the study, whatever part is asked for
    run_tasks(pending_tasks(run, tasks), extracted, workers, ...)   each fit is handed out when it is finished

A fit is identified by its arguments: the hash of its hyperparameters, data, split and seed, and of the code that can
change its numbers (ser/identity.py). A finished fit with the same `fit_id` is kept, any other is done again.
"""
import json
import os
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd

import features
from data_preprocessing import features_key
from ser import alterations, facts, metrics, seeds, splits
from ser.errors import UserError
from ser.files import as_csv, as_json, hash_json, write_csv, write_json
from ser.folders import NO_MANIFEST, clear_drafts, find_damage
from ser.identity import code_hash
from ser.machine import PACKAGES
from ser.parallel import disable_worker_recycling, fetch, run
from ser.signals import follow_driver
from ser.terminal import Bar, plural, say
from study import fitting, runs
from study.estimators import estimator_class, estimator_name, hyperparameters, identity_names
from study.progress import FITS_BAR, Progress, expected_cost, fit_line


@dataclass(frozen=True)
class Plan:
    """What a study does, before anything is computed."""
    clips: pd.DataFrame         # file, actor, emotion, label, recording ..., see corpora.Corpus
    classes: tuple
    features: tuple             # names: rows of features.FEATURES
    models: dict                # {name: row of config.MODELS}
    folds: list                 # of each fold the member_splits, see splits.inner_splits
    protocol: str               # in words


@dataclass(frozen=True)
class Task:
    """One fit, with all it needs: can be sent to another process."""
    feature: str
    model: str
    fold: int | str             # "final": see final.py
    fit_id: str
    estimator: str              # "module:name" of its class
    hyperparameters: dict       # of that class
    seed: int
    weights: np.ndarray         # of the feature's columns, see features.cepstral_weights
    on_functionals: bool        # else on frames
    classes: tuple
    clips: pd.DataFrame         # file, actor, label
    member_splits: list         # [{"train", "validation", "test"}: clip indices], one for each member
    protocol: str
    preprocessing: dict         # what prediction needs to know of extraction: loading, params, n_frames, seconds; and
                                # training_range, see there
    speaker_means: np.ndarray | None        # (speakers, n or 13 n), by which the feature was centred, by name; or None
    driver: int                 # id of the process that hands out the tasks

    @property
    def name(self):
        """Of its folder."""
        return runs.fit_name(self.feature, self.model, self.fold)


def make_folds(protocol, clips, settings, asked=None):
    """The member_splits of every fold (splits.inner_splits); `asked` (numbers of folds) are among them.

    raises : UserError for clips that the protocol does not fit
    """
    s = settings
    try:
        fold_of_clip = splits.assign_folds(protocol, clips, s.N_FOLDS, s.SEED)
        folds = [splits.inner_splits(protocol, fold, fold_of_clip, clips, s.VALIDATION_FRACTION, s.SEED,
                                     s.ENSEMBLE_SIZE) for fold in range(fold_of_clip.max() + 1)]
    except ValueError as problem:
        raise UserError(f"these {plural(len(clips), 'clip')} do not suit --protocol {protocol}: {problem}") from problem
    if not set(asked or []) <= set(range(len(folds))):
        raise UserError(f"argument --folds: {sorted(asked)} are not all within 0..{len(folds) - 1}")
    return folds


def make_tasks(plan, extraction, extracted, settings):
    """Every fit of the plan, fold by fold.

    extraction : data_preprocessing.Extraction; extracted : the arrays that it gave (data_preprocessing.build_features)
    """
    tasks, clips = [], plan.clips[["file", "actor", "label"]]
    code = {name: code_hash(*identity_names(row)) for name, row in plan.models.items()}
    weights = {name: features.cepstral_weights(name, n_columns(name, extracted), settings.CEPSTRAL_DECAY)
               for name in plan.features}
    keys = {name: features_key(plan.clips, extraction.of_feature(name)) for name in plan.features}
    known = dict(training_range=training_range(plan.clips, extraction))
    preprocessing = {name: preprocessing_of(name, extraction) | known for name in plan.features}
    for fold, member_splits in enumerate(plan.folds):
        data = hash_json([plan.classes, clips.label.tolist(), clips.actor.astype(str).tolist(),
                          [{part: own.tolist() for part, own in split.items()} for split in member_splits]])
        for feature in plan.features:
            for model, row in plan.models.items():
                if row.input not in features.FEATURES[feature].inputs:
                    continue
                params = hyperparameters(row, settings, features.frame_seconds(feature, extraction.params))
                seed = seeds.seed_for(settings.SEED, "fit", feature, model, fold)
                fit_id = hash_json([params, row.input, weights[feature].tolist(), seed, code[model], data,
                                    keys[feature], feature, model, fold])
                tasks.append(Task(
                    feature, model, fold, fit_id, estimator_name(row), params, seed, weights[feature],
                    row.input == "functionals", plan.classes, clips, member_splits, plan.protocol,
                    preprocessing[feature], extracted.speaker_means.get((feature, row.input)), driver=os.getpid()))
    return tasks


def n_columns(feature, extracted):
    """Columns of a feature's frames."""
    if feature in extracted.sequences:
        return extracted.sequences[feature].shape[-1]
    return extracted.functionals[feature].shape[-1] // len(features.FEATURES[feature].statistics)


def training_range(clips, extraction):
    """{fact: [lowest, highest]} of the facts (ser/facts.py) that matter to models trained on some of these clips and
    on altered copies of them; for notes, whatever fold is tested."""
    found, altered = facts.facts_range(clips), extraction.alterations
    if extraction.loading["level"] != "recorded" or "gain" in altered:
        del found["level_dbfs"]
    if "hiss" in altered and "noise_db" in found:
        found["noise_db"][1] = max(found["noise_db"][1], -alterations.NOISE_DB[0])
    if "band" in altered:
        found["bandwidth_hz"][0] = min(found["bandwidth_hz"][0], alterations.RATES[0] / 2)
    return found


def preprocessing_of(feature, extraction):
    """What prediction needs to know of the extraction of a feature."""
    return dict(loading=extraction.loading, params=extraction.params_of(feature), seconds=extraction.clip_seconds,
                n_frames=extraction.n_frames(feature))


def pending_tasks(run, tasks, overwrite=False):
    """The tasks still to do, with a line on those whose settings changed, and on each that is damaged."""
    pending, changed = [], 0
    for task in tasks:
        folder = run / "fits" / task.name
        damage, fit = find_damage(folder) if folder.exists() else None, runs.read_metrics(folder)
        if damage == NO_MANIFEST:
            changed += 1
        elif damage:
            say(f"{folder}: damaged ({damage}): trained again")
        if overwrite or fit is None or fit.get("fit_id") != task.fit_id:
            pending.append(task)
            changed += fit is not None
    if changed and not overwrite:
        say(f"{plural(changed, 'finished fit')} made with other settings, data or code: done again")
    return pending


def other_versions(run, environment, kept):
    """A line on packages that the finished fits among `kept` (tasks) were made with in another version, or ""."""
    if not any((run / "fits" / task.name / "metrics.json").exists() for task in kept):
        return ""
    try:
        before = json.loads((run / "environment.json").read_text())
        changed = [f"{name} {before[name]} (now {environment[name]})" for name in PACKAGES
                   if before[name] != environment[name]]
    except (OSError, ValueError, KeyError, TypeError):              # damaged, or of other packages
        return ""
    said = f"finished fits were made with {', '.join(changed)}, and are kept; --overwrite trains them again"
    return said if changed else ""


def write_run_metadata(run, config, environment, plan, tasks, pending):
    """config.json, environment.json, clips.csv, folds.csv: what the run is, before it computes.

    config  : dict of what the caller knows of the run, for config.json
    pending : the tasks that are still to do; where there are none, environment.json keeps what the fits were made with
    """
    if run.exists():
        clear_drafts(run)
    write_json(run / "config.json", dict(
        format=runs.FORMAT, **config, protocol=plan.protocol, classes=plan.classes, features=plan.features,
        models=list(plan.models), labels={name: features.FEATURES[name].label for name in plan.features}
        | {name: row.label for name, row in plan.models.items()}, n_folds=len(plan.folds),
        fit_ids={task.name: task.fit_id for task in tasks}))
    if pending or not (run / "environment.json").exists():
        again = {task.name for task in pending}
        say(other_versions(run, environment, [task for task in tasks if task.name not in again]))
        write_json(run / "environment.json", environment)
    write_csv(run / "clips.csv", plan.clips.drop(columns=["path", "label", "sound"]).round(6))
    folds = plan.clips[["file", "actor", "emotion", "recording"]].copy()
    folds.insert(4, "fold", -1)
    for fold, member_splits in enumerate(plan.folds):
        folds.loc[member_splits[0]["test"], "fold"] = fold
        folds[f"split_{fold}"] = splits.split_names(member_splits, len(folds))
    write_csv(run / "folds.csv", folds)


# -- running -----------------------------------------------------------------------------------------
def run_tasks(tasks, extracted, workers, n_done, write):
    """Run the tasks, several at a time; `write(task, files)` is called with each when it is finished, and may
    return more metrics to print.

    workers : parallel.Workers. On this machine they map the arrays into memory; elsewhere these are sent there.
    """
    total, jobs = n_done + len(tasks), min(workers.jobs, max(len(tasks), 1))
    costs = {task.name: expected_cost(task, task_inputs(task, extracted)[0].shape[1]) for task in tasks}
    finished = run((workers.delayed(run_task)(*work) for work in with_inputs(tasks, extracted, workers)), jobs,
                   batch_size=1, pre_dispatch="n_jobs")
    progress = Progress(tasks, costs, jobs)
    with Bar(total=total, initial=n_done, desc="fits", bar_format=FITS_BAR) as bar:
        for number, (task, summary, files) in enumerate(finished, start=1):
            more = write(task, files) or {}
            progress.finish(task, summary["fit_seconds"])
            bar.update()
            Bar.write(fit_line(f"[{n_done + number}/{total}]", task, summary | more, progress.seconds_left()),
                      file=sys.stdout)
            sys.stdout.flush()


def with_inputs(tasks, extracted, workers):
    """[(task, x, lengths), ...] as `run_task` takes them, where its workers find the arrays."""
    arrays = {}
    for task in tasks:
        arrays[task.feature, "x", task.on_functionals], lengths = task_inputs(task, extracted)
        if lengths is not None:
            arrays[task.feature, "lengths"] = lengths
    given = workers.share(arrays)
    return [(task, given[task.feature, "x", task.on_functionals],
             None if task.on_functionals else given[task.feature, "lengths"]) for task in tasks]


def task_inputs(task, extracted):
    """Input of a task's model: x (clips, variants, ...) and lengths (clips, variants), or None for functionals."""
    if task.on_functionals:
        return extracted.functionals[task.feature], None
    return extracted.sequences[task.feature], extracted.lengths[task.feature]


def run_task(task, x, lengths):
    """One task, in whatever process: task -> task, its metrics, and the files of its folder by name."""
    follow_driver(task.driver)
    disable_worker_recycling()
    x, lengths = fetch(x), fetch(lengths)
    estimator = estimator_class(task.estimator)(len(task.classes), task.seed, **task.hyperparameters)
    fit = fitting.fit_fold(estimator, x, lengths, task.clips.label.to_numpy(), task.member_splits, task.weights)
    if not (np.isfinite(fit.test).all() and np.isfinite(fit.validation).all()):
        raise UserError(f"{task.name}: training diverged, its probabilities are no numbers; a lower learning_rate in "
                        "MODELS (or another value of what was changed last) helps")
    test = prediction_table(task, task.member_splits[0]["test"], fit.test)
    validation = prediction_table(task, splits.validation_indices(task.member_splits), fit.validation)
    scores = metrics.fit_metrics(test, validation) if len(test) else {"temperature": None}      # none: a final model
    summary = dict(feature=task.feature, model=task.model, fold=task.fold, protocol=task.protocol, **scores,
                   fit_seconds=fit.seconds, parameters=estimator.n_parameters, seed=task.seed, fit_id=task.fit_id)
    files = {"predictions.csv": as_csv(test), "validation_predictions.csv": as_csv(validation),
             "preprocessing.json": as_json(metadata(task, fit, scores["temperature"])), **estimator.save()}
    if estimator.history is not None:
        history = estimator.history
        summary.update(best_epoch=round(history.epoch[history.kept == 1].median()), epochs=int(history.epoch.max()))
        files["history.csv"] = history.to_csv(index=False)
    return task, summary, {"metrics.json": as_json(summary), **files}


def prediction_table(task, indices, probabilities):
    """A row per clip: file, actor, true, predicted, p_<class> ..."""
    clips, classes = task.clips.iloc[indices], np.array(task.classes)
    table = pd.DataFrame(dict(file=clips.file, actor=clips.actor, true=classes[clips.label],
                              predicted=classes[probabilities.argmax(axis=1)]))
    return table.join(pd.DataFrame(probabilities.round(6), clips.index, [f"p_{name}" for name in classes]))


def metadata(task, fit, temperature):
    """All that prediction needs beside the model itself: the content of preprocessing.json."""
    speaker_mean = None
    if task.speaker_means is not None:
        speakers = task.clips.actor.astype(str).to_numpy()
        trained = np.isin(np.unique(speakers), speakers[fitting.train_union(task.member_splits)])
        speaker_mean = task.speaker_means[trained].mean(axis=0).tolist()
    return dict(labels=task.classes, estimator=task.estimator, feature=task.feature,
                input="functionals" if task.on_functionals else "frames", mean=fit.mean.tolist(), std=fit.std.tolist(),
                speaker_mean=speaker_mean, temperature=temperature, **task.preprocessing,
                versions=fit.estimator.versions())
