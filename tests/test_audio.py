"""Sound files of every kind, usable and not, to waveforms: read, checked, resampled, trimmed."""
import io
import struct

import numpy as np
import pytest
from sounds import SR, clip_name, tone, write

from ser import audio
from ser.errors import UserError

LOAD = {"sr": SR, "trim_db": None, "level": "recorded"}
PCM = 2**-15                # full scale is 1; the step of a 16-bit file
FREQUENCY = 1e-3            # relative, 2 cents; a second of sound resolves far less than a hertz


def frequency(y, sr=SR):
    """Where the spectrum peaks, in Hz, to a fraction of a bin."""
    return np.abs(np.fft.rfft(y * np.hanning(len(y)), 2**20)).argmax() * sr / 2**20


def rms(y):
    """Of the middle half, away from the edges."""
    return np.sqrt(np.mean(np.square(y[len(y) // 4:-len(y) // 4], dtype=float)))


def with_chunk(content):
    """The bytes of a WAV file with another chunk before its samples, as most RAVDESS files have."""
    at = content.index(b"data")
    content = content[:at] + b"FLLR" + struct.pack("<I", 400) + bytes(400) + content[at:]
    return content[:4] + struct.pack("<I", len(content) - 8) + content[8:]


def write_broken_files(folder):
    """One unusable file of each kind, in a folder Actor_<nn> each; returns {name: what the message says of it}."""
    broken = {"empty file": "not readable", "no samples": "empty", "header alone": "empty", "silent": "silent",
              "almost silent": "silent", "not a number": "finite", "infinite": "finite",
              "far too loud": "where full scale is 1", "wrong rate": "a sample rate of 1 Hz", "text": "not readable"}
    y = tone()
    for code, kind in enumerate(broken, start=1):
        name = clip_name(actor=f"{code:02d}")
        samples = {"no samples": y[:0], "silent": 0 * y, "almost silent": 1e-4 * y}.get(kind, y)
        if kind in ("not a number", "infinite"):
            samples = np.append(y, np.nan if kind == "not a number" else np.inf)
        if kind == "far too loud":
            samples = np.append(y, 1e30)
        path = write(folder, f"Actor_{code:02d}/{name}", samples, subtype="FLOAT", sr=1 if kind == "wrong rate" else SR)
        content = path.read_bytes()
        path.write_bytes({
            "empty file": b"", "text": b"text " * 100,
            "header alone": content[:content.index(b"data") + 8]}.get(kind, content))
        broken[kind] = (name, broken[kind])
    return dict(broken.values())


# -- reading ---------------------------------------------------------------------------------------
def test_what_cannot_be_used_is_an_error_that_says_why(tmp_path):
    broken = write_broken_files(tmp_path)
    for number, (name, reason) in enumerate(broken.items(), start=1):
        with pytest.raises(UserError) as error:
            audio.read_audio(tmp_path / f"Actor_{number:02d}" / name)
        assert reason in str(error.value) and name not in str(error.value)      # the caller names the file


@pytest.mark.parametrize("seconds, usable", [(0.09, False), (0.1, True)])
def test_a_clip_has_a_tenth_of_a_second_at_least(seconds, usable, tmp_path):
    path = write(tmp_path, "a.wav", tone(seconds=seconds))
    if usable:
        assert len(audio.read_audio(path)[0]) == round(seconds * SR)
    else:
        with pytest.raises(UserError, match="too short: 0.090 s, at least 0.1 s are needed"):
            audio.read_audio(path)


def test_samples_before_a_damaged_trailer_are_all_there(tmp_path):
    path = write(tmp_path, "a.wav")
    whole, rate = audio.read_audio(path)
    path.write_bytes(with_chunk(path.read_bytes()) + b"LIST" + struct.pack("<I", 99))
    samples, same_rate = audio.read_audio(path)
    np.testing.assert_array_equal(samples, whole)
    assert same_rate == rate == SR and samples.dtype == np.float32


def test_a_stream_of_unknown_length_is_not_truncated(tmp_path):
    path = write(tmp_path, "a.wav")
    content = path.read_bytes()
    at = content.index(b"data") + 4
    path.write_bytes(content[:at] + struct.pack("<I", 2**32 - 1) + content[at + 4:])
    assert len(audio.read_audio(path)[0]) == SR


def test_an_open_file_reads_as_its_path_does(tmp_path):
    path = write(tmp_path, "a.wav")
    np.testing.assert_array_equal(audio.load_waveform(io.BytesIO(path.read_bytes()), **LOAD),
                                  audio.load_waveform(path, **LOAD))


# -- loading ---------------------------------------------------------------------------------------
def test_equal_channels_are_mono(tmp_path):
    y = np.round(tone() / PCM) * PCM
    y -= y.mean()
    mono = audio.load_waveform(write(tmp_path, "mono.wav", y, subtype="FLOAT"), **LOAD)
    stereo = audio.load_waveform(write(tmp_path, "stereo.wav", np.stack([y, y], axis=1)), **LOAD)
    left = audio.load_waveform(write(tmp_path, "left.wav", np.stack([y, 0 * y], axis=1)), **LOAD)
    assert mono.dtype == np.float32 and mono.shape == y.shape
    np.testing.assert_array_equal(mono, y)
    np.testing.assert_array_equal(stereo, mono)
    np.testing.assert_array_equal(left, mono)                           # a silent channel is left out


@pytest.mark.parametrize("name, sr", [("a.wav", 8000), ("a.wav", 22_050), ("a.wav", 44_100), ("a.wav", 48_000),
                                      ("a.flac", 48_000), ("a.flac", 16_000)])
def test_any_rate_keeps_frequency_level_and_length(name, sr, tmp_path):
    y = audio.load_waveform(write(tmp_path, name, tone(1000.0, sr=sr), sr=sr), **LOAD)
    assert y.dtype == np.float32
    assert abs(len(y) - SR) <= 1
    assert frequency(y) == pytest.approx(1000, rel=FREQUENCY)
    assert rms(y) == pytest.approx(0.3 / np.sqrt(2), rel=0.001)         # soxr's pass band: within 0.01 dB


def test_resampling_lets_no_alias_through(tmp_path):
    path = write(tmp_path, "a.wav", tone(15_000.0, sr=48_000), sr=48_000)       # over 22 050 / 2 Hz
    y = audio.load_waveform(path, **LOAD)
    assert rms(y) < 0.3 * 10 ** (-80 / 20)


def test_trimming_cuts_silence_at_both_ends_and_keeps_the_rest(tmp_path):
    quiet, loud = np.zeros(SR // 2, np.float32), tone()
    y = np.concatenate([quiet, loud, quiet, 0.1 * loud, quiet])         # -20 dB is above -30
    path = write(tmp_path, "a.wav", y)
    trimmed = audio.load_waveform(path, **LOAD | {"trim_db": 30.0})
    kept = 2.5 * SR
    assert kept <= len(trimmed) <= kept + 2 * 2048                      # at most a frame more at either end
    assert np.sum(trimmed**2) == pytest.approx(np.sum(y**2), rel=1e-4)  # 1e-4: 16 bits
    assert len(audio.load_waveform(path, **LOAD | {"trim_db": 15.0})) <= SR + 2 * 2048
    np.testing.assert_allclose(audio.load_waveform(path, **LOAD), y, atol=PCM)


@pytest.mark.parametrize("amplitude", [0.01, 0.9])
def test_the_level_is_as_recorded_or_made_equal(amplitude, tmp_path):
    path = write(tmp_path, "a.wav", tone(amplitude=amplitude))
    assert np.abs(audio.load_waveform(path, **LOAD | {"level": "peak"})).max() == 1
    assert np.abs(audio.load_waveform(path, **LOAD)).max() == pytest.approx(amplitude, rel=0.01)   # beside the crest
    assert rms(audio.load_waveform(path, **LOAD | {"level": "speech"})) == pytest.approx(10 ** (-26 / 20), rel=0.01)


def test_the_level_of_speech_is_that_of_its_loudest_half_second(tmp_path):
    y = np.concatenate([tone(amplitude=0.01, seconds=2), tone(amplitude=0.1, seconds=0.8), 0 * tone(seconds=3)])
    levelled = audio.prepare_waveform(y, SR, **LOAD | {"level": "speech"})
    assert rms(levelled[2 * SR:round(2.8 * SR)]) == pytest.approx(10 ** (-26 / 20), rel=0.02)
    np.testing.assert_allclose(levelled, y * (levelled.max() / y.max()), rtol=1e-5)
    for gain in (1e-3, 20):                     # pauses and the microphone change nothing
        again = audio.prepare_waveform(gain * y, SR, **LOAD | {"level": "speech"})
        np.testing.assert_allclose(again, levelled, rtol=1e-4)


@pytest.mark.parametrize("changes", [{}, {"trim_db": 30.0}, {"level": "peak"}, {"level": "speech"}])
def test_a_waveform_in_memory_passes_through_the_same_steps(changes, tmp_path):
    path = write(tmp_path, "a.wav", np.pad(tone(sr=44_100), 22_050), sr=44_100)
    np.testing.assert_array_equal(audio.prepare_waveform(*audio.read_audio(path), **LOAD | changes),
                                  audio.load_waveform(path, **LOAD | changes))


# -- what microphones do ---------------------------------------------------------------------------
@pytest.mark.parametrize("offset", [0.002, 0.05, -0.3])
def test_a_constant_offset_is_gone_before_anything_else(offset, tmp_path):
    quiet, loud = np.zeros(SR // 2, np.float32), tone(amplitude=0.1)
    y = np.concatenate([quiet, loud, quiet])
    plain, moved = (audio.load_waveform(write(tmp_path, name, samples, subtype="FLOAT"), **LOAD | {"trim_db": 30.0})
                    for name, samples in (("plain.wav", y), ("moved.wav", y + offset)))
    np.testing.assert_allclose(moved, plain, atol=1e-6)
    assert len(plain) < SR + 2 * 2048


@pytest.mark.parametrize("hiss_db", [-70, -50, -40])
def test_trimming_survives_hiss(hiss_db):
    """The level of the ends never falls 30 dB below that of the speech, where hiss is in all of it."""
    rng, quiet = np.random.default_rng(0), np.zeros(SR // 2, np.float32)
    y = np.concatenate([quiet, tone(amplitude=0.2), quiet])                    # -17 dBFS
    noisy = y + np.float32(10 ** (hiss_db / 20)) * rng.standard_normal(len(y), dtype=np.float32)
    assert SR <= len(audio.trim_ends(noisy, 30.0)) <= SR + 2 * 2048


def test_what_has_no_noise_behind_it_is_not_trimmed_for_it():
    """Sound of changing level from end to end, as a clip that was trimmed before: its soft parts stay."""
    levels = np.random.default_rng(0).uniform(-25, 0, 49)
    y = tone(amplitude=0.5, seconds=2) * np.repeat(10 ** (levels / 20), 2 * SR // 49)
    assert len(audio.trim_ends(np.float32(y), 30.0)) == len(y)


def test_noise_alone_is_not_trimmed_away():
    y = np.random.default_rng(0).normal(0, 0.1, SR).astype(np.float32)
    assert len(audio.trim_ends(y, 30.0)) == len(y)


@pytest.mark.parametrize("right, expected", [(1, 1), (0.5, 0.75), (-1, 1), (0, 1), (-0.2, 1)])
def test_a_silent_or_inverted_channel_does_not_take_the_sound_away(right, expected):
    y = tone()
    np.testing.assert_allclose(audio.mix_channels(np.stack([y, right * y], axis=1)), expected * y, atol=1e-6)
    assert np.abs(audio.mix_channels(np.zeros((10, 2), np.float32))).max() == 0
    six = (y[:1000, None] + 0.01 * np.random.default_rng(0).normal(size=(1000, 6))).astype(np.float32)
    np.testing.assert_allclose(audio.mix_channels(six), six.mean(axis=1), atol=1e-6)


def test_nothing_is_left_nothing_by_the_level():
    """What a codec leaves of a very soft clip."""
    silent = audio.prepare_waveform(np.zeros(8000, np.float32), 8000, sr=8000, trim_db=None, level="peak")
    assert (silent == 0).all()
