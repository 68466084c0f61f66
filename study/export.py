"""A saved model in formats that run without Keras: LiteRT (phones, boards) and ONNX (most other runtimes).

`python predict.py --export litert` is the command. The file lies beside the model.keras that it was made from and takes
the same input: one clip, (1, frames, n) or (1, 13 n), standardised as preprocessing.json says. It is kept only if its
probabilities equal Keras's.
"""
import numpy as np

from ser.errors import UserError
from ser.files import write_atomically
from ser.settings import install_command
from ser.switches import quiet_libraries
from study import litert
from study.inference import NETWORK_FILE

EXPORT_FILES = {"litert": litert.FILE, "onnx": "model.onnx"}
TOLERANCE = 1e-5                # of a probability: float32 sums in another order differ by some 1e-7
REAL_FRACTIONS = (1, 0.5, 0.1)  # of the frames of the clips that are compared; the rest is padding


def export(folder, form):
    """Write folder/model.tflite or folder/model.onnx. -> its path, largest difference of a probability to Keras's

    raises : UserError
    """
    if not (folder / NETWORK_FILE).exists():
        raise UserError(f"{folder}: no {NETWORK_FILE} there, and only networks can be exported")
    from study import networks  # here, since it imports TensorFlow
    from study.backend import keras
    network = networks.load_network(folder / NETWORK_FILE)
    shape = (1, *network.input_shape[1:])
    with write_atomically(folder / EXPORT_FILES[form]) as tmp_path:
        try:
            with quiet_libraries:
                network.export(tmp_path, format=form, verbose=False,
                               input_signature=[keras.InputSpec(dtype="float32", shape=shape)])
                run = {"litert": litert.compile_model, "onnx": onnx}[form](tmp_path)
        except ImportError as problem:
            raise UserError(f"--export {form} needs more packages ({problem}): "
                            f"{install_command('export')}") from problem
        clips = [random_input(shape, fraction) for fraction in REAL_FRACTIONS]
        difference = max(float(np.abs(run(x) - networks.predict_proba(network, x)).max()) for x in clips)
        if difference > TOLERANCE:
            raise UserError(f"{folder}: {form} gives other probabilities than Keras, by up to {difference:.1e}; "
                            "nothing is written")
    return folder / EXPORT_FILES[form], difference


def random_input(shape, real_fraction):
    """A random standardised input; a fraction of its frames, then zeros."""
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    if x.ndim == 3:
        x[:, int(real_fraction * x.shape[1]):] = 0
    return x


def onnx(path):
    """The function that an .onnx file computes."""
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {session.get_inputs()[0].name: x})[0]
