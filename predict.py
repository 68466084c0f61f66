"""Emotion of speech, by a saved model; needs no data set.

    python predict.py clip.wav more.flac folder/        the emotion of each file, with all probabilities
    python predict.py talk.wav --window 3 --hop 1       emotion over time: a table and a picture per recording
    python predict.py --mic 3                           three seconds from the microphone

A model is the folder of a finished fit, such as results/default/fits/mfcc-cnn1d-fold0. All that prediction needs comes
from there, and a waveform takes the functions that training used; config.py only says where runs are kept. What the
models know is acted North American English: on anything else they are as sure, and less often right.
"""
import argparse
import sys
from pathlib import Path

import config
from ser import metrics, signals
from ser.files import hash_json, write_atomically, write_csv
from study import ensemble, export, final, runs, svm

MIN_FILES_PARALLEL = 8              # files: fewer are not worth starting processes for


def parse(arguments=None):
    parser = argparse.ArgumentParser(description="Emotion of speech files, by a model of train.py.")
    parser.add_argument("files", nargs="*", metavar="FILE", help="audio files, or folders (WAV, FLAC, MP3, OGG)")
    parser.add_argument("--model", metavar="DIR", help="folder of a finished fit (default: of the model with the best "
                        "inner validation in the run)")
    parser.add_argument("--run", metavar="NAME", default=config.RUN_NAME, help="run with the models (default: %(default)s)")
    parser.add_argument("--results-dir", metavar="DIR", default=config.RESULTS_DIR, type=Path,
                        help="folder with the runs (default: %(default)s)")
    parser.add_argument("--ensemble", action="store_true", help="average the models of the ensembles of all folds")
    parser.add_argument("--csv", metavar="OUT", type=Path, help="also write a row per file (or window) to this file")
    parser.add_argument("--window", metavar="S", type=float, help="emotion over time, in windows of S seconds")
    parser.add_argument("--hop", metavar="S", type=float, default=1.0,
                        help="seconds from one window to the next (default: %(default)s)")
    parser.add_argument("--out", metavar="DIR", default=config.VISUALIZATIONS_DIR, type=Path,
                        help="folder for the pictures of --window (default: %(default)s)")
    parser.add_argument("--mic", metavar="S", type=float, help="record S seconds from the microphone")
    parser.add_argument("--export", choices=("litert", "onnx"), help="write the network in this format, beside it")
    parser.add_argument("--jobs", metavar="N", type=int, default=-1, help="processes that read (default: one per core)")
    args = parser.parse_args(arguments)
    if bool(args.files) + bool(args.mic) + bool(args.export) != 1:
        parser.error("name audio files or folders, or --mic SECONDS, or --export FORMAT (one of the three)")
    if args.model and args.ensemble:
        parser.error("--ensemble takes models of the run; --model names one")
    if args.csv and args.csv.is_dir():
        parser.error(f"argument --csv: {args.csv} is a folder; name a file in it")
    if args.jobs == 0:
        parser.error("argument --jobs: 0 processes read nothing")
    for name in ("window", "hop", "mic"):
        value = getattr(args, name)
        if value is not None and not 0.1 <= value <= 3600:
            parser.error(f"argument --{name}: {value} is not within 0.1 .. 3600 seconds")
    return args


if __name__ == "__main__":          # before the slow imports: --help and a mistyped flag answer at once
    signals.install_interrupt_handler()
    ARGUMENTS = parse()

import json
from dataclasses import dataclass
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import data_preprocessing as data
import features

SHORT_SECONDS = 0.5             # after trimming; less than a word
MAX_CLIPPED_FRACTION = 0.001           # of the samples at full scale, from which on clipping is audible
CLIPPING_LEVEL = 0.999
PAUSE_DB = 40            # a window whose loudest sample is this far below the recording's is a pause
METADATA_KEYS = ("labels", "feature", "input", "frames", "mean", "std", "temperature", "loading", "features")    # with a model
DEMO_MODEL = "DEMO: these models were trained on synthesised clips and know nothing of real voices."
MODEL_FILES = (runs.NETWORK_FILE, runs.SVM_FILE)
BATCH_SEGMENTS = 256                   # windows in memory
AUDIO_EXTENSIONS = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64"}


