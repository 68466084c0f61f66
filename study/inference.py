"""Trained models applied to sound: loaded from the folders of fits, given waveforms, asked for probabilities.

    models = [load_model(folder) for folder in select_models(run)]
    segments = load_segments(path, input_specs(models), window, hop)
    table = predict_segments(segments, models, labels, threshold)

Used by predict.py, app.py and the benchmarks. All that prediction needs lies in the folder of a fit, wherever it is,
and a waveform passes through the functions that training used.
"""
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

import features
from ser import adaptation, metrics
from ser.audio import prepare_waveform, read_audio
from ser.errors import UserError
from ser.files import hash_json
from study import ensemble, final, runs
from study.estimators import estimator_class

DEMO_MODEL = "DEMO: these models were trained on synthesised clips and know nothing of real voices."
SHORT_SECONDS = 0.5             # after trimming; less than a word
MAX_CLIPPED_FRACTION = 0.001    # of the samples at full scale, from which on clipping is audible
CLIPPING_LEVEL = 0.999          # full scale is 1
PAUSE_DB = 40                   # a window whose loudest sample is this far below the recording's is a pause
METADATA_KEYS = ("labels", "estimator", "feature", "input", "n_frames", "seconds", "adapt", "mean", "std",
                 "temperature", "loading", "params")
BATCH_SEGMENTS = 256            # windows in memory
NETWORK_FILE = "model.keras"    # of a model that is a network; others are .npz files


@dataclass(frozen=True)
class Model:
    """A trained model, and what it was trained with."""
    name: str               # of its folder
    estimator: object       # see fitting.Estimator
    metadata: dict          # preprocessing.json, see METADATA_KEYS

    @property
    def input_key(self):
        """Models with the same key take the same input."""
        return hash_json([self.metadata[name] for name in ("loading", "params", "feature", "input", "n_frames")])

    def standardise(self, x, lengths):
        """Inputs (clips, frames, n) with lengths (clips,), or functionals (clips, 13 n), by the model's own scaler."""
        mean, std = (np.array(self.metadata[name], np.float32) for name in ("mean", "std"))
        return features.standardise(x, mean, std, lengths if self.metadata["input"] == "frames" else None)

    def predict_proba(self, x, lengths):
        """Standardised inputs -> probabilities (clips, n_classes), as training gave them, before the temperature."""
        return self.estimator.predict_proba(x, lengths)


# -- models ------------------------------------------------------------------------------------------
def load_model(folder):
    """The Model in the folder of a fit; a network in Keras's safe mode. raises : UserError"""
    folder = Path(folder)
    try:
        metadata = json.loads((folder / "preprocessing.json").read_text())
        missing = [name for name in METADATA_KEYS if name not in metadata]
        if missing:
            raise ValueError(f"preprocessing.json has no {missing[0]}; if an earlier version wrote it, train it again")
        return Model(folder.name, estimator_class(metadata["estimator"]).load(folder), metadata)
    except (OSError, ValueError, KeyError) as problem:
        raise UserError(f"{folder}: no usable model ({NETWORK_FILE} or an .npz file, and preprocessing.json, of a "
                        f"finished fit): {str(problem).splitlines()[0]}") from problem


def select_models(run, of_ensemble=False, networks_only=False):
    """Folders of the models to use: the one that inner validation says is best, of the final ones if there are any
    that were made after these fits, else of the fits of the folds; or those of every fold's ensemble.

    raises : UserError
    """
    study, fits = trained_fits(run, networks_only)
    if of_ensemble:
        fits = pd.concat([ensemble.rows_of_experiments(rows, ensemble.select_members(study.validation.query(
            "fold == @fold and model != 'ensemble'"))) for fold, rows in fits.groupby("fold")])
        if fits.empty:
            raise UserError(f"{run}: none of its ensemble's models is there that could be used; leave --ensemble out")
        return list(fits.folder)
    by_experiment = fits.groupby(["feature", "model"])
    accuracy = by_experiment.validation_accuracy
    for experiment in accuracy.mean().sort_values(ascending=False).index:
        folder = run / final.FOLDER / "-".join(experiment)
        if has_model(folder, networks_only):
            if final.belongs_to_fits(folder, by_experiment.get_group(experiment)):
                return [folder]
            print(f"{folder}: made before the present fits, so left aside; train.py --final makes it again",
                  file=sys.stderr)
    fits = fits[accuracy.transform("mean") == accuracy.mean().max()]
    return list(fits.sort_values("validation_accuracy", ascending=False, kind="stable").head(1).folder)


