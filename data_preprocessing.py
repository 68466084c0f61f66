"""Clips on disk in, arrays ready for training out: checks, loads, augments, caches, normalises.

    table of clips (corpora.py) --survey--> + duration, level, recording
           --build_features--> one array per feature (clips, 1 + copies, frames, n), cached on disk
           --normaliser, normalise--> zero mean, unit variance over the training part, zero where padded

    python data_preprocessing.py --download [DIR]      fetch RAVDESS speech (208 MB), then the data report
    python data_preprocessing.py --check [DIR]         the data report alone, with problem files by name
"""
import argparse
import functools
import hashlib
import importlib.metadata
import io
import os
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import soundfile
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import config
import features
from ser import corpora, download, seeds, signals
from ser.corpora import DataError
from ser.files import code_fingerprint, hash_json, with_path_in_error, write_atomically

DOWNLOAD_DIR = Path(__file__).parent / "ravdess"
MIN_SECONDS = 0.1         # about one frame: anything shorter is a mistake
ROWS_AT_ONCE = 256             # clips in memory while the normaliser is fitted
SAMPLE_RATE_LIMITS = (1000, 1_000_000)      # Hz; what lies outside is a wrong header
MAX_AMPLITUDE = 2.0**31              # full scale is 1; more than any whole number that sound is kept in
SILENCE_PEAK = 1e-4            # full scale is 1: a clip that stays under this (-80 dBFS) holds no speech

# -- checking --------------------------------------------------------------------------------------
def survey(clips, cache_dir, jobs=-1):
    """Decode every clip once: adds seconds, peak_dbfs, rms_dbfs, sound (hash) and recording to the table of clips.

    Clips with identical sound get one recording id (the first file's stem), whatever their names. Where the table has a
    column recording already, clips that share it share the new one.
    raises : DataError listing every file that cannot be used.
    """
    kept = Path(cache_dir) / f"survey-{hash_json([files_key(clips), code_fingerprint(__file__)])}.csv"
    if not kept.exists():
        measured = joblib.Parallel(jobs, prefer="threads")(joblib.delayed(inspect_clip)(path) for path in clips.path)
        bad = [f"  {file}: {problem}" for file, problem in zip(clips.file, measured) if isinstance(problem, str)]
        if bad:
            headline = f"{len(bad)} of {len(clips)} clips cannot be used; replace or remove them:"
            raise DataError("\n".join([headline, *bad]))
        facts = pd.DataFrame(measured)
        facts.insert(0, "file", clips.file)
        with write_atomically(kept) as draft:
            facts.to_csv(draft, index=False)
    clips = clips.merge(pd.read_csv(kept, dtype={"file": str}), on="file", validate="one_to_one")
    return clips.assign(recording=recording_groups(clips))


def recording_groups(clips):
    """Names of the recordings that must not part, (clips,): what shares its sound, or a name in the column recording.

    Shared by way of a third clip counts as well. A name is the stem of the recording's first file.
    """
    first, before = clips.file, None
    while not first.equals(before):
        before = first
        for column in [name for name in ("sound", "recording") if name in clips]:
            first = first.groupby(clips[column].fillna(clips.file)).transform("min")       # of one of two corpora
    return first.str.rsplit(".", n=1).str[0]


def inspect_clip(path):
    """Facts of one file (dict), or what is wrong with it (str)."""
    try:
        samples, rate = read_audio(path)
    except DataError as problem:
        return str(problem)
    return dict(seconds=len(samples) / rate, peak_dbfs=20 * np.log10(float(np.abs(samples).max())),
                rms_dbfs=10 * np.log10(np.mean(np.square(samples, dtype=np.float64))),
                sound=hashlib.sha256(str(rate).encode() + samples.tobytes()).hexdigest())


