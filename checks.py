"""Can a run work with these settings? What cannot is named in one line, before anything is computed.

    checks.of_run(settings)     returns nothing, or raises DataError: setting, value, and what it may be
"""
from numbers import Integral, Real

import config
import features
from ser import corpora
from ser.corpora import DataError
from study import svm

NETWORKS = ("cnn1d", "bilstm", "hybrid", "mlp")     # model.py's, which would bring TensorFlow

# Lowest and highest value of each number; a name stands for the value of that setting, which is checked before.
WHOLE = {"N_FFT": (16, 2**16), "HOP_LENGTH": (1, 2**16), "N_MELS": (1, 1024), "N_MFCC": (1, "N_MELS"),
         "N_GAUSS": (1, 1024), "N_GAUSS_COEFFICIENTS": (1, "N_GAUSS"), "N_AUGMENTED": (0, 100), "N_FOLDS": (2, 100),
         "ENSEMBLE_SIZE": (1, 100), "SEED": (0, 2**32 - 1), "EARLY_STOPPING_PATIENCE": (0, 10**6),
         "PLATEAU_PATIENCE": (0, 10**6)}
REAL = {"SAMPLE_RATE": (4000, 192_000), "TRIM_DB": (1, 200), "CLIP_SECONDS": (0.1, 60), "F_MAX": (1, 96_000),
        "F_MIN": (0, "F_MAX"), "CEPSTRAL_DECAY": (1, 1000), "TOP_DB": (1, 1000), "VALIDATION_FRACTION": (0.01, 0.9),
        "WEIGHT_DECAY": (0, 10), "EMA_DECAY": (0, 0.9999), "MIXUP_ALPHA": (0, 100), "LABEL_SMOOTHING": (0, 0.9),
        "TIME_MASK_SECONDS": (0, 60), "FREQ_MASK_FRACTION": (0, 1), "PLATEAU_FACTOR": (0.01, 0.99),
        "MINIMUM_LEARNING_RATE": (0, 1), "SVM_C": (1e-6, 1e6)}
OR_NONE = {"TRIM_DB", "CEPSTRAL_DECAY"}
PAIRS = {"STRETCH_RATE": (0.25, 4), "PITCH_SEMITONES": (-24, 24), "NOISE_SNR_DB": (-100, 200)}
OF_EACH_NETWORK = {"EPOCHS": (Integral, 1, 10**5), "BATCH_SIZE": (Integral, 1, 10**6), "LEARNING_RATE": (Real, 1e-7, 1)}
CHOICES = {"LR_SCHEDULE": ("cosine", "plateau"), "CHECKPOINT": ("last", "best"), "PROTOCOL": config.PROTOCOLS}


def of_run(settings):
    """`settings` is config.py as a namespace. raises : DataError"""
    names("FEATURES", settings.FEATURES, features.NAMES)
    names("MODELS", settings.MODELS, (*NETWORKS, *svm.KINDS))
    for name, known in CHOICES.items():
        if getattr(settings, name) not in known:
            raise DataError(f"config.py: {name} = {getattr(settings, name)!r} is not one of {', '.join(known)}")
    for kind, table in ((Integral, WHOLE), (Real, REAL)):
        for name, limits in table.items():
            value = getattr(settings, name)
            if name in OR_NONE and value is None:
                continue
            low, high = (getattr(settings, limit) if isinstance(limit, str) else limit for limit in limits)
            number(name, value, kind, low, high, " or None" * (name in OR_NONE))
    if settings.F_MAX > settings.SAMPLE_RATE / 2:
        raise DataError(f"config.py: F_MAX = {settings.F_MAX!r} is above half of SAMPLE_RATE, where there is no sound")
    for name, (low, high) in PAIRS.items():
        pair = getattr(settings, name)
        if not (isinstance(pair, tuple | list) and len(pair) == 2
                and all(is_number(value, Real, low, high) for value in pair) and pair[0] <= pair[1]):
            raise DataError(f"config.py: {name} = {pair!r} is not a pair (lowest, highest) within {low} .. {high}")
    for name, limits in OF_EACH_NETWORK.items():
        values = getattr(settings, name)
        for model in (model for model in settings.MODELS if model in NETWORKS):
            if not isinstance(values, dict) or model not in values:
                raise DataError(f'config.py: {name} = {values!r} has no value for "{model}"; write {{"{model}": ...}}')
            number(f'{name}["{model}"]', values[model], *limits)
    if sorted(settings.CLASSES) != sorted(corpora.FIELDS["emotion"].values()):
        raise DataError("config.py: CLASSES are not the eight emotions of RAVDESS (in any order); for some of "
                        "them, or others, list your clips in a CSV (--data-dir)")


def names(name, given, known):
    """Is a setting a tuple of some of the names that are known? raises : DataError"""
    if not isinstance(given, tuple | list) or not given:
        raise DataError(f'config.py: {name} = {given!r} is not a list of names, such as ("{known[0]}",)')
    unknown = [value for value in given if value not in known]
    if unknown:
        raise DataError(f"config.py: {name} has {unknown[0]!r}, which is not one of {', '.join(known)}")


def number(name, value, kind, low, high, also=""):
    """raises : DataError"""
    if not is_number(value, kind, low, high):
        what = "a whole number" if kind is Integral else "a number"
        raise DataError(f"config.py: {name} = {value!r} is not {what} within {low} .. {high}{also}")


def is_number(value, kind, low, high):
    return isinstance(value, kind) and not isinstance(value, bool) and low <= value <= high
