"""The synthesised corpus: named like RAVDESS, reproducible clip by clip, and carrying the cues it claims."""
import re
from collections import Counter

import numpy as np
import pytest
import soundfile

import config
from ser import demo_corpus

RAVDESS_NAME = re.compile(r"03-01-(0[1-8])-(0[12])-(0[12])-(0[12])-(\d\d)\.wav")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Two actors, 60 clips: a dict of RAVDESS name -> path."""
    paths = demo_corpus.write_corpus(tmp_path_factory.mktemp("demo"), actors=2)
    return {path.name: path for path in paths}


def pitch(y, sample_rate):
    """Median F0 (in Hz) of the loud frames by autocorrelation, which shares nothing with the synthesis."""
    frames = np.lib.stride_tricks.sliding_window_view(y, sample_rate // 20)[::sample_rate // 100]  # 50 ms
    frames = frames[np.abs(frames).max(axis=1) > 0.3 * np.abs(y).max()]
    spectrum = np.fft.rfft(frames * np.hanning(frames.shape[1]), 2 * frames.shape[1])
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)
    shortest, longest = sample_rate // 500, sample_rate // 70
    return sample_rate / np.median(shortest + correlation[:, shortest:longest].argmax(axis=1))


def clips_of(emotion, count=8, **settings):
    return [demo_corpus.synthesise(emotion, rng=np.random.default_rng(k), **settings) for k in range(count)]


def test_emotions_are_in_the_order_of_the_classes():
    assert tuple(demo_corpus.EMOTIONS) == config.CLASSES


def test_names_and_folders_are_those_of_ravdess(corpus):
    fields = [RAVDESS_NAME.fullmatch(name).groups() for name in corpus]
    assert Counter(emotion for emotion, *_ in fields) == {"01": 4} | {f"0{code}": 8 for code in range(2, 9)}
    assert {intensity for emotion, intensity, *_ in fields if emotion == "01"} == {"01"}  # never strong
    assert {statement for *_, statement, _, _ in fields} == {"01", "02"}
    assert all(path.parent.name == f"Actor_{name[-6:-4]}" for name, path in corpus.items())


def test_a_subset_is_the_same_files(corpus, tmp_path):
    subset = demo_corpus.write_corpus(tmp_path, actors=1, intensities=(1,))
    assert len(subset) == 16
    assert all(path.read_bytes() == corpus[path.name].read_bytes() for path in subset)


def test_another_seed_is_another_corpus(tmp_path, monkeypatch):
    assert demo_corpus.speaker(1, 42) != demo_corpus.speaker(1, 7)
    monkeypatch.setattr(demo_corpus, "speaker", lambda actor, seed: (115.0, 1.0))  # even for the same voice
    one, other = (demo_corpus.write_corpus(tmp_path / str(seed), actors=1, intensities=(1,), seed=seed)
                  for seed in (42, 7))
    assert all(a.read_bytes() != b.read_bytes() for a, b in zip(one, other, strict=True))


def test_what_is_there_is_kept_and_what_is_missing_is_written(tmp_path):
    first, second, *_ = paths = demo_corpus.write_corpus(tmp_path, actors=1, intensities=(1,))
    content = second.read_bytes()
    first.write_bytes(b"kept")
    second.unlink()
    assert demo_corpus.write_corpus(tmp_path, actors=1, intensities=(1,)) == paths
    assert first.read_bytes() == b"kept" and second.read_bytes() == content
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == paths  # no leftovers


def test_every_clip_is_sound(corpus):
    for name, path in corpus.items():
        y, sample_rate = soundfile.read(path)
        assert sample_rate == demo_corpus.SAMPLE_RATE and y.ndim == 1, name
        assert 0.9 < len(y) / sample_rate < 2.3, name
        assert 0.005 < np.abs(y).max() < 0.95, name  # neither silent nor clipped
    for emotion in demo_corpus.EMOTIONS:
        y = demo_corpus.synthesise(emotion, rng=np.random.default_rng(0), intensity=2)
        assert y.dtype == np.float32 and np.isfinite(y).all(), emotion


def test_anger_is_louder_than_calm():
    calm, angry = ([20 * np.log10(np.abs(y).max()) for y in clips_of(e)] for e in ("calm", "angry"))
    assert min(angry) > max(calm)
    assert np.mean(angry) - np.mean(calm) == pytest.approx(21, abs=4)  # table: -9 and -30 dBFS, spread 2.5


@pytest.mark.parametrize("base_hz", [115.0, 200.0])
def test_fear_is_higher_than_sadness(base_hz):
    sad, fearful = (np.median([pitch(y, demo_corpus.SAMPLE_RATE) for y in clips_of(e, base_hz=base_hz)])
                    for e in ("sad", "fearful"))
    assert 12 * np.log2(fearful / sad) == pytest.approx(6.5, abs=2)    # semitones; the table: 7 and 0.5


def test_an_even_actor_is_a_woman():
    base_hz = np.array([demo_corpus.speaker(actor, 42)[0] for actor in range(1, 25)])
    assert base_hz[0::2].max() < base_hz[1::2].min()


@pytest.mark.parametrize("wrong", [{"actors": 25}, {"actors": 0}, {"repetitions": 3}, {"intensities": (3,)}])
def test_what_ravdess_could_not_name_is_refused(wrong, tmp_path):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        demo_corpus.write_corpus(tmp_path, **wrong)
    assert not list(tmp_path.iterdir())
