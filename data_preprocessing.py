"""Clips on disk in, arrays ready for training out: checks, loads, augments, extracts, caches.

    table of clips (ser/corpora.py) --survey--> + duration, level, recording
           --build_features--> one array per feature (clips, variants, frames, n), cached on disk

Variant 0 of a clip is the clip itself, the others are its augmented copies.

    python data_preprocessing.py --download [DIR]      fetch RAVDESS speech (208 MB), then the data report
    python data_preprocessing.py --check [DIR]         the data report alone, with problem files by name
"""
import argparse
from pathlib import Path

from ser.errors import UserError, run_command, with_path_in_error
from ser.signals import ignore_sigint_in_worker, install_interrupt_handler

DOWNLOAD_DIR = Path(__file__).parent / "ravdess"


def parse(arguments=None):
    parser = argparse.ArgumentParser(description="The data report: clips, emotions, actors, what is left out and why.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--check", metavar="PLACE", help="folder with clips, or a CSV of them (default: as train.py)")
    which.add_argument("--download", metavar="DIR", nargs="?", const=DOWNLOAD_DIR, type=Path,
                       help="fetch RAVDESS speech from Zenodo (208 MB) into DIR (default: ravdess/ beside this file, "
                       "where train.py finds it), then report")
    return parser.parse_args(arguments)


if __name__ == "__main__":          # before the slow imports: --help and a mistyped flag answer at once
    install_interrupt_handler()
    ARGUMENTS = parse()

import functools
import hashlib
import importlib.metadata
import io
import os
import shutil
import time
from dataclasses import asdict, dataclass
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits
from tqdm import tqdm

import features
from features import pad_or_crop
from ser import corpora, download, seeds
from ser.audio import load_waveform, read_audio
from ser.files import hash_json, write_atomically
from ser.identity import code_hash
from ser.processor import is_pinned


# -- checking --------------------------------------------------------------------------------------
def survey(clips, cache_dir, jobs=-1):
    """Decode every clip once: adds seconds, peak_dbfs, rms_dbfs, sound (hash) and recording to the table of clips.

    Clips with identical sound get one recording id (the first file's stem), whatever their names. Where the table has a
    column recording already, clips that share it share the new one.
    raises : UserError listing every file that cannot be used.
    """
    key = hash_json([files_key(clips), code_hash("data_preprocessing:inspect_clip")])
    cached = Path(cache_dir) / f"survey-{key}.csv"
    if not cached.exists():
        measured = joblib.Parallel(jobs, prefer="threads")(joblib.delayed(inspect_clip)(path) for path in clips.path)
        bad = [f"  {file}: {problem}" for file, problem in zip(clips.file, measured) if isinstance(problem, str)]
        if bad:
            headline = f"{len(bad)} of {len(clips)} clips cannot be used; replace or remove them:"
            raise UserError("\n".join([headline, *bad]))
        facts = pd.DataFrame(measured)
        facts.insert(0, "file", clips.file)
        with write_atomically(cached) as tmp_path:
            facts.to_csv(tmp_path, index=False)
    try:
        facts = pd.read_csv(cached, dtype={"file": str})
        if sorted(facts.file) != sorted(clips.file):
            raise ValueError("other clips than those of the corpus")
    except (ValueError, AttributeError) as problem:
        raise UserError(f"{cached}: damaged ({problem}); delete it, and the next run makes it anew") from problem
    clips = clips.merge(facts, on="file", validate="one_to_one")
    return clips.assign(recording=recording_groups(clips))


