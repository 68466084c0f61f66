"""Clips on disk in, arrays ready for training out: checks, loads, augments, extracts, caches.

    table of clips (ser/corpora.py) --survey--> + duration, level, recording
           --build_features--> one array per feature (clips, variants, frames, n), cached on disk

Variant 0 of a clip is the clip itself, the others are its augmented copies.

    python data_preprocessing.py --download [DIR]      fetch RAVDESS speech (208 MB), then the data report
    python data_preprocessing.py --check [DIR]         the data report alone, with problem files by name
    python data_preprocessing.py --clear-cache         remove the features that no run uses any more
"""
import argparse
from pathlib import Path

from ser.errors import UserError, run_command, with_path_in_error
from ser.settings import home_folder
from ser.signals import follow_driver, install_interrupt_handler

DOWNLOAD_DIR = home_folder() / "ravdess"
MIN_BINS, MAX_SPECTRUM = 3, 10**8        # values of a spectrum: within the filters, and of a whole clip
KINDS = {"sequences": "frames", "functionals": "functionals"}       # arrays of a feature, and the models' input


def parse(arguments=None):
    parser = argparse.ArgumentParser(description="The data report: clips, emotions, actors, what is left out and why.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--check", metavar="PLACE", help="folder with clips, or a CSV of them (default: as train.py)")
    which.add_argument("--download", metavar="DIR", nargs="?", const=DOWNLOAD_DIR, type=Path,
                       help="fetch RAVDESS speech from Zenodo (208 MB) into DIR (default: ravdess/ in the project, "
                       "where train.py finds it), then report")
    which.add_argument("--clear-cache", action="store_true", help="remove the features that no run in RESULTS_DIR uses")
    return parser.parse_args(arguments)


if __name__ == "__main__":          # before the slow imports: --help and a mistyped flag answer at once
    install_interrupt_handler()
    ARGUMENTS = parse()

import contextlib
import functools
import importlib.metadata
import io
import os
import shutil
from dataclasses import asdict, dataclass, replace
from types import SimpleNamespace

import joblib
import numpy as np

import features
from features import pad_or_crop
from ser import alterations, corpora, download, parallel, seeds
from ser.adaptation import centre
from ser.audio import prepare_waveform, read_audio
from ser.cache import cache_report, clear_cache
from ser.files import hash_json
from ser.folders import discard_damaged, new_folder
from ser.identity import code_hash
from ser.processor import is_pinned
from ser.survey import data_report, sound_hash, survey
from ser.switches import one_blas_thread
from ser.terminal import Bar, say
from study.encoder_weights import encoder_params


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
    loading: dict           # sr (Hz), trim_db, level, as `prepare_waveform` takes them
    params: dict            # as features.Clip takes them
    clip_seconds: float     # of each clip, by padding or cropping
    n_augmented: int        # copies of each clip
    augmentation: dict      # stretch_rate, pitch_semitones, noise_snr_db, as `augment` takes them
    vocal_tract_warp: tuple     # (lowest, highest) factor on the frequencies of a copy, see features.warp_frequencies
    alterations: tuple      # rows of ser.alterations.ALTERATIONS: done to some copies, before all else
    seed: int
    encoder: dict | None = None     # of features that need one, see study.encoder_weights
    adapt: str = "none"     # or "speaker": centred by the speaker's own clips, see ser/adaptation.py
    pinned: bool = False    # by ser.processor.pin: other last digits

    def of_feature(self, name):
        """The same for one feature: what decides its arrays, and nothing else."""
        return replace(self, names=(name,), encoder=self.encoder if features.FEATURES[name].encoder else None)

    def params_of(self, name):
        """What features.Clip takes for one feature: dict."""
        return self.params | ({"encoder": self.encoder} if features.FEATURES[name].encoder else {})

    def n_frames(self, name):
        """Frames of a feature."""
        return features.n_frames(name, self.clip_seconds, self.params)


