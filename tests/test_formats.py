"""Wrong WAV headers, formats that need a decoder, and what lies between sound files."""
import builtins
import io
import re
import struct

import numpy as np
import pytest
import soundfile
from sounds import tone, write

from ser import audio, formats, recording
from ser.errors import UserError
from ser.formats import DECODED, READ
from ser.settings import install_command

RATE = 16_000
SOUND = tone(sr=RATE, seconds=1.5)


def wav_bytes(promised, extra=b"", after=b""):
    """A 16-bit WAV file of SOUND whose header promises `promised`(its bytes) bytes."""
    body = (SOUND * 32767).astype("<i2").tobytes() + extra
    size = promised(len(body)) & 0xFFFFFFFF
    form = struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    return (b"RIFF" + struct.pack("<I", size + 36 & 0xFFFFFFFF) + b"WAVEfmt " + form + b"data" + struct.pack("<I", size)
            + body + after)


# -- headers ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("promised, note", [
    (lambda n: n, None), (lambda n: 0xFFFFFFFF, "promises more"), (lambda n: 0x7FFFF000, "promises more"),
    (lambda n: 0x7FFFFFFF, "promises more"), (lambda n: 0x80000000, "promises more"),
    (lambda n: n + 44, "promises more"), (lambda n: 2 * n, "promises more"), (lambda n: 0, "gives no length")],
    ids=["right", "ffffffff", "7ffff000", "7fffffff", "80000000", "counts itself", "double", "zero"])
@pytest.mark.parametrize("long", [False, True], ids=["in memory", "in pieces"])
def test_a_wrong_length_is_read_to_the_end_and_noted(promised, note, long, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "LONG_SECONDS", 1 if long else 100)
    (tmp_path / "a.wav").write_bytes(wav_bytes(promised))
    for file in (tmp_path / "a.wav", io.BytesIO(wav_bytes(promised))):
        found = recording.open_recording(file)
        np.testing.assert_allclose(found.read(0, 1.5), SOUND, atol=1e-3)
        assert found.seconds == 1.5 and len(found.notes) == (note is not None)
        assert note is None or note in found.notes[0]
        np.testing.assert_allclose(audio.read_audio(file)[0], SOUND, atol=1e-3)


