"""What to give away: after cross-validation, one fit of each kind on all clips, and a model card.

`python train.py --final` is the command. Cross-validation has said how good the recipe is; nothing is left to test
these models on, so no accuracy of theirs is reported. Feature, number of epochs, temperature and threshold come from
the folds' inner validation.

    results/<run>/final/  MODEL_CARD.md
                          <feature>-<model>/  model.keras or svm.npz, preprocessing.json ...
"""
import copy
import dataclasses
import json

import joblib
import numpy as np
import pandas as pd

from ser import corpora
from ser.files import as_json, hash_json, write_atomically
from ser.seeds import seed_for
from study import runs

FOLDER = "final"
# What the card says of the data: whose it is and under which terms, and what kind of speech.
TERMS = {corpora.RAVDESS: (
    "RAVDESS: Livingstone & Russo 2018, PLoS ONE 13(5): e0196391; CC BY-NC-SA 4.0, and so are these\n"
    "models: attribution, no commercial use, share alike.",
    "The speech is acted, North American English, two sentences, in a quiet room, by 24 adults.")}
OTHER_TERMS = ("The terms of these recordings hold for the models as well: write them down here.",
               "Write down here who speaks, in which language, acted or not, and where it was recorded.")


class FinalError(ValueError):
    """The cross-validation does not yet say enough; the message is one line for the user."""


def train(run, tasks, tables, do, inputs, workers):
    """Train what is not there yet, and write the card.

    tasks  : fits of the study, of the features and models wanted; tables : of its finished fits (runs.collect)
    do     : task, x, lengths -> task, metrics, files, as train.py trains a fit; inputs : tasks -> what it takes of each
    """
    planned = plan(tasks, tables["fits"])
    folder = lambda task: run / FOLDER / f"{task.feature}-{task.model}"                     # noqa: E731
    waiting = [task for task in planned
               if (runs.read_metrics(folder(task)) or {}).get("settings_hash") != task.settings_hash]
    print(f"final models, on all clips: {', '.join(folder(task).name for task in planned)}; "
          f"{len(planned) - len(waiting)} finished before", flush=True)
    parallel = joblib.Parallel(min(workers.jobs, max(len(waiting), 1)), return_as="generator_unordered", batch_size=1)
    for task, metrics, files in parallel(workers.delayed(do)(*work) for work in inputs(waiting)):
        runs.write_fit(folder(task), with_folds(files, task, tables))
        epochs = f"{metrics['epochs']} epochs, " if "epochs" in metrics else ""
        print(f"{folder(task).name}: {epochs}{metrics['fit_seconds']:.0f} s", flush=True)
    with write_atomically(run / FOLDER / "MODEL_CARD.md") as draft:
        draft.write_text(card(runs.read_run(run), planned), encoding="utf-8")


def plan(tasks, fits):
    """A task for each kind of model, with the feature that inner validation prefers and the epochs it kept."""
    planned = []
    done = {} if fits.empty else {
        kind: rows for kind, rows in fits.groupby(["feature", "model"]) if len(rows) == tasks[0].settings.N_FOLDS}
    for model in dict.fromkeys(task.model for task in tasks):
        features = {task.feature for task in tasks if task.model == model and (task.feature, model) in done}
        if not features:
            continue
        feature = max(sorted(features), key=lambda name: done[name, model].validation_accuracy.mean())
        folds = [task for task in tasks if (task.feature, task.model) == (feature, model)]
        settings = copy.copy(folds[0].settings)
        settings.CHECKPOINT, settings.EPOCHS = "last", {
            model: round(done[feature, model].best_epoch.median())} if model in settings.EPOCHS else {}
        clips = np.arange(len(folds[0].clips))
        planned.append(dataclasses.replace(
            folds[0], fold=FOLDER, settings=settings, seed=seed_for(settings.SEED, "fit", feature, model, FOLDER),
            settings_hash=hash_json([[task.settings_hash for task in folds], settings.EPOCHS]),
            members=[{"train": clips, "validation": clips[:0], "test": clips[:0]}]
            * (settings.ENSEMBLE_SIZE if settings.EPOCHS else 1)))                # SVMs have nothing random
    if not planned:
        raise FinalError("--final needs all folds of at least one model; run train.py without --folds first")
    return planned