class PredictError(runs.RunError):
    """The user asked for something that is not there; the message is one line that says what to do."""


@dataclass(frozen=True)
class Model:
    """What a fit has learnt, and what it was trained with."""
    name: str               # of its folder
    network: object         # None where it is support vector machines
    answer: object          # normalised inputs as in training, and their real frames -> probabilities (clips, classes)
    kept: dict              # preprocessing.json: labels, feature, input, frames, mean, std, temperature, settings


def main(args):
    try:
        paths = audio_files(args.files)
        folders = [Path(args.model)] if args.model else select_models(
            args.results_dir / args.run, args.ensemble, (runs.NETWORK_FILE,) if args.export else MODEL_FILES)
        models = [load(folder) for folder in folders]
        if args.export:
            return export_models(folders, args.export)
        labels, threshold = common_labels(models), unsure_threshold(folders)
        if args.mic:
            paths = [record_microphone(args.mic)]
    except (runs.RunError, export.ExportError) as problem:
        print(f"predict.py: error: {problem}", file=sys.stderr)
        sys.exit(2)
    print(f"{len(models)} models of {args.run}" if args.ensemble else f"model: {folders[0]}")
    if is_demo(folders[0]):
        print(DEMO_MODEL)

    tables, broken = [], 0
    for heard in in_batches(iter_segments(paths, models, args)):
        problems = [segment for segment in heard if "problem" in segment]
        for segment in problems:
            print(f"predict.py: {segment['file']}: {segment['problem']}", file=sys.stderr)
        broken += len(problems)
        tables.append(predict_segments([segment for segment in heard if "problem" not in segment], models, labels, threshold))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    if not table.empty:
        print(format_table(table, labels, threshold))
        if args.window:
            draw_timelines(table, args.out, labels)
        if args.csv:
            write_csv(args.csv, table.round(6))
            print(f"written: {args.csv}")
    if broken:
        sys.exit(f"{broken} of {len(paths)} could not be used" if len(table) else 2)


# -- models ----------------------------------------------------------------------------------------
def select_models(run, of_ensemble=False, files=MODEL_FILES):
    """Folders of the models to use: the one that inner validation says is best, of the final ones if there are any
    that were made after these fits, else of the fits of the folds; or those of every fold's ensemble.

    files : what counts as a model
    """
    study, fits = trained_fits(run, files)
    if of_ensemble:
        fits = pd.concat([ensemble.rows_of_experiments(rows, ensemble.select_members(study.validation.query(
            "fold == @fold and model != 'ensemble'"))) for fold, rows in fits.groupby("fold")])
        if fits.empty:
            raise PredictError(f"{run}: none of its ensemble's models is there that could be used; "
                               "leave --ensemble out")
    else:
        by_kind = fits.groupby(["feature", "model"])
        kinds = by_kind.validation_accuracy
        for kind in kinds.mean().sort_values(ascending=False).index:
            folder = run / final.FOLDER / "-".join(kind)
            if has_model(folder, files):
                if final.goes_with(folder, by_kind.get_group(kind)):
                    return [folder]
                print(f"{folder}: made before the present fits, so left aside; train.py --final makes it again",
                      file=sys.stderr)
        fits = fits[kinds.transform("mean") == kinds.mean().max()]
        fits = fits.sort_values("validation_accuracy", ascending=False, kind="stable").head(1)
    return list(fits.folder)


def trained_fits(run, files=MODEL_FILES):
    """A run (runs.read_run), and its finished fits whose model is there, with their folder. raises : PredictError"""
    study = runs.read_run(run) if (run / "config.json").exists() else SimpleNamespace(fits=pd.DataFrame())
    fits = study.fits.assign(folder=[run / "fits" / runs.fit_name(*key) for key in
                                     study.fits[["feature", "model", "fold"]].itertuples(index=False)]) \
        if len(study.fits) else study.fits
    fits = fits[[has_model(folder, files) for folder in fits.folder]] if len(fits) else fits
    if fits.empty:
        raise PredictError(f"{run}: no trained model there; make one with train.py, or name its folder with --model")
    return study, fits


