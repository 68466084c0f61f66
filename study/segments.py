"""Sound in, segments out: what trained models take of a recording, or of each of its windows.

    specs = inference.input_specs(models)
    segments = load_segments("talk.wav", specs)                         one, of the whole recording
    segments = load_segments("talk.wav", specs, window=3, hop=1)        one per window

A waveform passes through the functions that training used. Models know clips of a few seconds: a longer recording is
cut into windows of that length, all of its speech is used, and the windows' answers are averaged.
"""
from typing import NamedTuple

import numpy as np

import features
from ser.audio import FRAME_STEP, frame_levels, prepare_waveform
from ser.errors import UserError
from ser.facts import outside_range, recording_facts
from ser.files import hash_json
from ser.formats import convert_hint
from ser.recording import open_recording
from ser.speech import is_speech
from ser.switches import one_blas_thread

SHORT_SECONDS = 0.5             # after trimming; less than a word
RATE_TOLERANCE = 0.9            # of the highest frequency that a model takes
MAX_CLIPPED_FRACTION = 0.001    # of the samples at full scale, from which on clipping is audible
PAUSE, NO_SPEECH = "pause", "no speech"          # in place of an emotion
MIN_SPEECH_SECONDS = 1.0        # of sound, to tell whether it is speech
PAUSE_DB = 40                   # sound this far below the recording's loudest sample is a pause
FACTS_SECONDS = 60              # of a recording, that its level, noise and band are told from
MAX_LENGTH_RATIO = 1.05         # times the length that a model takes: trimmed sound that is longer is cut into windows
MAX_WHOLE_RATIO = 4             # times that length: what is longer untrimmed is cut at once
BATCH_WINDOWS = 256             # of several recordings, predicted together
NOTES_SEPARATOR = "; "          # in a table; none of the notes has it in itself


class Window(NamedTuple):
    """A piece of a recording, as the models take it."""
    start: float                # s
    end: float
    speech_seconds: float       # its weight
    inputs: dict                # {input_key: (x, real frames)}, x (frames, n) or functionals (statistics x n,)


def load_segments(path, specs, window=None, hop=1.0):
    """One recording -> its segments, see `segment_recording`; or one dict(file, problem) if it cannot be used."""
    name = str(path)
    try:
        recording = open_recording(path)
    except UserError as problem:
        convert = convert_hint(path) if "not readable" in str(problem) and path.suffix.lower() != ".wav" else ""
        return [dict(file=name, problem=f"{problem}{convert}")]
    return segment_recording(name, recording, specs, window, hop)


def segment_recording(name, recording, specs, window=None, hop=1.0):
    """A recording (ser/recording.py) -> [dict(file, start, end (s), note, windows [Window, ...], no_answer), ...].

    One segment for each window of `window` seconds, `hop` apart, or one for the whole. What is no speech has no
    windows, and `no_answer` says what it is. specs : as `inference.input_specs` gives them
    raises : UserError where a long file is gone
    """
    segments, pause_level = [], recording.peak * 10 ** (-PAUSE_DB / 20)
    of_recording = recording_notes(recording, specs, pause_level)
    for start, end in window_bounds(recording.seconds, window, hop):
        windows, seconds, no_answer = cut_windows(recording, start, end, specs, pause_level)
        notes = list(of_recording if windows else recording.notes)
        if windows and seconds < SHORT_SECONDS:
            notes.append(f"very short: {seconds:.1f} s")
        if len(windows) > 1:
            notes.append(f"long: the mean of {len(windows)} windows")
        segments.append(dict(file=name, start=start, end=end, note=NOTES_SEPARATOR.join(notes), windows=windows,
                             no_answer=no_answer))
    return segments


def recording_notes(recording, specs, pause_level):
    """What makes the answers on a recording doubtful, whatever they are: [text, ...]."""
    notes = list(recording.notes)
    highest = min(spec["params"]["fmax"] for spec in specs.values())
    if recording.rate / 2 < RATE_TOLERANCE * highest:
        notes.append(f"sampled at {recording.rate} Hz: no sound above {recording.rate / 2000:g} kHz, and the model "
                     f"takes up to {highest / 1000:g}")
    if recording.clipped_fraction > MAX_CLIPPED_FRACTION:
        notes.append(f"clipped: {recording.clipped_fraction:.1%} of the samples are at full scale")
    found = recording_facts(first_sound(recording, pause_level), recording.rate)
    if recording.rate / 2 < RATE_TOLERANCE * highest:
        found["bandwidth_hz"] = np.inf                  # said already
    outside = [note for spec in specs.values() for note in outside_range(found, spec["training_range"])]
    return notes + list(dict.fromkeys(outside))         # of several models once


