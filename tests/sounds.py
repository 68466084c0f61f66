"""Sounds whose properties are known on paper, and files named like RAVDESS."""
import numpy as np
import soundfile

SR = 22_050


def tone(hz=440.0, amplitude=0.3, seconds=1.0, sr=SR):
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * sr)) / sr)).astype(np.float32)


def write(folder, name, samples=None, sr=SR, **form):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(sr=sr) if samples is None else samples, sr, **form)
    return path


def clip_name(**codes):
    usual = {"modality": "03", "channel": "01", "emotion": "05", "intensity": "01", "statement": "01",
             "repetition": "01", "actor": "01"}
    return "-".join((usual | codes).values()) + ".wav"


def files_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())
