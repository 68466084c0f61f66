"""Trained models applied to sound: loaded from the folders of fits, and asked for probabilities.

    models = [load_model(folder, weight) for folder, weight in select_models(run).items()]
    segments = load_segments(path, input_specs(models), window, hop)            study/segments.py
    table = predict_segments(segments, models, labels, calibrate(weights))

Used by predict.py, app.py and the benchmarks. All that prediction needs lies in the folder of a fit, wherever it is.
"""
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pandas as pd

import features
from ser import metrics
from ser.adaptation import speaker_offset
from ser.errors import UserError
from ser.files import hash_json, read_csv
from ser.folders import MANIFEST, find_damage
from study import ensemble, final, litert, runs
from study.encoder_weights import checked_weights
from study.estimators import estimator_class
from study.saved_model import check_answers, read_metadata
from study.segments import count_clips

DEMO_MODEL = "DEMO: these models were trained on synthesised clips and know nothing of real voices."
BATCH_WINDOWS = 256             # in one pass of a model
NETWORK_FILE = "model.keras"    # of a model that is a network; others are .npz files


@dataclass(frozen=True)
class Model:
    """A trained model, and what it was trained with."""
    name: str               # of its folder
    estimator: object       # see fitting.Estimator
    metadata: dict          # preprocessing.json, see saved_model.KEYS
    weight: float = 1.0     # beside others
    speaker_mean: object = 0.0      # (n,) or (13 n,), what features are centred by; of models of --adapt speaker

    @property
    def input_key(self):
        """Models with the same key take the same input."""
        return hash_json([self.metadata[name] for name in ("loading", "params", "feature", "input", "n_frames")])

    def standardise(self, x, lengths):
        """Inputs (clips, frames, n) with lengths (clips,), or functionals (clips, 13 n), by the model's own scaler."""
        mean, std = (np.array(self.metadata[name], np.float32) for name in ("mean", "std"))
        lengths = lengths if self.metadata["input"] == "frames" else None
        return features.standardise(x, mean + self.speaker_mean, std, lengths)

    def predict_proba(self, x, lengths):
        """Standardised inputs -> probabilities (clips, n_classes), as training gave them, before the temperature."""
        return self.estimator.predict_proba(x, lengths)


class Calibration(NamedTuple):
    """What makes probabilities of the mean of some models answers, see `calibrate`."""
    temperature: float
    threshold: float        # of the confidence: what is below is called unsure; 1: everything


# -- models ------------------------------------------------------------------------------------------
def load_model(folder, weight=1.0, lite=True):
    """The Model in the folder of a fit; a network in LiteRT's format where there is one, unless `lite` is False, else
    in Keras's safe mode. raises : UserError, also where the weights of a pretrained encoder that it needs are not to be
    had"""
    folder = Path(folder)
    try:
        if (folder / MANIFEST).exists() and find_damage(folder):
            raise ValueError(f"damaged ({find_damage(folder)}); train it again")
        metadata = read_metadata(folder)
        speaker_mean = np.float32(metadata["speaker_mean"] or 0.0)
        lite = lite and (folder / litert.FILE).exists()         # answers without TensorFlow
        estimator = litert.LiteRTNetwork if lite else estimator_class(metadata["estimator"])
        encoder = metadata["params"]["encoder"] if features.FEATURES[metadata["feature"]].encoder else None
        if encoder:
            checked_weights(encoder["checkpoint"], encoder["sha256"])
        model = Model(folder.name, estimator.load(folder), metadata, weight, speaker_mean)
        check_answers(model.estimator, metadata)
        return model
    except (OSError, ValueError, KeyError) as problem:
        raise UserError(f"{folder}: no usable model ({NETWORK_FILE} or an .npz file, and preprocessing.json, of a "
                        f"finished fit): {str(problem).splitlines()[0]}") from problem


