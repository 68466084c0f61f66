"""A network in LiteRT's format, which answers without TensorFlow: its import takes longer than many an answer.

    compiled = compile_model("model.tflite")
    compiled(x) -> probabilities (1, n_classes) of one clip, (1, frames, n) or (1, 13 n)

The file is made by study/export.py and gives the probabilities of the Keras model within 1e-5.
"""
import threading

import numpy as np

from ser.switches import quiet_libraries

FILE = "model.tflite"


def compile_model(path):
    """The function that a .tflite file computes, on one thread. raises : OSError, ValueError"""
    from ai_edge_litert.interpreter import Interpreter
    try:
        with quiet_libraries:
            interpreter = Interpreter(model_content=path.read_bytes(), num_threads=1)
            interpreter.allocate_tensors()
        (given,), (asked,) = interpreter.get_input_details(), interpreter.get_output_details()
    except RuntimeError as problem:
        raise ValueError(f"{path.name} is damaged ({str(problem).splitlines()[0]})") from problem

    alone = threading.Lock()                # the interpreter keeps what it is given between the three calls

    def run(x):
        with alone:
            interpreter.set_tensor(given["index"], x)
            interpreter.invoke()
            return interpreter.get_tensor(asked["index"])
    return run


class LiteRTNetwork:
    """What `study.networks.NetworkEnsemble` learnt, for predictions alone; see fitting.Estimator."""

    def __init__(self, compiled):
        self.compiled = compiled

    def predict_proba(self, x, lengths=None):
        """Standardised clips, (clips, frames, n) or (clips, 13 n) -> probabilities (clips, n_classes)."""
        return np.concatenate([self.compiled(clip[None]) for clip in np.asarray(x, np.float32)])

    @classmethod
    def load(cls, folder):
        """The network in the model.tflite of a folder. raises : OSError, ValueError"""
        return cls(compile_model(folder / FILE))
