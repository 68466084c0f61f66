"""The models that come with the project: which one answers, and when."""
import json
import os
import subprocess
import sys

import pytest
from commands import HANG_SECONDS, ROOT

import config
from ser import corpora
from ser.errors import UserError
from ser.files import write_json
from ser.folders import find_damage
from study import encoder_weights, inference, ready
from study.segments import load_segments


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of ready models, of which only what decides between them is there."""
    encoder = dict(checkpoint="some/encoder", sha256="12")
    for name, params, file in (("mfcc-cnn1d", {}, "model.tflite"),
                               ("whisper-linear", dict(encoder=encoder), "linear.npz"),
                               ("whisper-linear-adapted", dict(encoder=encoder), "linear.npz")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
        (tmp_path / name / "preprocessing.json").write_text(json.dumps(
            {"params": params, "speaker_mean": [0.0] if "adapted" in name else None}))
    monkeypatch.setattr(ready, "FOLDER", tmp_path)
    monkeypatch.delenv("ENCODER_WEIGHTS", raising=False)
    return tmp_path


def test_the_one_on_an_encoder_goes_first_where_its_weights_are(folder, monkeypatch):
    monkeypatch.setattr(ready, "weights_at_hand", lambda *names: names == ("some/encoder", "12"))
    assert ready.ready_model() == folder / "whisper-linear"
    assert ready.ready_model(same_speaker=True) == folder / "whisper-linear-adapted"
    monkeypatch.setattr(ready, "weights_at_hand", lambda *names: False)
    assert ready.ready_model() == ready.ready_model(same_speaker=True) == folder / "mfcc-cnn1d"


def test_only_a_network_of_keras_can_be_exported(folder):
    with pytest.raises(UserError, match="no model there"):
        ready.ready_model(networks_only=True)
    (folder / "mfcc-cnn1d/model.keras").touch()
    assert ready.ready_model(networks_only=True) == folder / "mfcc-cnn1d"


def test_nothing_is_downloaded_to_find_out_and_the_reason_is_given(folder, monkeypatch, capsys):
    monkeypatch.setattr(encoder_weights, "download", lambda checkpoint: pytest.fail("a download"))
    assert not encoder_weights.weights_at_hand("openai/whisper-tiny-that-nobody-has", "12")
    assert ready.ready_model() == folder / "mfcc-cnn1d"
    assert "left aside: weights of some/encoder" in capsys.readouterr().err


def test_other_weights_than_those_of_training_are_not_taken(folder, monkeypatch, tmp_path):
    (tmp_path / "w.safetensors").touch()
    monkeypatch.setenv("ENCODER_WEIGHTS", str(tmp_path / "w.safetensors"))
    monkeypatch.setattr(encoder_weights, "fingerprint", lambda path: "13")
    assert ready.ready_model() == folder / "mfcc-cnn1d"


def test_without_any_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(ready, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="no model there; train one with train.py, or name its folder with --model"):
        ready.ready_model()


# -- the models themselves ---------------------------------------------------------------------------
SHIPPED = sorted(path.parent for path in ready.FOLDER.glob("*/preprocessing.json"))
MAX_MB = 5
# Beside the weights.
FILES = {"manifest.json", "MODEL_CARD.md", "preprocessing.json", "metrics.json", "validation_predictions.csv"}


def test_what_ships_is_small_has_a_card_and_holds_no_clips():
    assert [path.name for path in SHIPPED] == ["mfcc-cnn1d", "whisper-linear", "whisper-linear-adapted"]
    assert sum(file.stat().st_size for file in ready.FOLDER.rglob("*") if file.is_file()) < MAX_MB * 1e6
    for folder in SHIPPED:
        weights = {file.name for file in folder.iterdir()} - FILES
        assert weights in ({"model.tflite"}, {"linear.npz"}), folder        # an svm.npz would hold features of clips
        assert find_damage(folder) is None, folder
        card = (folder / "MODEL_CARD.md").read_text()
        for words in ("CC BY-NC-SA 4.0", "Livingstone & Russo", "speakers that it was not trained on", "tested"):
            assert words in card, folder


def test_a_recording_is_answered_where_there_is_no_run_and_without_tensorflow(demo, tmp_path):
    """Also where a run was stopped before its first fit."""
    clip = next((demo[0] / "cache/demo-corpus").rglob("*.wav"))
    write_json(tmp_path / "results/default/config.json", {})
    program = f"""if True:
        import sys
        sys.argv = ["predict.py"]
        import predict
        predict.main(predict.parse(["{clip}"]))
        assert "tensorflow" not in sys.modules and "keras" not in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT), "ENCODER_WEIGHTS": "", "SER_HOME": ".",
                                            "HF_HUB_CACHE": str(tmp_path)}, timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr
    assert "default has no model yet: this is the one that comes with the project" in done.stderr
    assert str(ready.FOLDER / "mfcc-cnn1d") in done.stderr and clip.name in done.stdout


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_it_knows_the_clips_of_its_training(folder, ravdess):
    encoder = json.loads((folder / "preprocessing.json").read_text())["params"].get("encoder")
    if encoder and not encoder_weights.weights_at_hand(encoder["checkpoint"], encoder["sha256"]):
        pytest.skip("the encoder's weights are not here")
    model = inference.load_model(folder)
    clips = corpora.find_corpus(ravdess, config.CLASSES).clips[::60]
    table = inference.predict_segments([load_segments(path, inference.input_specs([model]))[0] for path in clips.path],
                                       [model], model.metadata["labels"], inference.calibrate({folder: 1.0}))
    assert (table.label.to_numpy() == clips.emotion.to_numpy()).mean() > 0.7