def extraction_params(settings, names):
    """The Extraction of some features under the settings of config.py; looks for the weights of an encoder where one of
    them needs them. raises : UserError"""
    s, fmax = settings, settings.F_MAX or settings.SAMPLE_RATE / 2
    check_spectrum(s, fmax)
    return Extraction(
        names=tuple(names),
        loading=dict(sr=s.SAMPLE_RATE, trim_db=s.TRIM_DB, level=s.LEVEL),
        params=dict(sr=s.SAMPLE_RATE, n_fft=s.N_FFT, hop_length=s.HOP_LENGTH, n_mels=s.N_MELS, n_mfcc=s.N_MFCC,
                    n_gauss=s.N_GAUSS, n_gauss_coefficients=s.N_GAUSS_COEFFICIENTS, fmin=s.F_MIN, fmax=fmax,
                    top_db=s.TOP_DB, mean_subtraction=s.MEAN_SUBTRACTION),
        clip_seconds=s.CLIP_SECONDS, n_augmented=s.N_AUGMENTED,
        augmentation=dict(stretch_rate=s.STRETCH_RATE, pitch_semitones=s.PITCH_SEMITONES, noise_snr_db=s.NOISE_SNR_DB),
        vocal_tract_warp=tuple(s.VOCAL_TRACT_WARP), alterations=tuple(s.ALTERATIONS), seed=s.SEED, adapt=s.ADAPT,
        pinned=is_pinned(),
        encoder=encoder_params(s.ENCODER, s.ENCODER_BLOCKS, s.ENCODER_FRAMES_BLOCK)
        if any(features.FEATURES[name].encoder for name in names) else None)


def check_spectrum(s, fmax):
    """Do the settings that must suit each other do so? raises : UserError"""
    if fmax > s.SAMPLE_RATE / 2:
        raise UserError(f"{s.origin('F_MAX')}: F_MAX = {fmax!r} is above half of SAMPLE_RATE, where there is no sound")
    if s.F_MIN >= fmax:
        raise UserError(f"{s.origin('F_MIN')}: F_MIN = {s.F_MIN!r} is not below F_MAX = {fmax!r}")
    if fmax - s.F_MIN < MIN_BINS * s.SAMPLE_RATE / s.N_FFT:
        raise UserError(f"{s.origin('F_MAX')}: between F_MIN = {s.F_MIN!r} and F_MAX = {fmax!r} there are fewer than "
                        f"{MIN_BINS} values of a spectrum, which are SAMPLE_RATE / N_FFT = "
                        f"{s.SAMPLE_RATE / s.N_FFT:.3g} Hz apart")
    values = s.CLIP_SECONDS * s.SAMPLE_RATE / s.HOP_LENGTH * s.N_FFT / 2
    if values > MAX_SPECTRUM:
        raise UserError(f"{s.origin('HOP_LENGTH')}: the spectrum of a clip would have {values:.0e} values, more than "
                        f"{MAX_SPECTRUM:.0e}: raise HOP_LENGTH, or lower N_FFT, SAMPLE_RATE or CLIP_SECONDS")


def build_features(clips, extraction, cache_dir, jobs=-1, delayed=joblib.delayed):
    """Features of every clip and its augmented copies, from the cache or computed now; each feature is an entry.

    returns : namespace with folders {feature: str}, and memory-mapped float32 arrays
      sequences    {feature: (clips, variants, frames, n)}: variant 0 is the clip itself; padded with 0; of features
                   that models on frames take
      functionals  {feature: (clips, variants, statistics x n)}; of features that models on functionals take
      lengths      {feature: int (clips, variants)}, real frames
      speaker_means {(feature, "frames" or "functionals"): (speakers, columns)}, by which speakers are centred, in the
                   order of their names; empty without adaptation
      trimmed_seconds (clips,)
    An entry that is damaged is made anew; to look costs a second for each 2 GB.
    raises : UserError for a clip that is not the surveyed one any more, OSError
    """
    folders = {name: Path(cache_dir) / f"features-{name}-{features_key(clips, extraction.of_feature(name))}"
               for name in extraction.names}
    for folder in folders.values():
        discard_damaged(folder)
    missing = {name: folder for name, folder in folders.items() if not folder.exists()}
    if missing and extraction.adapt == "speaker":
        plain = build_features(clips, replace(extraction, names=tuple(missing), adapt="none"), cache_dir, jobs, delayed)
        for name, folder in missing.items():
            centre_feature(plain, name, clips.actor, folder)
    elif missing:
        extract_corpus(clips, replace(extraction, names=tuple(missing)), missing, jobs, delayed)
    return open_features(folders)


