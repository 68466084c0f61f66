"""Sound in, segments out: what trained models take of a recording, or of each of its windows.

    specs = inference.input_specs(models)
    segments = load_segments("talk.wav", specs)                         one, of the whole recording
    segments = load_segments("talk.wav", specs, window=3, hop=1)        one per window

A waveform passes through the functions that training used. Models know clips of a few seconds: a longer recording is
cut into windows of that length, all of its speech is used, and the windows' answers are averaged.
"""
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

import features
from ser.audio import FRAME_STEP, frame_levels, prepare_waveform
from ser.errors import UserError
from ser.facts import outside_range, recording_facts
from ser.files import hash_json
from ser.recording import open_recording
from ser.speech import is_speech

SHORT_SECONDS = 0.5             # after trimming; less than a word
MAX_CLIPPED_FRACTION = 0.001    # of the samples at full scale, from which on clipping is audible
PAUSE, NO_SPEECH = "pause", "no speech"          # in place of an emotion
MIN_SPEECH_SECONDS = 1.0        # of sound, to tell whether it is speech
PAUSE_DB = 40                   # sound this far below the recording's loudest sample is a pause
FACTS_SECONDS = 60              # of a recording, that its level, noise and band are told from
LONG = 1.05                     # times the length that a model takes: trimmed sound that is longer is cut into windows
MAX_WHOLE = 4                   # times that length: what is longer untrimmed is cut at once
BATCH_SEGMENTS = 256            # in memory


class Window(NamedTuple):
    """A piece of a recording, as the models take it."""
    start: float                # s
    end: float
    speech_seconds: float       # its weight
    inputs: dict                # {input_key: (x, real frames)}, x (frames, n) or functionals (13 n,)


def load_segments(path, specs, window=None, hop=1.0):
    """One recording -> its segments, see `segment_recording`; or one dict(file, problem) if it cannot be used."""
    name = str(path)
    try:
        return segment_recording(name, open_recording(path), specs, window, hop)
    except UserError as problem:
        convert = f"; if it is sound, convert it: ffmpeg -i {name} {path.with_suffix('.wav')}" \
            if "not readable" in str(problem) and path.suffix.lower() != ".wav" else ""
        return [dict(file=name, problem=f"{problem}{convert}")]


def segment_recording(name, recording, specs, window=None, hop=1.0):
    """A recording (ser/recording.py) -> [dict(file, start, end (s), note, windows [Window, ...], otherwise), ...].

    One segment for each window of `window` seconds, `hop` apart, or one for the whole. What is no speech has no
    windows, and `otherwise` says what it is. specs : as `inference.input_specs` gives them
    """
    segments, quiet = [], recording.peak * 10 ** (-PAUSE_DB / 20)
    of_recording = recording_notes(recording, specs)
    for start, end in window_bounds(recording.seconds, window, hop):
        notes = list(of_recording)
        windows, seconds, otherwise = cut_windows(recording, start, end, specs, quiet)
        if windows and seconds < SHORT_SECONDS:
            notes.append(f"very short: {seconds:.1f} s")
        if len(windows) > 1:
            notes.append(f"long: the mean of {len(windows)} windows")
        segments.append(dict(file=name, start=start, end=end, note="; ".join(notes), windows=windows,
                             otherwise=otherwise))
    return segments


def recording_notes(recording, specs):
    """What makes the answers on a recording doubtful, whatever they are: [text, ...]."""
    notes = []
    if recording.clipped_fraction > MAX_CLIPPED_FRACTION:
        notes.append(f"clipped: {recording.clipped_fraction:.1%} of the samples are at full scale")
    heard = recording_facts(recording.read(0, min(recording.seconds, FACTS_SECONDS)), recording.rate)
    found = [note for spec in specs.values() for note in outside_range(heard, spec["known"])]
    return notes + list(dict.fromkeys(found))           # of several models once


