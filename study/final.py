"""Models to give away: after cross-validation, one fit of each model on all clips, and a model card.

`python train.py --final` is the command. Cross-validation has measured the recipe; nothing is left to test these models
on, so no accuracy of theirs is reported. Feature, number of epochs, temperature and threshold come from the inner
validation of the folds.

    results/<run>/final/  MODEL_CARD.md
                          <feature>-<model>/  model.keras or svm.npz, preprocessing.json ...
"""
import dataclasses
import json

import numpy as np
import pandas as pd

from ser import corpora, metrics
from ser.errors import UserError
from ser.files import as_csv, as_json, hash_json, write_atomically
from ser.names import in_markdown
from ser.seeds import seed_for
from study import runs

FOLDER = "final"
OF_A_RUN = ("CACHE_DIR", "DATA_DIR", "RESULTS_DIR", "VISUALIZATIONS_DIR", "RUN_NAME", "DEFAULT_FEATURES",
            "DEFAULT_MODELS", "PROTOCOL", "N_FOLDS", "SEED", "RECIPES", "SEARCH")       # settings that may differ
PROTOCOL_OF = {"new speakers": "speakers", "known speakers": "stratified"}
# What the card says about the data: source, licence, kind of speech.
TERMS = {corpora.RAVDESS: (
    "RAVDESS: Livingstone & Russo 2018, PLoS ONE 13(5): e0196391; CC BY-NC-SA 4.0, and so are these\n"
    "models: attribution, no commercial use, share alike.",
    "The speech is acted, North American English, two sentences, in a quiet room, by 24 adults.")}
OTHER_TERMS = ("The terms of these recordings hold for the models as well: write them down here.",
               "Write down here who speaks, in which language, acted or not, and where it was recorded.")


def make_final_tasks(tasks, fits, n_folds, seed):
    """A task for each model, on all clips, with the feature that inner validation prefers and the epochs it kept.

    tasks  : fits of the study, of the features and models wanted; fits : table of its finished fits
    raises : UserError
    """
    final_tasks = []
    finished = {} if fits.empty else {
        names: rows for names, rows in fits.groupby(["feature", "model"]) if len(rows) == n_folds}
    for model in dict.fromkeys(task.model for task in tasks):
        names = {task.feature for task in tasks if task.model == model and (task.feature, model) in finished}
        if not names:
            continue
        feature = max(sorted(names), key=lambda name: finished[name, model].validation_accuracy.mean())
        folds = [task for task in tasks if (task.feature, task.model) == (feature, model)]
        changes, members = {}, 1                                # nothing in an SVM is random: one is enough
        if "epochs" in folds[0].hyperparameters:
            members = len(folds[0].member_splits)
            changes = dict(epochs=round(finished[feature, model].best_epoch.median()), checkpoint="last")
        clips = np.arange(len(folds[0].clips))
        final_tasks.append(dataclasses.replace(
            folds[0], fold=FOLDER, hyperparameters=folds[0].hyperparameters | changes,
            seed=seed_for(seed, "fit", feature, model, FOLDER),
            fit_id=hash_json([[task.fit_id for task in folds], changes]),
            member_splits=[{"train": clips, "validation": clips[:0], "test": clips[:0]}] * members))
    if not final_tasks:
        raise UserError("--final needs all folds of at least one model; run train.py without --folds first")
    return final_tasks


def pending(run, final_tasks, overwrite=False):
    """The final tasks that are not finished; all, to `overwrite` them."""
    return [task for task in final_tasks
            if overwrite or (runs.read_metrics(final_folder(run, task)) or {}).get("fit_id") != task.fit_id]


def final_folder(run, task):
    return run / FOLDER / f"{task.feature}-{task.model}"


def with_results_of_folds(task, files, tables):
    """The files of a final model with what its folds gave: temperature, validation predictions, and their ids.

    tables : of the finished fits (runs.collect_fits)
    """
    own = {name: table[(table.feature == task.feature) & (table.model == task.model)] for name, table in tables.items()
           if name in ("fits", "validation")}
    metadata, summary = (json.loads(files[name]) for name in ("preprocessing.json", "metrics.json"))
    metadata["temperature"] = float(np.exp(np.log(own["fits"].temperature).mean()))
    summary["folds"] = sorted(own["fits"].fit_id)
    files = {name: content for name, content in files.items() if name != "predictions.csv"}         # of no clips
    return files | {"preprocessing.json": as_json(metadata), "metrics.json": as_json(summary),
                    "validation_predictions.csv": as_csv(own["validation"])}


def belongs_to_fits(folder, fits):
    """Whether the final model in a folder was made after these fits, not after those of other settings."""
    summary = runs.read_metrics(folder)
    return summary is not None and summary.get("folds") == sorted(fits.fit_id)