def files_key(clips):
    """Hash of what the clips are: name, size and time of last change of every file."""
    stats = [(file, os.stat(path)) for file, path in zip(clips.file, clips.path)]
    return hash_json([(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats])


def data_report(corpus, clips):
    """The data report, as text: a Corpus, and its clips as `survey` gives them."""
    counts = clips.emotion.value_counts().reindex(corpus.classes, fill_value=0)
    per_actor = clips.actor.value_counts()
    each = " to ".join(str(count) for count in sorted({per_actor.min(), per_actor.max()}))
    seconds = clips.seconds
    lines = [f"{corpus.name}: {len(clips)} clips, {clips.actor.nunique()} actors ({each} clips each), "
             f"{seconds.sum() / 3600:.2f} hours ({seconds.min():.1f} to {seconds.max():.1f} s a clip)",
             "emotions: " + ", ".join(f"{emotion} {count}" for emotion, count in counts.items())]
    for reason, files in corpus.left_out.items():
        if files:
            shown = files if reason == "bad name" else files[:3]
            more = f", and {len(files) - len(shown)} more" if len(files) > len(shown) else ""
            lines.append(f"left out, {reason}: {len(files)} ({'; '.join(shown)}{more})")
    for _, same in clips.groupby("recording").file:
        if len(same) > 1:
            lines.append(f"same recording, kept on one side of every split: {', '.join(same)}")
    if corpus.complete not in (None, len(clips)):
        lines.append(f"warning: {corpus.name} is {corpus.complete} clips; results on {len(clips)} do not compare")
    return "\n".join(lines)


# -- loading ---------------------------------------------------------------------------------------
def read_audio(path):
    """Any file libsndfile reads, checked: float32 mono (samples,), full scale 1, and its rate in Hz.

    raises : DataError (without the file's name) for audio that cannot be trained on
    """
    try:
        with soundfile.SoundFile(path) as sound:
            samples = sound.read(dtype="float32", always_2d=True).mean(axis=1)      # (samples,)
            # A size of 2^32 - 1 means that the writer could not know it: a stream.
            cut_off = re.search(r"^data : (?!4294967295 ).*should be", sound.extra_info, re.MULTILINE)
            rate = sound.samplerate
    except UnicodeError as problem:
        raise DataError("its name is not UTF-8; rename it") from problem
    except (soundfile.LibsndfileError, OSError) as problem:
        raise DataError(f"not readable as audio ({str(problem).rsplit(': ', 1)[-1]})") from problem
    if len(samples) == 0:
        raise DataError("empty: no samples")
    if not SAMPLE_RATE_LIMITS[0] <= rate <= SAMPLE_RATE_LIMITS[1]:
        raise DataError(f"has a sample rate of {rate} Hz, which cannot be right")
    if len(samples) < MIN_SECONDS * rate:
        raise DataError(f"too short: {len(samples) / rate:.3f} s, at least {MIN_SECONDS} s are needed")
    if cut_off:
        raise DataError("truncated: the header promises more samples than the file holds")
    if not np.isfinite(samples).all():
        raise DataError("holds values that are not finite numbers")
    if np.abs(samples).max() > MAX_AMPLITUDE:
        raise DataError(f"holds values up to {np.abs(samples).max():.0e}, where full scale is 1")
    if np.abs(samples).max() < SILENCE_PEAK:
        raise DataError("silent: no sample above -80 dBFS")
    return samples, rate


def load_waveform(path, *, sr, trim_db, peak_normalise):
    """A file (its path, or open) as the features want it: float32 (samples,) at `sr` Hz, mono, its ends trimmed."""
    return resample_and_trim(*read_audio(path), sr=sr, trim_db=trim_db, peak_normalise=peak_normalise)


def resample_and_trim(y, rate, *, sr, trim_db, peak_normalise):
    """A waveform (samples,) at `rate` Hz -> resampled to `sr` Hz, its ends trimmed."""
    import librosa
    import soxr
    if rate != sr:
        y = soxr.resample(y, rate, sr, quality="HQ")
    if trim_db is not None:
        y, _ = librosa.effects.trim(y, top_db=trim_db, frame_length=2048, hop_length=512)
    return y / np.abs(y).max() if peak_normalise else y


# -- augmentation ----------------------------------------------------------------------------------
def augment(y, rng, *, sr, stretch_rate, pitch_semitones, noise_snr_db):
    """One altered copy of a clip: float32 (samples,) -> float32 (about samples / rate,).

    Draws which of time stretch, pitch shift and noise it gets (at least one; all seven combinations are
    equally likely), then how strongly, each uniformly within its (low, high).
    """
    which = rng.integers(1, 8)                                          # three bits, not all zero
    rate = rng.uniform(*stretch_rate) if which & 1 else 1.0
    semitones = rng.uniform(*pitch_semitones) if which & 2 else 0.0
    if which & 3:
        y = stretch_and_shift(y, sr=sr, rate=rate, semitones=semitones)
    if which & 4:
        y = add_noise(y, rng, snr_db=rng.uniform(*noise_snr_db))
    return y


def stretch_and_shift(y, *, sr, rate, semitones):
    """Play `rate` times as fast and move the pitch by `semitones`, each without the other.

    Signalsmith Stretch: its log-mel error against an ideal stretch is a quarter of a phase vocoder's,
    which decides whether augmentation helps or hurts.
    """
    from python_stretch.Signalsmith import Stretch
    engine = Stretch(0)                      # the seed of its own small dither
    engine.preset(1, sr)
    engine.setTimeFactor(rate)
    engine.setTransposeSemitones(semitones)
    return engine.process(np.ascontiguousarray(y[None], np.float32))[0]


def add_noise(y, rng, *, snr_db):
    """White Gaussian noise, `snr_db` below the mean power of the clip."""
    noise_power = np.mean(np.square(y, dtype=np.float64)) / 10 ** (snr_db / 10)
    return y + np.sqrt(noise_power).astype(np.float32) * rng.standard_normal(len(y), dtype=np.float32)


# -- features of the whole corpus, cached ----------------------------------------------------------
def build_features(clips, settings, jobs=-1, delayed=joblib.delayed):
    """Features of every clip and its copies, from the cache or computed now.

    returns : namespace with key (str, names the cache entry), folder, and memory-mapped float32 arrays
      sequences    {feature: (clips, 1 + copies, frames, n)}: version 0 is the clip itself, padded with 0
      functionals  {feature: (clips, 1 + copies, 13 n)}
      lengths      int (clips, 1 + copies), real frames
      trimmed_seconds (clips,)
    raises : DataError for an entry that is damaged, OSError
    """
    key = features_key(clips, settings)
    folder = Path(settings.CACHE_DIR) / f"features-{key}"
    if not folder.exists():
        extract_corpus(clips, settings, folder, jobs, delayed)
    try:
        return open_features(folder)
    except (EOFError, KeyError, ValueError) as problem:
        raise DataError(f"{folder}: damaged ({problem}); delete it, and the next run makes it anew") from problem


def open_features(folder):
    """What `build_features` wrote to `folder`, memory-mapped."""
    paths = sorted(Path(folder).glob("*.npy"))
    arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in paths}
    pick = lambda kind: {name.split("-")[0]: array for name, array in arrays.items() if name.endswith(kind)}  # noqa: E731
    return SimpleNamespace(key=Path(folder).name.removeprefix("features-"), folder=str(folder),
                           sequences=pick("-sequences"), functionals=pick("-functionals"),
                           lengths=arrays["lengths"], trimmed_seconds=arrays["trimmed_seconds"])


