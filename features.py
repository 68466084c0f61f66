"""Waveform in, features out: pure functions, no files, no configuration.

    y (samples,)  --power_spectrogram-->  (frames, 1 + n_fft/2)  --mel--> --mfcc-->  (frames, n)
                                                                 --gauss---------->  (frames, n)
                                          any of the three       --functionals---->  (13 n,)

frames = 1 + samples // hop_length; frame t is centred on sample t * hop_length. One short-time Fourier
transform per clip serves all features: `extract` is the way in. A new feature is a function of a `Clip` and
its row in FEATURES.
"""
import functools
import pkgutil
from typing import NamedTuple

import librosa
import numpy as np

FUNCTIONALS = ("mean", "std", "max", "min", "median", "skewness", "kurtosis",
               "p10", "p25", "p75", "p90", "range", "iqr")
PERCENTILES = (10, 25, 50, 75, 90)
AMIN = 1e-10            # floor under a power before its logarithm: -100 dB
WARP_KNEE = 0.8         # share of the band that is warped evenly
ROWS_AT_ONCE = 256      # clips in memory while a scaler is fitted


class Clip:
    """What the features of one clip are made of; what several of them need is computed once.

    y      : float (samples,), mono, sampled at params["sr"] (in Hz)
    warp   : factor on the frequencies of its spectrum, see `warp_frequencies`
    params : dict of sr, n_fft, hop_length (samples), n_mels, n_mfcc, n_gauss, n_gauss_coefficients, fmin, fmax (Hz),
             top_db (dB), mean_subtraction (share); and encoder, of features that need one (study/encoder.py)
    """
    def __init__(self, y, warp=1.0, **params):
        self.y, self.warp, self.params = y, warp, params

    def picked(self, *names):
        """{name: value} of some of the params."""
        return {name: self.params[name] for name in names}

    @functools.cached_property
    def power(self):
        """float32 (frames, 1 + n_fft/2), see `power_spectrogram`."""
        return warp_frequencies(power_spectrogram(self.y, **self.picked("n_fft", "hop_length")), self.warp)

    @functools.cached_property
    def mel(self):
        """dB (frames, n_mels), see `mel_spectrogram`."""
        return mel_spectrogram(self.power, **self.picked("sr", "n_mels", "fmin", "fmax", "top_db"))


def mfcc(clip):
    """Mel-frequency cepstral coefficients: float32 (frames, n_mfcc)."""
    return subtract_mean(cepstrum(clip.mel, clip.params["n_mfcc"]), clip.params["mean_subtraction"])


def mel(clip):
    """Mel spectrogram: float32 (frames, n_mels), dB re full scale, less a share of each band's mean."""
    return subtract_mean(clip.mel, clip.params["mean_subtraction"])


def gauss(clip):
    """Gaussian filterbank cepstra: float32 (frames, n_gauss_coefficients)."""
    x = gaussian_cepstrum(clip.power, n_filters=clip.params["n_gauss"],
                          n_coefficients=clip.params["n_gauss_coefficients"],
                          **clip.picked("sr", "fmin", "fmax", "top_db"))
    return subtract_mean(x, clip.params["mean_subtraction"])


def all_three(clip):
    """MFCC, mel spectrogram and Gaussian cepstra side by side: float32 (frames, sum of their columns)."""
    return np.concatenate([mfcc(clip), mel(clip), gauss(clip)], axis=1)


class Feature(NamedTuple):
    """A row of FEATURES."""
    function: object        # Clip -> float (frames, n); or "module:name" of a function whose module is slow to import
    label: str              # in figures and reports
    axis: str               # what its n columns are
    cepstral: bool = False  # whether `cepstral_weights` falls with the column
    inputs: tuple = ("frames", "functionals")       # models with another input (config.MODELS) leave it out
    statistics: tuple = FUNCTIONALS                 # of each column, that its functionals are
    step: tuple | None = None       # (Hz, samples): rate of its frames; None: sr and hop_length of the params
    encoder: bool = False           # whether it is the output of a pretrained encoder (study/encoder.py)


FEATURES = {
    "mfcc":  Feature(mfcc,      "MFCC",                  "coefficient", cepstral=True),
    "mel":   Feature(mel,       "Mel spectrogram",       "band"),
    "gauss": Feature(gauss,     "Gaussian cepstra",      "coefficient", cepstral=True),
    "all":   Feature(all_three, "MFCC + mel + Gaussian", "column", inputs=("functionals",)),
    "whisper": Feature("study.encoder:whisper", "Whisper encoder", "unit", inputs=("functionals",),
                       statistics=("mean", "std"), step=(16_000, 320), encoder=True),
    "whisper_frames": Feature("study.encoder:whisper_frames", "Whisper encoder, frames", "unit", inputs=("frames",),
                              step=(16_000, 640), encoder=True),
}


