"""What rooms, microphones and channels do to a recording: pure functions of a waveform, float32 (samples,), full
scale 1.

    reverberated(y, rng, sr, 0.3)   hiss(y, rng, -55)   gain(y, -20)   band_limited(y, sr, 8000)   telephone(y, sr) ...
    alter(y, sr, names, generator)  some of the rows of ALTERATIONS, at random strengths

Used twice: altered copies of training clips (setting ALTERATIONS), and benchmarks/robustness.py.
"""
import numpy as np

PROBABILITY = 0.4                   # of each alteration in a copy
REVERBERATION_SECONDS = (0.1, 1.0)  # RT60
NOISE_DB, SHAPED_NOISE_DB = (10, 50), (10, 30)      # below the level of the whole clip
GAIN_DB = (-30, 10)
RATES = (8000, 11_025, 16_000, 22_050)              # Hz, of recordings with a narrower band
MU = 255                            # of mu-law
MIN_EIGHT_BITS_PEAK = 0.03          # of full scale: four steps of eight bits; of less too little is left
TELEPHONE_RATE = 8000               # Hz
TELEPHONE_BAND = (300, 3400)        # Hz


def band_limited(y, sr, rate):
    """As if recorded at `rate` Hz: nothing above half of it. -> (samples,) at `sr` Hz."""
    import soxr
    return fit_length(soxr.resample(soxr.resample(y, sr, rate, quality="HQ"), rate, sr, quality="HQ"), len(y))


def gain(y, decibels):
    """Louder or softer; what passes full scale is cut off, as a converter does."""
    return np.clip(y * np.float32(10 ** (decibels / 20)), -1, 1)


def offset(y, value):
    """A constant added, a fraction of full scale: as from a converter that is out of balance."""
    return np.clip(y + np.float32(value), -1, 1)


def hiss(y, rng, dbfs):
    """White noise of this level (root mean square, dB re full scale)."""
    return y + np.float32(10 ** (dbfs / 20)) * rng.standard_normal(len(y), dtype=np.float32)


def speech_shaped_noise(y, rng, snr_db):
    """Noise with the long-term spectrum of the clip itself, `snr_db` below it.

    Random phases in place of the clip's own, over its whole length; Dreschler et al., "ICRA noises", 2001, use
    such noise in place of babble.
    """
    spectrum = np.abs(np.fft.rfft(y))
    noise = np.fft.irfft(spectrum * np.exp(2j * np.pi * rng.random(len(spectrum))), len(y))
    return np.float32(y + same_level(noise, y) * 10 ** (-snr_db / 20))


def reverberated(y, rng, sr, seconds, direct_to_reverberant_db=0.0):
    """In a room that takes `seconds` to fall by 60 dB (RT60): the sound itself, then noise that decays.

    Schroeder's model of a diffuse room; the level of the whole is kept. Polack, "La transmission de l'energie sonore
    dans les salles", 1988.
    """
    from scipy.signal import fftconvolve
    time = np.arange(int(seconds * sr)) / sr
    tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    tail[:int(0.002 * sr)] = 0                                  # the nearest wall is a third of a metre away
    tail *= 10 ** (-direct_to_reverberant_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1
    return same_level(fftconvolve(y, tail)[:len(y)], y)


def mu_law(y):
    """Eight bits a sample, in steps that grow with the level (ITU-T G.711, the formula)."""
    compressed = np.sign(y) * np.log1p(MU * np.minimum(np.abs(y), 1)) / np.log1p(MU)
    compressed = np.round(compressed * 127) / 127
    return np.float32(np.sign(compressed) * np.expm1(np.abs(compressed) * np.log1p(MU)) / MU)


def eight_bits(y):
    """Eight bits a sample in equal steps, as old WAV files have."""
    return np.float32(np.round(np.clip(y, -1, 1) * 127) / 127)


def telephone(y, sr):
    """A narrow-band telephone channel: 300 to 3400 Hz, 8000 samples a second, mu-law."""
    import soxr
    from scipy.signal import butter, sosfilt
    narrow = soxr.resample(y, sr, TELEPHONE_RATE, quality="HQ")
    narrow = sosfilt(butter(4, TELEPHONE_BAND, "bandpass", fs=TELEPHONE_RATE, output="sos"), narrow)
    return fit_length(soxr.resample(mu_law(narrow), TELEPHONE_RATE, sr, quality="HQ"), len(y))


# -- at random ----------------------------------------------------------------------------------------
# Rows: (y, rng, sr) -> y, with a strength drawn from the limits above; in the order in which sound meets them.
def random_room(y, rng, sr):
    return reverberated(y, rng, sr, np.exp(rng.uniform(*np.log(REVERBERATION_SECONDS))))


def random_shaped_noise(y, rng, sr):
    return speech_shaped_noise(y, rng, rng.uniform(*SHAPED_NOISE_DB))


def random_hiss(y, rng, sr):
    return hiss(y, rng, level_dbfs(y) - rng.uniform(*NOISE_DB))


def random_gain(y, rng, sr):
    return gain(y, rng.uniform(*GAIN_DB))


def random_band(y, rng, sr):
    return band_limited(y, sr, rng.choice([rate for rate in RATES if rate < sr] or [sr]))


def random_codec(y, rng, sr):
    which = rng.integers(3)
    if which == 0 or which == 1 and np.abs(y).max() < MIN_EIGHT_BITS_PEAK:
        return mu_law(y)
    return eight_bits(y) if which == 1 else telephone(y, sr)


ALTERATIONS = {"room": random_room, "speech_noise": random_shaped_noise, "hiss": random_hiss, "gain": random_gain,
               "band": random_band, "codec": random_codec}


def alter(y, sr, names, generator):
    """Each of the alterations named, with PROBABILITY, in the order of ALTERATIONS: (samples,) -> (samples,).

    generator : name -> random generator, so that which others there are changes nothing
    """
    for name in [name for name in ALTERATIONS if name in names]:
        rng = generator(name)
        if rng.random() < PROBABILITY:
            y = ALTERATIONS[name](y, rng, sr)
    return y


# -- helpers ------------------------------------------------------------------------------------------
def level_dbfs(y):
    """Root mean square in dB re full scale."""
    return 10 * np.log10(np.mean(np.square(y, dtype=np.float64)) + 1e-20)


def same_level(y, reference):
    """y at the root mean square of another waveform."""
    power, wanted = (np.mean(np.square(x, dtype=np.float64)) for x in (y, reference))
    return np.float32(y * np.sqrt(wanted / power)) if power > 0 else np.float32(y)


def fit_length(y, samples):
    """Cut, or padded with zeros at its end: (any,) -> (samples,). Resampling there and back may gain or lose one."""
    return np.pad(y, (0, max(0, samples - len(y))))[:samples]
