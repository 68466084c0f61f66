"""Emotion of speech, by a saved model; needs no data set.

    python predict.py clip.wav more.flac folder/        the emotion of each file, with all probabilities
    python predict.py talk.wav --window 3 --hop 1       emotion over time: a table and a picture per recording
    python predict.py folder/ --same-speaker            all of one speaker: adapted to the voice
    python predict.py "calls/**/*.wav" --json           a JSON object per file, for jq and programs
    find calls -name "*.wav" | python predict.py -      names from standard input, a line each; or a recording itself
    python predict.py --mic 3                           three seconds from the microphone

    from predict import Recogniser                      the same from Python: study/recogniser.py
    Recogniser.load().predict("clip.wav").label

A model is the folder of a finished fit, such as results/default/fits/mfcc-cnn1d-fold0; before the first run it is the
one that comes with the project (ready/). All that prediction needs is there (study/inference.py); config.py only says
where runs are kept. The models were trained on acted North American English: on anything else they are less often
right.
"""
import argparse
import os
import sys
from pathlib import Path

import config
from ser.errors import UserError, run_command
from ser.signals import follow_driver, install_interrupt_handler, interrupts_kept_from_children

STDOUT = Path("-")          # of --csv
MIN_FILES_PARALLEL = 8      # fewer files are not worth starting processes for


def parse(arguments=None):
    parser = argparse.ArgumentParser(description="Emotion of speech files, by a model of train.py.")
    parser.add_argument("files", nargs="*", metavar="FILE", help="audio files (WAV, FLAC, MP3, OGG; with PyAV also "
                        "M4A, WebM, AAC), folders, or patterns such as '*.wav'; -: names from standard input, a line "
                        "each, or one recording")
    parser.add_argument("--model", metavar="DIR", help="folder of a finished fit (default: of the model with the best "
                        "inner validation in the run)")
    parser.add_argument("--run", metavar="NAME", default=config.RUN_NAME,
                        help="run with the models (default: %(default)s)")
    parser.add_argument("--results-dir", metavar="DIR", default=config.RESULTS_DIR, type=Path,
                        help="folder with the runs (default: %(default)s)")
    parser.add_argument("--ensemble", action="store_true", help="average the models of the ensembles of all folds")
    parser.add_argument("--committee", dest="ensemble", action="store_true", help=argparse.SUPPRESS)    # its old name
    parser.add_argument("--csv", metavar="OUT", type=Path, help="also write a row per file (or window) to this file; "
                        "-: to standard output, in place of the table")
    parser.add_argument("--json", action="store_true", help="print a JSON object per file (or window), a line each, in "
                        "place of the table")
    parser.add_argument("--window", metavar="S", type=float, help="emotion over time, in windows of S seconds")
    parser.add_argument("--same-speaker", action="store_true", help="all recordings are of one speaker, in several "
                        "emotions: models of train.py --adapt speaker, where there are such, compare them with each "
                        "other")
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
    if args.json and args.csv == STDOUT:
        parser.error("--json and --csv -: both would be standard output")
    if args.csv and args.csv.is_dir():
        parser.error(f"argument --csv: {args.csv} is a folder; name a file in it")
    if args.jobs == 0:
        parser.error("argument --jobs: 0 is no number of processes; at least one is needed")
    for name in ("window", "hop", "mic"):
        value = getattr(args, name)
        if value is not None and not 0.1 <= value <= 3600:
            parser.error(f"argument --{name}: {value} is not within 0.1 .. 3600 seconds")
    return args


if __name__ == "__main__":          # before the slow imports: --help and a mistyped flag answer at once
    install_interrupt_handler()
    ARGUMENTS = parse()

import atexit
import glob
import itertools
import json
import tempfile

import joblib
import numpy as np
import pandas as pd
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from ser.files import as_csv, write_atomically, write_csv
from ser.formats import DECODED, READ, is_sound_file
from ser.names import printable
from ser.recording import open_recording
from ser.terminal import plural
from study import export, inference, ready
from study.encoder_weights import INSTALL
from study.recogniser import Recogniser, find_folder
from study.segments import in_batches, load_segments

ADAPTED = "-adapted"        # ending of the runs of train.py --adapt speaker