def features_key(clips, settings):
    """Hash of everything that can change the arrays: sounds, settings, code and libraries."""
    return hash_json([clips.file.tolist(), clips.sound.tolist(), settings.LOADING_SETTINGS, settings.FEATURE_SETTINGS,
                   settings.N_FRAMES, settings.N_AUGMENTED, settings.AUGMENTATION_SETTINGS, settings.SEED,
                   code_fingerprint(features.__file__, seeds.__file__, __file__),
                   [importlib.metadata.version(name) for name in ("librosa", "soxr", "python-stretch")]])


def extract_corpus(clips, settings, folder, jobs, delayed):
    """Fill `folder` with arrays, clips in parallel. Written beside it and renamed, so it is whole or absent."""
    draft = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    for leftover in folder.parent.glob("features-*.partial"):           # of a process killed an hour ago or more
        if time.time() - leftover.stat().st_mtime > 3600:
            shutil.rmtree(leftover, ignore_errors=True)
    shutil.rmtree(draft, ignore_errors=True)        # process ids repeat
    draft.mkdir(parents=True)
    work = functools.partial(extract_clip, settings=settings, driver=os.getpid())
    tasks = (delayed(work)(index, file, Path(path).read_bytes())     # so a worker needs no disk of ours
             for index, (file, path) in enumerate(zip(clips.file, clips.path)))
    arrays = {}
    try:
        parallel = joblib.Parallel(jobs, return_as="generator_unordered", batch_size=8)
        for index, results in tqdm(parallel(tasks), total=len(clips), desc="features", unit="clip", disable=None):
            for name, value in results.items():
                if name not in arrays:
                    arrays[name] = new_array(draft / f"{name}.npy", value.dtype, (len(clips), *value.shape))
                arrays[name][index] = value
        for array in arrays.values():
            array.flush()
        try:
            os.replace(draft, folder)
        except OSError:
            if not folder.exists():     # else another process was faster, with the same arrays
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def new_array(path, dtype, shape):
    """A memory-mapped .npy file to fill. It gets all its space now: on a disk that runs full later, filling it kills.

    raises : OSError
    """
    with with_path_in_error(path):
        array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):                                      # not on macOS
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def extract_clip(index, file, content, settings, driver):
    """One clip (the bytes of its file) and its copies -> its index and {array name: (1 + copies, ...)}."""
    ignore_sigint_in_worker(driver)
    y = load_waveform(io.BytesIO(content), **settings.LOADING_SETTINGS)
    versions = [y]
    for copy in range(1, settings.N_AUGMENTED + 1):
        rng = seeds.generator(settings.SEED, "augment", file, copy)
        versions.append(augment(y, rng, sr=settings.LOADING_SETTINGS["sr"], **settings.AUGMENTATION_SETTINGS))
    with threadpool_limits(1):          # matrix products in one order, whichever process this is
        extracted = [features.extract(version, **settings.FEATURE_SETTINGS) for version in versions]
    results = {"trimmed_seconds": np.float64(len(y) / settings.LOADING_SETTINGS["sr"])}
    for feature in extracted[0]:
        fitted = [pad_or_crop(version[feature], settings.N_FRAMES) for version in extracted]
        x, lengths = np.stack([x for x, _ in fitted]), np.array([length for _, length in fitted])
        results[f"{feature}-sequences"] = x                                         # (1 + copies, frames, n)
        results[f"{feature}-functionals"] = features.functionals(x, lengths)        # (1 + copies, 13 n)
        results["lengths"] = lengths                                                # the same for every feature
    return index, results


