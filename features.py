"""Waveform in, features out: pure functions, no files, no configuration.

    y (samples,)  --power_spectrogram-->  (frames, 1 + n_fft/2)  --mel--> --mfcc-->  (frames, n)
                                                                 --gauss---------->  (frames, n)
                                          any of the three       --functionals---->  (13 n,)

frames = 1 + samples // hop_length; frame t is centred on sample t * hop_length. One short-time Fourier
transform per clip serves all three features: `extract` is the way in.
"""
import functools

import librosa
import numpy as np
import scipy.fft

NAMES = ("mfcc", "mel", "gauss")
CEPSTRA = ("mfcc", "gauss")
FUNCTIONALS = ("mean", "std", "max", "min", "median", "skewness", "kurtosis",
               "p10", "p25", "p75", "p90", "range", "iqr")
PERCENTILES = (10, 25, 50, 75, 90)
AMIN = 1e-10          # added to nothing, only a floor under the logarithm: -100 dB


def extract(y, *, sr, n_fft, hop_length, n_mels, n_mfcc, n_gauss, n_gauss_coefficients, fmin, fmax, top_db):
    """All features of one clip.

    y : float (samples,), mono, sampled at `sr` (in Hz)
    returns : {"mfcc": (frames, n_mfcc), "mel": (frames, n_mels) in dB,
               "gauss": (frames, n_gauss_coefficients)}, float32
    """
    power = power_spectrogram(y, n_fft=n_fft, hop_length=hop_length)            # (frames, bins)
    mel = mel_spectrogram(power, sr=sr, n_mels=n_mels, fmin=fmin, fmax=fmax, top_db=top_db)
    return {
        "mfcc": cepstrum(mel, n_mfcc),
        "mel": mel,
        "gauss": gaussian_cepstrum(power, sr=sr, n_filters=n_gauss, n_coefficients=n_gauss_coefficients,
                                   fmin=fmin, fmax=fmax, top_db=top_db),
    }


def power_spectrogram(y, *, n_fft, hop_length):
    """Squared magnitude of the short-time Fourier transform, Hann window, zero-padded at both ends.

    y : float (samples,) -> float32 (frames, 1 + n_fft/2), frames = 1 + samples // hop_length
    """
    spectrum = librosa.stft(np.asarray(y, np.float32), n_fft=n_fft, hop_length=hop_length, win_length=n_fft,
                            window="hann", center=True, pad_mode="constant")    # (bins, frames)
    return (spectrum.real**2 + spectrum.imag**2).T


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
    return scipy.fft.dct(decibels, type=2, norm="ortho", axis=1)[:, :n_coefficients]


def power_to_db(power, top_db):
    """10 log10 of a power, with a floor `top_db` below the clip's largest value (None: no such floor)."""
    level = 10 * np.log10(np.maximum(power, AMIN))
    return level if top_db is None else np.maximum(level, level.max() - top_db)


def cepstral_weights(feature, n, lifter):
    """What each column of a feature counts, once it varies as much as any other: float (n,), root mean square 1.

    Coefficient k of a cepstrum counts exp(-k / lifter), in the manner of liftering (Juang et al., "On the use of
    bandpass liftering in speech recognition", 1987); mel bands, or None for a lifter, count alike.
    """
    if feature not in CEPSTRA or lifter is None:
        return np.ones(n)
    falling = np.exp(-np.arange(n) / lifter)
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


def functionals(x, lengths):
    """Thirteen statistics of every column over each clip's real frames.

    x : float (clips, frames, n), padded at the end with anything; lengths : int (clips,), real frames, >= 1
    returns : float32 (clips, 13 n), the statistics in the order of FUNCTIONALS, n columns each

    Standard deviation, skewness and kurtosis are the population's (divided by the number of frames);
    kurtosis is Fisher's (0 for a Gaussian); skewness and kurtosis of a constant column are 0.
    Percentiles are interpolated linearly, as NumPy does.
    """
    x, lengths = np.asarray(x, np.float64), np.asarray(lengths)
    clips, frames, n = x.shape
    real = np.arange(frames)[:, None] < lengths[:, None, None]                  # (clips, frames, 1)
    count = lengths[:, None].astype(float)                                      # (clips, 1)

    mean = np.where(real, x, 0).sum(axis=1) / count                             # (clips, n)
    deviation = np.where(real, x - mean[:, None], 0)
    square = deviation * deviation
    variance, third, fourth = (power.sum(axis=1) / count for power in (square, square * deviation, square * square))
    std = np.sqrt(variance)
    varies = std > 1e-7 * (1 + np.abs(mean))            # anything less is rounding, not speech
    scale = np.where(varies, std, 1)
    skewness = np.where(varies, third / scale**3, 0)
    kurtosis = np.where(varies, fourth / scale**4 - 3, 0)

    ascending = np.sort(np.where(real, x, np.inf), axis=1)                      # padding goes last
    p10, p25, median, p75, p90 = (percentile(ascending, lengths, p) for p in PERCENTILES)
    low, high = ascending[:, 0], percentile(ascending, lengths, 100)
    columns = (mean, std, high, low, median, skewness, kurtosis, p10, p25, p75, p90, high - low, p75 - p25)
    return np.stack(columns, axis=1).reshape(clips, len(FUNCTIONALS) * n).astype(np.float32)


def percentile(ascending, lengths, p):
    """The p-th percentile of the first `lengths` rows: (clips, frames, n) sorted -> (clips, n)."""
    position = (lengths - 1) * p / 100                                          # (clips,)
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, lengths - 1)
    clip, share = np.arange(len(lengths)), (position - below)[:, None]
    return (1 - share) * ascending[clip, below] + share * ascending[clip, above]
