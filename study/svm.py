"""Kernel SVMs on precomputed pairwise distances between clips.

    FunctionalsSVM   Euclidean distance of the standardised functionals: the classical baseline
    DTWSVM           the same, and the distance of the frames after dynamic time warping (ser/dtw.py)

    (representations, clips, clips) distances --Gaussian--> kernel --one SVM per emotion--> probabilities

The SVMs are scikit-learn's (a Gaussian of DTW as kernel: Bahlmann et al., "Online handwriting recognition with support
vector machines", 2002). They train on the clips as recorded, without augmented copies, and keep them: time and memory
grow with the square of their number and more. Both classes keep the contract of study/fitting.py.
"""
import importlib.metadata
import io
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax
from sklearn.svm import SVC

import features
from ser import dtw
from ser.switches import one_blas_thread
from study.fitting import train_union
from study.saved_model import read_npz

SOFTMAX_TEMPERATURE = 0.25      # of the softmax over the SVMs' margins, which are 1 and -1 for a clear case
LARGEST_DTW_PARAM = 1000        # of a saved model
MIN_EIGENVALUE = 1e-6           # eigenvalues of a kernel below this count as none


class KernelSVM:
    """An ensemble of SVMs: each member one SVM per emotion, all on the same distances.

    n_classes : number of emotions; C : cost of a training clip on the wrong side of the margin; seed : not used,
    since nothing here is random
    """
    REPRESENTATIONS = None      # {"frames" or "functionals": width}: what is compared of two clips. The kernel is the
                                # product of that of each; exp(-width) is its value for a clip and its nearest neighbour
    FILE, USES_AUGMENTED, INPUT = "svm.npz", False, None
    network = history = None    # of networks only

    def __init__(self, n_classes, seed=None, *, C):
        self.n_classes, self.C, self.trained = n_classes, C, None

    @staticmethod
    def hyperparameters(row, settings):
        return dict(C=settings.SVM_C)

    @staticmethod
    def versions():
        return {name: importlib.metadata.version(name)
                for name in ("numpy", "scipy", "scikit-learn", "librosa", "numba")}

    @one_blas_thread
    def fit(self, x, lengths, labels, member_splits, scaler):
        """Train each member; see fitting.Estimator. -> the members' probabilities of their validation clips."""
        x, lengths = x[:, 0], None if lengths is None else lengths[:, 0]        # the clips, without their copies
        union = train_union(member_splits)
        others = np.setdiff1d(np.concatenate([split["validation"] for split in member_splits]), union)
        dtw_params = dtw.DTW_PARAMS if "frames" in self.REPRESENTATIONS else None

        def representations_of(clips, scale):
            real = None if lengths is None else lengths[clips]
            return representations(features.standardise(np.asarray(x[clips]), *scaler, real), real, dtw_params, scale)

        train_clips, scale = representations_of(union, None)
        known = distances(train_clips)                                          # (representations, union, union)
        between = np.concatenate([known, distances(representations_of(others, scale)[0], train_clips)], axis=1) \
            if len(others) else known
        row = np.empty(len(labels), int)                                        # of a clip in `between`
        row[union], row[others] = np.arange(len(union)), len(union) + np.arange(len(others))
        members = [fit_one_vs_rest(known, list(self.REPRESENTATIONS.values()), np.searchsorted(union, split["train"]),
                                   labels[split["train"]], self.n_classes, self.C) for split in member_splits]
        self.trained = Trained(dtw_params, scale, train_clips, *map(np.array, zip(*members)))
        return [predict_proba(between[:, row[split["validation"]]], *member)
                for split, member in zip(member_splits, members)]

    @one_blas_thread
    def predict_proba(self, x, lengths):
        """Standardised clips, (clips, frames, n) with lengths or (clips, 13 n) -> probabilities (clips, n_classes)."""
        return self.trained.predict_proba(x, lengths)

    @property
    def n_parameters(self):
        return self.trained.n_parameters

    def save(self):
        """{file name: bytes}."""
        return {self.FILE: self.trained.as_bytes()}

    @classmethod
    def load(cls, folder):
        """What `save` gave, from its file in a folder. raises : OSError, ValueError"""
        trained = load_trained(folder / cls.FILE)
        svm = cls(trained.intercept.shape[-1], C=None)
        svm.trained = trained
        return svm


