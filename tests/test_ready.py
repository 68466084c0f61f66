"""The models that come with the project: which one answers, and when."""
import json

import pytest

from ser.errors import UserError
from study import encoder_weights, ready


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of ready models, of which only what decides between them is there."""
    for name, params in (("mfcc-cnn1d", {}), ("whisper-linear", {"encoder": {"checkpoint": "some/encoder"}})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "preprocessing.json").write_text(json.dumps({"params": params}))
    monkeypatch.setattr(ready, "FOLDER", tmp_path)
    monkeypatch.delenv("ENCODER_WEIGHTS", raising=False)
    return tmp_path


def test_the_one_on_an_encoder_goes_first_where_its_weights_are(folder, monkeypatch):
    monkeypatch.setattr(ready, "weights_at_hand", lambda checkpoint: checkpoint == "some/encoder")
    assert ready.ready_model() == folder / "whisper-linear"
    assert ready.ready_model(networks_only=True) == folder / "mfcc-cnn1d"
    monkeypatch.setattr(ready, "weights_at_hand", lambda checkpoint: False)
    assert ready.ready_model() == folder / "mfcc-cnn1d"


def test_nothing_is_downloaded_to_find_out(folder, monkeypatch):
    monkeypatch.setattr(encoder_weights, "download", lambda checkpoint: pytest.fail("a download"))
    assert not encoder_weights.weights_at_hand("openai/whisper-tiny-that-nobody-has")
    assert ready.ready_model() == folder / "mfcc-cnn1d"


def test_without_any_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(ready, "FOLDER", tmp_path)
    with pytest.raises(UserError, match="no model there; train one with train.py, or name its folder with --model"):
        ready.ready_model()
