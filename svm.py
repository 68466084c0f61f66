"""Support vector machines, which know of clips only how far apart they are.

    svm   Euclidean distance of the standardised functionals: the classical line, which every net must beat
    dtw   distance of the frames after dynamic time warping (dtw.py)

    (clips, clips) distances --Gaussian--> kernel --one machine an emotion, against the others--> probabilities

The machines are scikit-learn's (a Gaussian of DTW as kernel: Bahlmann et al., "Online handwriting recognition with
support vector machines", 2002). They train on the clips as recorded, without copies; time grows with the square of
their number.
"""
import importlib.metadata
import io
import time
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.svm import SVC

import dtw
import scores
from data_preprocessing import normalise, normaliser
from splits import by_those_that_left_out

KINDS = ("svm", "dtw")
WIDTH = 0.7             # of the kernel: exp(-WIDTH) is the likeness of a typical clip and its nearest neighbour
TEMPERATURE = 0.2       # of the softmax over the machines' margins, where no validation clips tell a better one
SMALLEST = 1e-6         # eigenvalues of a kernel below this count as none
VERSIONS = {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "scikit-learn")}


def fit(kind, feature, x, lengths, labels, members, settings):
    """Fit machines for each member, predict the validation clips by those that left them out, the test clips by all.

    x       : float (clips, versions, frames, n) of `feature` with lengths int (clips, versions) for "dtw";
              (clips, versions, 13 n) and None for "svm"; version 0 is the clip, the others are not looked at
    labels  : int (clips,); those of the test part are not looked at
    members : [{"train", "validation", "test"}: clip indices], as in `fit.fit`; like there they share one scale, that of
              all clips that any of them trains on
    returns : dict(mean, std, parameters, seconds; model, the bytes of a `Machine`; and probabilities (clips, classes):
              validation of `splits.validated(members)`, each by those members that left the clip out; test by all)
    """
    start = time.perf_counter()
    x, lengths = x[:, 0], None if lengths is None else lengths[:, 0]
    heard = np.unique(np.concatenate([parts["train"] for parts in members]))            # by any member
    used = np.unique(np.concatenate([heard, *(parts[name] for parts in members for name in ("validation", "test"))]))
    mean, std = normaliser(x, lengths, heard)
    real = None if lengths is None else lengths[used]
    compared = comparable(kind, feature, normalise(np.asarray(x[used]), mean, std, real), real)
    between = distances(kind, compared)                                                 # (used, used)

    trained, validation, test = [], [], []
    for parts in members:
        train, left_out, tested = (np.searchsorted(used, parts[name]) for name in ("train", "validation", "test"))
        own = one_against_rest(between[np.ix_(train, train)], labels[parts["train"]], len(settings.CLASSES),
                               settings.SVM_C)
        if len(left_out):
            own["temperature"] *= scores.best_temperature(answer(between[np.ix_(left_out, train)], **own),
                                                          labels[parts["validation"]])
        validation.append(answer(between[np.ix_(left_out, train)], **own))
        test.append(answer(between[np.ix_(tested, train)], **own))
        weight = np.zeros((len(heard), len(settings.CLASSES)))
        weight[np.searchsorted(heard, parts["train"])] = own["weight"]
        trained.append(own | {"weight": weight})
    machine = Machine(kind, feature, [compared[clip] for clip in np.searchsorted(used, heard)],
                      **{name: np.array([own[name] for own in trained]) for name in trained[0]})
    return dict(model=machine.as_bytes(), mean=mean, std=std, parameters=machine.parameters,
                validation=by_those_that_left_out(members, validation), test=np.mean(test, axis=0),
                seconds=time.perf_counter() - start)


