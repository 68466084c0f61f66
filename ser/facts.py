"""Facts of a recording that decide whether a model has met its like: level, noise, bandwidth, length.

    facts = recording_facts(y, rate)            {"level_dbfs": -31.2, "noise_db": -58.0, "bandwidth_hz": 22100.0}
    known = facts_range(table)                  {"level_dbfs": [-49.0, -20.0], ...} of the clips of a corpus
    notes = outside_range(facts, known)         ["narrow band: nothing above 3.9 kHz, and the training clips ..."]
"""
import numpy as np

from ser.audio import SPEECH_SECONDS, frame_levels, noise_floor, power_mean_db, speech_span

FRAME_SECONDS, STEP_SECONDS = 0.09, 0.023       # of levels
TRIM_DB = 30                    # softer than the loudest frame by this, at the ends: background
MIN_BACKGROUND_SECONDS = 0.25
N_FFT = 2048                    # samples, of the mean spectrum
BAND_DB = 70                    # the band ends where the mean spectrum stays this far below its largest value
PERCENTILES = (0.5, 99.5)       # of the training clips: what lies outside of them by more than the tolerance is noted
TOLERANCE = dict(level_dbfs=3, noise_db=3, bandwidth_hz=500)


def recording_facts(y, rate):
    """level_dbfs   : root mean square of the loudest half second, dB re full scale
    noise_db     : level of the background relative to level_dbfs: of a steady noise, else of the ends before and after
                   speech; NaN where the recording has neither
    bandwidth_hz : where the mean spectrum ends

    y : float (samples,) at `rate` Hz, at least 0.1 s, not all 0
    """
    levels = frame_levels(y, round(FRAME_SECONDS * rate), round(STEP_SECONDS * rate))
    level = power_mean_db(np.sort(levels)[-round(SPEECH_SECONDS / STEP_SECONDS):])
    y = np.pad(y, (0, max(0, N_FFT - len(y))))
    frames = np.lib.stride_tricks.sliding_window_view(y, N_FFT)[::N_FFT // 2] * np.hanning(N_FFT).astype(np.float32)
    power = np.mean(np.abs(np.fft.rfft(frames, axis=1)) ** 2, axis=0)
    last = np.flatnonzero(power > power.max() * 10 ** (-BAND_DB / 10))[-1]
    return dict(level_dbfs=float(level), noise_db=float(background_level(levels) - level),
                bandwidth_hz=float(last * rate / N_FFT))


def background_level(levels):
    """Level of what is behind and around the speech, dB, see `recording_facts`; NaN where there is none."""
    noise = noise_floor(levels)
    if noise is not None:
        return noise
    first, last = speech_span(levels, TRIM_DB)
    around = np.concatenate([levels[:first], levels[last + 1:]])
    return np.median(around) if len(around) * STEP_SECONDS >= MIN_BACKGROUND_SECONDS else np.nan


def facts_range(table):
    """{fact: [lowest, highest]} of the clips of a table with a column for each fact, without the most extreme; of facts
    that any of them has."""
    return {name: [float(value) for value in np.percentile(table[name].dropna(), PERCENTILES)]
            for name in TOLERANCE if table[name].notna().any()}


def outside_range(facts, known):
    """A note on each fact of a recording that lies outside of what is known: [text, ...]."""
    notes = []
    for name, (low, high) in known.items():
        value, tolerance = facts[name], TOLERANCE[name]
        if name == "level_dbfs" and not low - tolerance <= value <= high + tolerance:
            notes.append(f"{'soft' if value < low else 'loud'}: {value:.0f} dBFS, the training clips have {low:.0f} to "
                         f"{high:.0f}")
        if name == "noise_db" and value > high + tolerance:
            notes.append(f"noisy: background {-value:.0f} dB below the speech, in the training clips {-high:.0f} or "
                         "more")
        if name == "bandwidth_hz" and value < low - tolerance:
            notes.append(f"narrow band: nothing above {value / 1000:.1f} kHz, in the training clips up to "
                         f"{low / 1000:.1f} or more")
    return notes
