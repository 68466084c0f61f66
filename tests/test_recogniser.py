"""Answers from Python: the ready model on files, on arrays, over time, from several threads, and what it refuses."""
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from predict import Recogniser
from ser.errors import UserError
from ser.files import write_json
from ser.recording import sound_of_array
from study import inference, ready
from study import recogniser as module

RATE = 22_050


@pytest.fixture(scope="module")
def recogniser():
    return Recogniser.load(ready.FOLDER / "mfcc-cnn1d")


@pytest.fixture(scope="module")
def clips(demo_folder):
    return sorted(demo_folder.rglob("*.wav"))


def noise(seconds, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal(round(seconds * RATE)).astype(np.float32)


def test_an_answer_is_whole(recogniser, clips):
    answer = recogniser.predict(clips[0])
    assert set(answer.probabilities) == set(recogniser.labels) and answer.file == str(clips[0])
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert answer.label == max(answer.probabilities, key=answer.probabilities.get)
    assert answer.confidence == answer.probabilities[answer.label]
    assert answer.unsure == (answer.confidence < recogniser.calibration.threshold)
    assert (answer.start, answer.end) == (0, pytest.approx(soundfile.info(clips[0]).duration))
    assert json.loads(json.dumps(answer.as_dict()))["label"] == answer.label


@pytest.mark.parametrize("change", [
    lambda y: y,
    lambda y: np.stack([y, y], axis=1),                                 # two equal channels
    lambda y: y.astype(np.float32),
    lambda y: y.tolist(),
])
def test_samples_are_answered_as_their_file(recogniser, clips, change):
    y, rate = soundfile.read(clips[0])
    of_file, of_samples = recogniser.predict(clips[0]), recogniser.predict(change(y), sr=rate)
    assert of_samples.file == "array" and of_samples[1:4] == of_file[1:4]
    assert list(of_samples.probabilities.values()) == pytest.approx(list(of_file.probabilities.values()), abs=1e-5)


def test_whole_numbers_have_the_full_scale_of_their_type():
    y = np.array([0, 2**15 - 1, -(2**15 - 1), 2**14] * 100, np.int16)
    found, rate = soundfile.read(sound_of_array(y, RATE))
    assert rate == RATE and np.allclose(found[:4], [0, 1, -1, 0.5], atol=1e-4)
    assert np.allclose(soundfile.read(sound_of_array(y.astype(np.int32) * 2**16, RATE))[0], found, atol=1e-4)


def test_windows_have_their_times(recogniser, clips):
    y = np.concatenate([soundfile.read(clips[k])[0] for k in (0, 5)])
    rate = soundfile.info(clips[0]).samplerate
    answers = recogniser.predict_windows(y, sr=rate, window=1.0, hop=0.5)
    assert [answer.start for answer in answers] == list(np.arange(len(answers)) / 2) and len(answers) > 3
    assert {answer.end - answer.start for answer in answers} == {1.0}
    first = recogniser.predict(y[:rate], sr=rate)
    assert answers[0].label == first.label


def test_what_is_no_speech_has_no_probabilities(recogniser):
    answer = recogniser.predict(noise(2), sr=RATE)
    assert (answer.label, answer.probabilities, answer.confidence, answer.unsure) == ("no speech", {}, None, False)
    json.dumps(answer.as_dict(), allow_nan=False)


def test_a_note_is_one_note(recogniser, clips):
    y, rate = soundfile.read(clips[0])
    assert recogniser.predict(np.stack([0 * y, y], axis=1), sr=rate).notes == (
        "channel 1 is silent, so channel 2 is used", *recogniser.predict(y, sr=rate).notes)


def test_threads_may_share_one(recogniser, clips):
    alone = [recogniser.predict(path) for path in clips]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(recogniser.predict, clips)) == alone
    assert len({answer.probabilities["happy"] for answer in alone}) == len(clips)       # so a mix-up would be seen


@pytest.mark.parametrize("sound, sr, words", [
    (np.zeros(RATE), None, "samples need their rate"),
    (np.zeros(RATE), RATE, "silent"),
    (np.zeros((2, RATE)), RATE, "transpose"),
    (np.zeros((2, 2, RATE)), RATE, r"samples of shape \(2, 2, 22050\)"),
    (np.zeros(RATE, np.uint8), RATE, "signed whole numbers"),
    (np.zeros(RATE, bool), RATE, "type bool"),
    (np.full(RATE, np.nan), RATE, "not finite"),
    (noise(1), 22_050.5, "a whole number"),
    (noise(1), -1, "a sample rate of -1 Hz"),
    (noise(0.01), RATE, "too short"),
    ([], RATE, "empty"),
    ("nowhere.wav", None, "nowhere.wav: "),
])
def test_what_is_no_sound_is_one_line(recogniser, sound, sr, words):
    with pytest.raises(UserError, match=words) as found:
        recogniser.predict(sound, sr=sr)
    assert "\n" not in str(found.value)


def test_a_model_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert module.find_folder("ready/mfcc-cnn1d") == ready.FOLDER / "mfcc-cnn1d"
    monkeypatch.setenv("SER_HOME", str(tmp_path / "home"))
    (tmp_path / "home/results/mine").mkdir(parents=True)
    assert module.find_folder("results/mine") == tmp_path / "home/results/mine"
    (tmp_path / "results/mine").mkdir(parents=True)
    assert module.find_folder("results/mine").absolute() == tmp_path / "results/mine"
    with pytest.raises(UserError, match="results/other: no such folder"):
        Recogniser.load("results/other")
    write_json(tmp_path / "results/mine/config.json", {})
    with pytest.raises(UserError, match="cannot be read|another version"):
        Recogniser.load("results/mine")
    with pytest.raises(UserError, match="no ensemble"):
        Recogniser.load("ready/mfcc-cnn1d", ensemble=True)
    with pytest.raises(UserError, match="needs the folder of a run"):
        Recogniser.load(ensemble=True)


def test_the_best_model_of_a_run_answers(demo, clips):
    run = demo[0] / "results/demo"
    of_run = Recogniser.load(run)
    assert len(of_run.folders) == 1 and of_run.folders[0].parent == run / "fits"
    assert of_run.predict(clips[0]) == Recogniser.load(of_run.folders[0]).predict(clips[0])
    assert len(Recogniser.load(run, ensemble=True).models) > 1
    assert of_run.predict(clips[0]).notes[-1] == inference.DEMO_MODEL
