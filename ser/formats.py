"""What lies between a sound file and libsndfile: formats that it does not read, and WAV headers with a wrong length.

    source, note = readable_source("talk.m4a")      soundfile.SoundFile(source) can read that
"""
import contextlib
import io
import os
import shlex
import struct
import tempfile
from pathlib import Path
from typing import NamedTuple

from ser.errors import UserError
from ser.settings import install_command

READ = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64"}
DECODED = {".m4a", ".mp4", ".aac", ".webm", ".mka", ".wma", ".amr", ".3gp"}         # with PyAV, where it is installed
# How files of formats begin that libsndfile does not read: (position, bytes, name). ADTS is raw AAC.
SIGNATURES = ((4, b"ftyp", "M4A or MP4"), (0, b"\x1aE\xdf\xa3", "WebM or Matroska"), (0, b"\xff\xf1", "AAC"),
              (0, b"\xff\xf9", "AAC"), (0, b"0&\xb2u\x8ef\xcf\x11", "WMA"), (0, b"#!AMR", "AMR"))
LFS_POINTER = b"version https://git-lfs"
LONGEST_SECONDS = 24 * 3600     # of a recording
MAX_CHUNKS = 1000               # of a WAV file, before its sound
MIN_SURPLUS_SECONDS = 0.1       # of sound beyond what the header promises, to be worth a note


class Source(NamedTuple):
    """What libsndfile can read, and what was wrong with the file."""
    file: object                # a path or an open file
    note: str | None


def readable_source(file, longest=LONGEST_SECONDS):
    """The Source of a sound file: its path, or an open file, which is rewound.

    longest : seconds of sound that are decoded, where libsndfile does not read the format
    raises  : UserError, OSError
    """
    with opened(file) as content:
        head = content.read(64)
        if head.startswith(LFS_POINTER):
            raise UserError("a Git LFS pointer, not the sound itself: git lfs pull")
        name = next((name for start, magic, name in SIGNATURES if head[start:].startswith(magic)), None)
        if name:
            return Source(decode(file, content, name, longest), None)
        if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
            return Source(*check_wav(file, content))
    return Source(file, None)


@contextlib.contextmanager
def opened(file):
    """An open file, at its start, and again afterwards where it was given open."""
    if isinstance(file, str | os.PathLike):
        with open(file, "rb") as content:
            yield content
        return
    file.seek(0)
    try:
        yield file
    finally:
        file.seek(0)


def is_sound_file(path, endings=READ):
    """Whether a path is a file with one of these endings, and not one that macOS puts beside others."""
    return path.suffix.lower() in endings and not path.name.startswith("._") and "__MACOSX" not in path.parts \
        and path.is_file()


# -- other formats ---------------------------------------------------------------------------------
def decode(file, content, name, longest):
    """The first sound of a file, as an open temporary WAV file. raises : UserError"""
    try:
        import av
    except ImportError as problem:
        raise UserError(f"{name}, for which a decoder is needed: {install_command('formats')}"
                        f"{convert_hint(file)}") from problem
    import soundfile
    content.seek(0)
    wave = tempfile.TemporaryFile()
    try:
        with av.open(content) as container:
            if not container.streams.audio:
                raise UserError(f"{name}, without sound in it")
            stream = container.streams.audio[0]
            rate, channels = stream.rate, stream.channels
            resampler, n_samples = av.AudioResampler(format="flt", layout=stream.layout, rate=rate), 0
            with soundfile.SoundFile(wave, "w", rate, channels, subtype="FLOAT", format="RF64") as sound:
                for frame in container.decode(stream):
                    for part in resampler.resample(frame):
                        samples = part.to_ndarray().reshape(-1, channels)                   # (samples, channels)
                        sound.write(samples)
                        n_samples += len(samples)
                    if n_samples > longest * rate:
                        raise UserError(f"longer than {longest} s, the most that is taken here; cut it into parts")
    except (av.FFmpegError, ValueError) as problem:
        if isinstance(problem, UserError):
            raise
        reason = getattr(problem, "strerror", None) or str(problem).splitlines()[0]
        raise UserError(f"{name} that cannot be decoded ({reason})") from problem
    wave.seek(0)
    return wave


def convert_hint(file):
    """A command that makes a WAV file of a file, where that has a name: "; to convert it: ffmpeg ..." """
    if not isinstance(file, str | os.PathLike):
        return ""
    path = Path(file)
    wav = path.with_suffix(".wav") if path.suffix.lower() != ".wav" else path.with_name(f"{path.stem}-converted.wav")
    return f"; to convert it: ffmpeg -i {shlex.quote(str(path))} {shlex.quote(str(wav))}"


# -- WAV headers -----------------------------------------------------------------------------------
def check_wav(file, content):
    """(file, None) of a WAV file whose header has the right length; else what libsndfile reads to the end of the file,
    or as far as the header says, and a note."""
    found = find_sound(content)
    if found is None:
        return file, None
    start, promised, held, byte_rate = found
    if promised > held:                                                                     # libsndfile does so itself
        return file, f"its header promises more sound than the {held / byte_rate:.1f} s that are there"
    if promised == held or begins_with_chunk(content, start + promised + promised % 2):
        return file, None
    if promised == 0:
        size = struct.pack("<I", min(held, 2**32 - 2))
        whole = content if not isinstance(file, str | os.PathLike) else open(file, "rb")    # noqa: SIM115
        return OtherBytes(whole, start - 4, size), "its header gives no length: read to the end of the file"
    if held - promised > MIN_SURPLUS_SECONDS * byte_rate:
        return file, (f"its header promises {promised / byte_rate:.1f} s of sound, and the file has room for "
                      f"{held / byte_rate:.1f} s: the rest is not used")
    return file, None


def find_sound(content):
    """Of an open WAV file: where its samples start, how many bytes of them the header promises and the file holds, and
    bytes a second; None where there are none."""
    end, position, byte_rate = content.seek(0, os.SEEK_END), 12, None
    for _ in range(MAX_CHUNKS):
        content.seek(position)
        head = content.read(8)
        if len(head) < 8:
            return None
        name, size = struct.unpack("<4sI", head)
        if name == b"fmt ":
            fields = content.read(12)
            byte_rate = struct.unpack("<8xI", fields)[0] if len(fields) == 12 else None
        if name == b"data":
            return (position + 8, size, end - position - 8, byte_rate) if byte_rate else None
        position += 8 + size + size % 2
    return None


def begins_with_chunk(content, position):
    """Whether another chunk of a WAV file begins at a position, and fits in, or nothing comes after it."""
    end = content.seek(0, os.SEEK_END)
    content.seek(position)
    head = content.read(8)
    if len(head) < 8:
        return True
    name, size = struct.unpack("<4sI", head)
    return name.strip().isalnum() and name.isascii() and position + 8 + size <= end + 1


class OtherBytes(io.RawIOBase):
    """An open file, for reading, in which the bytes at a position are others."""

    def __init__(self, file, position, content):
        self.file, self.position, self.content = file, position, content

    def seekable(self):
        return True

    def readable(self):
        return True

    def seek(self, offset, whence=os.SEEK_SET):
        return self.file.seek(offset, whence)

    def tell(self):
        return self.file.tell()

    def readinto(self, buffer):
        start, n = self.file.tell(), self.file.readinto(buffer)
        first, last = max(start, self.position), min(start + n, self.position + len(self.content))
        if first < last:
            memoryview(buffer)[first - start:last - start] = self.content[first - self.position:last - self.position]
        return n
