"""A small synthesised corpus, named and foldered like RAVDESS, to run the project without a download.

    python -m ser.demo_corpus FOLDER        writes FOLDER/Actor_01/03-01-05-01-02-01-01.wav and so on

Each clip is a seven-syllable, speech-like sound that carries an emotion in its pitch, rate, level and voice
quality. **It is not speech: no number obtained on it says anything about real voices.** It serves the demo
and the tests, and is made to be learnable but not trivial.

The synthesis is source and filter [1]: a train of glottal pulses and breath noise (the source) goes through
resonances that glide from vowel to vowel (the filter), laid out as in a formant synthesiser [2]. The cues of
each emotion go the way that listening studies report [3, 4]; the levels are near those of RAVDESS.

[1] Fant, G. (1960). Acoustic Theory of Speech Production.
[2] Klatt, D. H. (1980). Software for a cascade/parallel formant synthesizer. JASA 67(3).
[3] Banse, R. & Scherer, K. R. (1996). Acoustic profiles in vocal emotion expression. JPSP 70(3).
[4] Juslin, P. N. & Laukka, P. (2003). Communication of emotions in vocal expression and music performance.
    Psychological Bulletin 129(5).
[5] Peterson, G. E. & Barney, H. L. (1952). Control methods used in a study of the vowels. JASA 24(2).
"""
import argparse
import io
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from scipy import signal
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

from ser import seeds
from ser.errors import run_command
from ser.files import write_atomically


class Cues(NamedTuple):
    """How a clip is spoken: one row per emotion below, and one of spreads to add to it."""
    pitch: float    # mean F0, semitones over the speaker's base
    range: float    # from an unstressed to a stressed syllable, semitones
    slope: float    # F0 from the first to the last syllable, semitones (negative: falling)
    rate: float     # syllables per second
    level: float    # peak, dBFS
    tilt: float     # fall of the voice's spectrum after the lips, dB per octave (large: soft, small: pressed)
    clarity: float  # voice over breath noise before the resonances, dB (small: breathy)
    tremor: float   # wobble of F0 at 6 Hz, semitones
    jitter: float   # irregularity of the pulses, per cent of a period (large: rough)


# In the order of the codes 01 to 08 in a file name.
EMOTIONS = {   #         pitch range slope rate level tilt clarity tremor jitter
    "neutral":   Cues(   0.0,  3.0,   -2,  5.5,  -25,  7.0,   22,    0.1,   0.6),
    "calm":      Cues(  -1.5,  2.0,   -2,  5.0,  -30,  9.0,   14,    0.1,   0.6),
    "happy":     Cues(   5.0,  8.0,    0,  6.2,  -16,  5.0,   24,    0.2,   0.8),
    "sad":       Cues(   0.5,  2.0,   -4,  4.8,  -25,  8.5,   14,    0.6,   1.2),
    "angry":     Cues(   4.0,  6.0,   -4,  6.2,   -9,  3.5,   18,    0.1,   2.0),
    "fearful":   Cues(   7.0,  3.0,    0,  6.8,  -14,  5.5,   15,    0.8,   1.8),
    "disgust":   Cues(  -2.0,  5.0,   -5,  4.9,  -20,  5.5,   16,    0.2,   3.0),
    "surprised": Cues(   6.0,  8.0,    7,  5.6,  -19,  7.5,   19,    0.1,   0.7),
}
# Standard deviation from clip to clip. Larger: a harder task.
SPREAD = Cues(pitch=1.3, range=1, slope=1, rate=0.25, level=2.5, tilt=0.8, clarity=2.5, tremor=0.1,
              jitter=0.3)
STRENGTH = {1: 1.0, 2: 1.3}  # intensity code -> how far the cues go from neutral, 1: as in the table

VOWELS = {"I": (390, 1990, 2550), "a": (730, 1090, 2440), "o": (570, 840, 2410), "e": (530, 1840, 2480),
          "u": (640, 1190, 2390)}  # formants 1 to 3 of men, Hz [5]