def open_features(folders):
    """What `build_features` wrote to {feature: folder}, memory-mapped."""
    found = SimpleNamespace(folders={name: str(folder) for name, folder in folders.items()}, sequences={},
                            functionals={}, lengths={}, speaker_means={})
    for name, folder in folders.items():
        arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in folder.glob("*.npy")}
        for kind, input_kind in KINDS.items():
            if input_kind in features.FEATURES[name].inputs:
                getattr(found, kind)[name] = arrays[kind]
            if f"{kind}-speaker_means" in arrays:
                found.speaker_means[name, input_kind] = np.array(arrays[f"{kind}-speaker_means"])
        found.lengths[name], found.trimmed_seconds = arrays["lengths"], arrays["trimmed_seconds"]
    return found


def features_key(clips, extraction):
    """Hash of everything that can change the arrays: sounds, parameters, code and libraries."""
    functions, bound = ["data_preprocessing:extract_clip"], []
    for name in extraction.names:
        row = features.FEATURES[name]
        function = getattr(row.function, "func", row.function)                                  # of a functools.partial
        bound.append([getattr(row.function, "args", ()), getattr(row.function, "keywords", {}), *row[4:]])
        functions.append(function if isinstance(function, str) else f"features:{function.__name__}")
    packages, decisive, speakers = ["librosa", "soxr", "python-stretch"], asdict(extraction), None
    if extraction.alterations:
        packages += ["scipy"]
    if extraction.encoder:
        packages += ["tensorflow", "keras"]
        del decisive["encoder"]["checkpoint"]           # where the weights come from: sha256 says what they are
    if extraction.adapt == "speaker":
        functions += ["data_preprocessing:centre_feature"]
        speakers = clips.actor.astype(str).tolist()
    return hash_json([clips.file.tolist(), clips.sound.tolist(), speakers, decisive,
                      code_hash(*functions, skip=("features:FEATURES", "ser.signals:follow_driver")), bound,
                      [importlib.metadata.version(name) for name in packages]])


def centre_feature(plain, name, speakers, folder):
    """Fill `folder` with a feature of `build_features`, each speaker's clips centred; speakers : Series (clips,)."""
    names = speakers.astype(str).reset_index(drop=True)
    groups = names.groupby(names).indices                               # {speaker: rows}, sorted by name
    with new_folder(folder) as tmp_path:
        for kind, input_kind in KINDS.items():
            if input_kind not in features.FEATURES[name].inputs:
                continue
            x, lengths = getattr(plain, kind)[name], plain.lengths[name] if kind == "sequences" else None
            of_clips = None if lengths is None else lengths[:, 0]
            means = [features.fit_scaler(x[:, 0], of_clips, rows)[0] for rows in groups.values()]
            centred = new_array(tmp_path / f"{kind}.npy", x.dtype, x.shape)
            for mean, rows in zip(means, groups.values()):
                for clip in rows:               # with its copies
                    centred[clip] = centre(x[clip], mean, None if lengths is None else lengths[clip])
            centred.flush()
            np.save(tmp_path / f"{kind}-speaker_means.npy", means)
        for array in ("lengths", "trimmed_seconds"):
            shutil.copy(Path(plain.folders[name]) / f"{array}.npy", tmp_path)


