"""One fit: scaler, ensemble members, out-of-fold and test predictions, the same way for every model.

    estimator = NetworkEnsemble(n_classes, seed, **hyperparameters)     or a class of study/svm.py
    fit = fit_fold(estimator, x, lengths, labels, member_splits)

A fit is an ensemble of members. Each holds out another validation part of the fold's training clips (ser/splits.py), so
every validation clip gets an out-of-fold prediction. The members share one scaler, fitted on all clips that any of them
trains on. An estimator is given the arrays of all clips and trains on the indices of `member_splits` alone; the test
clips are predicted in one place, after training, and their labels are not looked at.
"""
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np

import features
from ser.splits import out_of_fold_mean


class Estimator(Protocol):
    """The contract of every model: an ensemble that is fitted, predicts, and is saved without pickle."""
    FILE: str                   # the file that `save` writes
    INPUT: str                  # "frames" or "functionals"; a network takes what its row of config.MODELS says
    USES_AUGMENTED: bool        # whether training sees the augmented copies of a clip
    n_parameters: int           # numbers that a saved model holds
    history: object             # table with a row per member and epoch, or None
    network: object             # the Keras model, or None

    def fit(self, x, lengths, labels, member_splits, scaler):
        """Train each member on its training clips -> [probabilities (clips, n_classes) of its validation clips, ...]

        x             : float (clips, variants, frames, n), or (clips, variants, 13 n) for functionals (2 n where a
                        feature has 2 statistics, see features.FEATURES; "13 n" stands for both); may lie on disk
        lengths       : int (clips, variants), real frames; None for functionals
        labels        : int (clips,); those of validation clips choose at most an epoch, those of test clips nothing
        member_splits : [{"train", "validation", "test"}: clip indices]
        scaler        : mean and std, as `features.standardise` takes them
        """

    def predict_proba(self, x, lengths):
        """Standardised clips (clips, frames, n) with lengths (clips,), or (clips, 13 n) with None -> probabilities
        (clips, n_classes), the mean of the members."""

    def save(self):
        """{file name: bytes}, plain data."""

    @classmethod
    def load(cls, folder):
        """The estimator whose `save` lies in a folder. raises : OSError, ValueError"""

    @staticmethod
    def versions():
        """{package: version} of what decides its numbers."""

    @staticmethod
    def hyperparameters(row, settings):
        """{argument of the class: value}, from a row of config.MODELS; of a network: training.training_params."""


@dataclass
class Fit:
    """The outcome of `fit_fold`."""
    estimator: Estimator
    mean: np.ndarray            # the scaler, see features.fit_scaler
    std: np.ndarray
    validation: np.ndarray      # probabilities (clips, n_classes) of splits.validation_indices, out of fold
    test: np.ndarray            # of the test clips
    seconds: float


def fit_fold(estimator, x, lengths, labels, member_splits, weights=None):
    """Fit an ensemble on one fold -> Fit. Arguments as in `Estimator.fit`; weights (n,): features.cepstral_weights."""
    start = time.perf_counter()
    union, n_variants = train_union(member_splits), x.shape[1] if estimator.USES_AUGMENTED else 1
    flat_x, flat_lengths = flatten_variants(x, lengths, n_variants)
    scaler = features.fit_scaler(flat_x, flat_lengths, variant_rows(union, n_variants), weights)
    validation = out_of_fold_mean(member_splits, estimator.fit(x, lengths, labels, member_splits, scaler))
    clips = member_splits[0]["test"]
    test = np.empty((0, validation.shape[1]))                   # of a final model, which is tested on nothing
    if len(clips):
        test = estimator.predict_proba(load_unaugmented(x, lengths, clips, scaler), unaugmented_lengths(lengths, clips))
    return Fit(estimator, *scaler, validation, test, time.perf_counter() - start)


def train_union(member_splits):
    """The clips that any member trains on: sorted clip indices."""
    return np.unique(np.concatenate([split["train"] for split in member_splits]))


def flatten_variants(x, lengths, n_variants):
    """The first variants of all clips in one column: (clips x variants, ...) and (clips x variants,) or None; views."""
    if n_variants < x.shape[1]:
        x, lengths = x[:, :n_variants], None if lengths is None else lengths[:, :n_variants]
    if n_variants == 1:
        return x[:, 0], None if lengths is None else lengths[:, 0]
    return x.reshape(-1, *x.shape[2:]), None if lengths is None else lengths.reshape(-1)


def variant_rows(clips, n_variants):
    """Rows of some clips and their copies in `flatten_variants`: int (clips x variants,)."""
    return (np.asarray(clips)[:, None] * n_variants + np.arange(n_variants)).ravel()


def load_unaugmented(x, lengths, clips, scaler):
    """Some clips as recorded, without copies, standardised: (clips, ...)."""
    return features.standardise(np.asarray(x[clips, 0]), *scaler, unaugmented_lengths(lengths, clips))


def unaugmented_lengths(lengths, clips):
    """Real frames of some clips as recorded: int (clips,), or None for functionals."""
    return None if lengths is None else lengths[clips, 0]