def write_card(run, final_tasks):
    """MODEL_CARD.md beside the final models."""
    with write_atomically(run / FOLDER / "MODEL_CARD.md") as tmp_path:
        study = runs.read_run(run)
        tmp_path.write_text(card(study, final_tasks, same_study_other_speakers(study)), encoding="utf-8")


def same_study_other_speakers(study):
    """The newest run beside this one on the same clips with the same settings, OF_A_RUN apart, that is
    speaker-independent if this one is speaker-dependent and the other way round; or None."""
    def settings_of(config):
        return {name: value for name, value in config["settings"].items() if name not in OF_A_RUN}

    def is_alike(path):
        try:
            config = json.loads(path.read_text())
            return config["format"] == runs.FORMAT and not config["quick"] and config["data"] == study.config["data"] \
                and config["speaker_independent"] != study.config["speaker_independent"] \
                and settings_of(config) == settings_of(study.config)
        except (OSError, ValueError, KeyError, TypeError):          # damaged, or of something else
            return False

    found = filter(is_alike, study.folder.parent.glob("*/config.json"))
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        try:
            other = runs.read_run(path.parent)
        except UserError:                                           # as above
            continue
        if len(other.summary):                                      # else nothing of it is finished
            return other
    return None


def card(study, final_tasks, other=None):
    """The model card, in Markdown (str); `study` is the run as runs.read_run gives it, `other` that of
    `same_study_other_speakers`."""
    config, summary = study.config, study.summary.set_index(["feature", "model"])
    own, others = ("new speakers", "known speakers")[::1 if config["speaker_independent"] else -1]
    of_others = other.config["protocol"] if other else (
        f"run `python train.py --protocol {PROTOCOL_OF[others]}` on the same clips, then this command again")
    finished = other.summary[other.summary.folds == other.config["n_folds"]] if other else summary[:0].reset_index()
    of_other = finished.set_index(["feature", "model"]).accuracy_mean
    rows = [(task, summary.loc[(task.feature, task.model)]) for task in final_tasks]
    table = pd.DataFrame({
        "model": [f"{task.feature}-{task.model}" for task, _ in rows],
        f"accuracy, {own}": [f"{metrics.format_mean(row.accuracy_mean, row.accuracy_std)} %" for _, row in rows],
        "95 % interval, %": [metrics.format_interval(row.accuracy_low, row.accuracy_high) for _, row in rows],
        "UAR": [f"{100 * row.uar_mean:.1f} %" for _, row in rows],
        f"accuracy, {others}": [f"{100 * of_other[row.name]:.1f} %" if row.name in of_other else "not measured"
                                for _, row in rows],
        "epochs": [task.hyperparameters.get("epochs", "") for task, _ in rows],
        "parameters": [f"{row.parameters:,}" for _, row in rows]})
    cells = [table.columns, ["---"] * table.shape[1], *table.to_numpy()]
    lines = [f"| {' | '.join(map(str, row))} |" for row in cells]
    classes, data = (in_markdown(text) for text in (", ".join(config["classes"]), config["data"]))
    terms, speech = TERMS.get(config["data"], OTHER_TERMS)
    demo = "\n**Demo: trained on synthesised clips, not on speech. Of no use but to show that everything runs.**\n" \
        if config["demo"] else ""
    return f"""# Model card: speech emotion, run {study.folder.name}
{demo}
Models that give each of {len(config["classes"])} emotions a probability: {classes}.
Made by `{config["command"]}`. Use: `python predict.py clip.wav --model {study.folder}/final/...`.

## Data
{data}: {len(study.clips)} clips, {study.clips.actor.nunique()} actors, {study.clips.seconds.sum() / 3600:.2f}
hours. {terms}

## Numbers
Of models trained alike, each tested on clips that it was not trained on. The models here were trained on all clips, and
tested on none. A network is the mean of {config["settings"]["ENSEMBLE_SIZE"]} that differ in their initial weights.
Protocol: {config["protocol"]}.
For {others}: {of_others}.

{chr(10).join(lines)}

## Intended use and limits
Research and teaching. {speech} Known
speakers are those of the training clips: for anyone else the numbers on new speakers hold, and on other languages,
microphones and unacted emotion expect far less. Loudness is a cue that a microphone can spoil. Probabilities were
calibrated on validation clips of the same data. An svm.npz holds features of the clips that it was trained on, so
whoever gets the one gets the other. Not for decisions about people: an acted voice is not a feeling, and
inferring emotions at work or in schools is restricted by law in places (in the EU by the AI Act).
"""