def extract(y, names, warp=1.0, **params):
    """Some features of one clip: float (samples,) -> {name: float32 (frames, n)}; `warp`, `params` as in `Clip`."""
    clip = Clip(y, warp, **params)
    return {name: feature_function(name)(clip) for name in names}


def feature_function(name):
    """The function of a row of FEATURES."""
    function = FEATURES[name].function
    return pkgutil.resolve_name(function) if isinstance(function, str) else function


def frame_seconds(name, params):
    """Seconds from one frame of a feature to the next."""
    rate, samples = FEATURES[name].step or (params["sr"], params["hop_length"])
    return samples / rate


def n_frames(name, seconds, params):
    """Frames of a feature in so many seconds of sound."""
    rate, samples = FEATURES[name].step or (params["sr"], params["hop_length"])
    return 1 + int(seconds * rate) // samples


def power_spectrogram(y, *, n_fft, hop_length):
    """Squared magnitude of the short-time Fourier transform, Hann window, zero-padded at both ends.

    y : float (samples,) -> float32 (frames, 1 + n_fft/2), frames = 1 + samples // hop_length
    """
    spectrum = librosa.stft(np.asarray(y, np.float32), n_fft=n_fft, hop_length=hop_length, win_length=n_fft,
                            window="hann", center=True, pad_mode="constant")    # (bins, frames)
    return (spectrum.real**2 + spectrum.imag**2).T


def warp_frequencies(power, factor):
    """What is at a frequency moves to `factor` times it, as in a vocal tract that is shorter by that factor: (frames,
    bins) -> the same shape.

    Up to WARP_KNEE of the band; above, the map bends so that the band's upper edge stays where it is. Vocal-tract
    length perturbation: Jaitly & Hinton, "Vocal tract length perturbation (VTLP) improves speech recognition", 2013.
    """
    if factor == 1:
        return power
    to = np.linspace(0, 1, power.shape[1])                                      # of the band
    knee = WARP_KNEE * min(1, 1 / factor)
    origin = np.interp(to, [0, knee * factor, 1], [0, knee, 1]) * (power.shape[1] - 1)      # bins, with fractions
    below = np.minimum(origin.astype(int), power.shape[1] - 2)
    share = (origin - below).astype(power.dtype)
    return power[:, below] * (1 - share) + power[:, below + 1] * share


def subtract_mean(x, share):
    """A share of each column's mean over time is taken off: (frames, n) -> the same shape.

    Share 1 is cepstral mean subtraction (Atal, 1974): microphone and voice are in that mean, and so are level and
    something of the emotion.
    """
    return x - share * x.mean(axis=0) if share else x


def mel_spectrogram(power, *, sr, n_mels, fmin, fmax, top_db):
    """Power spectrogram -> mel spectrogram in dB re full scale: (frames, bins) -> (frames, n_mels).

    Slaney's mel scale and area-normalised triangular filters, as librosa's defaults.
    """
    return power_to_db(power @ mel_filters(sr, 2 * (power.shape[1] - 1), n_mels, fmin, fmax).T, top_db)


def gaussian_cepstrum(power, *, sr, n_filters, n_coefficients, fmin, fmax, top_db):
    """Gaussian filterbank cepstra: (frames, bins) -> (frames, n_coefficients).

    Gaussian filters on the power spectrum, decibels, then a DCT over the *filter* axis, so the MFCC
    with its triangles exchanged. Neighbouring Gaussians overlap more than triangles and keep the
    correlation between neighbouring bands. Chakroborty & Saha, "Improved text-independent speaker
    identification using fused MFCC and IMFCC feature sets based on Gaussian filter", 2009.
    """
    filters = gaussian_filters(sr, 2 * (power.shape[1] - 1), n_filters, fmin, fmax)
    return cepstrum(power_to_db(power @ filters.T, top_db), n_coefficients)


def cepstrum(decibels, n_coefficients):
    """The first coefficients of the orthonormal DCT-II over the band axis: (frames, bands) -> (frames, n)."""
    import scipy.fft
    return scipy.fft.dct(decibels, type=2, norm="ortho", axis=1)[:, :n_coefficients]


def power_to_db(power, top_db):
    """10 log10 of a power, with a floor `top_db` below the clip's largest value (None: no such floor)."""
    level = 10 * np.log10(np.maximum(power, AMIN))
    return level if top_db is None else np.maximum(level, level.max() - top_db)


def cepstral_weights(feature, n, decay):
    """Weight of each column of a feature after standardisation: float (n,), root mean square 1.

    Coefficient k of a cepstrum weighs exp(-k / decay), in the manner of liftering (Juang et al., "On the use of
    bandpass liftering in speech recognition", 1987); the columns of other features, or with decay None, weigh the same.
    """
    if not FEATURES[feature].cepstral or decay is None:
        return np.ones(n)
    falling = np.exp(-np.arange(n) / decay)
    return falling / np.sqrt(np.mean(falling**2))