class FunctionalsSVM(KernelSVM):
    """On functionals alone."""
    REPRESENTATIONS, INPUT = {"functionals": 0.7}, "functionals"


class DTWSVM(KernelSVM):
    """On frames, aligned, and functionals."""
    REPRESENTATIONS, INPUT = {"frames": 0.45, "functionals": 0.1}, "frames"


# -- distances and kernel ----------------------------------------------------------------------------
def representations(x, lengths, dtw_params, scale=None):
    """What is compared of standardised clips, {"frames": ..., "functionals": ...}, and the scaler of their functionals.

    x          : float (clips, 13 n), or (clips, frames, n) with lengths int (clips,)
    dtw_params : of frames (dtw.DTW_PARAMS)
    scale      : mean and std, each (13 n,), of the functionals of frames; None: fitted on these clips
    """
    if lengths is None:
        return {"functionals": x}, None
    functionals = features.functionals(x, lengths)                                      # (clips, 13 n)
    scale = scale or features.fit_scaler(functionals)
    return {"frames": [dtw.frame_descriptors(clip[:length], **dtw_params) for clip, length in zip(x, lengths)],
            "functionals": features.standardise(functionals, *scale)}, scale


def distances(clips, others=None):
    """Of each clip to each of the others, or of themselves: `representations` -> (representations, clips, others)."""
    others = others or clips
    return np.stack([dtw.distances(clips[name], None if others is clips else others[name]) if name == "frames"
                     else cdist(clips[name], others[name]).astype(np.float32) for name in clips])


def fit_one_vs_rest(between, widths, train, labels, n_classes, C):
    """An SVM for each emotion, trained on some of the clips: what `predict_proba` takes.

    between : (representations, clips, clips) distances; widths : one a representation; train : int, indices;
    labels  : int, of these
    returns : dual_coef (clips, n_classes), 0 where not trained on; intercept (n_classes,); bandwidth (representations,)
              of distance

    The bandwidth is set by the median distance of a clip to its nearest neighbour. A kernel of warped distances need
    not be positive definite; its negative part is left out, for training and predictions alike.
    """
    own = between[:, train[:, None], train]                                     # (representations, train, train)
    bandwidth = np.array([median_nearest_distance(part) / np.sqrt(width) for part, width in zip(own, widths)])
    values, vectors = np.linalg.eigh(rbf_kernel(own, bandwidth))
    vectors = vectors[:, values > MIN_EIGENVALUE]
    kernel = (vectors * values[values > MIN_EIGENVALUE]) @ vectors.T
    dual_coef = np.zeros((between.shape[1], n_classes))
    intercept = np.full(n_classes, -1.0)                    # -1: as of an emotion that is not in the training clips
    for label in np.unique(labels):
        if (labels == label).all():                         # nothing to tell it from
            intercept[label] = 1.0
            continue
        svc = SVC(C=C, kernel="precomputed").fit(kernel, labels == label)
        dual = np.zeros(len(kernel))
        dual[svc.support_] = svc.dual_coef_[0]
        dual_coef[train, label] = vectors @ (vectors.T @ dual)
        intercept[label] = svc.intercept_[0]
    return dual_coef, intercept, bandwidth


def median_nearest_distance(between):
    """Median distance of a clip to its nearest neighbour, of (clips, clips): doubles do not count. 1 if all are."""
    nearest = np.where(np.eye(len(between), dtype=bool), np.inf, between).min(axis=1)
    return np.median(nearest[nearest > 0]) if (nearest > 0).any() else 1.0


def rbf_kernel(between, bandwidth):
    """A Gaussian of the distances (representations, clips, others): 1 at 0, and 1/e at the bandwidth of one."""
    return np.exp(-sum(np.square(part / size) for part, size in zip(np.asarray(between, float), bandwidth)))


def predict_proba(between, dual_coef, intercept, bandwidth):
    """Distances to the training clips (representations, clips, train) -> probabilities (clips, n_classes)."""
    return softmax((rbf_kernel(between, bandwidth) @ dual_coef + intercept) / SOFTMAX_TEMPERATURE, axis=1)


