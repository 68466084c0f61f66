"""Models in other formats: their answers are Keras's, for all four networks."""
import shutil
import subprocess
import sys

import numpy as np
import pytest
from commands import HANG_SECONDS, ROOT, run

import config
from ser.errors import UserError
from study import export, inference, litert
from study.segments import load_segments

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("form", export.EXPORT_FILES)
@pytest.mark.parametrize("model_name", [name for name, row in config.MODELS.items() if row.is_network])
def test_answers_are_those_of_keras(model_name, form, demo, tmp_path):
    if form == "onnx":
        pytest.importorskip("tf2onnx")
    folder = tmp_path / model_name
    shutil.copytree(demo[0] / f"results/demo/fits/mfcc-{model_name}-fold0", folder)
    model = inference.load_model(folder)
    path, difference = export.export(folder, form)
    assert path == folder / export.EXPORT_FILES[form] and difference < export.TOLERANCE
    clip = next((demo[0] / "cache/demo-corpus").rglob("*.wav"))             # and on a real input, not a random one
    x, length = load_segments(clip, inference.input_specs([model]))[0]["windows"][0].inputs[model.input_key]
    x, lengths = model.standardise(x[None], np.array([length])), np.array([length])
    expected = model.predict_proba(x, lengths)
    answers = {"litert": litert.compile_model, "onnx": export.onnx}[form](path)(x)
    assert np.abs(answers - expected).max() < export.TOLERANCE
    if form == "litert":                                                    # and that is what answers from now on
        light = inference.load_model(folder)
        assert isinstance(light.estimator, litert.LiteRTNetwork)
        assert np.abs(light.predict_proba(np.repeat(x, 3, axis=0), lengths) - expected).max() < export.TOLERANCE


def test_only_networks_can_be_exported(demo):
    with pytest.raises(UserError, match="mfcc-dtw-fold0: no model.keras there"):
        export.export(demo[0] / "results/demo/fits/mfcc-dtw-fold0", "litert")


def test_the_command(demo, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(demo[0] / "results/demo/fits/mfcc-mlp-fold0", folder)
    done = run("predict.py", "--export", "litert", "--model", folder, cwd=tmp_path)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert "model.tflite: " in done.stdout and (folder / "model.tflite").stat().st_size > 10_000


def test_answers_without_tensorflow(demo, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(demo[0] / "results/demo/fits/mfcc-mlp-fold0", folder)
    export.export(folder, "litert")
    clip = next((demo[0] / "cache/demo-corpus").rglob("*.wav"))
    program = f"""if True:
        import sys
        sys.argv = ["predict.py"]
        import predict
        predict.main(predict.parse(["{clip}", "--model", "{folder}"]))
        assert "tensorflow" not in sys.modules and "keras" not in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
                          timeout=HANG_SECONDS)
    assert done.returncode == 0 and clip.name in done.stdout, done.stderr


def test_a_damaged_file_is_one_clear_line(demo, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(demo[0] / "results/demo/fits/mfcc-mlp-fold0", folder)
    (folder / "model.tflite").write_bytes(b"half")
    with pytest.raises(UserError, match="no usable model"):
        inference.load_model(folder)


def test_other_answers_are_refused_and_nothing_is_written(demo, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    shutil.copytree(demo[0] / "results/demo/fits/mfcc-mlp-fold0", folder)
    monkeypatch.setattr(litert, "compile_model", lambda path: lambda x: np.full((1, 8), 0.125))
    with pytest.raises(UserError, match="other probabilities than Keras"):
        export.export(folder, "litert")
    assert not list(folder.glob("*.tflite"))