def cut_windows(recording, start, end, specs, quiet):
    """Part of a recording as the models take it: [Window, ...], its seconds after trimming (of one window), and PAUSE
    or NO_SPEECH, what it is where there is no window.

    One window where it fits, else windows that overlap by half, without those of pauses. quiet : the level of pauses
    """
    used, otherwise = min(spec["seconds"] for spec in specs.values()), PAUSE
    if end - start <= MAX_WHOLE * used:
        part = recording.read(start, end)
        if np.abs(part).max() <= quiet:
            return [], 0.0, PAUSE
        if not sounds_like_speech(recording, start, end):
            return [], 0.0, NO_SPEECH
        inputs, seconds = model_inputs(part, recording.rate, specs)
        if seconds <= LONG * used:
            return [Window(start, end, seconds, inputs)], seconds, PAUSE
    windows = []
    for first, last in window_bounds(end - start, used, used / 2, to_the_end=True):
        part = recording.read(start + first, start + last)
        if np.abs(part).max() <= quiet:
            continue
        if sounds_like_speech(recording, start + first, start + last):
            windows.append(Window(start + first, start + last, speech_seconds(part, recording.rate, quiet),
                                  model_inputs(part, recording.rate, specs)[0]))
        else:
            otherwise = NO_SPEECH
    return windows, used, otherwise


def sounds_like_speech(recording, start, end):
    """`is_speech` of part of a recording, with what is around it where it is shorter than a second."""
    spare = max(0.0, MIN_SPEECH_SECONDS - (end - start)) / 2
    start = max(0.0, min(start - spare, recording.seconds - MIN_SPEECH_SECONDS))
    return is_speech(recording.read(start, max(end + spare, start + MIN_SPEECH_SECONDS)), recording.rate)


def window_bounds(seconds, window, hop, to_the_end=False):
    """[(start, end), ...] in seconds: the whole, or windows that lie within it (one, if it is shorter than that).

    to_the_end : with one more, if the last of them would end before the recording does
    """
    if not window or seconds <= window:
        return [(0.0, seconds)]
    starts = np.arange(0, seconds - window + 1e-6, hop).tolist()
    if to_the_end and seconds - window - starts[-1] > 1e-3:
        starts.append(seconds - window)
    return [(start, start + window) for start in starts]


def speech_seconds(y, rate, quiet):
    """Seconds of a waveform (samples,) whose level (root mean square) is above `quiet`; at least one frame."""
    loud = frame_levels(y) > 20 * np.log10(quiet)
    return max(1, np.sum(loud)) * FRAME_STEP / rate


def model_inputs(y, rate, specs):
    """A waveform (samples,) at `rate` Hz as the models take it: {key: (x, real frames)}, x (frames, n) or (13 n,);
    with its seconds after trimming."""
    inputs, clips = {}, {}
    for key, spec in specs.items():
        settings = hash_json([spec["loading"], spec["params"]])                 # most often the same for all
        if settings not in clips:
            trimmed = prepare_waveform(y, rate, **spec["loading"])
            clips[settings] = features.Clip(trimmed, **spec["params"])
        with threadpool_limits(1):                                              # as in training, to the last digit
            x = features.feature_function(spec["feature"])(clips[settings])
        x, length = features.pad_or_crop(x, spec["n_frames"])
        if spec["input"] == "functionals":
            x = features.functionals(x[None], np.array([length]), features.FEATURES[spec["feature"]].statistics)[0]
        inputs[key] = x, length
    return inputs, len(trimmed) / spec["loading"]["sr"]


def one_per_window(segment):
    """The windows of a segment as segments: [dict, ...], see `segment_recording`."""
    return [dict(segment, start=window.start, end=window.end, windows=[window]) for window in segment["windows"]]


def in_batches(segments, size=BATCH_SEGMENTS):
    """Lists of up to `size`."""
    batch = []
    for segment in segments:
        batch.append(segment)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