# -- a trained ensemble ------------------------------------------------------------------------------
@dataclass
class Trained:
    """All that a prediction needs: the training clips, as they are compared, and the members' SVMs."""
    dtw_params: object          # dtw.DTW_PARAMS, or None where functionals are all there is
    scale: object               # mean and std of the functionals of frames, each (13 n,), or None
    train_clips: dict           # {"frames": [(steps, columns), ...], "functionals": (clips, 13 n)}, or the latter
    dual_coef: np.ndarray       # (members, clips, n_classes), 0 for what a member held out
    intercept: np.ndarray       # (members, n_classes)
    bandwidth: np.ndarray       # (members, representations), of distance

    @property
    def n_parameters(self):
        """Numbers kept: the clips themselves, and a coefficient of each for every emotion."""
        return int(sum(clip.size for part in self.train_clips.values() for clip in part)
                   + np.count_nonzero(self.dual_coef) + self.intercept.size)

    def predict_proba(self, x, lengths):
        """Standardised clips -> probabilities (clips, n_classes), the mean of the members'."""
        clips, _ = representations(x, lengths if self.dtw_params else None, self.dtw_params, self.scale)
        between = distances(clips, self.train_clips)
        return np.mean([predict_proba(between, *member)
                        for member in zip(self.dual_coef, self.intercept, self.bandwidth)], axis=0)

    def as_bytes(self):
        """The content of an .npz file: plain arrays, nothing that runs."""
        file = io.BytesIO()
        arrays = dict(dual_coef=self.dual_coef, intercept=self.intercept, bandwidth=self.bandwidth,
                      functionals=self.train_clips["functionals"])
        if self.dtw_params:
            frames = self.train_clips["frames"]
            arrays |= self.dtw_params | dict(scale=self.scale, frames=np.concatenate(frames),
                                             steps=list(map(len, frames)))
        np.savez(file, **arrays)
        return file.getvalue()


def load_trained(path):
    """The Trained in an .npz file. raises : OSError, ValueError"""
    arrays = read_npz(path)
    try:
        members = [arrays.pop(name) for name in ("dual_coef", "intercept", "bandwidth")]
        functionals, dtw_params, scale, train_clips = arrays.pop("functionals"), None, None, {}
        if arrays:
            dtw_params = {name: check_whole(name, arrays.pop(name)) for name in dtw.DTW_PARAMS}
            frames, steps, scale = arrays.pop("frames"), arrays.pop("steps"), tuple(arrays.pop("scale"))
            if frames.ndim != 2 or steps.min() < 1 or steps.sum() != len(frames) or len(steps) != len(functionals) or (
                    [part.shape for part in scale] != [functionals.shape[1:]] * 2):
                raise ValueError("frames, steps and scale do not fit together")
            train_clips = {"frames": np.split(frames, np.cumsum(steps)[:-1])}
        if arrays:
            raise KeyError(*arrays)
        trained = Trained(dtw_params, scale, train_clips | {"functionals": functionals}, *members)
        check_shapes(trained)
        return trained
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as problem:
        raise ValueError(f"{path} is damaged, or of an earlier version: train it again ({problem})") from problem


def check_whole(name, array):
    """One of dtw.DTW_PARAMS out of a file. raises : ValueError"""
    value = array.item()
    if type(value) is not type(dtw.DTW_PARAMS[name]) or not 0 < value <= LARGEST_DTW_PARAM:
        raise ValueError(f"{name} = {value}")
    return value


def check_shapes(trained):
    """raises : ValueError unless the arrays of a Trained belong together"""
    functionals, members, clips = trained.train_clips["functionals"], *trained.dual_coef.shape[:2]
    shapes = [functionals.shape[:1], trained.intercept.shape, trained.bandwidth.shape]
    if functionals.ndim != 2 or shapes != [(clips,), (members, trained.dual_coef.shape[2]),
                                           (members, len(trained.train_clips))] or not (trained.bandwidth > 0).all():
        raise ValueError("coefficients, bandwidths and training clips do not fit together")
