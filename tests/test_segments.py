"""What models take of a recording: one window or several, all of its speech, and nothing of what is no speech."""
import numpy as np
import pytest
import soundfile
import soxr
from sounds import tone

import config
import data_preprocessing as dp
from ser import demo_corpus, speech
from ser.audio import read_audio
from ser.recording import ArrayRecording
from ser.settings import read_settings
from study import inference, segments

RATE = 22_050
EXTRACTION = dp.extraction_params(read_settings(config), ("mfcc",))
SPEC = dict(feature="mfcc", input="frames", n_frames=EXTRACTION.n_frames("mfcc"), seconds=EXTRACTION.clip_seconds,
            loading=EXTRACTION.loading, params=EXTRACTION.params, training_range={})
USED = SPEC["seconds"]


@pytest.fixture(scope="module")
def voice(tmp_path_factory):
    """A clip of the demo corpus, a second and a half, which has the shape of speech."""
    folder = tmp_path_factory.mktemp("voice")
    demo_corpus.write_corpus(folder, actors=1, intensities=(1,))
    y, rate = read_audio(sorted(folder.rglob("*.wav"))[0])
    y = soxr.resample(y, rate, RATE)
    assert speech.is_speech(y, RATE)
    start = np.abs(y).argmax() - RATE // 2
    return y[max(0, start):][:2 * RATE]


def cut(y, window=None, hop=1.0):
    recording = ArrayRecording(np.asarray(y, np.float32), RATE)
    return segments.segment_recording("a.wav", recording, {"key": SPEC}, window, hop)


def silence(seconds):
    return np.zeros(round(seconds * RATE), np.float32)


def test_a_short_recording_is_one_window_as_in_training(voice):
    (segment,) = cut(voice)
    (window,) = segment["windows"]
    x, real = window.inputs["key"]
    y = dp.prepare_waveform(voice, RATE, **EXTRACTION.loading)
    expected = dp.pad_or_crop(dp.features.extract(y, ("mfcc",), **EXTRACTION.params)["mfcc"], SPEC["n_frames"])
    np.testing.assert_allclose(x, expected[0], atol=1e-4)                   # the last digit depends on threads
    assert real == expected[1] and (segment["start"], segment["end"], segment["note"]) == (0, len(voice) / RATE, "")


def test_pauses_around_speech_do_not_make_it_long(voice):
    (segment,) = cut(np.concatenate([silence(4), voice, silence(4)]))
    assert len(segment["windows"]) == 1 and segment["note"] == ""


@pytest.mark.parametrize("copies", [3, 40])                 # fitting in one look, and too long for it
def test_all_speech_of_a_long_recording_is_used(voice, copies):
    y = np.concatenate([voice] * copies + [silence(10)] + [voice] * 2)
    (segment,) = cut(y)
    bounds = [(window.start, window.end) for window in segment["windows"]]
    assert segment["note"] == f"long: the mean of {len(bounds)} windows"
    assert all(end - start == pytest.approx(USED) for start, end in bounds)
    assert bounds[0][0] == 0 and bounds[-1][1] == pytest.approx(len(y) / RATE)
    speaks = np.concatenate([np.ones(copies * len(voice)), np.zeros(10 * RATE), np.ones(2 * len(voice))])
    covered = np.zeros(len(y))
    for start, end in bounds:
        covered[round(start * RATE):round(end * RATE)] = 1
    assert covered[speaks == 1].all() and covered[speaks == 0].mean() < 0.6
    for window in segment["windows"]:                       # weighted by speech
        share = speaks[round(window.start * RATE):round(window.end * RATE)].mean()
        assert window.speech_seconds <= USED + 0.1 and (window.speech_seconds > 0.3 * USED) >= (share > 0.9)


def test_the_answer_is_the_mean_of_the_windows_weighted_by_speech(voice):
    class Known:
        """Answers by the number of the window."""
        input_key, metadata, weight = "key", {"mean": [0.0, 0.0]}, 1.0
        standardise = staticmethod(lambda x, lengths: x)
        predict_proba = staticmethod(lambda x, lengths: np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])[:len(x)])

    windows = [segments.Window(k, k + 3, weight, {"key": (np.zeros((2, 2)), 2)}) for k, weight in enumerate((1, 3))]
    whole = dict(file="a.wav", start=0, end=4, note="", windows=windows, no_answer="pause")
    silent = dict(whole, windows=[], no_answer="no speech")
    one = dict(whole, windows=windows[:1])
    calibration = inference.Calibration(1.0, 0.65)
    table = inference.predict_segments([whole, silent, one], [Known], ["sad", "happy"], calibration)
    np.testing.assert_allclose(table.p_sad, [(0.9 + 3 * 0.2) / 4, np.nan, 0.6])
    assert list(table.label) == ["happy", "no speech", "sad"] and list(table.unsure) == [True, False, True]
    parts = segments.one_per_window(whole)
    assert [(part["start"], part["end"], len(part["windows"])) for part in parts] == [(0, 3, 1), (1, 4, 1)]