def extract_corpus(clips, extraction, folders, jobs, delayed):
    """Fill {feature: folder} with arrays, clips in parallel, all features of a clip at once."""
    work = functools.partial(extract_clip, extraction=extraction, driver=os.getpid())
    tasks = (delayed(work)(index, file, Path(path).read_bytes(), sound)     # so a worker needs no disk of ours
             for index, (file, path, sound) in enumerate(zip(clips.file, clips.path, clips.sound)))
    arrays = {}
    with contextlib.ExitStack() as stack:
        tmp_paths = {name: stack.enter_context(new_folder(folder)) for name, folder in folders.items()}
        done = parallel.run(tasks, jobs, batch_size=8)
        for index, results in Bar(done, total=len(clips), desc="features"):
            for (feature, array), value in results.items():
                if (feature, array) not in arrays:
                    arrays[feature, array] = new_array(tmp_paths[feature] / f"{array}.npy", value.dtype,
                                                       (len(clips), *value.shape))
                arrays[feature, array][index] = value
        for array in arrays.values():
            array.flush()


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


def extract_clip(index, file, content, sound, extraction, driver):
    """One clip (the bytes of its file) and its augmented copies -> its index and {(feature, array): (variants, ...)}.

    raises : UserError for a clip whose sound is not the one that was surveyed, given by its hash
    """
    follow_driver(driver)
    try:
        recorded, rate = read_audio(io.BytesIO(content))
    except UserError as problem:
        raise UserError(f"{file}: {problem}") from problem
    if sound_hash(recorded, rate) != sound:
        raise UserError(f"{file}: has changed since the clips were surveyed; start again")
    y = prepare_waveform(recorded, rate, **extraction.loading)
    copies = range(1, extraction.n_augmented + 1)
    variants = [y] + [make_copy(recorded, rate, file, copy, extraction) for copy in copies]
    warps = [1.0] + [seeds.generator(extraction.seed, "warp", file, copy).uniform(*extraction.vocal_tract_warp)
                     for copy in copies]
    params = extraction.params | ({"encoder": extraction.encoder} if extraction.encoder else {})
    with one_blas_thread:
        extracted = [features.extract(variant, extraction.names, warp, **params)
                     for variant, warp in zip(variants, warps)]
    arrays = {}
    for feature in extraction.names:
        padded = [pad_or_crop(variant[feature], extraction.n_frames(feature)) for variant in extracted]
        x, lengths = np.stack([x for x, _ in padded]), np.array([length for _, length in padded])
        row = features.FEATURES[feature]
        if "frames" in row.inputs:
            arrays[feature, "sequences"] = x                                        # (variants, frames, n)
        if "functionals" in row.inputs:
            arrays[feature, "functionals"] = features.functionals(x, lengths, row.statistics)   # (variants, columns)
        arrays[feature, "lengths"] = lengths
        arrays[feature, "trimmed_seconds"] = np.float64(len(y) / extraction.loading["sr"])
    return index, arrays


def make_copy(recorded, rate, file, copy, extraction):
    """Copy number `copy` of a clip (samples,) at `rate` Hz: altered, prepared, augmented -> float32 (samples,)."""
    if extraction.alterations:
        recorded = alterations.alter(recorded, rate, extraction.alterations,
                                     lambda name: seeds.generator(extraction.seed, "alter", name, file, copy))
    y = prepare_waveform(recorded, rate, **extraction.loading)
    rng = seeds.generator(extraction.seed, "augment", file, copy)
    return augment(y, rng, sr=extraction.loading["sr"], **extraction.augmentation)


def main(args):
    import config
    if args.clear_cache:
        return say(clear_cache(config.CACHE_DIR, config.RESULTS_DIR))
    if args.download and not is_complete(args.download):
        download.fetch(args.download)
    corpus = corpora.find_corpus(args.download or corpora.data_dir(args.check, config.DATA_DIR), config.CLASSES)
    parts = [data_report(corpus, survey(corpus.clips, config.CACHE_DIR)),
             cache_report(config.CACHE_DIR, config.RESULTS_DIR)]
    say("\n".join(filter(None, parts)))


def is_complete(folder):
    """Whether all clips of RAVDESS are there."""
    return len(corpora.scan_ravdess(folder)[0]) == corpora.RAVDESS_CLIPS


if __name__ == "__main__":
    run_command("data_preprocessing.py", main, ARGUMENTS)