def select_models(run, of_ensemble=False, networks_only=False):
    """Folders of the models to use, {folder: weight}: the one that inner validation says is best, of the final ones if
    there are any that were made after these fits, else of the fits of the folds; or those of every fold's ensemble.

    raises : UserError
    """
    study = read_fits(run)
    fits = usable(study.fits, networks_only)
    if of_ensemble:
        weights = {}
        validation = study.validation[study.validation.model != ensemble.NAME[1]]
        for fold, rows in fits.groupby("fold"):
            own = ensemble.ensemble_weights(validation[validation.fold == fold])
            weights |= {fit.folder: own[fit.feature, fit.model] for fit in rows.itertuples()
                        if (fit.feature, fit.model) in own}
        if not weights:
            raise UserError(f"{run}: none of its ensemble's models is there that could be used; leave --ensemble out")
        return weights
    by_experiment = study.fits.groupby(["feature", "model"])
    for experiment in by_experiment.validation_accuracy.mean().sort_values(ascending=False).index:
        folder = run / final.FOLDER / "-".join(experiment)
        if has_model(folder, networks_only):
            if final.belongs_to_fits(folder, by_experiment.get_group(experiment)):
                return {folder: 1.0}
            print(f"{folder}: made before the present fits, so left aside; train.py --final makes it again",
                  file=sys.stderr)
    if fits.empty:
        raise UserError(no_model(run))
    accuracy = fits.groupby(["feature", "model"]).validation_accuracy
    fits = fits[accuracy.transform("mean") == accuracy.mean().max()]
    return {fits.sort_values("validation_accuracy", ascending=False, kind="stable").folder.iloc[0]: 1.0}


def has_any_model(run):
    """Whether there is a model in the folder of a run, finished fits or final ones."""
    return any(run.glob("*/*/preprocessing.json"))


def no_model(run):
    """What is said of a run without a model that could be used."""
    return f"{run}: no trained model there; make one with train.py, or name its folder with --model"


def read_fits(run):
    """A run (runs.read_run) with at least one finished fit; `fits` has their folder. raises : UserError"""
    study = runs.read_run(run) if (run / "config.json").exists() else SimpleNamespace(fits=pd.DataFrame())
    if study.fits.empty:
        raise UserError(no_model(run))
    names = study.fits[["feature", "model", "fold"]].itertuples(index=False)
    study.fits = study.fits.assign(folder=[run / "fits" / runs.fit_name(*name) for name in names])
    return study


def usable(fits, networks_only=False):
    """Those of the fits of `read_fits` whose model is there."""
    return fits[[has_model(folder, networks_only) for folder in fits.folder]]


def has_model(folder, networks_only=False):
    """Whether there is a model in a folder that can be used here; networks_only: one of Keras."""
    if networks_only or (folder / NETWORK_FILE).exists():
        return (folder / NETWORK_FILE).exists()
    return any(folder.glob("*.npz")) or (folder / litert.FILE).exists()


def is_demo(folder):
    """Whether the model in a fit's folder was trained on the synthesised demo corpus."""
    try:
        config = json.loads((folder.resolve() / "../../config.json").read_text())
        return isinstance(config, dict) and config.get("demo") is True
    except (OSError, ValueError):           # a folder on its own; what lies above it is of something else
        return False


def adapt_models(models, segments):
    """The models adapted to the one speaker of all these segments (study/segments.py); those that were not trained with
    --adapt speaker as they are. Until then a model takes a speaker for the mean of those of its training."""
    segments = [segment for segment in segments if segment.get("windows")]
    windows, adapted = [window for segment in segments for window in segment["windows"]], []
    for model in models:
        if windows and model.metadata["speaker_mean"] is not None:
            x, lengths = (np.array(values) for values in zip(*(window.inputs[model.input_key] for window in windows)))
            own_mean, _ = features.fit_scaler(x, lengths if model.metadata["input"] == "frames" else None)
            n_clips = count_clips(segments, model.metadata["seconds"])
            model = replace(model, speaker_mean=speaker_offset(own_mean, n_clips, model.speaker_mean))
        adapted.append(model)
    return adapted


def common_labels(models):
    """The class names, which all models must share. raises : UserError"""
    labels = models[0].metadata["labels"]
    other = [model.name for model in models if model.metadata["labels"] != labels]
    if other:
        raise UserError(f"{other[0]} knows other emotions than {models[0].name}: they cannot be averaged")
    return labels


