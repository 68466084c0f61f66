"""Saved models and sound files, spoilt at random, and what becomes of them: two of the series of faults.py.

Each gives a row: how many were spoilt, were answered all the same, gave one line, or another error, which is a fault.
"""
import io
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from ser import demo_corpus, seeds
from ser.errors import UserError
from ser.folders import MANIFEST
from study import inference
from study.segments import load_segments

READY = Path(__file__).parents[1] / "ready/mfcc-cnn1d"


# -- models ----------------------------------------------------------------------------------------
def models(n, rng):
    """Values of preprocessing.json replaced, bytes of the model flipped, files cut or left out."""
    row, sound = dict(spoilt=0, answered=0, one_line=0, other_errors=0), Path(tempfile.mkdtemp()) / "a.wav"
    soundfile.write(sound, speech(), demo_corpus.SAMPLE_RATE)
    for number in range(n):
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(shutil.copytree(READY, Path(parent) / "model"))
            (folder / MANIFEST).unlink()                # which would find all of it; so as put together by hand
            spoil_model(folder, rng, number)
            weights = {folder: 1.0}
            row["spoilt"] += 1
            outcome = attempt(weights, sound)
            row[outcome] += 1
    return row


def spoil_model(folder, rng, number):
    """One of several kinds of damage, in turn."""
    path = folder / ("preprocessing.json" if number % 2 else "model.tflite")
    content = bytearray(path.read_bytes())
    kind = number // 2 % 3
    if path.suffix == ".json" and kind == 0:
        metadata = json.loads(content)
        name = rng.choice(sorted(metadata))
        value = rng.choice([None, -1, 0, 1e300, float("nan"), [], {}, "text", 10**9, [float("inf")] * 40])
        inner = metadata[name]
        if isinstance(inner, dict) and inner and rng.random() < 0.7:
            inner[rng.choice(sorted(inner))] = value
        else:
            metadata[name] = value
        path.write_text(json.dumps(metadata))
    elif kind == 1:
        path.write_bytes(content[:rng.randrange(len(content))])
    else:
        for _ in range(rng.randint(1, 20)):
            content[rng.randrange(min(len(content), rng.choice([4096, 10**9])))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)


def answer(weights, sound):
    """Answer one recording, as predict.py does."""
    loaded = [inference.load_model(*item) for item in weights.items()]
    labels, calibration = inference.common_labels(loaded), inference.calibrate(weights)
    segments = load_segments(sound, inference.input_specs(loaded))
    if "problem" in segments[0]:
        raise UserError(segments[0]["problem"])
    table = inference.predict_segments(segments, loaded, labels, calibration)
    if not np.isfinite(table[[f"p_{name}" for name in labels]].to_numpy(float)).all() and table.label[0] in labels:
        raise AssertionError("a label without finite probabilities")


def attempt(weights, sound):
    """"answered", "one_line" for a UserError of one line, else "other_errors"."""
    try:
        answer(weights, sound)
        return "answered"
    except UserError as problem:
        return "one_line" if "\n" not in str(problem) else "other_errors"
    except Exception as problem:                # whatever it is, it is what is counted here
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
        return "other_errors"


# -- inputs ----------------------------------------------------------------------------------------
def inputs(n, rng):
    """Sound files whose bytes are flipped, cut, doubled or not those of a sound file at all."""
    row, weights = dict(spoilt=0, answered=0, one_line=0, other_errors=0), {READY: 1.0}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(n):
            path = Path(folder) / f"{number}{rng.choice(['.wav', '.flac', '.mp3', '.m4a', '.ogg', ''])}"
            path.write_bytes(spoilt_sound(rng, number))
            row["spoilt"] += 1
            row[attempt(weights, path)] += 1
    return row


def speech():
    """A synthesised clip, float32 (samples,)."""
    return demo_corpus.synthesise("happy", rng=seeds.generator(0, "faults"), statement=1, intensity=1, base_hz=150,
                                  formant_scale=1.0, sample_rate=demo_corpus.SAMPLE_RATE)


def spoilt_sound(rng, number):
    """The bytes of a file that is no good sound file, of several kinds in turn."""
    form, subtype = rng.choice([("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "PCM_24"), ("FLAC", None), ("OGG", None),
                                ("AIFF", "PCM_16"), ("MP3", None), ("AU", "FLOAT"), ("W64", "PCM_16")])
    y, file = speech(), io.BytesIO()
    samples = rng.choice([y, np.stack([y, -y], 1), y[:200], 0 * y, y + 0.5, np.full_like(y, np.nan), 1e9 * y, y[:0]])
    soundfile.write(file, samples if subtype == "FLOAT" else np.nan_to_num(samples).clip(-1, 1),
                    rng.choice([8000, 24_000, 48_000]), format=form, subtype=subtype)
    content = bytearray(file.getvalue())
    kind = number % 5
    if kind == 1 and content:
        content = content[:rng.randrange(len(content))]
    if kind == 2 and content:
        for _ in range(rng.randint(1, 30)):
            content[rng.randrange(min(len(content), 200))] = rng.randrange(256)
    if kind == 3:
        content = bytearray(rng.randbytes(rng.randrange(2000)))
        content[:0] = rng.choice([b"", b"RIFF\0\0\0\0WAVEfmt ", b"fLaC", b"OggS", b"ID3\3", b"\0\0\0\x1cftypM4A ",
                                  b"\x1aE\xdf\xa3", b"\xff\xf1", b"version https://git-lfs", b"#!AMR\n"])
    if kind == 4 and content:
        content += content[:rng.randrange(len(content))]
    return bytes(content)
