"""A recording of any length, read piece by piece: in memory where it is short, from its file where it is long.

    recording = open_recording("talk.wav")
    recording.seconds, recording.peak, recording.clipped_fraction
    y = recording.read(12.0, 15.0)          mono (samples,), without constant offset

An hour at 48 kHz in stereo would be 1.4 GB; a long file is looked through once, then read where it is needed.
"""
import io
from dataclasses import dataclass

import numpy as np
import soundfile

from ser.audio import (
    amplitude_note,
    channel_note,
    channel_powers,
    check_length,
    check_silence,
    check_values,
    mix_weights,
    open_sound,
    read_channels,
    to_mono,
    weighted_sum,
    weights_of_channels,
    without_offset,
)
from ser.errors import UserError
from ser.formats import LONGEST_SECONDS, readable_source

LONG_SECONDS = 120          # longer files are not kept in memory
BLOCK_SAMPLES = 2**20       # of all channels together, at a time
CLIPPING_LEVEL = 0.999      # full scale is 1


class ArrayRecording:
    """A waveform in memory: float (samples,) at `rate` Hz; clipped_fraction: of the samples of the file; notes [text,
    ...]: what is odd about the file."""

    def __init__(self, y, rate, clipped_fraction=0.0, notes=()):
        self.y, self.rate, self.seconds, self.peak = y, rate, len(y) / rate, float(np.abs(y).max())
        self.clipped_fraction, self.notes = clipped_fraction, list(notes)

    def read(self, start, end):
        """From `start` to `end`, in seconds: (samples,)."""
        return self.y[round(start * self.rate):round(end * self.rate)]

    def envelope(self, columns):
        """Lowest and highest sample of equal pieces of the recording: two arrays (about columns,)."""
        step = max(1, len(self.y) // columns)
        pieces = self.y[:len(self.y) // step * step].reshape(-1, step)
        return pieces.min(axis=1), pieces.max(axis=1)


@dataclass(frozen=True)
class FileRecording:
    """A file that is read where it is needed; by `open_recording`. Its methods raise UserError if it is gone."""
    file: object                # its path, or an open file
    rate: int
    n_samples: int
    offset: np.ndarray          # (channels,), the mean of each
    weights: np.ndarray         # (channels,), of each in the mono sound
    peak: float
    clipped_fraction: float
    notes: list                 # [text, ...]: what is odd about the file

    @property
    def seconds(self):
        return self.n_samples / self.rate

    def read(self, start, end):
        """From `start` to `end`, in seconds: (samples,)."""
        first, last = round(start * self.rate), min(round(end * self.rate), self.n_samples)
        with open_sound(self.file) as sound:
            sound.seek(first)
            return self.mono(sound.read(last - first, dtype="float32", always_2d=True))

    def mono(self, channels):
        return weighted_sum(channels - self.offset, self.weights)

    def envelope(self, columns):
        """As ArrayRecording's."""
        step = max(1, self.n_samples // columns)
        with open_sound(self.file) as sound:
            pieces = (self.mono(block) for block in sound.blocks(step, dtype="float32", always_2d=True))
            limits = [(piece.min(), piece.max()) for piece in pieces]               # one piece in memory at a time
        low, high = np.array(limits).T
        return low, high


def open_recording(file, longest=LONGEST_SECONDS, in_memory=False):
    """An ArrayRecording or FileRecording of an audio file (its path, or open), checked as `read_audio` checks it.

    longest   : in seconds; a longer one is refused before it is read
    in_memory : an ArrayRecording, however long
    raises    : UserError (without the file's name)
    """
    try:
        source, note = readable_source(file, longest)
    except OSError as problem:
        raise UserError(f"not readable as audio ({problem.strerror})") from problem
    notes = [note] if note else []
    with open_sound(source) as sound:
        seconds = sound.frames / max(1, sound.samplerate)
    if seconds > longest:
        raise UserError(f"{seconds:.0f} s long; at most {longest} s are taken here")
    return scan_file(source, notes) if seconds > LONG_SECONDS and not in_memory else read_recording(source, notes)


def sound_of_array(samples, rate):
    """Samples (n,) or (n, channels) at `rate` Hz as an open WAV file, so that they take the way of any other sound.

    samples : floats of full scale 1, or whole numbers, whose full scale is that of their type; raises : UserError
    """
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or not any(np.issubdtype(samples.dtype, kind) for kind in (
            np.floating, np.signedinteger)):
        raise UserError(f"samples of shape {samples.shape} and type {samples.dtype}; needed are (n,) or (n, channels), "
                        "floats or signed whole numbers")
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        raise UserError(f"samples of shape {samples.shape}; (n, channels) is needed, so transpose them")
    if not float(rate).is_integer() or not 0 < rate < 2**31:
        raise UserError(f"a sample rate of {rate} Hz; a whole number is needed")
    if np.issubdtype(samples.dtype, np.integer):
        samples = samples / np.float32(np.iinfo(samples.dtype).max)
    file = io.BytesIO()
    soundfile.write(file, samples.astype(np.float32), int(rate), format="WAV", subtype="FLOAT")
    file.seek(0)
    return file


def read_recording(file, notes=()):
    """The ArrayRecording of an audio file (its path, or open). raises : UserError"""
    channels, rate = read_channels(file)
    clipped, loudest = float(count_clipped(channels).max() / len(channels)), float(np.abs(channels).max())
    centred = without_offset(channels)
    odd = [amplitude_note(loudest), channel_note(channel_powers(centred), weights_of_channels(centred))]
    return ArrayRecording(to_mono(channels), rate, clipped, [*notes, *filter(None, odd)])


def count_clipped(channels):
    """Samples at full scale of each channel: (samples, channels) -> int (channels,)."""
    return np.sum(np.abs(channels) >= CLIPPING_LEVEL, axis=0)


def scan_file(file, notes=()):
    """The FileRecording of a long file, looked through once, block by block."""
    with open_sound(file) as sound:
        check_length(sound.frames, sound)
        n, total, squares = 0, 0, 0
        low, high, clipped = np.full(sound.channels + 1, np.inf), np.full(sound.channels + 1, -np.inf), 0
        for block in sound.blocks(BLOCK_SAMPLES // sound.channels, dtype="float32", always_2d=True):
            check_values(block)
            mean = block.mean(axis=1, keepdims=True)
            every = np.concatenate([block, mean], axis=1, dtype=np.float64)             # (samples, channels + 1)
            n, total, squares = n + len(block), total + every.sum(axis=0), squares + np.square(every).sum(axis=0)
            low, high = np.minimum(low, every.min(axis=0)), np.maximum(high, every.max(axis=0))
            clipped = clipped + count_clipped(block)
        check_length(n, sound)
        offset = total / n                                                              # (channels + 1,)
        power = squares / n - offset**2
        weights = mix_weights(power[:-1], power[-1])
        used = -1 if weights.max() == weights.min() else weights.argmax()
        peak = float(max(high[used] - offset[used], offset[used] - low[used]))
        check_silence(peak)
        odd = [amplitude_note(float(max(high.max(), -low.min()))), channel_note(power[:-1], weights)]
        return FileRecording(file, sound.samplerate, n, np.float32(offset[:-1]), weights, peak,
                             float(clipped.max() / n), [*notes, *filter(None, odd)])
