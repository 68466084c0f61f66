"""Sound files in, waveforms out: read and checked, resampled, trimmed."""
import re

import numpy as np
import soundfile

from ser.errors import UserError

MIN_SECONDS = 0.1               # about one frame: anything shorter is a mistake
SAMPLE_RATE_LIMITS = (1000, 1_000_000)          # Hz; what lies outside is a wrong header
MAX_AMPLITUDE = 2.0**31         # full scale is 1; more than any whole number that sound is kept in
SILENCE_PEAK = 1e-4             # full scale is 1: a clip that stays under this (-80 dBFS) holds no speech


def read_audio(path):
    """Any file libsndfile reads, checked: float32 mono (samples,), full scale 1, and its rate in Hz.

    raises : UserError (without the file's name) for audio that cannot be trained on
    """
    try:
        with soundfile.SoundFile(path) as sound:
            samples = sound.read(dtype="float32", always_2d=True).mean(axis=1)      # (samples,)
            # A size of 2^32 - 1 means that the writer could not know it: a stream.
            truncated = re.search(r"^data : (?!4294967295 ).*should be", sound.extra_info, re.MULTILINE)
            rate = sound.samplerate
    except UnicodeError as problem:
        raise UserError("its name is not UTF-8; rename it") from problem
    except (soundfile.LibsndfileError, OSError) as problem:
        raise UserError(f"not readable as audio ({str(problem).rsplit(': ', 1)[-1]})") from problem
    if len(samples) == 0:
        raise UserError("empty: no samples")
    if not SAMPLE_RATE_LIMITS[0] <= rate <= SAMPLE_RATE_LIMITS[1]:
        raise UserError(f"has a sample rate of {rate} Hz, which cannot be right")
    if len(samples) < MIN_SECONDS * rate:
        raise UserError(f"too short: {len(samples) / rate:.3f} s, at least {MIN_SECONDS} s are needed")
    if truncated:
        raise UserError("truncated: the header promises more samples than the file holds")
    if not np.isfinite(samples).all():
        raise UserError("holds values that are not finite numbers")
    if np.abs(samples).max() > MAX_AMPLITUDE:
        raise UserError(f"holds values up to {np.abs(samples).max():.0e}, where full scale is 1")
    if np.abs(samples).max() < SILENCE_PEAK:
        raise UserError("silent: no sample above -80 dBFS")
    return samples, rate


def load_waveform(path, *, sr, trim_db, peak_normalise):
    """A file (its path, or open), read for the features: float32 (samples,) at `sr` Hz, mono, its ends trimmed."""
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
