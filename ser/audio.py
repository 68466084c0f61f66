"""Sound files in, waveforms out: read, checked, freed of a constant offset, resampled, trimmed, brought to a level."""
import contextlib

import numpy as np
import soundfile

from ser.errors import UserError
from ser.formats import readable_source

MIN_SECONDS = 0.1               # about one frame: anything shorter is a mistake
SAMPLE_RATE_LIMITS = (1000, 1_000_000)          # Hz; what lies outside is a wrong header
MAX_AMPLITUDE = 2.0**31         # full scale is 1; more than any whole number that sound is kept in
SILENCE_PEAK = 1e-4             # full scale is 1: a clip that stays under this (-80 dBFS) holds no speech
LOUDEST_FLOAT = 10              # a float file may exceed full scale, by 20 dB at most; whole numbers are far above
SILENT_CHANNEL = 1e-8           # of the power of the loudest channel
MIN_MIX_POWER = 0.3             # of the loudest channel's: a mean of channels with less has lost what they hold
FRAME_LENGTH, FRAME_STEP = 2048, 512            # samples, of levels
NOISE_PERCENTILES, STEADY_DB = (2, 10, 18), 3   # the softest frames are noise where these of their levels are this near
ABOVE_NOISE_DB = 6              # the middle one of these: what is louder is speech
LEAST_TRIM_DB = 15              # below the loudest frame: what is louder than this is never trimmed for noise
SPEECH_LEVEL_DBFS = -26         # root mean square of the loudest half second, as telephony does (ITU-T P.56)
SPEECH_SECONDS = 0.5


def read_audio(path):
    """Any file libsndfile reads, checked: float32 mono (samples,), full scale 1, mean 0, and its rate in Hz.

    raises : UserError (without the file's name) for audio that cannot be trained on
    """
    channels, rate = read_channels(path)
    return to_mono(channels), rate


def read_channels(path):
    """The channels of a file as they are, float32 (samples, channels), and the rate in Hz. raises : as `read_audio`"""
    with open_sound(path) as sound:
        channels = sound.read(dtype="float32", always_2d=True)
        check_length(len(channels), sound)
        check_values(channels)
        return channels, sound.samplerate