def main(args):
    weights = choose_models(args)
    if args.export:
        return export_models(list(weights), args.export)
    paths = [record_microphone(args.mic)] if args.mic else audio_files(args.files)
    recogniser, first = Recogniser(weights), next(iter(weights))
    say(f"{plural(len(weights), 'model')} of {first.parents[1].name}" if args.ensemble else f"model: {first}")
    if inference.is_demo(first):
        say(inference.DEMO_MODEL)
    all_segments = iter_segments(paths, recogniser.specs, args)
    if args.same_speaker:
        recogniser, all_segments = adapt_to_speaker(recogniser, all_segments, args)
    elif recogniser.can_adapt:
        say("this model subtracts the training speakers' mean; recordings that are all of one: --same-speaker")

    tables, n_broken = [], 0
    for segments in in_batches(all_segments):
        broken = [segment for segment in segments if "problem" in segment]
        for segment in broken:
            say(f"predict.py: {printable(segment['file'])}: {segment['problem']}")
        n_broken += len(broken)
        tables.append(recogniser.table([segment for segment in segments if "problem" not in segment]))
        if args.json:
            for answer in recogniser.as_answers(tables[-1]):
                print(json.dumps(answer.as_dict(), ensure_ascii=False), flush=True)
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    if not table.empty:
        rows = table.assign(file=table.file.map(printable)).round(6)
        if args.csv == STDOUT:
            print(as_csv(rows), end="")
        elif not args.json:
            print(format_table(table, recogniser.labels, recogniser.calibration.threshold))
        if args.csv and args.csv != STDOUT:
            write_csv(args.csv, rows)
            say(f"written: {args.csv}")
        if args.window:
            draw_timelines(table, args.out, recogniser.labels)
    if n_broken:
        sys.exit(f"{n_broken} of {len(paths)} could not be used" if len(table) else 2)


def choose_models(args):
    """The models that were asked for, {folder: weight}; that which comes with the project where there is no run yet."""
    if args.model:
        return {find_folder(args.model): 1.0}
    run = args.results_dir / args.run
    if args.same_speaker and any((args.results_dir / (args.run + ADAPTED)).glob("fits/*/preprocessing.json")):
        run = args.results_dir / (args.run + ADAPTED)
    if args.run == config.RUN_NAME and not inference.has_any_model(run) and not args.ensemble:
        folder = ready.ready_model(bool(args.export), args.same_speaker)
        say(f"{run} has no model yet: this is the one that comes with the project")
        return {folder: 1.0}
    return inference.select_models(run, args.ensemble, networks_only=bool(args.export))


def export_models(folders, form):
    """Writes each model in another format, beside it."""
    for folder in folders:
        path, difference = export.export(folder, form)
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, probabilities as Keras's within {difference:.0e}")


# -- sound -----------------------------------------------------------------------------------------
def audio_files(names):
    """Paths of the files named, of those in the folders named, and of those that a pattern matches.

    raises : UserError
    """
    found = []
    for name in [one for given in names for one in (read_stdin() if given == "-" else [given])]:
        path = Path(name)
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if is_sound_file(file, READ | DECODED))
            if not inside:
                raise UserError(f"{path}: no audio files in this folder")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            matching = sorted(map(Path, glob.glob(name, recursive=True)))
            if not matching:
                raise UserError(f"{printable(name)}: no such file" + " matches" * glob.has_magic(name))
            found += matching
    return list(dict.fromkeys(found))


def read_stdin():
    """What comes on standard input: names of files, a line each; or a recording, kept in a file until the end: its
    name. raises : UserError"""
    content = sys.stdin.buffer.read()
    if not content.strip():
        raise UserError("-: nothing comes on standard input; names of files, or a recording")
    if b"\0" not in content:            # no name has one, and every recording has some
        return [os.fsdecode(line) for line in content.splitlines() if line.strip()]
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    path = Path(folder.name) / "stdin"
    path.write_bytes(content)
    return [str(path)]