def recording_groups(clips):
    """Group id of each clip, (clips,): clips with identical sound or the same value in the column recording form one
    group, also by way of a third clip, and stay on one side of every split. It is the stem of the group's first file.
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
    except UserError as problem:
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
@dataclass(frozen=True)
class Extraction:
    """All that decides the arrays of a corpus, apart from its clips."""
    names: tuple            # rows of features.FEATURES
    loading: dict           # sr (Hz), trim_db, peak_normalise, as `load_waveform` takes them
    params: dict            # as features.Clip takes them
    n_frames: int           # of each clip, by padding or cropping
    n_augmented: int        # copies of each clip
    augmentation: dict      # stretch_rate, pitch_semitones, noise_snr_db, as `augment` takes them
    seed: int
    pinned: bool = False    # by ser.processor.pin: other last digits


def extraction_params(settings, names):
    """The Extraction of some features under the settings of config.py. raises : UserError"""
    s, fmax = settings, settings.F_MAX or settings.SAMPLE_RATE / 2
    if fmax > s.SAMPLE_RATE / 2:
        raise UserError(f"{s.origin('F_MAX')}: F_MAX = {fmax!r} is above half of SAMPLE_RATE, where there is no sound")
    if s.F_MIN >= fmax:
        raise UserError(f"{s.origin('F_MIN')}: F_MIN = {s.F_MIN!r} is not below F_MAX = {fmax!r}")
    return Extraction(
        names=tuple(names),
        loading=dict(sr=s.SAMPLE_RATE, trim_db=s.TRIM_DB, peak_normalise=s.PEAK_NORMALISE),
        params=dict(sr=s.SAMPLE_RATE, n_fft=s.N_FFT, hop_length=s.HOP_LENGTH, n_mels=s.N_MELS, n_mfcc=s.N_MFCC,
                    n_gauss=s.N_GAUSS, n_gauss_coefficients=s.N_GAUSS_COEFFICIENTS, fmin=s.F_MIN, fmax=fmax,
                    top_db=s.TOP_DB),
        n_frames=1 + int(s.CLIP_SECONDS * s.SAMPLE_RATE) // s.HOP_LENGTH, n_augmented=s.N_AUGMENTED,
        augmentation=dict(stretch_rate=s.STRETCH_RATE, pitch_semitones=s.PITCH_SEMITONES, noise_snr_db=s.NOISE_SNR_DB),
        seed=s.SEED, pinned=is_pinned())


def build_features(clips, extraction, cache_dir, jobs=-1, delayed=joblib.delayed):
    """Features of every clip and its augmented copies, from the cache or computed now.

    returns : namespace with key (str, names the cache entry), folder, and memory-mapped float32 arrays
      sequences    {feature: (clips, variants, frames, n)}: variant 0 is the clip itself; padded with 0; of features
                   that models on frames take
      functionals  {feature: (clips, variants, 13 n)}
      lengths      int (clips, variants), real frames
      trimmed_seconds (clips,)
    raises : UserError for an entry that is damaged, OSError
    """
    key = features_key(clips, extraction)
    folder = Path(cache_dir) / f"features-{key}"
    if not folder.exists():
        extract_corpus(clips, extraction, folder, jobs, delayed)
    try:
        return open_features(folder)
    except (EOFError, KeyError, ValueError) as problem:
        raise UserError(f"{folder}: damaged ({problem}); delete it, and the next run makes it anew") from problem


def open_features(folder):
    """What `build_features` wrote to `folder`, memory-mapped."""
    paths = sorted(Path(folder).glob("*.npy"))
    arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in paths}
    by_feature = {kind: {name.removesuffix(f"-{kind}"): array for name, array in arrays.items()
                         if name.endswith(f"-{kind}")} for kind in ("sequences", "functionals")}
    return SimpleNamespace(key=Path(folder).name.removeprefix("features-"), folder=str(folder), **by_feature,
                           lengths=arrays["lengths"], trimmed_seconds=arrays["trimmed_seconds"])


def features_key(clips, extraction):
    """Hash of everything that can change the arrays: sounds, parameters, code and libraries."""
    functions, bound = [], []
    for name in extraction.names:
        function = features.FEATURES[name].function
        bound.append([getattr(function, "args", ()), getattr(function, "keywords", {}),        # of a functools.partial
                      features.FEATURES[name].inputs])
        functions.append(f"features:{getattr(function, 'func', function).__name__}")
    code = code_hash("data_preprocessing:extract_clip", *functions, skip=("features:FEATURES",)), bound
    return hash_json([clips.file.tolist(), clips.sound.tolist(), asdict(extraction), code,
                      [importlib.metadata.version(name) for name in ("librosa", "soxr", "python-stretch")]])


def extract_corpus(clips, extraction, folder, jobs, delayed):
    """Fill `folder` with arrays, clips in parallel. Written beside it and renamed, so it is whole or absent."""
    tmp_path = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    for leftover in folder.parent.glob("features-*.partial"):           # of a process killed an hour ago or more
        if time.time() - leftover.stat().st_mtime > 3600:
            shutil.rmtree(leftover, ignore_errors=True)
    shutil.rmtree(tmp_path, ignore_errors=True)        # process ids repeat
    tmp_path.mkdir(parents=True)
    work = functools.partial(extract_clip, extraction=extraction, driver=os.getpid())
    tasks = (delayed(work)(index, file, Path(path).read_bytes())     # so a worker needs no disk of ours
             for index, (file, path) in enumerate(zip(clips.file, clips.path)))
    arrays = {}
    try:
        parallel = joblib.Parallel(jobs, return_as="generator_unordered", batch_size=8)
        for index, results in tqdm(parallel(tasks), total=len(clips), desc="features", unit="clip", disable=None):
            for name, value in results.items():
                if name not in arrays:
                    arrays[name] = new_array(tmp_path / f"{name}.npy", value.dtype, (len(clips), *value.shape))
                arrays[name][index] = value
        for array in arrays.values():
            array.flush()
        try:
            os.replace(tmp_path, folder)
        except OSError:
            if not folder.exists():     # else another process was faster, with the same arrays
                raise
    finally:
        shutil.rmtree(tmp_path, ignore_errors=True)


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


def extract_clip(index, file, content, extraction, driver):
    """One clip (the bytes of its file) and its augmented copies -> its index and {array name: (variants, ...)}."""
    ignore_sigint_in_worker(driver)
    y = load_waveform(io.BytesIO(content), **extraction.loading)
    variants = [y]
    for copy in range(1, extraction.n_augmented + 1):
        rng = seeds.generator(extraction.seed, "augment", file, copy)
        variants.append(augment(y, rng, sr=extraction.loading["sr"], **extraction.augmentation))
    with threadpool_limits(1):          # matrix products in one order, whichever process this is
        extracted = [features.extract(variant, extraction.names, **extraction.params) for variant in variants]
    arrays = {"trimmed_seconds": np.float64(len(y) / extraction.loading["sr"])}
    for feature in extraction.names:
        padded = [pad_or_crop(variant[feature], extraction.n_frames) for variant in extracted]
        x, lengths = np.stack([x for x, _ in padded]), np.array([length for _, length in padded])
        if "frames" in features.FEATURES[feature].inputs:
            arrays[f"{feature}-sequences"] = x                                      # (variants, frames, n)
        arrays[f"{feature}-functionals"] = features.functionals(x, lengths)         # (variants, 13 n)
        arrays["lengths"] = lengths                                                 # the same for every feature
    return index, arrays


def main(args):
    import config
    if args.download and not is_complete(args.download):
        download.fetch(args.download)
    corpus = corpora.find_corpus(args.download or corpora.data_dir(args.check, config.DATA_DIR), config.CLASSES)
    print(data_report(corpus, survey(corpus.clips, config.CACHE_DIR)))


def is_complete(folder):
    """Whether all clips of RAVDESS are there."""
    return len(corpora.scan_ravdess(folder)[0]) == corpora.RAVDESS_CLIPS


if __name__ == "__main__":
    run_command("data_preprocessing.py", main, ARGUMENTS)