def trained_fits(run, networks_only=False):
    """A run (runs.read_run), and its finished fits whose model is there, with their folder. raises : UserError"""
    study = runs.read_run(run) if (run / "config.json").exists() else SimpleNamespace(fits=pd.DataFrame())
    fits = study.fits
    if len(fits):
        names = fits[["feature", "model", "fold"]].itertuples(index=False)
        fits = fits.assign(folder=[run / "fits" / runs.fit_name(*name) for name in names])
        fits = fits[[has_model(folder, networks_only) for folder in fits.folder]]
    if fits.empty:
        raise UserError(f"{run}: no trained model there; make one with train.py, or name its folder with --model")
    return study, fits


def has_model(folder, networks_only=False):
    """Whether there is a model in a folder."""
    return (folder / NETWORK_FILE).exists() or not networks_only and any(folder.glob("*.npz"))


def is_demo(folder):
    """Whether the model in a fit's folder was trained on the synthesised demo corpus."""
    config = folder.resolve() / "../../config.json"
    return config.exists() and json.loads(config.read_text()).get("demo", False)


def is_adapted(models):
    """Whether models take features that are centred by the speaker's own clips. raises : UserError for both kinds"""
    adapted = {model.metadata["adapt"] == "speaker" for model in models}
    if len(adapted) > 1:
        raise UserError("models with and without --adapt speaker cannot be averaged")
    return adapted.pop()


def common_labels(models):
    """The class names, which all models must share. raises : UserError"""
    labels = models[0].metadata["labels"]
    other = [model.name for model in models if model.metadata["labels"] != labels]
    if other:
        raise UserError(f"{other[0]} knows other emotions than {models[0].name}: they cannot be averaged")
    return labels


def unsure_threshold(folders):
    """The confidence below which a prediction is called unsure, from the out-of-fold predictions of these fits,
    averaged as here; 1 (always unsure) if they are never right often enough. One member of a fit predicts a validation
    clip, all of them another recording: predictions that are not called unsure are right a little more often.
    """
    rows = []
    for folder in folders:
        metadata = json.loads((folder / "preprocessing.json").read_text())
        fold = (runs.read_metrics(folder) or {"fold": 0})["fold"]               # 0: a folder on its own
        columns, path = [f"p_{name}" for name in metadata["labels"]], folder / "validation_predictions.csv"
        with runs.report_damaged(path):
            table = pd.read_csv(path)
            table = table if "fold" in table else table.assign(fold=fold)       # a final model's come from all folds
            table = table[["fold", "file", "true", *columns]].copy()
            table[columns] = metrics.apply_temperature(table[columns].to_numpy(), metadata["temperature"])
        rows.append(table)
    mean = pd.concat(rows).groupby(["fold", "file", "true"], as_index=False).mean()
    p = mean[columns].to_numpy()
    return metrics.confidence_threshold(p.max(axis=1), np.array(metadata["labels"])[p.argmax(axis=1)] == mean.true)


# -- sound -------------------------------------------------------------------------------------------
def input_specs(models):
    """{input_key: metadata} of the inputs that these models take."""
    return {model.input_key: model.metadata for model in models}


def load_segments(path, specs, window=None, hop=1.0):
    """One recording -> its segments, see `segment_recording`; or one dict(file, problem) if it cannot be used."""
    name = str(path)
    try:
        y, rate = read_audio(path)
    except UserError as problem:
        convert = f"; if it is sound, convert it: ffmpeg -i {name} {path.with_suffix('.wav')}" \
            if "not readable" in str(problem) and path.suffix.lower() != ".wav" else ""
        return [dict(file=name, problem=f"{problem}{convert}")]
    return segment_recording(name, y, rate, specs, window, hop)


