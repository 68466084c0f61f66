"""What trained models answer on one recording, or on the last seconds of a microphone: for a page, all in memory.

    answer, threshold, windows = answer_recording("talk.wav", open_recording(file), {folder: weight})
    answer.label, answer.probabilities

Several people may ask at once: models are loaded once and only read, one answer is computed at a time, and nothing of a
recording outlives its answer.
"""
import base64
import functools
import threading
from typing import NamedTuple

import numpy as np
import pandas as pd

from ser.audio import without_offset
from ser.errors import UserError
from ser.recording import ArrayRecording
from study.recogniser import Answer, Recogniser
from study.segments import PAUSE, one_per_window, segment_recording

LIVE_SECONDS = 3.0              # of the microphone that an answer is from; as long as most clips of training
MIN_RATE, MAX_RATE = 3000, 192_000      # Hz
LIVE_MIN_SECONDS = 1.0          # before the first answer
LIVE_SILENCE = 1e-3             # largest sample (full scale is 1) of what is a pause, however loud the rest of it is
LOADED = 4                      # choices of models that stay in memory
ONE_AT_A_TIME = threading.Lock()    # a model is loaded once, and one answer has the processor


class PageAnswer(NamedTuple):
    """What some models say of a recording, and of its windows."""
    answer: Answer              # see study/recogniser.py
    threshold: float            # of the confidence: below, an answer is unsure
    windows: pd.DataFrame       # start, end, speech_seconds (s), label, confidence, unsure, p_<emotion> ...: their
    #                             mean, weighted by their seconds of speech, has the probabilities of `answer`


@functools.lru_cache(maxsize=LOADED)
def load_recogniser(weights):
    """The Recogniser of a tuple of (folder, weight). raises : UserError"""
    return Recogniser(dict(weights))


def answer_recording(name, recording, weights):
    """The PageAnswer on a recording (ser/recording.py) by models that answer together, {folder: weight}.

    raises : UserError
    """
    with ONE_AT_A_TIME:
        recogniser = load_recogniser(tuple(weights.items()))
        (whole,) = segment_recording(name, recording, recogniser.specs)
        table = recogniser.table([whole, *one_per_window(whole)])
    (answer,) = recogniser.as_answers(table[:1])
    windows = table[1:].drop(columns=["file", "note"]).reset_index(drop=True)
    windows.insert(2, "speech_seconds", [window.speech_seconds for window in whole["windows"]])
    return PageAnswer(answer, recogniser.calibration.threshold, windows)


# -- the microphone --------------------------------------------------------------------------------
def read_microphone(text):
    """The last seconds of a microphone, as a browser sends them (ser/page_scripts.py): float32 (samples,), full scale
    1, and their rate in Hz. raises : UserError"""
    try:
        rate, encoded = text.split()
        rate, n = int(rate), len(encoded) * 3 // 8          # samples, a few more where the text is padded
        if not (MIN_RATE <= rate <= MAX_RATE and n <= LIVE_SECONDS * rate + 2):
            raise ValueError(f"{n} samples at {rate} Hz")
        y = np.frombuffer(base64.b64decode(encoded, validate=True), "<i2") / np.float32(32768)
    except ValueError as problem:
        raise UserError(f"not the sound of a microphone ({problem})") from problem
    return y, rate


def answer_live(y, rate, weights):
    """The PageAnswer on the last seconds of a microphone; None where they are too few yet. raises : UserError"""
    if len(y) < LIVE_MIN_SECONDS * rate:
        return None
    y = without_offset(y[:, None])[:, 0]
    if np.abs(y).max() < LIVE_SILENCE:
        pause = Answer("microphone", 0.0, len(y) / rate, PAUSE, {}, None, False, ())
        return PageAnswer(pause, 0.0, pd.DataFrame())
    return answer_recording("microphone", ArrayRecording(y, rate), weights)