def has_model(folder, files=MODEL_FILES):
    """Whether there is a model in a folder."""
    return any((folder / file).exists() for file in files)


def load(folder):
    """The model in a folder, a network in Keras's safe mode. raises : PredictError"""
    try:
        kept = json.loads((folder / "preprocessing.json").read_text())
        missing = [name for name in METADATA_KEYS if name not in kept]
        if missing:
            raise ValueError(f"preprocessing.json has no {missing[0]}")
        if (folder / runs.SVM_FILE).exists():
            return Model(folder.name, None, svm.load_svm(folder / runs.SVM_FILE), kept)
        from study import networks  # here, since it brings TensorFlow
        network = networks.load_network(folder / runs.NETWORK_FILE)
        return Model(folder.name, network, lambda x, _: networks.predict_proba(network, x), kept)
    except (OSError, ValueError, KeyError) as problem:
        raise PredictError(f"{folder}: no usable model ({runs.NETWORK_FILE} or {runs.SVM_FILE}, and "
                           f"preprocessing.json, of a finished fit): {str(problem).splitlines()[0]}") from problem


def is_demo(folder):
    """Whether the model in a fit's folder was trained on the synthesised demo corpus."""
    facts = folder.resolve() / "../../config.json"
    return facts.exists() and json.loads(facts.read_text()).get("demo", False)


def export_models(folders, form):
    """Writes each model in another format, beside it."""
    for folder in folders:
        path, difference = export.export(folder, form)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, probabilities as Keras's within {difference:.0e}")


def common_labels(models):
    """The class names, which all models must share."""
    labels = models[0].kept["labels"]
    other = [model.name for model in models if model.kept["labels"] != labels]
    if other:
        raise PredictError(f"{other[0]} knows other emotions than {models[0].name}: they cannot be averaged")
    return labels


def unsure_threshold(folders):
    """The confidence below which an answer is called unsure: learnt on the validation clips of these fits, as averaged
    here; 1 (always unsure) if they are never right often enough. A validation clip has been heard by one model of a
    fit, other recordings are heard by all of them: those that are called sure are right a little more often."""
    rows = []
    for folder in folders:
        kept = json.loads((folder / "preprocessing.json").read_text())
        fold = (runs.read_metrics(folder) or {"fold": 0})["fold"]            # 0: a folder on its own
        columns, path = [f"p_{name}" for name in kept["labels"]], folder / "validation_predictions.csv"
        with runs.report_damaged(path):
            table = pd.read_csv(path)
            table = table if "fold" in table else table.assign(fold=fold)       # a final model's come from all folds
            table = table[["fold", "file", "true", *columns]].copy()
            table[columns] = metrics.apply_temperature(table[columns].to_numpy(), kept["temperature"])
        rows.append(table)
    mean = pd.concat(rows).groupby(["fold", "file", "true"], as_index=False).mean()
    p = mean[columns].to_numpy()
    return metrics.confidence_threshold(p.max(axis=1), np.array(kept["labels"])[p.argmax(axis=1)] == mean.true)


# -- sound -----------------------------------------------------------------------------------------
def audio_files(names):
    """Paths of the files named and of those in the folders named."""
    found = []
    for path in map(Path, names):
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in AUDIO_EXTENSIONS)
            if not inside:
                raise PredictError(f"{path}: no audio files in this folder")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise PredictError(f"{path}: no such file")
    return list(dict.fromkeys(found))


