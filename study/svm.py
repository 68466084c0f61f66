"""Support vector machines, which know of clips only how far apart they are.

    svm   Euclidean distance of the standardised functionals: the classical line, which every net must beat
    dtw   the same, and the distance of the frames after dynamic time warping (dtw.py)

    (views, clips, clips) distances --Gaussian--> kernel --one machine an emotion, against the others--> probabilities

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

import features
from data_preprocessing import fit_scaler, standardise
from ser import dtw
from ser.splits import out_of_fold_mean

# What is compared of two clips, and the width of the kernel in each view: exp(-width) is the likeness of a clip and its
# nearest neighbour, where they are as far apart as is typical. That of all views is the product.
REPRESENTATIONS = {"svm": {"functionals": 0.7}, "dtw": {"frames": 0.45, "functionals": 0.1}}
KINDS = tuple(REPRESENTATIONS)
SOFTMAX_TEMPERATURE = 0.25      # of the softmax over the machines' margins, which are 1 and -1 for a clear case
MIN_EIGENVALUE = 1e-6         # eigenvalues of a kernel below this count as none
VERSIONS = {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "scikit-learn", "librosa", "numba")}


@threadpool_limits.wrap(limits=1)       # matrix products in one order, whichever process this is
def fit(kind, x, lengths, labels, members, settings, weights=None):
    """Fit machines for each member, predict the validation clips by those that left them out, the test clips by all.

    x       : float (clips, versions, frames, n) with lengths int (clips, versions) for "dtw";
              (clips, versions, 13 n) and None for "svm"; version 0 is the clip, the others are not looked at
    labels  : int (clips,); those of the validation and test parts are not looked at
    members : [{"train", "validation", "test"}: clip indices], as in `networks.fit`; like there they share one scale, that of
              all clips that any of them trains on
    weights : (n,), what each column counts (features.weights); None: all the same
    returns : dict(mean, std, parameters, seconds; model, the bytes of a `Machine`; and probabilities (clips, classes):
              validation of `splits.validated(members)`, each by those members that left the clip out; test by all)
    """
    start = time.perf_counter()
    x, lengths = x[:, 0], None if lengths is None else lengths[:, 0]
    heard = np.unique(np.concatenate([parts["train"] for parts in members]))            # by any member
    others = np.setdiff1d(np.concatenate([parts[name] for parts in members for name in ("validation", "test")]), heard)
    mean, std = fit_scaler(x, lengths, heard, weights)
    compared = dtw.DTW_PARAMS if kind == "dtw" else None

    def views_of(clips, scale):
        real = None if lengths is None else lengths[clips]
        return representations(standardise(np.asarray(x[clips]), mean, std, real), real, compared, scale)

    known, scale = views_of(heard, None)
    between = np.concatenate([distances(known), distances(views_of(others, scale)[0], known)], axis=1)
    row = np.empty(len(labels), int)                                        # of a clip in between (views, clips, heard)
    row[heard], row[others] = np.arange(len(heard)), len(heard) + np.arange(len(others))

    machine = KernelSVM(compared, scale, known, *map(np.array, zip(*(
        fit_one_vs_rest(between[:, :len(heard)], list(REPRESENTATIONS[kind].values()), np.searchsorted(heard, parts["train"]),
                         labels[parts["train"]], len(settings.CLASSES), settings.SVM_C) for parts in members))))
    validation = [predict_proba(between[:, row[parts["validation"]]], *one)
                  for parts, one in zip(members, machine.members())]
    return dict(model=machine.as_bytes(), mean=mean, std=std, parameters=machine.parameters,
                validation=out_of_fold_mean(members, validation),
                test=machine.answer(between[:, row[members[0]["test"]]]), seconds=time.perf_counter() - start)


def representations(x, lengths, compared, scale=None):
    """What is compared of normalised clips, {view: ...} in the order of VIEWS, and the scale of their functionals.

    x        : float (clips, 13 n), or (clips, frames, n) with lengths int (clips,)
    compared : of frames, how (dtw.SETTINGS)
    scale    : mean and std, each (13 n,), of the functionals of frames; None: as they are in these clips
    """
    if lengths is None:
        return {"functionals": x}, None
    functionals = features.functionals(x, lengths)                                      # (clips, 13 n)
    scale = scale or fit_scaler(functionals)
    return {"frames": [dtw.frame_descriptors(clip[:length], **compared) for clip, length in zip(x, lengths)],
            "functionals": standardise(functionals, *scale)}, scale


def distances(clips, others=None):
    """Of each clip to each of the others, or to each of themselves: `views` of them -> (views, clips, others)."""
    others = others or clips
    return np.stack([dtw.distances(clips[view], None if others is clips else others[view]) if view == "frames"
                     else cdist(clips[view], others[view]).astype(np.float32) for view in clips])


def fit_one_vs_rest(between, widths, train, labels, classes, cost):
    """A machine for each emotion, trained on some of the known clips: what `answer` takes.

    between : (views, known, known); widths : one a view; train : int, indices; labels : int, of these
    returns : weight (known, classes), 0 where not trained on; offset (classes,); unit (views,) of distance

    The unit is set by the median distance of a clip to its nearest neighbour. A kernel of warped distances need not be
    positive; what is negative of it is left out, for training and answers alike.
    """
    own = between[:, train[:, None], train]                                             # (views, clips, clips)
    unit = np.array([median_nearest_distance(view) / np.sqrt(width) for view, width in zip(own, widths)])
    values, vectors = np.linalg.eigh(rbf_kernel(own, unit))
    vectors = vectors[:, values > MIN_EIGENVALUE]
    kernel = (vectors * values[values > MIN_EIGENVALUE]) @ vectors.T
    weight, offset = np.zeros((between.shape[1], classes)), np.full(classes, -1.0)  # -1: as of an emotion not heard
    for label in np.unique(labels):
        if (labels == label).all():                                                 # nothing to tell it from
            offset[label] = 1.0
            continue
        machine = SVC(C=cost, kernel="precomputed").fit(kernel, labels == label)
        dual = np.zeros(len(kernel))
        dual[machine.support_] = machine.dual_coef_[0]
        weight[train, label] = vectors @ (vectors.T @ dual)
        offset[label] = machine.intercept_[0]
    return weight, offset, unit


def median_nearest_distance(between):
    """Median distance of a clip to its nearest neighbour, of (clips, clips): doubles do not count. 1 if all are."""
    nearest = np.where(np.eye(len(between), dtype=bool), np.inf, between).min(axis=1)
    return np.median(nearest[nearest > 0]) if (nearest > 0).any() else 1.0


def rbf_kernel(between, unit):
    """The kernel: a Gaussian of the distances (views, clips, others), 1 at 0 and 1/e at the `unit` of a view."""
    return np.exp(-sum(np.square(view / size) for view, size in zip(np.asarray(between, float), unit)))


def predict_proba(between, weight, offset, unit):
    """Distances to the known clips (views, clips, known) -> probabilities (clips, classes)."""
    return softmax((rbf_kernel(between, unit) @ weight + offset) / SOFTMAX_TEMPERATURE, axis=1)


@dataclass
class KernelSVM:
    """All that an answer needs: the training clips, as they are compared, and what each member makes of them."""
    compared: object            # dtw.SETTINGS, or None where functionals are all there is
    scale: object               # mean and std of the functionals of frames, each (13 n,), or None
    known: dict                 # {"frames": [(steps, columns), ...], "functionals": (known, 13 n)}, or the latter
    weight: np.ndarray          # (members, known, classes), 0 for what a member left out
    offset: np.ndarray          # (members, classes)
    unit: np.ndarray            # (members, views), of distance

    @property
    def parameters(self):
        """Numbers kept: the clips themselves, and a weight of each for every emotion."""
        return int(sum(clip.size for view in self.known.values() for clip in view) + np.count_nonzero(self.weight)
                   + self.offset.size)

    def members(self):
        return list(zip(self.weight, self.offset, self.unit))

    def answer(self, between):
        """Distances (views, clips, known) -> probabilities (clips, classes), the mean of the members'."""
        return np.mean([predict_proba(between, *member) for member in self.members()], axis=0)

    def __call__(self, x, lengths):
        """Clips, normalised, as `fit` took them: -> probabilities (clips, classes)."""
        own, _ = representations(x, lengths if self.compared else None, self.compared, self.scale)
        return self.answer(distances(own, self.known))

    def as_bytes(self):
        """The content of an .npz file: plain arrays, nothing that runs."""
        file = io.BytesIO()
        kept = dict(weight=self.weight, offset=self.offset, unit=self.unit, functionals=self.known["functionals"])
        if self.compared:
            frames = self.known["frames"]
            kept |= self.compared | dict(scale=self.scale, frames=np.concatenate(frames), steps=list(map(len, frames)))
        np.savez(file, **kept)
        return file.getvalue()


def load_svm(path):
    """The Machine in an .npz file. raises : OSError, ValueError"""
    try:
        with np.load(path, allow_pickle=False) as file:
            kept = dict(file)
        weight, offset, unit, functionals = (kept.pop(name) for name in ("weight", "offset", "unit", "functionals"))
        if not kept:
            return KernelSVM(None, None, {"functionals": functionals}, weight, offset, unit)
        frames = np.split(kept.pop("frames"), np.cumsum(kept.pop("steps"))[:-1])
        scale = tuple(kept.pop("scale"))
        compared = {name: kept.pop(name).item() for name in dtw.DTW_PARAMS}
        if kept:
            raise KeyError(*kept)
        return KernelSVM(compared, scale, {"frames": frames, "functionals": functionals}, weight, offset, unit)
    except (EOFError, KeyError, TypeError, zipfile.BadZipFile) as problem:
        raise ValueError(f"{path} is damaged, or of an earlier version: train it again ({problem})") from problem