@contextlib.contextmanager
def open_sound(file):
    """A soundfile.SoundFile of a path or an open file; what goes wrong with it within the block is a UserError (without
    the file's name)."""
    try:
        with soundfile.SoundFile(readable_source(file).file) as sound:
            yield sound
    except UnicodeError as problem:
        raise UserError("its name is not UTF-8; rename it") from problem
    except (soundfile.LibsndfileError, OSError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        raise UserError(f"not readable as audio ({reason.rsplit(': ', 1)[-1].rstrip('.')}): damaged, cut short or of "
                        "another format") from problem


def check_length(n_samples, sound):
    """raises : UserError for an open file that is empty, too short, or of an impossible rate."""
    rate = sound.samplerate
    if n_samples == 0:
        raise UserError("empty: no samples")
    if not SAMPLE_RATE_LIMITS[0] <= rate <= SAMPLE_RATE_LIMITS[1]:
        raise UserError(f"has a sample rate of {rate} Hz, which cannot be right")
    if n_samples < MIN_SECONDS * rate:
        raise UserError(f"too short: {n_samples / rate:.3f} s, at least {MIN_SECONDS} s are needed")


def check_values(channels):
    """raises : UserError for samples that are no sound."""
    if not np.isfinite(channels).all():
        raise UserError("holds values that are not finite numbers")
    if np.abs(channels).max() > MAX_AMPLITUDE:
        raise UserError(f"holds values up to {np.abs(channels).max():.0e}, where full scale is 1")


def check_silence(peak):
    """raises : UserError where the largest sample is as good as none."""
    if peak < SILENCE_PEAK:
        raise UserError("silent: no sample above -80 dBFS")


def channel_note(powers, weights):
    """What is noted of channels that are not mixed, from `mix_weights`; None where they are."""
    if weights.max() == weights.min():
        return None
    silent = np.flatnonzero(powers < SILENT_CHANNEL * powers.max())
    if len(silent):
        return f"channel {silent[0] + 1} is silent, so channel {weights.argmax() + 1} is used"
    return f"its channels cancel each other, as where one is inverted, so channel {weights.argmax() + 1} is used"


def amplitude_note(peak):
    """What is noted of samples up to `peak`; None where full scale can be 1."""
    return f"samples up to {peak:,.0f} in a file of floats, where full scale is 1" if peak > LOUDEST_FLOAT else None


def to_mono(channels):
    """(samples, channels) -> mono (samples,), freed of constant offsets. raises : UserError where nothing is left"""
    samples = mix_channels(without_offset(channels))
    check_silence(np.abs(samples).max())
    return samples


def without_offset(channels):
    """(samples, channels) -> each channel with mean 0."""
    return channels - channels.mean(axis=0, dtype=np.float64).astype(np.float32)


def mix_channels(channels):
    """(samples, channels) of mean 0 -> mono (samples,), by `mix_weights`."""
    weights = weights_of_channels(channels)
    return weighted_sum(channels, weights) if weights.max() == weights.min() else channels[:, weights.argmax()]


def weighted_sum(channels, weights):
    """(samples, channels), (channels,) -> (samples,); the same digits on every processor, unlike a matrix product."""
    return sum(channel * weight for channel, weight in zip(channels.T, weights))


def weights_of_channels(channels):
    """`mix_weights` of channels in memory, (samples, channels) of mean 0."""
    return mix_weights(channel_powers(channels), np.mean(np.square(channels.mean(axis=1), dtype=np.float64)))


def channel_powers(channels):
    """Mean square of each channel: (samples, channels) -> (channels,)."""
    return np.mean(np.square(channels, dtype=np.float64), axis=0)


def mix_weights(powers, mean_power):
    """Weight of each channel in the mono sound, float32 (channels,): the mean, or the loudest channel alone where the
    mean would lose the sound, because a channel is silent or has the opposite sign.

    powers : (channels,), mean squares; mean_power : of the channels' mean
    """
    if mean_power < MIN_MIX_POWER * powers.max():
        return np.eye(len(powers), dtype=np.float32)[powers.argmax()]
    return np.full(len(powers), 1 / len(powers), np.float32)


def load_waveform(path, *, sr, trim_db, level):
    """A file (its path, or open), read for the features: float32 (samples,), see `prepare_waveform`."""
    return prepare_waveform(*read_audio(path), sr=sr, trim_db=trim_db, level=level)


def prepare_waveform(y, rate, *, sr, trim_db, level):
    """A waveform (samples,) at `rate` Hz -> resampled to `sr` Hz, its ends trimmed, at a level.

    trim_db : see `trim_ends`; None: no trimming
    level   : "recorded"; "peak", the largest sample is 1; "speech", the loudest half second is at SPEECH_LEVEL_DBFS
    """
    import soxr
    if rate != sr:
        y = soxr.resample(y, rate, sr, quality="HQ")
    if trim_db is not None:
        y = trim_ends(y, trim_db)
    if level == "peak":
        y = y / (np.abs(y).max() or 1)      # a codec may leave nothing of a soft clip
    if level == "speech":
        loudest = np.sort(frame_levels(y))[-max(1, round(SPEECH_SECONDS * sr / FRAME_STEP)):]       # dBFS
        y = y * np.float32(10 ** ((SPEECH_LEVEL_DBFS - power_mean_db(loudest)) / 20))
    return y


def trim_ends(y, trim_db):
    """Cut the ends, up to the first and last frame that is speech, see `speech_span`: (samples,) -> (samples,)."""
    first, last = speech_span(frame_levels(y), trim_db)
    return y[first * FRAME_STEP:(last + 1) * FRAME_STEP]


def speech_span(levels, trim_db):
    """First and last frame of speech: what lies within `trim_db` of the loudest frame, and above the noise, since in
    hiss the ends never fall that far. levels : (frames,) in dB
    """
    lowest, noise = levels.max() - trim_db, noise_floor(levels)
    if noise is not None:
        lowest = max(lowest, min(noise + ABOVE_NOISE_DB, levels.max() - LEAST_TRIM_DB))
    first, last = np.flatnonzero(levels >= lowest)[[0, -1]]
    return first, last


def noise_floor(levels):
    """The level of a steady noise behind everything, dB; None where the softest frames differ: they may be speech."""
    low, middle, high = np.percentile(levels, NOISE_PERCENTILES)
    return middle if high - low < STEADY_DB else None


def frame_levels(y, frame_length=FRAME_LENGTH, step=FRAME_STEP):
    """Root mean square of each frame in dBFS: (samples,) -> (1 + samples // step,), centred as in features.py."""
    import librosa
    rms = librosa.feature.rms(y=y, frame_length=frame_length, hop_length=step)[0]
    return 20 * np.log10(np.maximum(rms, 1e-10))


def power_mean_db(levels):
    """The level of the mean power of some levels in dB."""
    return 10 * np.log10(np.mean(10 ** (levels / 10)))