def test_what_the_header_leaves_out_is_noted(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_bytes(lambda n: n // 2))
    found = recording.open_recording(tmp_path / "a.wav")
    assert found.seconds == 0.75 and "promises 0.8 s of sound, and the file has room for 1.5 s" in found.notes[0]


@pytest.mark.parametrize("after", [
    b"LIST" + struct.pack("<I", 4) + b"INFO", b"id3 " + struct.pack("<I", 99), b"\0" * 7],
                         ids=["a chunk", "a cut chunk", "padding"])
def test_what_comes_after_the_sound_is_none(after, tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_bytes(lambda n: n, after=after))
    found = recording.open_recording(tmp_path / "a.wav")
    assert found.seconds == 1.5 and not found.notes


def test_a_header_alone_is_empty(tmp_path):
    content = wav_bytes(lambda n: 0)
    for name, cut in (("a.wav", 44), ("b.wav", 40), ("c.wav", 30), ("d.wav", 12)):
        (tmp_path / name).write_bytes(content[:cut])
        with pytest.raises(UserError, match="empty|not readable"):
            recording.open_recording(tmp_path / name)


# -- what is odd about the samples -----------------------------------------------------------------
@pytest.mark.parametrize("channels, note", [
    (np.stack([SOUND, SOUND], axis=1), None),
    (np.stack([SOUND, 0 * SOUND], axis=1), "channel 2 is silent, so channel 1 is used"),
    (np.stack([0.5 * SOUND, -SOUND], axis=1), "cancel each other.*, so channel 2 is used"),
    (30_000 * SOUND, "samples up to 9,000 in a file of floats"), (2 * SOUND, None)],
    ids=["equal", "one silent", "one inverted", "whole numbers", "above full scale"])
@pytest.mark.parametrize("long", [False, True], ids=["in memory", "in pieces"])
def test_odd_samples_are_noted(channels, note, long, tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "LONG_SECONDS", 1 if long else 100)
    soundfile.write(tmp_path / "a.wav", channels, RATE, subtype="FLOAT")
    found = recording.open_recording(tmp_path / "a.wav")
    assert isinstance(found, recording.FileRecording) == long
    assert not found.notes if note is None else re.search(note, *found.notes)


# -- other formats ---------------------------------------------------------------------------------
def encode(path, codec):
    """SOUND in a format of FFmpeg's."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE if codec == "aac" else 48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(SOUND[None], format="fltp", layout="mono")
        frame.rate = RATE
        resampler = av.AudioResampler(stream.format, "mono", stream.rate, stream.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("name, codec", [("a.m4a", "aac"), ("a.aac", "aac"), ("a.webm", "libopus")])
def test_other_formats_are_decoded(name, codec, tmp_path):
    path = encode(tmp_path / name, codec)
    for file in (path, io.BytesIO(path.read_bytes())):
        y, rate = audio.read_audio(file)
        assert 1.4 < len(y) / rate < 1.7
        spectrum = np.abs(np.fft.rfft(y[rate // 4:rate + rate // 4]))           # a second: bins of 1 Hz
        assert abs(spectrum.argmax() - 440) <= 1
        assert np.abs(y[rate // 2:rate]).max() == pytest.approx(0.3, rel=0.1)
    with pytest.raises(UserError, match="longer than 1 s"):
        recording.open_recording(path, longest=1)


@pytest.fixture
def no_decoder(monkeypatch):
    real = builtins.__import__

    def without(name, *more):
        if name == "av":
            raise ImportError("No module named 'av'")
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)


@pytest.mark.parametrize("head, name", [
    (b"\0\0\0\x1cftypM4A \0\0\0\0", "M4A or MP4"), (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01", "WebM or Matroska"),
    (b"\xff\xf1P\x80", "AAC"), (b"#!AMR\n", "AMR"), (b"0&\xb2u\x8ef\xcf\x11", "WMA")])
def test_without_a_decoder_the_format_is_named_with_commands_to_paste(head, name, no_decoder, tmp_path):
    """Whatever the file is called."""
    for file in ("New Recording 3.m4a", "from browser.wav"):
        path = tmp_path / file
        path.write_bytes(head + bytes(400))
        with pytest.raises(UserError) as raised:
            recording.open_recording(path)
        text = str(raised.value)
        assert text.startswith(f"{name}, for which a decoder is needed: {install_command('formats')}")
        assert f"ffmpeg -i '{path}' '" in text and not text.endswith(f"'{path}'")


def test_what_no_decoder_reads_is_an_error(tmp_path):
    pytest.importorskip("av")
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x1cftypM4A \0\0\0\0" + bytes(400))
    with pytest.raises(UserError, match="M4A or MP4 that cannot be decoded"):
        recording.open_recording(tmp_path / "a.m4a")


def test_a_git_lfs_pointer_is_named(tmp_path):
    (tmp_path / "a.wav").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 73000\n")
    with pytest.raises(UserError, match="Git LFS pointer.*git lfs pull"):
        audio.read_audio(tmp_path / "a.wav")


def test_what_macos_and_folders_leave_among_sound_files_is_none(tmp_path):
    write(tmp_path, "a.WAV", format="WAV")
    write(tmp_path, "__MACOSX/a.wav")
    (tmp_path / "folder.wav").mkdir()
    for name in ("._a.wav", "a.m4a", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    found = {ending: sorted(path.name for path in tmp_path.rglob("*") if formats.is_sound_file(path, endings))
             for ending, endings in (("read", READ), ("both", READ | DECODED))}
    assert found == {"read": ["a.WAV"], "both": ["a.WAV", "a.m4a"]}