def record_microphone(seconds):
    """Records to microphone.wav in the current folder, and returns its path."""
    try:
        import sounddevice
    except (ImportError, OSError) as problem:           # OSError: the library PortAudio is missing
        raise PredictError(f"--mic needs sounddevice ({problem}): pip install sounddevice") from problem
    import soundfile
    path, rate = Path("microphone.wav"), config.SAMPLE_RATE
    print(f"recording {seconds:g} s to {path} ...", flush=True)
    try:
        samples = sounddevice.rec(int(seconds * rate), samplerate=rate, channels=1, dtype="float32", blocking=True)
    except sounddevice.PortAudioError as problem:
        raise PredictError(f"--mic: no microphone that can be used ({problem})") from problem
    soundfile.write(path, samples, rate)
    return path


def iter_segments(paths, models, args):
    """What the models are to hear, file by file: yields the dicts of `hear`, with a progress bar over many."""
    wanted = {input_key(model): model.kept for model in models}
    jobs = 1 if len(paths) < MIN_FILES_PARALLEL else args.jobs
    heard = joblib.Parallel(jobs, return_as="generator")(
        joblib.delayed(load_segments)(path, wanted, args.window, args.hop) for path in paths)
    for segments in tqdm(heard, total=len(paths), desc="files", unit="file", disable=jobs == 1 or None):
        yield from segments


def input_key(model):
    """Models with the same key hear the same."""
    return hash_json([model.kept[name] for name in ("loading", "features", "feature", "input", "frames")])


def load_segments(path, wanted, window, hop):
    """One recording -> its segments, see `segments_of`; or one dict(file, problem) if it cannot be used."""
    name = str(path)
    try:
        y, rate = data.read_audio(path)
    except data.DataError as problem:
        convert = f"; if it is sound, convert it: ffmpeg -i {name} {path.with_suffix('.wav')}" \
            if "not readable" in str(problem) and path.suffix.lower() != ".wav" else ""
        return [dict(file=name, problem=f"{problem}{convert}")]
    return segment_recording(name, y, rate, wanted, window, hop)


def segment_recording(name, y, rate, wanted, window, hop):
    """A waveform (samples,) at `rate` Hz -> [dict(file, start, end (s), note, inputs {key: (x, length)}), ...].

    A window each; in a pause inputs is None. wanted : {key: preprocessing} of the models
    """
    segments, clipped = [], np.mean(np.abs(y) >= CLIPPING_LEVEL)
    quiet = np.abs(y).max() * 10 ** (-PAUSE_DB / 20)
    for start, end in window_bounds(len(y) / rate, window, hop):
        part = y[round(start * rate):round(end * rate)]
        inputs, notes = None, []
        if clipped > MAX_CLIPPED_FRACTION:
            notes.append(f"clipped: {clipped:.1%} of the samples are at full scale")
        if np.abs(part).max() > quiet:
            inputs, seconds, heard = model_inputs(part, rate, wanted)
            if seconds < SHORT_SECONDS:
                notes.append(f"very short: {seconds:.1f} s")
            if seconds > 1.05 * heard:
                notes.append(f"long: only the middle {heard:.1f} s of {seconds:.1f} are heard; --window hears more")
        segments.append(dict(file=name, start=start, end=end, note="; ".join(notes), inputs=inputs))
    return segments


def window_bounds(seconds, window, hop):
    """[(start, end), ...] in seconds: the whole, or windows that lie within it (one, if it is shorter than that)."""
    if not window or seconds <= window:
        return [(0.0, seconds)]
    return [(start, start + window) for start in np.arange(0, seconds - window + 1e-6, hop).tolist()]


def model_inputs(y, rate, wanted):
    """A waveform (samples,) at `rate` Hz as the models want it: {key: (x, real frames)}, x (frames, n) or (13 n,);
    with its seconds after trimming and the seconds that the models hear of it."""
    inputs, extracted = {}, {}
    for key, kept in wanted.items():
        settings = hash_json([kept["loading"], kept["features"]])      # most often the same for all
        if settings not in extracted:
            trimmed = data.resample_and_trim(y, rate, **kept["loading"])
            with threadpool_limits(1):                                      # as in training, to the last digit
                extracted[settings] = features.extract(trimmed, **kept["features"])
        x, length = data.pad_or_crop(extracted[settings][kept["feature"]], kept["frames"])
        if kept["input"] == "functionals":
            x = features.functionals(x[None], np.array([length]))[0]
        inputs[key] = x, length
    sr = kept["loading"]["sr"]
    return inputs, len(trimmed) / sr, kept["frames"] * kept["features"]["hop_length"] / sr