def ignore_sigint_in_worker(driver):
    """Ctrl-C in a terminal reaches every process; only `driver` (a process id) shall act on it."""
    if os.getpid() != driver and threading.current_thread() is threading.main_thread():     # dask: another thread
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def pad_or_crop(x, frames):
    """(any, n) -> (frames, n) and its real frames: zeros added at the end, or the middle kept."""
    start = max(0, (len(x) - frames) // 2)
    x = x[start:start + frames]
    return np.pad(x, ((0, frames - len(x)), (0, 0))), len(x)


# -- normalisation ---------------------------------------------------------------------------------
def fit_scaler(x, lengths=None, rows=None, weights=None):
    """Mean of each column over the real frames of the *training part*, and its standard deviation over its weight.

    x       : (clips, frames, n) with lengths (clips,), or (clips, n) without; may be memory-mapped, as it is read in
              pieces
    rows    : int, the clips of the training part; None: all of them
    weights : (n,), what each column counts, or each that 13 n functionals are of; None: all 1
    returns : mean (n,), std (n,), float32
    """
    rows = np.arange(len(x)) if rows is None else rows
    count, total, squares = 0, 0, 0
    for start in range(0, len(rows), ROWS_AT_ONCE):
        piece = rows[start:start + ROWS_AT_ONCE]
        values = np.asarray(x[piece], np.float64)
        if lengths is not None:
            values = values[np.arange(x.shape[1]) < lengths[piece, None]]               # (real frames, n)
        count, total, squares = count + len(values), total + values.sum(axis=0), squares + (values**2).sum(axis=0)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0))
    std = np.where(std > 1e-6, std, 1) / (1 if weights is None else np.resize(weights, std.shape))
    return mean.astype(np.float32), std.astype(np.float32)


def standardise(x, mean, std, lengths=None):
    """(x - mean) / std, and exactly 0 in padded frames, which is how the nets know them."""
    x = (x - mean) / std
    if lengths is not None:
        x[np.arange(x.shape[1]) >= lengths[:, None]] = 0
    return x


def main(arguments=None):
    parser = argparse.ArgumentParser(description="The data report: clips, emotions, actors, what is left out and why.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--check", metavar="PLACE", help="folder with clips, or a CSV of them (default: as train.py)")
    which.add_argument("--download", metavar="DIR", nargs="?", const=DOWNLOAD_DIR, type=Path,
                       help="fetch RAVDESS speech from Zenodo (208 MB) into DIR (default: ravdess/ beside this file, "
                       "where train.py finds it), then report")
    args = parser.parse_args(arguments)
    try:
        if args.download and not is_complete(args.download):
            download.fetch(args.download)
        corpus = corpora.find_corpus(args.download or corpora.data_dir(args.check))
        clips = survey(corpus.clips, config.CACHE_DIR)
    except (DataError, ValueError, OSError) as problem:
        print(f"data_preprocessing.py: error: {problem}", file=sys.stderr)
        sys.exit(2)
    print(data_report(corpus, clips))


def is_complete(folder):
    """Whether all clips of RAVDESS are there."""
    return len(corpora.scan_ravdess(folder)[0]) == corpora.RAVDESS_CLIPS


if __name__ == "__main__":
    signals.install_interrupt_handler()
    main()
