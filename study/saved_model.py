"""A saved model may come from anyone: what it says of itself is checked as a whole before anything is computed with it.

    metadata = read_metadata(folder)        preprocessing.json: keys, types, ranges, lengths
    arrays = read_npz(path)                 plain finite numbers of a bounded size, no pickle
    check_network_file(path)                sizes in a .keras file, before Keras builds what it describes
    check_answers(estimator, metadata)      it takes the input that it says, and gives a probability for each label
"""
import json
import re
import zipfile

import numpy as np

import features
from ser.facts import TOLERANCE
from ser.settings import OneOf, Real, Whole

LARGEST_BYTES = 2**31           # of the arrays or the network in a file, unpacked
LARGEST_SIZE = 10**6            # of a layer: units, filters, steps
NO_SIZES = ("seed", "shared_object_id")  # numbers in the description of a network that are names
# As beside the settings in config.py, which a saved model does not know; fmax is a number by then.
LIMITS = {
    "loading": {"sr": Real(4000, 192_000), "trim_db": Real(1, 200, optional=True),
                "level": OneOf(("recorded", "peak", "speech"))},
    "params": {"sr": Real(4000, 192_000), "n_fft": Whole(16, 2**16), "hop_length": Whole(1, 2**16),
               "n_mels": Whole(1, 1024), "n_mfcc": Whole(1, 1024), "n_gauss": Whole(1, 1024),
               "n_gauss_coefficients": Whole(1, 1024), "fmin": Real(0, 96_000), "fmax": Real(1, 96_000),
               "top_db": Real(1, 1000), "mean_subtraction": Real(0, 1)},
}
TEMPERATURES, SECONDS, LABELS = Real(1e-3, 1e3), Real(0.1, 60), (2, 1000)
KEYS = ("labels", "estimator", "feature", "input", "n_frames", "seconds", "training_range", "mean", "std",
        "speaker_mean", "temperature", "loading", "params")


# -- preprocessing.json ----------------------------------------------------------------------------
def read_metadata(folder):
    """The content of preprocessing.json (dict), checked. raises : OSError, ValueError"""
    metadata = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    missing = [name for name in KEYS if not isinstance(metadata, dict) or name not in metadata]
    if missing:
        raise ValueError(f"preprocessing.json has no {missing[0]}; if an earlier version wrote it, train it again")
    try:
        check_metadata(metadata)
    except (TypeError, KeyError, AttributeError, OverflowError) as problem:
        raise ValueError(f"preprocessing.json holds something of the wrong kind ({problem})") from problem
    return metadata


def check_metadata(metadata):
    """raises : ValueError, or whatever values of a wrong type raise, for metadata that cannot be those of a model."""
    labels = metadata["labels"]
    require(isinstance(labels, list) and all(isinstance(name, str) and name for name in labels)
            and LABELS[0] <= len(labels) <= LABELS[1] and len(set(labels)) == len(labels), "labels", "different names")
    row = features.FEATURES.get(metadata["feature"])
    require(row, "feature", f"one of {', '.join(features.FEATURES)}")
    require(metadata["input"] in row.inputs, "input", " or ".join(row.inputs))
    for group, limits in LIMITS.items():
        for name, limit in limits.items():
            require_limit(f"{group}.{name}", metadata[group][name], limit)
    params = metadata["params"]
    require(params["fmin"] < params["fmax"] <= params["sr"] / 2 and params["sr"] == metadata["loading"]["sr"],
            "params.fmax", "above fmin, and within half of the sample rate")
    require_limit("seconds", metadata["seconds"], SECONDS)
    require(metadata["n_frames"] == features.n_frames(metadata["feature"], metadata["seconds"], params), "n_frames",
            "what its seconds give")
    require_limit("temperature", metadata["temperature"], TEMPERATURES)
    mean, std = (numbers(metadata[name], name) for name in ("mean", "std"))
    require(mean.shape == std.shape and (std > 0).all(), "std", "positive, and as long as mean")
    if metadata["speaker_mean"] is not None:
        require(numbers(metadata["speaker_mean"], "speaker_mean").shape == mean.shape, "speaker_mean",
                "as long as mean")
    for name, limits in metadata["training_range"].items():
        require(name in TOLERANCE and numbers(limits, "training_range").shape == (2,), f"training_range.{name}",
                "lowest and highest of a fact of ser/facts.py")
    if row.encoder:
        check_encoder(params["encoder"])


