"""Is it speech? A rule on three facts of a spectrogram, for sound that a classifier of emotions should not answer.

    is_speech(y, rate)          False for noise, tones, hum, music of plain tones, clicks

Speech comes in syllables: its level rises and falls by more than 9 dB, its spectrum changes its shape from sound to
sound, and does so at a speed between that of music and of clicks. Measured on RAVDESS, altered RAVDESS and synthesised
sound: EXPERIMENTS.md. WebRTC's detector of voice activity takes loud noise and music for speech there.
"""
import numpy as np

RATE, N_FFT, HOP, N_MELS, BAND = 16_000, 512, 160, 40, (100, 4000)      # Hz, samples, samples, bands, Hz
RANGE_DB = 60                   # what lies further below the loudest is not looked at
LOUD_DB = 30                    # frames within this of the loud ones (95th percentile) are looked at
MIN_LEVEL_RANGE = 9             # dB, 10th to 95th percentile of the frames
MIN_SHAPE = 3.5                 # dB, standard deviation over time of a band beside the mean of all bands
FLUX_LIMITS = (1.9, 6)          # dB a band and frame (10 ms)


def is_speech(y, rate):
    """Whether a waveform, float (samples,) at `rate` Hz, at least 0.1 s, sounds like speech: bool."""
    level_range, shape, flux = spectral_facts(y, rate)
    return level_range >= MIN_LEVEL_RANGE and shape >= MIN_SHAPE and FLUX_LIMITS[0] <= flux <= FLUX_LIMITS[1]


def spectral_facts(y, rate):
    """Range of the level, change of the spectrum's shape, change from frame to frame, all in dB; see the constants."""
    import librosa
    import soxr
    y = soxr.resample(np.asarray(y, np.float32), rate, RATE) if rate != RATE else y
    power = librosa.feature.melspectrogram(y=y, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, fmin=BAND[0],
                                           fmax=BAND[1])                                    # (bands, frames)
    bands, level = decibels(power), decibels(power.sum(axis=0))
    bands = bands[:, level > np.percentile(level, 95) - LOUD_DB]
    shape = np.mean(np.std(bands - bands.mean(axis=0), axis=1))
    flux = np.mean(np.abs(np.diff(bands, axis=1))) if bands.shape[1] > 1 else 0.0
    return np.percentile(level, 95) - np.percentile(level, 10), shape, flux


def decibels(power):
    level = 10 * np.log10(power + 1e-12)
    return np.maximum(level, level.max() - RANGE_DB)