UPPER_FORMANTS = (3500, 4500, 5500, 6500, 7500)  # of every vowel, Hz: those of a 17.5 cm tube [1]
# Statement code -> syllables: vowel, stress (0 to 1), noise of the consonant before it (0 to 1).
STATEMENTS = {
    1: (("I", 1.0, 0.9), ("a", 0.2, 0.3), ("o", 0.9, 1.0), ("I", 0.1, 0.6),   # kids are talking
        ("a", 0.5, 0.1), ("u", 0.0, 0.2), ("o", 0.8, 0.4)),                   # by the door
    2: (("o", 1.0, 0.3), ("a", 0.2, 0.5), ("I", 0.9, 1.0), ("e", 0.1, 0.8),   # dogs are sitting
        ("a", 0.5, 0.1), ("u", 0.0, 0.2), ("o", 0.8, 0.4)),
}
SAMPLE_RATE = 24_000  # Hz; half of RAVDESS's, and not the project's own, so that resampling takes part


def synthesise(emotion, *, rng, statement=1, intensity=1, base_hz=120.0, formant_scale=1.0,
               sample_rate=SAMPLE_RATE):
    """One clip of `emotion` (a name in EMOTIONS): float32 (samples,), about 1 to 2 s, peak below 1.

    base_hz is the speaker's F0 at rest (in Hz); formant_scale stretches the formants (1: man, 1.17: woman).
    All chance comes from `rng`, a NumPy generator.
    """
    cues = draw_cues(emotion, intensity, rng)
    vowels, stress, onsets = zip(*STATEMENTS[statement], strict=True)
    count = len(vowels)
    n = next_fast_len(round(sample_rate * count / cues.rate))  # a length that the FFT likes: 20 times faster
    edges = np.append(0, np.cumsum(rng.uniform(0.8, 1.2, count) + 0.3 * np.array(stress)))
    where = np.interp(np.arange(n) / n, edges / edges[-1], np.arange(count + 1))  # (n,) syllables so far
    accent = np.interp(where - 0.5, np.arange(count), np.array(stress) - 0.5 + rng.normal(0, 0.15, count))

    semitones = cues.pitch + cues.range * accent + cues.slope * (where / count - 0.5)
    semitones += cues.tremor * np.sin(2 * np.pi * (6 * np.arange(n) / sample_rate + rng.random()))
    voice = glottal_pulses(base_hz * np.exp2(semitones / 12), cues.jitter, cues.tilt, sample_rate, rng)
    breath = 10 ** (-cues.clarity / 20) * rng.normal(size=n)
    loudness = np.abs(np.sin(np.pi * where)) * np.exp2(accent)                    # (n,) 6 dB more on stress
    formants = np.array([VOWELS[v] + UPPER_FORMANTS for v in vowels]).T * formant_scale  # (8, syllables)
    speech = resonate((voice + breath) * loudness, formants, where - 0.5, sample_rate)

    # A consonant is a puff of noise around a syllable's start, without the low frequencies.
    edge = np.round(where).astype(int)                                            # (n,) the nearest start
    puff = np.append(onsets, 0)[edge] * np.exp(-(((where - edge) / 0.12) ** 2))
    hiss = signal.lfilter(*signal.butter(2, 2500 * formant_scale, "high", fs=sample_rate), rng.normal(size=n))
    speech = speech / np.abs(speech).max() + 0.05 * puff * hiss

    before, after = rng.uniform(0.05, 0.2, 2) * sample_rate                       # silence, samples
    clip = np.pad(speech, (int(before), int(after)))
    clip *= 10 ** (min(cues.level, -1) / 20) / np.abs(clip).max()
    return np.clip(clip + rng.normal(0, 1e-4, len(clip)), -1, 1).astype(np.float32)  # the room: -80 dBFS


def draw_cues(emotion, intensity, rng):
    """The Cues of one clip: the emotion's, moved away from neutral by the intensity, plus chance."""
    neutral, meant = np.array(EMOTIONS["neutral"]), np.array(EMOTIONS[emotion])
    chance = np.array(SPREAD) * rng.normal(size=len(SPREAD))
    return Cues(*neutral + STRENGTH[intensity] * (meant - neutral) + chance)