# -- what is no speech -----------------------------------------------------------------------------
def sounds():
    rng, n = np.random.default_rng(0), 3 * RATE
    time = np.arange(n) / RATE
    quarter = time[:RATE // 4]
    notes = np.concatenate([sum(np.sin(2 * np.pi * 220 * 2 ** (step / 12) * k * quarter) / k for k in (1, 2, 3))
                            * np.exp(-4 * quarter) for step in (0, 4, 7, 12, 7, 4) * 2])
    clicks = np.zeros(n)
    clicks[::RATE // 5] = 1
    noise = rng.standard_normal(n)
    return {"white noise": noise, "tone": tone(440.0, sr=RATE, seconds=3), "music": notes, "clicks": clicks,
            "throbbing noise": noise * (1 + 0.9 * np.sin(8 * np.pi * time)),
            "hum": sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 8))}


@pytest.mark.parametrize("kind", sounds())
@pytest.mark.parametrize("window", [None, 2.0, 0.5])
def test_noise_tones_music_and_clicks_are_no_speech(kind, window):
    y = sounds()[kind]
    found = cut(0.3 * y / np.abs(y).max(), window)
    assert all(not segment["windows"] for segment in found)
    assert found[0]["no_answer"] == "no speech" and found[0]["note"] == ""


def test_speech_between_noises_is_found(voice):
    noise = 0.05 * np.random.default_rng(0).standard_normal(4 * RATE)
    y = np.concatenate([noise, voice, silence(6)])[:10 * RATE]
    labels = [segment["no_answer"] if not segment["windows"] else "speech" for segment in cut(y, window=2, hop=2)]
    assert labels == ["no speech", "no speech", "speech", "pause", "pause"]


def test_every_clip_of_ravdess_is_speech(ravdess):
    """And with hiss that can be heard, nearly every one."""
    rng, paths = np.random.default_rng(0), sorted(ravdess.rglob("*.wav"))[::20]
    clips = [read_audio(path) for path in paths]
    assert all(speech.is_speech(y, rate) for y, rate in clips)
    hissing = [(y + rng.normal(0, 10 ** (-55 / 20), len(y)), rate) for y, rate in clips]
    assert np.mean([speech.is_speech(*clip) for clip in hissing]) > 0.95


def test_a_file_is_read_as_a_recording(voice, tmp_path):
    soundfile.write(tmp_path / "a.wav", voice, RATE, subtype="FLOAT")
    (there,) = segments.load_segments(tmp_path / "a.wav", {"key": SPEC})
    (here,) = cut(voice - voice.mean())
    np.testing.assert_allclose(there["windows"][0].inputs["key"][0], here["windows"][0].inputs["key"][0], atol=1e-3)


# -- words that are short beside their recording -----------------------------------------------------
@pytest.mark.parametrize("seconds", [6, 10])
def test_a_word_in_a_quiet_room_is_found(voice, seconds):
    """Half a second of speech, in a recording that is looked at as a whole first."""
    word = voice[:RATE // 2] if np.abs(voice[:RATE // 2]).max() > 0.3 * np.abs(voice).max() else voice[RATE // 2:RATE]
    room = 10 ** (-75 / 20) * np.random.default_rng(0).standard_normal(seconds * RATE)
    room[2 * RATE:2 * RATE + len(word)] += word
    (segment,) = cut(room)
    assert segment["windows"]
    assert all(window.start < 2.5 and window.end > 2 for window in segment["windows"])


def test_facts_are_those_of_the_first_minute_with_sound(voice):
    """Not of a lead-in in which there is nothing."""
    y = np.concatenate([silence(70), voice, silence(1)])
    (segment,) = segments.segment_recording("a.wav", ArrayRecording(y, RATE), {"key": dict(
        SPEC, training_range=dict(level_dbfs=[-60, 0], bandwidth_hz=[2000, 2e4]))})
    assert segment["windows"] and "soft" not in segment["note"] and "narrow" not in segment["note"]


def test_batches_hold_so_many_windows():
    one, many, none = dict(windows=[0]), dict(windows=list(range(5))), dict(problem="not readable")
    assert [len(batch) for batch in segments.in_batches([one, one, many, none, none, one], 4)] == [3, 3]