def one_against_rest(between, labels, classes, cost):
    """A machine for each emotion: between (clips, clips), labels int (clips,) -> what `answer` takes.

    The unit of distance is the median distance of a clip to its nearest neighbour. A kernel of warped distances need
    not be positive; what is negative of it is left out, for training and answers alike.
    """
    nearest = np.where(np.eye(len(between), dtype=bool), np.inf, between).min(axis=1)
    unit = np.median(nearest[nearest > 0]) if (nearest > 0).any() else 1.0
    values, vectors = np.linalg.eigh(likeness(between, unit))
    vectors = vectors[:, values > SMALLEST]
    kernel = (vectors * values[values > SMALLEST]) @ vectors.T
    weight, offset = np.zeros((len(labels), classes)), np.full(classes, -1.0)   # an emotion not heard: never
    for label in np.unique(labels):
        machine = SVC(C=cost, kernel="precomputed").fit(kernel, labels == label)
        dual = np.zeros(len(labels))
        dual[machine.support_] = machine.dual_coef_[0]
        weight[:, label] = vectors @ (vectors.T @ dual)
        offset[label] = machine.intercept_[0]
    return dict(weight=weight, offset=offset, unit=unit, temperature=TEMPERATURE)


def likeness(between, unit):
    """The kernel: 1 for distance 0, exp(-WIDTH) for distance `unit`."""
    return np.exp(-WIDTH * np.square(np.asarray(between, float) / unit))


def answer(between, weight, offset, unit, temperature):
    """Distances of clips to those of training (clips, known) -> probabilities (clips, classes)."""
    return softmax((likeness(between, unit) @ weight + offset) / temperature, axis=1)


def comparable(kind, feature, x, lengths):
    """What is compared of normalised clips: [(steps, columns), ...] of frames; functionals as they are."""
    return [dtw.steps(clip[:length], feature) for clip, length in zip(x, lengths)] if kind == "dtw" else x


def distances(kind, clips, others=None):
    """Of each clip to each of the others, or to each of themselves: float (clips, others)."""
    if kind == "dtw":
        return dtw.distances(clips, others)
    return cdist(clips, clips if others is None else others)


@dataclass
class Machine:
    """All that an answer needs: the training clips, as they are compared, and what each member makes of them."""
    kind: str
    feature: str
    known: object               # [(steps, columns), ...] for "dtw", (known, 13 n) for "svm"
    weight: np.ndarray          # (members, known, classes), 0 for what a member left out
    offset: np.ndarray          # (members, classes)
    unit: np.ndarray            # (members,), of distance
    temperature: np.ndarray     # (members,)

    @property
    def parameters(self):
        """Numbers kept: the clips themselves, and a weight of each for every emotion."""
        return int(sum(clip.size for clip in self.known) + np.count_nonzero(self.weight) + self.offset.size)

    def __call__(self, x, lengths):
        """Clips, normalised, as `fit` took them: -> probabilities (clips, classes), the mean of the members'."""
        between = distances(self.kind, comparable(self.kind, self.feature, x, lengths), self.known)
        return np.mean([answer(between, *member) for member in
                        zip(self.weight, self.offset, self.unit, self.temperature)], axis=0)

    def as_bytes(self):
        """The content of an .npz file: plain arrays, nothing that runs."""
        file = io.BytesIO()
        np.savez(file, kind=self.kind, feature=self.feature, known=np.concatenate([np.atleast_2d(clip) for clip in
                 self.known]), steps=[len(np.atleast_2d(clip)) for clip in self.known], weight=self.weight,
                 offset=self.offset, unit=self.unit, temperature=self.temperature)
        return file.getvalue()


def saved_machine(path):
    """The Machine in an .npz file. raises : OSError, ValueError, KeyError"""
    with np.load(path, allow_pickle=False) as kept:
        values = dict(kept)
    known, steps = values.pop("known"), values.pop("steps")
    kind, feature = str(values.pop("kind")), str(values.pop("feature"))
    return Machine(kind, feature, np.split(known, np.cumsum(steps)[:-1]) if kind == "dtw" else known, **values)