def glottal_pulses(f0, jitter, tilt, sample_rate, rng):
    """Pulses of unit RMS that follow f0 (n,) in Hz; jitter in per cent, tilt in dB per octave. (n,)"""
    n = len(f0)
    cycles = np.cumsum(f0) / sample_rate                                          # (n,) periods so far
    at = np.interp(np.arange(1, cycles[-1]), cycles, np.arange(n))                # (pulses,) in samples
    at = np.clip(at + rng.normal(0, 1, len(at)) * jitter / 100 * sample_rate / f0[at.astype(int)], 0, n - 2)
    first = at.astype(int)                       # a pulse between two samples is shared between both
    train = np.bincount(first, first + 1 - at, n) + np.bincount(first + 1, at - first, n)
    hz = rfftfreq(n, 1 / sample_rate)
    slope = np.maximum(hz, 100) ** (-tilt / 6.02) * hz**2 / (hz**2 + 60**2)       # 6.02 dB: a factor of two
    voice = irfft(rfft(train) * slope, n)
    return voice / np.sqrt(np.mean(voice**2))


def resonate(x, formants, where, sample_rate):
    """x (n,) through a cascade of resonances, as gains on an STFT (20 ms windows, 10 ms apart). (n,)

    formants (resonances, vowels) in Hz; where (n,): the vowel spoken, 0 for the first, fractions between two.
    """
    length = sample_rate // 100 * 2
    hz, seconds, spectrum = signal.stft(x, sample_rate, nperseg=length)
    where = where[np.minimum((seconds * sample_rate).astype(int), len(x) - 1)]    # (frames,)
    hz = hz[:, None]
    power = np.ones(spectrum.shape)                                               # (bins, frames)
    for formant in formants:
        f = np.interp(where, np.arange(len(formant)), formant)                    # (frames,)
        bandwidth = 60 + f / 25
        power *= f**4 / ((f**2 - hz**2) ** 2 + (bandwidth * hz) ** 2)
    return signal.istft(spectrum * np.sqrt(power), sample_rate, nperseg=length)[1][:len(x)]


def speaker(actor, seed):
    """F0 at rest (in Hz) and formant scale of an actor; an even number is a woman, as in RAVDESS."""
    base_hz, scale = (200.0, 1.17) if actor % 2 == 0 else (115.0, 1.0)
    high, long = seeds.generator(seed, "demo", f"actor {actor}").normal(size=2)
    return base_hz * 2 ** (1.5 * high / 12), scale * (1 + 0.03 * long)


def write_corpus(folder, *, actors=4, repetitions=1, intensities=(1, 2), sample_rate=SAMPLE_RATE, seed=42):
    """Write the corpus into folder/Actor_*/ as 16-bit WAV and return its paths, sorted.

    Actors 1 to `actors` (at most 24), repetitions 1 to `repetitions` (at most 2), all emotions, both
    statements; neutral in normal intensity only. The default is 120 clips. A clip depends on the seed, its
    name and the sample rate alone. One that is already there is kept: use a folder for one seed and rate.
    """
    if not (1 <= actors <= 24 and 1 <= repetitions <= 2 and set(intensities) <= set(STRENGTH)):
        raise ValueError(f"no such corpus: {actors=} (of 1 to 24), {repetitions=} (1, 2), {intensities=}")
    paths = []
    for actor, (code, emotion), intensity, statement, repetition in product(
            range(1, actors + 1), enumerate(EMOTIONS, start=1), intensities, STATEMENTS,
            range(1, repetitions + 1)):
        if emotion == "neutral" and intensity != 1:
            continue
        name = "-".join(f"{field:02d}" for field in (3, 1, code, intensity, statement, repetition, actor))
        path = Path(folder) / f"Actor_{actor:02d}" / f"{name}.wav"
        paths.append(path)
        if path.exists():
            continue
        base_hz, formant_scale = speaker(actor, seed)
        clip = synthesise(emotion, rng=seeds.generator(seed, "demo", name), statement=statement,
                          intensity=intensity, base_hz=base_hz, formant_scale=formant_scale,
                          sample_rate=sample_rate)
        sound = io.BytesIO()                   # so that a full disk is an OSError, not one of libsndfile's
        soundfile.write(sound, clip, sample_rate, subtype="PCM_16", format="WAV")
        with write_atomically(path) as tmp_path:        # whole or absent: a clip that is there is complete
            tmp_path.write_bytes(sound.getvalue())
    return sorted(paths)


def main(args):
    print(f"{len(write_corpus(args.folder))} synthesised clips in {args.folder}: not speech, no real results")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m ser.demo_corpus", description="Write the clips of --demo.")
    parser.add_argument("folder")
    run_command("ser.demo_corpus", main, parser.parse_args())