def first_sound(recording, pause_level):
    """The first FACTS_SECONDS that are not a pause: (samples,)."""
    starts = np.arange(0, recording.seconds, FACTS_SECONDS)
    parts = (recording.read(start, min(recording.seconds, start + FACTS_SECONDS)) for start in starts)
    return next(part for part in parts if np.abs(part).max() > pause_level)


def cut_windows(recording, start, end, specs, pause_level):
    """Part of a recording as the models take it: [Window, ...], its seconds after trimming (of one window), and PAUSE
    or NO_SPEECH, what it is where there is no window.

    One window where it fits, else windows that overlap by half, without those of pauses.
    """
    model_seconds, no_answer = min(spec["seconds"] for spec in specs.values()), PAUSE
    if end - start <= MAX_WHOLE_RATIO * model_seconds:
        part = recording.read(start, end)
        if np.abs(part).max() <= pause_level:
            return [], 0.0, PAUSE
        if sounds_like_speech(recording, start, end):
            inputs, seconds = model_inputs(part, recording.rate, specs)
            if seconds <= MAX_LENGTH_RATIO * model_seconds:
                return [Window(start, end, seconds, inputs)], seconds, PAUSE
        elif end - start <= model_seconds:
            return [], 0.0, NO_SPEECH
    windows = []
    for first, last in window_bounds(end - start, model_seconds, model_seconds / 2, to_the_end=True):
        part = recording.read(start + first, start + last)
        if np.abs(part).max() <= pause_level:
            continue
        if sounds_like_speech(recording, start + first, start + last):
            windows.append(Window(start + first, start + last, speech_seconds(part, recording.rate, pause_level),
                                  model_inputs(part, recording.rate, specs)[0]))
        else:
            no_answer = NO_SPEECH
    return windows, model_seconds, no_answer


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


def speech_seconds(y, rate, pause_level):
    """Seconds of a waveform (samples,) whose root mean square is above `pause_level`; at least one frame."""
    loud = frame_levels(y) > 20 * np.log10(pause_level)
    return max(1, np.sum(loud)) * FRAME_STEP / rate


def model_inputs(y, rate, specs):
    """A waveform (samples,) at `rate` Hz as the models take it: {key: (x, real frames)}, x (frames, n) or
    (statistics x n,); with its seconds after trimming, of the models that trim least."""
    inputs, clips, extracted, seconds = {}, {}, {}, 0.0
    for key, spec in specs.items():
        settings = hash_json([spec["loading"], spec["params"]])                 # most often the same for all
        if settings not in clips:
            trimmed = prepare_waveform(y, rate, **spec["loading"])
            clips[settings] = features.Clip(trimmed, **spec["params"])
            seconds = max(seconds, len(trimmed) / spec["loading"]["sr"])
        if (settings, spec["feature"]) not in extracted:
            with one_blas_thread:                                               # as in training, to the last digit
                extracted[settings, spec["feature"]] = features.feature_function(spec["feature"])(clips[settings])
        x, length = features.pad_or_crop(extracted[settings, spec["feature"]], spec["n_frames"])
        if spec["input"] == "functionals":
            x = features.functionals(x[None], np.array([length]), features.FEATURES[spec["feature"]].statistics)[0]
        inputs[key] = x, length
    return inputs, seconds


def one_per_window(segment):
    """The windows of a segment as segments: [dict, ...], see `segment_recording`."""
    return [dict(segment, start=window.start, end=window.end, windows=[window]) for window in segment["windows"]]


def count_clips(segments, seconds):
    """How many clips of so many seconds the windows of some segments are worth: each file at least one, and no sound
    twice where windows overlap."""
    of_files = {}
    for segment in segments:
        of_files.setdefault(segment["file"], []).extend((window.start, window.end) for window in segment["windows"])
    return sum(max(1.0, covered(bounds) / seconds) for bounds in of_files.values() if bounds)


def covered(bounds):
    """Length of the union of intervals [(start, end), ...]."""
    total, reached = 0.0, -np.inf
    for start, end in sorted(bounds):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def in_batches(segments, size=BATCH_WINDOWS):
    """Lists of segments with about `size` windows together."""
    batch, n = [], 0
    for segment in segments:
        batch.append(segment)
        n += max(1, len(segment.get("windows", ())))
        if n >= size:
            yield batch
            batch, n = [], 0
    if batch:
        yield batch