def with_folds(files, task, tables):
    """The files of a final model with what its folds say: temperature, validation predictions, which fits they were."""
    own = {name: table[(table.feature == task.feature) & (table.model == task.model)] for name, table in tables.items()
           if name in ("fits", "validation")}
    kept, metrics = (json.loads(files[name]) for name in ("preprocessing.json", "metrics.json"))
    kept["temperature"] = float(np.exp(np.log(own["fits"].temperature).mean()))
    metrics["folds"] = sorted(own["fits"].settings_hash)
    del files["predictions.csv"]            # of no clips
    return files | {"preprocessing.json": as_json(kept), "metrics.json": as_json(metrics),
                    "validation_predictions.csv": own["validation"].to_csv(index=False)}


def goes_with(folder, fits):
    """Whether the final model in a folder was made after these fits of its kind, not after those of other settings."""
    metrics = runs.read_metrics(folder)
    return metrics is not None and metrics.get("folds") == sorted(fits.settings_hash)


def card(study, planned):
    """The model card, in Markdown (str); `study` is the run as runs.read_run gives it."""
    config, summary = study.config, study.summary.set_index(["feature", "model"])
    rows = [(task, summary.loc[(task.feature, task.model)]) for task in planned]
    table = pd.DataFrame({
        "model": [f"{task.feature}-{task.model}" for task, _ in rows],
        "accuracy": [f"{100 * row.accuracy_mean:.1f} ± {100 * row.accuracy_std:.1f} %" for _, row in rows],
        "95 % interval": [f"{100 * row.accuracy_low:.1f} to {100 * row.accuracy_high:.1f} %" for _, row in rows],
        "UAR": [f"{100 * row.uar_mean:.1f} %" for _, row in rows],
        "epochs": [task.settings.EPOCHS.get(task.model, "") for task, _ in rows],
        "parameters": [f"{row.parameters:,}" for _, row in rows]})
    cells = [table.columns, ["---"] * table.shape[1], *table.to_numpy()]
    lines = [f"| {' | '.join(map(str, row))} |" for row in cells]
    terms, speech = TERMS.get(config["data"], OTHER_TERMS)
    demo = "\n**Demo: trained on synthesised clips, not on speech. Of no use but to show that everything runs.**\n" \
        if config["demo"] else ""
    return f"""# Model card: speech emotion, run {study.folder.name}
{demo}
Models that give each of {len(config["CLASSES"])} emotions a probability: {", ".join(config["CLASSES"])}.
Made by `{config["command"]}`. Use: `python predict.py clip.wav --model {study.folder}/final/...`.

## Data
{config["data"]}: {len(study.clips)} clips, {study.clips.actor.nunique()} actors, {study.clips.seconds.sum() / 3600:.2f}
hours. {terms}

## Numbers
Of models trained alike, each tested on clips that it had not seen. The models here were trained on all clips, and
tested on none. A network is the mean of {config["ENSEMBLE_SIZE"]} that differ in their first weights. Protocol:
{config["protocol"]}.

{chr(10).join(lines)}

## Intended use and limits
Research and teaching. {speech} Unless
the protocol says that test speakers are unseen, the numbers hold for these voices alone. On new speakers, languages,
microphones and unacted emotion expect far less. Loudness is a cue that a microphone can spoil. Probabilities were
calibrated on validation clips of the same data. A svm.npz holds features of the clips that it was trained on, so
whoever gets the one gets the other. Not for decisions about people: an acted voice is not a feeling, and
inferring emotions at work or in schools is restricted by law in places (in the EU by the AI Act).
"""
