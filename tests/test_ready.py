"""The models that come with the project: which one answers, and when."""
import json

import pytest

from ser.errors import UserError
from study import encoder_weights, ready


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of ready models, of which only what decides between them is there."""
    encoder = dict(checkpoint="some/encoder", sha256="12")
    for name, params, file in (("mfcc-cnn1d", {}, "model.keras"),
                               ("whisper-linear", dict(encoder=encoder), "linear.npz")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
        (tmp_path / name / "preprocessing.json").write_text(json.dumps({"params": params}))
    monkeypatch.setattr(ready, "FOLDER", tmp_path)
    monkeypatch.delenv("ENCODER_WEIGHTS", raising=False)
    return tmp_path


def test_the_one_on_an_encoder_goes_first_where_its_weights_are(folder, monkeypatch):
    monkeypatch.setattr(ready, "weights_at_hand", lambda *names: names == ("some/encoder", "12"))
    assert ready.ready_model() == folder / "whisper-linear"
    assert ready.ready_model(networks_only=True) == folder / "mfcc-cnn1d"
    monkeypatch.setattr(ready, "weights_at_hand", lambda *names: False)
    assert ready.ready_model() == folder / "mfcc-cnn1d"


def test_nothing_is_downloaded_to_find_out_and_the_reason_is_given(folder, monkeypatch, capsys):
    monkeypatch.setattr(encoder_weights, "download", lambda checkpoint: pytest.fail("a download"))
    assert not encoder_weights.weights_at_hand("openai/whisper-tiny-that-nobody-has", "12")
    assert ready.ready_model() == folder / "mfcc-cnn1d"
    assert "without the pretrained encoder: weights of some/encoder" in capsys.readouterr().out


def test_other_weights_than_those_of_training_are_not_taken(folder, monkeypatch, tmp_path):
    (tmp_path / "w.safetensors").touch()
    monkeypatch.setenv("ENCODER_WEIGHTS", str(tmp_path / "w.safetensors"))
    monkeypatch.setattr(encoder_weights, "fingerprint", lambda path: "13")
    assert ready.ready_model() == folder / "mfcc-cnn1d"


def test_without_any_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(ready, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="no model there; train one with train.py, or name its folder with --model"):
        ready.ready_model()
