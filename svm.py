"""Support vector machines, which know of clips only how far apart they are.

    svm   Euclidean distance of the standardised functionals: the classical line, which every net must beat
    dtw   distance of the frames after dynamic time warping (dtw.py)

    (clips, clips) distances --Gaussian--> kernel --one machine an emotion, against the others--> probabilities

The machines are scikit-learn's (a Gaussian of DTW as kernel: Bahlmann et al., "Online handwriting recognition with
support vector machines", 2002). They train on the clips as recorded, without copies, and keep them. Time grows with the
square of their number and more.
"""
import importlib.metadata
import io
import time
import zipfile
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

import dtw
from data_preprocessing import normalise, normaliser
from splits import by_those_that_left_out

KINDS = ("svm", "dtw")
WIDTH = 0.7             # of the kernel: exp(-WIDTH) is the likeness of a typical clip and its nearest neighbour
TEMPERATURE = 0.25      # of the softmax over the machines' margins, which are 1 and -1 for a clear case
SMALLEST = 1e-6         # eigenvalues of a kernel below this count as none
VERSIONS = {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "scikit-learn", "librosa", "numba")}


@threadpool_limits.wrap(limits=1)       # matrix products in one order, whichever process this is
def fit(kind, feature, x, lengths, labels, members, settings):
    """Fit machines for each member, predict the validation clips by those that left them out, the test clips by all.

    x       : float (clips, versions, frames, n) of `feature` with lengths int (clips, versions) for "dtw";
              (clips, versions, 13 n) and None for "svm"; version 0 is the clip, the others are not looked at
    labels  : int (clips,); those of the validation and test parts are not looked at
    members : [{"train", "validation", "test"}: clip indices], as in `fit.fit`; like there they share one scale, that of
              all clips that any of them trains on
    returns : dict(mean, std, parameters, seconds; model, the bytes of a `Machine`; and probabilities (clips, classes):
              validation of `splits.validated(members)`, each by those members that left the clip out; test by all)
    """
    start = time.perf_counter()
    x, lengths = x[:, 0], None if lengths is None else lengths[:, 0]
    heard = np.unique(np.concatenate([parts["train"] for parts in members]))            # by any member
    others = np.setdiff1d(np.concatenate([parts[name] for parts in members for name in ("validation", "test")]), heard)
    mean, std = normaliser(x, lengths, heard)
    compared = dtw.settings(feature) if kind == "dtw" else None

    def comparable_clips(clips):
        real = None if lengths is None else lengths[clips]
        return comparable(normalise(np.asarray(x[clips]), mean, std, real), real, compared)

    known = comparable_clips(heard)
    between = np.concatenate([distances(known), distances(comparable_clips(others), known)])    # (clips, heard)
    row = np.empty(len(labels), int)
    row[heard], row[others] = np.arange(len(heard)), len(heard) + np.arange(len(others))

    machine = Machine(compared, known, *map(np.array, zip(*(
        one_against_rest(between[:len(heard)], np.searchsorted(heard, parts["train"]), labels[parts["train"]],
                         len(settings.CLASSES), settings.SVM_C) for parts in members))))
    validation = [answer(between[row[parts["validation"]]], *one) for parts, one in zip(members, machine.members())]
    return dict(model=machine.as_bytes(), mean=mean, std=std, parameters=machine.parameters,
                validation=by_those_that_left_out(members, validation),
                test=machine.answer(between[row[members[0]["test"]]]), seconds=time.perf_counter() - start)