def check_encoder(params):
    require(isinstance(params["checkpoint"], str) and re.fullmatch("[0-9a-f]{64}", str(params["sha256"])),
            "params.encoder", "a checkpoint and its hash")
    for block in [*params["blocks"], params["frames_block"]]:
        require_limit("params.encoder.blocks", block, Whole(0, 32))


def require(holds, name, what):
    """raises : ValueError unless a condition holds"""
    if not holds:
        raise ValueError(f"preprocessing.json: {name} is not {what}")


def require_limit(name, value, limit):
    allowed = limit.violation(value, None)
    require(allowed is None, name, f"{allowed}: {str(value)[:40]}")


def numbers(values, name):
    """A list of finite numbers -> float (n,). raises : ValueError"""
    try:
        array = np.asarray(values if isinstance(values, list) else np.nan, np.float64)
    except ValueError:
        array = np.array(np.nan)
    require(array.ndim == 1 and len(array) and np.isfinite(array).all(), name, "a list of finite numbers")
    return array


# -- files of models -------------------------------------------------------------------------------
def read_npz(path):
    """{name: array} of an .npz file: finite numbers. raises : OSError, ValueError"""
    try:
        check_zip(path)
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (EOFError, KeyError, MemoryError, OverflowError, TypeError, RuntimeError, NotImplementedError,
            zipfile.BadZipFile) as problem:
        raise ValueError(f"{path.name} is damaged ({problem}): train it again") from problem
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
            raise ValueError(f"{path.name}: {name} holds something else than finite numbers: train it again")
    return arrays


def check_zip(path):
    """raises : ValueError for an archive that unpacks to more than any model has"""
    with zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > LARGEST_BYTES:
            raise ValueError(f"{path.name} would unpack to more than {LARGEST_BYTES // 2**30} GB")


def check_network_file(path):
    """raises : OSError, ValueError for a .keras file with a layer larger than any that a network here could have"""
    try:
        check_zip(path)
        with zipfile.ZipFile(path) as archive:
            description = json.loads(archive.read("config.json"))
    except (EOFError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as problem:
        raise ValueError(f"{path.name} is damaged ({problem})") from problem
    largest = largest_number(description)
    if largest > LARGEST_SIZE:
        raise ValueError(f"{path.name}: a layer of size {largest:.0e}")


def largest_number(value):
    """The largest whole number in nested lists and dicts, those that are names apart."""
    if isinstance(value, dict):
        return max((largest_number(inner) for key, inner in value.items() if key not in NO_SIZES), default=0)
    if isinstance(value, list):
        return max(map(largest_number, value), default=0)
    return abs(value) if isinstance(value, int) else 0


def check_answers(estimator, metadata):
    """Ask a model about an empty clip. raises : ValueError unless it gives a probability for each label"""
    n, length = len(metadata["mean"]), np.array([metadata["n_frames"]])
    shape = (1, metadata["n_frames"], n) if metadata["input"] == "frames" else (1, n)
    try:
        p = np.asarray(estimator.predict_proba(np.zeros(shape, np.float32), length), float)
    except Exception as problem:            # of Keras, TensorFlow, LiteRT or NumPy, which share no base
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        raise ValueError(f"it does not take inputs of shape {shape[1:]} ({reason[:100]})") from problem
    if p.shape != (1, len(metadata["labels"])) or not np.isfinite(p).all() or abs(p.sum() - 1) > 1e-3 or p.min() < 0:
        raise ValueError(f"it does not give a probability for each of its {len(metadata['labels'])} labels")