def in_batches(segments):
    """Lists of up to AT_ONCE."""
    batch = []
    for segment in segments:
        batch.append(segment)
        if len(batch) == BATCH_SEGMENTS:
            yield batch
            batch = []
    if batch:
        yield batch


# -- answers ---------------------------------------------------------------------------------------
def predict_segments(segments, models, labels, threshold):
    """A row per segment: file, start, end, label, confidence, unsure, p_<label> ..., note; a pause has no p."""
    p = np.full((len(segments), len(labels)), np.nan)
    speech = [number for number, segment in enumerate(segments) if segment["inputs"] is not None]
    if speech:
        p[speech] = np.mean([predict_proba(model, [segments[k]["inputs"][input_key(model)] for k in speech])
                             for model in models], axis=0)
    table = pd.DataFrame([{name: segment[name] for name in ("file", "start", "end")} for segment in segments],
                         columns=["file", "start", "end"])
    table["label"] = [labels[row.argmax()] if np.isfinite(row[0]) else "pause" for row in p]
    table["confidence"] = p.max(axis=1)
    table["unsure"] = table.confidence < threshold
    table[[f"p_{name}" for name in labels]] = p
    return table.assign(note=[segment["note"] for segment in segments])


def predict_proba(model, inputs):
    """[(x, length), ...] -> (clips, classes), normalised as in training and calibrated by the model's temperature."""
    x, lengths = (np.array(values) for values in zip(*inputs))
    mean, std = (np.array(model.kept[name], np.float32) for name in ("mean", "std"))
    x = data.standardise(x, mean, std, lengths if model.kept["input"] == "sequences" else None)
    return metrics.apply_temperature(model.answer(x, lengths), model.kept["temperature"])


def format_table(table, labels, threshold):
    """The table for reading, probabilities in per cent."""
    windows = table.groupby("file").size().max() > 1
    lines, width = [], max(4, *(len(name) for name in table.file))
    times = f"{'seconds':>14}  " if windows else ""
    lines.append(f"{'file':{width}}  {times}{'emotion':12}" + "".join(f"{name:>10}" for name in labels))
    for row, p in zip(table.itertuples(), table[[f"p_{name}" for name in labels]].to_numpy()):
        span = f"{row.start:6.1f} to{row.end:6.1f}  " if windows else ""
        cells = "".join(f"{100 * value:10.0f}" if np.isfinite(value) else f"{'':10}" for value in p)
        word = f"{row.label}{' ?' * row.unsure}"
        lines.append(f"{row.file:{width}}  {span}{word:12}{cells}{'  ' * bool(row.note)}{row.note}")
    lines.append(f"per cent; ?: unsure, below {threshold:.0%}; from there on {metrics.TARGET_ACCURACY:.0%} of the validation clips "
                 "were right")
    return "\n".join(lines)


def draw_timelines(table, folder, labels):
    """A picture for each recording: <folder>/<stem>-timeline.png, a second one of that stem <stem>-2-timeline.png."""
    import matplotlib

    import viz
    stems = []
    for name, rows in table.groupby("file", sort=False):
        y, rate = data.read_audio(name)
        stems.append(Path(name).stem)
        again = f"-{stems.count(stems[-1])}" if stems.count(stems[-1]) > 1 else ""
        with matplotlib.rc_context(viz.STYLE):
            path = folder / f"{stems[-1]}{again}-timeline.png"
            with write_atomically(path) as draft:
                viz.timeline(Path(name).name, y, rate, rows, labels).savefig(draft)
        print(path)


if __name__ == "__main__":
    try:
        main(ARGUMENTS)
    except OSError as problem:              # a full disk, a folder that cannot be written to
        print(f"predict.py: error: {problem}", file=sys.stderr)
        sys.exit(2)