def one_against_rest(between, train, labels, classes, cost):
    """A machine for each emotion, trained on some of the known clips: what `answer` takes.

    between : (known, known); train : int, indices; labels : int, of these
    returns : weight (known, classes), 0 where not trained on; offset (classes,); unit of distance

    The unit is set by the median distance of a clip to its nearest neighbour. A kernel of warped distances need not be
    positive; what is negative of it is left out, for training and answers alike.
    """
    own = between[np.ix_(train, train)]
    nearest = np.where(np.eye(len(own), dtype=bool), np.inf, own).min(axis=1)
    unit = (np.median(nearest[nearest > 0]) if (nearest > 0).any() else 1.0) / np.sqrt(WIDTH)
    values, vectors = np.linalg.eigh(likeness(own, unit))
    vectors = vectors[:, values > SMALLEST]
    kernel = (vectors * values[values > SMALLEST]) @ vectors.T
    weight, offset = np.zeros((len(between), classes)), np.full(classes, -1.0)      # -1: as of an emotion not heard
    for label in np.unique(labels):
        if (labels == label).all():                                                 # nothing to tell it from
            offset[label] = 1.0
            continue
        machine = SVC(C=cost, kernel="precomputed").fit(kernel, labels == label)
        dual = np.zeros(len(own))
        dual[machine.support_] = machine.dual_coef_[0]
        weight[train, label] = vectors @ (vectors.T @ dual)
        offset[label] = machine.intercept_[0]
    return weight, offset, unit


def likeness(between, unit):
    """The kernel: a Gaussian of the distance, 1 at 0 and 1/e at `unit`."""
    return np.exp(-np.square(np.asarray(between, float) / unit))


def answer(between, weight, offset, unit):
    """Distances to the known clips (clips, known) -> probabilities (clips, classes)."""
    return softmax((likeness(between, unit) @ weight + offset) / TEMPERATURE, axis=1)


def comparable(x, lengths, compared):
    """What is compared of normalised clips: [(steps, columns), ...] of frames; functionals as they are."""
    return x if lengths is None else [dtw.steps(clip[:length], **compared) for clip, length in zip(x, lengths)]


def distances(clips, others=None):
    """Of each clip to each of the others, or to each of themselves, as `comparable` gives them: (clips, others)."""
    if isinstance(clips, list):
        return dtw.distances(clips, others)
    return cdist(clips, clips if others is None else others)


@dataclass
class Machine:
    """All that an answer needs: the training clips, as they are compared, and what each member makes of them."""
    compared: object            # dict of dtw.settings, or None for functionals
    known: object               # [(steps, columns), ...], or (known, 13 n)
    weight: np.ndarray          # (members, known, classes), 0 for what a member left out
    offset: np.ndarray          # (members, classes)
    unit: np.ndarray            # (members,), of distance

    @property
    def parameters(self):
        """Numbers kept: the clips themselves, and a weight of each for every emotion."""
        return int(sum(clip.size for clip in self.known) + np.count_nonzero(self.weight) + self.offset.size)

    def members(self):
        return list(zip(self.weight, self.offset, self.unit))

    def answer(self, between):
        """Distances to the known clips (clips, known) -> probabilities (clips, classes), the mean of the members'."""
        return np.mean([answer(between, *member) for member in self.members()], axis=0)

    def __call__(self, x, lengths):
        """Clips, normalised, as `fit` took them: -> probabilities (clips, classes)."""
        return self.answer(distances(comparable(x, lengths if self.compared else None, self.compared), self.known))

    def as_bytes(self):
        """The content of an .npz file: plain arrays, nothing that runs."""
        file = io.BytesIO()
        kept = dict(weight=self.weight, offset=self.offset, unit=self.unit)
        if self.compared:
            kept |= self.compared | dict(known=np.concatenate(self.known), steps=list(map(len, self.known)))
        np.savez(file, **({"known": self.known} | kept))
        return file.getvalue()


def saved_machine(path):
    """The Machine in an .npz file. raises : OSError, ValueError"""
    try:
        with np.load(path, allow_pickle=False) as file:
            kept = dict(file)
        weight, offset, unit, known = (kept.pop(name) for name in ("weight", "offset", "unit", "known"))
        if kept:
            known = np.split(known, np.cumsum(kept.pop("steps"))[:-1])
        return Machine({name: value.item() for name, value in kept.items()} or None, known, weight, offset, unit)
    except (EOFError, KeyError, TypeError, zipfile.BadZipFile) as problem:
        raise ValueError(f"{path} is damaged ({problem})") from problem