def calibrate(weights):
    """The Calibration of the mean of some models, {folder: weight}, from the out-of-fold predictions of their fits,
    averaged as here. One member of a fit predicts a validation clip, all of them another recording: predictions that
    are not called unsure are right a little more often.
    """
    rows = []
    for folder, weight in weights.items():
        metadata = read_metadata(folder)
        columns, path = [f"p_{name}" for name in metadata["labels"]], folder / "validation_predictions.csv"
        try:
            own = folder / "metrics.json"
            fold = json.loads(own.read_text())["fold"] if own.exists() else 0       # 0: a folder on its own
            table = read_csv(path)
            table = table if "fold" in table else table.assign(fold=fold)       # a final model's come from all folds
            table = table[["fold", "file", "true", *columns]].astype(dict.fromkeys(columns, float))
            if table.empty or table.isna().any(axis=None) or not set(table.true) <= set(metadata["labels"]):
                raise ValueError("not a table of predictions")
            rows.append(table.assign(weight=weight))
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise UserError(f"{path}: damaged ({problem}); train it again") from problem
    rows = pd.concat(rows)
    rows[columns] = rows[columns].mul(rows.weight, axis=0)
    mean = rows.groupby(["fold", "file", "true"], as_index=False).sum()
    p, names = mean[columns].to_numpy() / mean[["weight"]].to_numpy(), np.array(metadata["labels"])
    temperature = metadata["temperature"] if len(weights) == 1 else \
        metrics.fit_temperature(p, mean.true.map({name: k for k, name in enumerate(names)}).to_numpy())
    p = metrics.apply_temperature(p, temperature)
    return Calibration(temperature, metrics.confidence_threshold(p.max(axis=1), names[p.argmax(axis=1)] == mean.true))


# -- predictions -----------------------------------------------------------------------------------
def input_specs(models):
    """{input_key: metadata} of the inputs that these models take."""
    return {model.input_key: model.metadata for model in models}


def predict_segments(segments, models, labels, calibration):
    """A row per segment (study/segments.py): file, start, end, label, confidence, unsure, p_<label> ..., note; what
    is no speech has no p. Of several windows the mean counts, weighted by their speech."""
    p = np.full((len(segments), len(labels)), np.nan)
    windows = [(number, window) for number, segment in enumerate(segments) for window in segment["windows"]]
    if windows:
        of_windows = np.average([predict_inputs(model, [window.inputs[model.input_key] for _, window in windows])
                                 for model in models], axis=0, weights=[model.weight for model in models])
        numbers, weights = (np.array(values) for values in zip(*((k, window.speech_seconds) for k, window in windows)))
        for number in np.unique(numbers):
            own = numbers == number
            p[number] = np.average(metrics.apply_temperature(of_windows[own], calibration.temperature), axis=0,
                                   weights=weights[own])
    table = pd.DataFrame([{name: segment[name] for name in ("file", "start", "end")} for segment in segments],
                         columns=["file", "start", "end"])
    table["label"] = [labels[row.argmax()] if np.isfinite(row[0]) else segment["no_answer"]
                      for row, segment in zip(p, segments)]
    table["confidence"] = p.max(axis=1)
    table["unsure"] = table.confidence < calibration.threshold
    table[[f"p_{name}" for name in labels]] = p
    return table.assign(note=[segment["note"] for segment in segments])


def predict_inputs(model, inputs):
    """[(x, length), ...] -> probabilities (clips, n_classes), before the temperature."""
    parts = []
    n = len(model.metadata["mean"])
    if inputs and inputs[0][0].shape[-1] != n:
        raise UserError(f"{model.name}: no usable model: it takes {n} columns, and its feature has "
                        f"{inputs[0][0].shape[-1]}")
    for start in range(0, len(inputs), BATCH_WINDOWS):
        x, lengths = (np.array(values) for values in zip(*inputs[start:start + BATCH_WINDOWS]))
        parts.append(model.predict_proba(model.standardise(x, lengths), lengths))
    return np.concatenate(parts)