def record_microphone(seconds):
    """Records to microphone.wav in the current folder, and returns its path."""
    try:
        import sounddevice
    except (ImportError, OSError) as problem:           # OSError: the library PortAudio is missing
        raise UserError(f"--mic needs sounddevice ({problem}): pip install sounddevice") from problem
    import soundfile
    path, rate = Path("microphone.wav"), config.SAMPLE_RATE
    say(f"recording {seconds:g} s to {path} ...")
    try:
        samples = sounddevice.rec(int(seconds * rate), samplerate=rate, channels=1, dtype="float32", blocking=True)
    except sounddevice.PortAudioError as problem:
        raise UserError(f"--mic: no microphone that can be used ({problem})") from problem
    try:
        soundfile.write(path, samples, rate)
    except soundfile.LibsndfileError as problem:
        raise UserError(f"--mic: {path} cannot be written ({problem}); start it in another folder") from problem
    return path


def iter_segments(paths, specs, args):
    """The segments of all files, as load_segments gives them, with a progress bar over many files."""
    jobs = 1 if len(paths) < MIN_FILES_PARALLEL else args.jobs
    with interrupts_kept_from_children():
        of_files = joblib.Parallel(jobs, return_as="generator")(
            joblib.delayed(read_in_worker)(os.getpid(), path, specs, args.window, args.hop) for path in paths)
    try:
        for segments in tqdm(of_files, total=len(paths), desc="files", unit="file", disable=jobs == 1 or None):
            yield from segments
    except TerminatedWorkerError as problem:
        raise UserError("a process that read files was killed, perhaps for want of memory; fewer --jobs need less"
                        ) from problem


def read_in_worker(driver, *what):
    """`load_segments` in another process, which ends with this one, `driver`."""
    follow_driver(driver)
    return load_segments(*what)


def adapt_to_speaker(recogniser, segments, args):
    """The Recogniser adapted to the speaker of all segments, and these; in words what was done, or why it was not."""
    if not recogniser.can_adapt:
        which = f"{args.model} was not trained so" if args.model else f"there are no models in {args.run}{ADAPTED}"
        say(f"not adapted to the speaker: {which}; python train.py --adapt speaker makes some, and a ready one needs "
            f"the encoder's weights: {INSTALL}")
        return recogniser, segments
    segments = list(segments)
    n_windows = sum(len(segment.get("windows", ())) for segment in segments)
    say(f"adapted to the speaker of {n_windows} recordings or windows; right only if they are of one voice, and in "
        "several emotions")
    return recogniser.adapted_to(segments), segments


# -- what is shown ---------------------------------------------------------------------------------
def format_table(table, labels, threshold):
    """The table for reading, probabilities in per cent."""
    windows = table.groupby("file").size().max() > 1
    names = table.file.map(printable)
    lines, width = [], max(4, *map(len, names))
    times = f"{'seconds':>14}  " if windows else ""
    columns = [max(10, 2 + len(name)) for name in labels]
    word = max(12, 4 + max(map(len, [*labels, *table.label])))
    lines.append(f"{'file':{width}}  {times}{'emotion':{word}}" + "".join(
        f"{name:>{column}}" for name, column in zip(labels, columns)))
    for name, row, p in zip(names, table.itertuples(), table[[f"p_{name}" for name in labels]].to_numpy()):
        span = f"{row.start:6.1f} to{row.end:6.1f}  " if windows else ""
        cells = "".join(f"{100 * value:{column}.0f}" if np.isfinite(value) else " " * column
                        for value, column in zip(p, columns))
        answer = f"{row.label}{' ?' * row.unsure}"
        lines.append(f"{name:{width}}  {span}{answer:{word}}{cells}{'  ' * bool(row.note)}{row.note}")
    lines.append(f"per cent; ?: low confidence, below {threshold:.0%}: of such validation clips fewer than two in "
                 "three were right")
    return "\n".join(lines)


def draw_timelines(table, folder, labels):
    """A picture for each recording: <folder>/<stem>-timeline.png, a second one of that stem <stem>-2-timeline.png."""
    import matplotlib

    from ser import plots
    taken = set()
    for name, rows in table.groupby("file", sort=False):
        names = (Path(name).stem + f"-{number}" * (number > 1) for number in itertools.count(1))
        taken.add(stem := next(one for one in names if one not in taken))
        with matplotlib.rc_context(plots.STYLE):
            path = folder / f"{stem}-timeline.png"
            with write_atomically(path) as tmp_path:
                plots.timeline(Path(name).name, open_recording(name), rows, labels).savefig(tmp_path)
        say(path)


def say(text):
    """What is no result goes to standard error, so that the table can be handed on."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    run_command("predict.py", main, ARGUMENTS)
