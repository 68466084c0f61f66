"""Trained models as one object that answers: label, probabilities, notes.

    from predict import Recogniser

    recogniser = Recogniser.load()                          the model that comes with the project
    recogniser = Recogniser.load("results/default")         the best model of a run; or the folder of a fit
    answer = recogniser.predict("clip.wav")                 or predict(samples, sr=16000)
    answer.label, answer.probabilities, answer.unsure, answer.notes
    for answer in recogniser.predict_windows("talk.wav", window=3, hop=1):
        print(answer.start, answer.end, answer.label)

It keeps no state between answers: threads may share one. predict.py and app.py answer by it.
"""
from copy import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ser.errors import UserError
from ser.names import printable
from ser.recording import open_recording, sound_of_array
from ser.settings import PROJECT, home_folder
from study import inference, ready
from study.segments import NOTES_SEPARATOR, load_segments, segment_recording


class Answer(NamedTuple):
    """What the models say of a recording, or of a part of it."""
    file: str                   # its path; "array"
    start: float                # s
    end: float
    label: str                  # the most probable emotion; "pause" or "no speech" where there is no speech
    probabilities: dict         # {emotion: 0 to 1}; empty where there is no speech
    confidence: float | None    # the largest of them; None where there is no speech
    unsure: bool                # of such validation clips fewer than two in three were right
    notes: tuple                # (text, ...): what makes the answer doubtful, whatever it is

    def as_dict(self):
        """For JSON: {file, start, end, label, confidence, unsure, probabilities, note}."""
        probabilities = {label: round(p, 6) for label, p in self.probabilities.items()}
        confidence = None if self.confidence is None else round(self.confidence, 6)
        return dict(file=printable(self.file), start=self.start, end=self.end, label=self.label, confidence=confidence,
                    unsure=self.unsure, probabilities=probabilities, note=NOTES_SEPARATOR.join(self.notes))


class Recogniser:
    """Models that answer together.

    labels : (emotion, ...), the order of the columns of a table
    """

    def __init__(self, weights):
        """weights : {folder of a fit: weight in the mean}. raises : UserError"""
        self.folders = [Path(folder) for folder in weights]
        self.models = [inference.load_model(*item) for item in weights.items()]
        self.labels = inference.common_labels(self.models)
        self.calibration = inference.calibrate({Path(folder): weight for folder, weight in weights.items()})
        self.specs = inference.input_specs(self.models)

    @classmethod
    def load(cls, folder=None, ensemble=False):
        """folder   : of a run (its best model by inner validation) or of a fit; None: the model that comes with the
                   project. A relative one may begin in the working folder, in $SER_HOME or in the project
        ensemble : of a run, the mean of the models of every fold's ensemble
        raises   : UserError
        """
        if folder is None:
            if ensemble:
                raise UserError("ensemble=True needs the folder of a run: Recogniser.load(\"results/default\", True)")
            return cls({ready.ready_model(): 1.0})
        folder = find_folder(folder)
        is_run = (folder / "config.json").exists()
        if ensemble and not is_run:
            raise UserError(f"{folder}: no run (config.json is missing), so there is no ensemble")
        return cls(inference.select_models(folder, ensemble) if is_run else {folder: 1.0})

    def predict(self, sound, sr=None):
        """The Answer on a recording: the mean over all of its speech.

        sound  : path of a sound file; or samples (n,) or (n, channels), floats of full scale 1 or whole numbers
        sr     : of samples, their rate in Hz
        raises : UserError, which is a ValueError, for sound that cannot be used
        """
        return self.answers(self.segments(sound, sr))[0]

    def predict_windows(self, sound, sr=None, window=3.0, hop=1.0):
        """[Answer, ...] of windows of `window` seconds, `hop` apart; else as `predict`."""
        return self.answers(self.segments(sound, sr, window, hop))

    # -- the same in steps, for many files -----------------------------------------------------------
    def segments(self, sound, sr=None, window=None, hop=1.0):
        """A recording as the models take it, see study/segments.py. raises : UserError"""
        if sr is not None:
            return segment_recording("array", open_recording(sound_of_array(sound, sr)), self.specs, window, hop)
        if isinstance(sound, np.ndarray | list | tuple):
            raise UserError("samples need their rate: predict(samples, sr=16000)")
        segments = load_segments(Path(sound), self.specs, window, hop)
        if "problem" in segments[0]:
            raise UserError(f"{printable(segments[0]['file'])}: {segments[0]['problem']}")
        return segments

    def table(self, segments):
        """A row per segment, a DataFrame: file, start, end, label, confidence, unsure, p_<label> ..., note."""
        return inference.predict_segments(segments, self.models, self.labels, self.calibration)

    def answers(self, segments):
        """[Answer, ...], one per segment."""
        return self.as_answers(self.table(segments))

    def as_answers(self, table):
        """Rows of `table` as [Answer, ...]."""
        demo = (inference.DEMO_MODEL,) if any(map(inference.is_demo, self.folders)) else ()
        answers = []
        for row, p in zip(table.itertuples(), table[[f"p_{label}" for label in self.labels]].to_numpy()):
            is_speech = bool(np.isfinite(p[0]))
            answers.append(Answer(row.file, row.start, row.end, row.label,
                                  dict(zip(self.labels, map(float, p))) if is_speech else {},
                                  float(row.confidence) if is_speech else None, bool(row.unsure) and is_speech,
                                  tuple(filter(None, row.note.split(NOTES_SEPARATOR))) + demo))
        return answers

    def adapted_to(self, segments):
        """A Recogniser adapted to the one speaker of these segments, where its models were trained for that."""
        other = copy(self)
        other.models = inference.adapt_models(self.models, segments)
        return other

    @property
    def can_adapt(self):
        """Whether any model was trained with --adapt speaker."""
        return any(model.metadata["speaker_mean"] is not None for model in self.models)


def find_folder(folder):
    """The folder of a run or a fit: from the working folder, else from $SER_HOME, else from the project.

    raises : UserError
    """
    for start in (Path(), home_folder(), PROJECT):
        if (start / folder).is_dir():
            return start / folder
    raise UserError(f"{folder}: no such folder; a run of train.py is results/NAME, a model that comes with the project "
                    "ready/NAME")