@functools.lru_cache(maxsize=8)
def mel_filters(sr, n_fft, n_mels, fmin, fmax):
    """Triangular mel filters (Slaney): float32 (n_mels, 1 + n_fft/2)."""
    return librosa.filters.mel(sr=sr, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, htk=False, norm="slaney")


@functools.lru_cache(maxsize=8)
def gaussian_filters(sr, n_fft, n_filters, fmin, fmax):
    """Gaussian filters with mel-spaced centres: float32 (n_filters, 1 + n_fft/2), peak gain 1 at the centre.

    exp(-0.5 ((f - centre) / (band / 2))^2), where band (in Hz) is the distance to the next centre: at a
    neighbour's centre the gain is exp(-2) = 0.14, where a triangle has 0. The form and the width are
    those of SpeechBrain's Gaussian filterbank. The width never falls under the spacing of the bins, so
    that the lowest filters cannot slip between the bins of the transform.
    """
    centres = librosa.mel_frequencies(n_filters + 2, fmin=fmin, fmax=fmax, htk=False)      # Hz
    band = np.maximum(np.diff(centres)[1:], sr / n_fft)                                    # (n_filters,) Hz
    frequency = np.fft.rfftfreq(n_fft, 1 / sr)                                             # (bins,) Hz
    distance = (frequency - centres[1:-1, None]) / (band[:, None] / 2)                     # (n_filters, bins)
    return np.exp(-0.5 * distance**2).astype(np.float32)


def functionals(x, lengths, statistics=FUNCTIONALS):
    """Statistics of every column over each clip's real frames.

    x : float (clips, frames, n), padded at the end with anything; lengths : int (clips,), real frames, >= 1
    statistics : some of FUNCTIONALS, in any order
    returns : float32 (clips, statistics x n), n columns for each statistic in turn

    Standard deviation, skewness and kurtosis are the population's (divided by the number of frames);
    kurtosis is Fisher's (0 for a Gaussian); skewness and kurtosis of a constant column are 0.
    Percentiles are interpolated linearly, as NumPy does.
    """
    x, lengths = np.asarray(x, np.float64), np.asarray(lengths)
    clips, frames, n = x.shape
    mask = np.arange(frames)[:, None] < lengths[:, None, None]                  # (clips, frames, 1), True if real
    count = lengths[:, None].astype(float)                                      # (clips, 1)

    mean = np.where(mask, x, 0).sum(axis=1) / count                             # (clips, n)
    deviation = np.where(mask, x - mean[:, None], 0)
    square = deviation * deviation
    variance, third, fourth = (power.sum(axis=1) / count for power in (square, square * deviation, square * square))
    std = np.sqrt(variance)
    varies = std > 1e-7 * (1 + np.abs(mean))            # anything less is rounding, not speech
    scale = np.where(varies, std, 1)
    skewness = np.where(varies, third / scale**3, 0)
    kurtosis = np.where(varies, fourth / scale**4 - 3, 0)

    columns = dict(mean=mean, std=std, skewness=skewness, kurtosis=kurtosis)
    if set(statistics) - set(columns):
        ascending = np.sort(np.where(mask, x, np.inf), axis=1)                  # padding goes last
        p10, p25, median, p75, p90 = (percentile(ascending, lengths, p) for p in PERCENTILES)
        low, high = ascending[:, 0], percentile(ascending, lengths, 100)
        columns |= dict(max=high, min=low, median=median, p10=p10, p25=p25, p75=p75, p90=p90, range=high - low,
                        iqr=p75 - p25)
    return np.concatenate([columns[name] for name in statistics], axis=1).astype(np.float32)


def percentile(ascending, lengths, p):
    """The p-th percentile of the first `lengths` rows: (clips, frames, n) sorted -> (clips, n)."""
    position = (lengths - 1) * p / 100                                          # (clips,)
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, lengths - 1)
    clip, share = np.arange(len(lengths)), (position - below)[:, None]
    return (1 - share) * ascending[clip, below] + share * ascending[clip, above]


# -- frames of equal number, columns of equal size ---------------------------------------------------
def pad_or_crop(x, frames):
    """(any, n) -> (frames, n) and its real frames: zeros added at the end, or the middle kept."""
    start = max(0, (len(x) - frames) // 2)
    x = x[start:start + frames]
    return np.pad(x, ((0, frames - len(x)), (0, 0))), len(x)


def fit_scaler(x, lengths=None, rows=None, weights=None):
    """Mean of each column over the real frames of the *training clips*, and its standard deviation over its weight.

    x       : (clips, frames, n) with lengths (clips,), or (clips, n) without; may be memory-mapped, as it is read in
              pieces
    rows    : int, the training clips; None: all of them
    weights : (n,), of each column (`cepstral_weights`), or of the n columns that 13 n functionals are of; None: all 1
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
    """(x - mean) / std, and exactly 0 in padded frames, which is how the networks recognise them."""
    x = (x - mean) / std
    if lengths is not None:
        x[np.arange(x.shape[1]) >= lengths[:, None]] = 0
    return x
