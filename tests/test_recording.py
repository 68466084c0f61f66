"""Recordings read piece by piece: from a long file the same as from memory."""
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from commands import HANG_SECONDS, ROOT
from sounds import tone

from ser import recording
from ser.audio import read_audio
from ser.errors import UserError

RATE = 8000


@pytest.fixture
def short_is_long(monkeypatch):
    """Files from a second on are read from disk, in small blocks."""
    monkeypatch.setattr(recording, "LONG_SECONDS", 1)
    monkeypatch.setattr(recording, "BLOCK_SAMPLES", 1000)


def noise(channels=1, seconds=3):
    return np.random.default_rng(0).normal(0.02, 0.1, (seconds * RATE, channels)).astype(np.float32)


@pytest.mark.parametrize("channels", [noise(), noise(2), noise(3), np.hstack([noise(), 0 * noise()]),
                                      np.hstack([noise(), 0.04 - noise()])],
                         ids=["mono", "stereo", "three", "one silent", "one inverted"])
def test_from_a_file_it_is_as_in_memory(channels, short_is_long, tmp_path):
    soundfile.write(tmp_path / "a.wav", channels, RATE, subtype="FLOAT")
    there, (y, rate) = recording.open_recording(tmp_path / "a.wav"), read_audio(tmp_path / "a.wav")
    here = recording.ArrayRecording(y, rate)
    assert isinstance(there, recording.FileRecording) and there.seconds == here.seconds == 3
    assert there.peak == pytest.approx(here.peak, abs=1e-5) and there.rate == RATE
    for start, end in ((0, 3), (0.5, 1.25), (2.9, 3.4)):
        np.testing.assert_allclose(there.read(start, end), here.read(start, end), atol=1e-6)
    for ours, theirs in zip(there.envelope(50), here.envelope(50)):
        np.testing.assert_allclose(ours[:50], theirs, atol=1e-6)


def test_clipping_is_counted(short_is_long, tmp_path):
    y = np.clip(tone(sr=RATE, seconds=2, amplitude=2), -1, 1)
    soundfile.write(tmp_path / "a.wav", y, RATE, subtype="FLOAT")
    there, here = recording.open_recording(tmp_path / "a.wav"), recording.read_recording(tmp_path / "a.wav")
    assert there.clipped_fraction == here.clipped_fraction > 0.5


def test_clipping_is_that_of_the_file_not_of_the_mean_or_without_its_offset(short_is_long, tmp_path):
    """One channel clipped, the other silent; and half of the waves cut off at full scale above an offset."""
    y = np.clip(tone(sr=RATE, seconds=2, amplitude=2), -1, 1)
    for name, channels in (("a.wav", np.stack([y, 0 * y], axis=1)), ("b.wav", np.clip(y + 0.01, -0.9, 1))):
        soundfile.write(tmp_path / name, channels, RATE, subtype="FLOAT")
        there, here = recording.open_recording(tmp_path / name), recording.read_recording(tmp_path / name)
        assert there.clipped_fraction == here.clipped_fraction > 0.3


@pytest.mark.parametrize("spoil, says", [
    (lambda y: y * 0, "silent"), (lambda y: y + np.where(np.arange(len(y)) == 9000, np.nan, 0)[:, None], "finite"),
    (lambda y: y * 1e30, "full scale is 1")], ids=["silent", "not a number", "too loud"])
def test_a_long_file_is_checked_as_a_short_one(spoil, says, short_is_long, tmp_path):
    soundfile.write(tmp_path / "a.wav", spoil(noise()), RATE, subtype="FLOAT")
    for read in (recording.open_recording, read_audio):
        with pytest.raises(UserError, match=says):
            read(tmp_path / "a.wav")


def test_a_long_file_that_is_cut_off_has_a_note(short_is_long, tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(), RATE)
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes()[:-5000])
    found = recording.open_recording(tmp_path / "a.wav")
    assert found.n_samples == 3 * RATE - 2500 and found.notes == [
        "its header promises more sound than the 2.7 s that are there"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_long_file_takes_little_memory(tmp_path):
    """Looked through, a window read and an envelope made, in a process of its own: 460 MB of samples."""
    with soundfile.SoundFile(tmp_path / "long.wav", "w", 48_000, 2, subtype="PCM_16") as file:
        minute = np.tile(np.int16(3000 * tone(sr=48_000, seconds=1))[:, None], (60, 2))
        for _ in range(20):
            file.write(minute)
    program = ("from ser.recording import open_recording; "
               f"long = open_recording({str(tmp_path / 'long.wav')!r}); "
               "assert long.seconds == 1200 and len(long.read(1000, 1003)) == 3 * 48_000 and long.envelope(2000); "
               "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
                          timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200_000                                       # kB