def segment_recording(name, y, rate, specs, window=None, hop=1.0):
    """A waveform (samples,) at `rate` Hz -> [dict(file, start, end (s), note, inputs {key: (x, length)}), ...].

    A window each; in a pause inputs is None. specs : as `input_specs` gives them
    """
    segments, clipped = [], np.mean(np.abs(y) >= CLIPPING_LEVEL)
    quiet = np.abs(y).max() * 10 ** (-PAUSE_DB / 20)
    for start, end in window_bounds(len(y) / rate, window, hop):
        part = y[round(start * rate):round(end * rate)]
        inputs, notes = None, []
        if clipped > MAX_CLIPPED_FRACTION:
            notes.append(f"clipped: {clipped:.1%} of the samples are at full scale")
        if np.abs(part).max() > quiet:
            inputs, seconds, used = model_inputs(part, rate, specs)
            if seconds < SHORT_SECONDS:
                notes.append(f"very short: {seconds:.1f} s")
            if seconds > 1.05 * used:
                notes.append(f"long: only the middle {used:.1f} s of {seconds:.1f} are used; --window uses more")
        segments.append(dict(file=name, start=start, end=end, note="; ".join(notes), inputs=inputs))
    return segments


def window_bounds(seconds, window, hop):
    """[(start, end), ...] in seconds: the whole, or windows that lie within it (one, if it is shorter than that)."""
    if not window or seconds <= window:
        return [(0.0, seconds)]
    return [(start, start + window) for start in np.arange(0, seconds - window + 1e-6, hop).tolist()]


def model_inputs(y, rate, specs):
    """A waveform (samples,) at `rate` Hz as the models take it: {key: (x, real frames)}, x (frames, n) or (13 n,);
    with its seconds after trimming and the seconds of it that the models use."""
    inputs, clips = {}, {}
    for key, spec in specs.items():
        settings = hash_json([spec["loading"], spec["params"]])                 # most often the same for all
        if settings not in clips:
            trimmed = prepare_waveform(y, rate, **spec["loading"])
            clips[settings] = features.Clip(trimmed, **spec["params"])
        with threadpool_limits(1):                                              # as in training, to the last digit
            x = features.feature_function(spec["feature"])(clips[settings])
        x, length = features.pad_or_crop(x, spec["n_frames"])
        if spec["input"] == "functionals":
            x = features.functionals(x[None], np.array([length]), features.FEATURES[spec["feature"]].statistics)[0]
        inputs[key] = x, length
    return inputs, len(trimmed) / spec["loading"]["sr"], spec["seconds"]


def in_batches(segments, size=BATCH_SEGMENTS):
    """Lists of up to `size`."""
    batch = []
    for segment in segments:
        batch.append(segment)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def centre_segments(segments):
    """Adapts segments of one speaker, all with inputs: each input is centred by their mean (ser/adaptation.py)."""
    for key in segments[0]["inputs"]:
        x, lengths = (np.array(values) for values in zip(*(segment["inputs"][key] for segment in segments)))
        lengths = lengths if x.ndim == 3 else None
        centred = adaptation.centre(x, adaptation.mean_of(x, lengths), lengths)
        for segment, own in zip(segments, centred):
            segment["inputs"][key] = own, segment["inputs"][key][1]


# -- predictions -------------------------------------------------------------------------------------
def predict_segments(segments, models, labels, threshold):
    """A row per segment: file, start, end, label, confidence, unsure, p_<label> ..., note; a pause has no p."""
    p = np.full((len(segments), len(labels)), np.nan)
    speech = [number for number, segment in enumerate(segments) if segment["inputs"] is not None]
    if speech:
        p[speech] = np.mean([predict_inputs(model, [segments[k]["inputs"][model.input_key] for k in speech])
                             for model in models], axis=0)
    table = pd.DataFrame([{name: segment[name] for name in ("file", "start", "end")} for segment in segments],
                         columns=["file", "start", "end"])
    table["label"] = [labels[row.argmax()] if np.isfinite(row[0]) else "pause" for row in p]
    table["confidence"] = p.max(axis=1)
    table["unsure"] = table.confidence < threshold
    table[[f"p_{name}" for name in labels]] = p
    return table.assign(note=[segment["note"] for segment in segments])


def predict_inputs(model, inputs):
    """[(x, length), ...] -> calibrated probabilities (clips, n_classes)."""
    x, lengths = (np.array(values) for values in zip(*inputs))
    p = model.predict_proba(model.standardise(x, lengths), lengths)
    return metrics.apply_temperature(p, model.metadata["temperature"])
