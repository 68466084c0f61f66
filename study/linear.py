"""A linear probe: multinomial logistic regression on the functionals of a clip, or the statistics of an encoder.

What a feature tells about emotions without a network's help; on the statistics of a pretrained encoder it is a strong
model. The regression is scikit-learn's. It trains on the clips as recorded, without augmented copies. The class keeps
the contract of study/fitting.py.
"""
import importlib.metadata
import io
import zipfile

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

import features

MAX_ITERATIONS = 1000


class LinearProbe:
    """An ensemble of logistic regressions.

    n_classes : number of emotions; C : inverse strength of the pull of the weights towards zero; seed : not used, since
    nothing here is random
    """
    FILE, USES_AUGMENTED, INPUT = "linear.npz", False, "functionals"
    network = history = None    # of networks only

    def __init__(self, n_classes, seed=None, *, C):
        self.n_classes, self.C = n_classes, C
        self.coef = self.intercept = None           # (members, n_classes, 13 n), (members, n_classes)

    @staticmethod
    def hyperparameters(row, settings):
        return dict(C=settings.LINEAR_C)

    @staticmethod
    def versions():
        return {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "scikit-learn")}

    @threadpool_limits.wrap(limits=1)       # matrix products in one order, whichever process this is
    def fit(self, x, lengths, labels, member_splits, scaler):
        """Train each member; see fitting.Estimator. -> the members' probabilities of their validation clips."""
        x = np.asarray(x[:, 0], np.float64)                                     # the clips, without their copies
        members = [self.fit_member(features.standardise(x[split["train"]], *scaler), labels[split["train"]])
                   for split in member_splits]
        self.coef, self.intercept = (np.stack(part).astype(np.float32) for part in zip(*members))
        return [softmax(features.standardise(x[split["validation"]], *scaler) @ coef.T + intercept, axis=1)
                for split, (coef, intercept) in zip(member_splits, members)]

    def fit_member(self, x, labels):
        """Coefficients (n_classes, 13 n) and intercepts (n_classes,) of standardised clips (clips, 13 n)."""
        coef, intercept = np.zeros((self.n_classes, x.shape[1])), np.full(self.n_classes, -np.inf)
        known = np.unique(labels)               # an emotion that is not in the training clips gets no probability
        if len(known) == 1:
            intercept[known] = 0
            return coef, intercept
        regression = LogisticRegression(C=self.C, max_iter=MAX_ITERATIONS).fit(x, labels)
        if len(known) == 2:                     # one row: of the second against the first
            coef[known[1]], intercept[known] = regression.coef_[0], [0, regression.intercept_[0]]
        else:
            coef[known], intercept[known] = regression.coef_, regression.intercept_
        return coef, intercept

    @threadpool_limits.wrap(limits=1)
    def predict_proba(self, x, lengths=None):
        """Standardised clips (clips, 13 n) -> probabilities (clips, n_classes), the mean of the members."""
        logits = np.einsum("cn,mkn->mck", x, self.coef) + self.intercept[:, None]       # (members, clips, n_classes)
        return softmax(logits, axis=-1).mean(axis=0)

    @property
    def n_parameters(self):
        return self.coef.size + self.intercept.size

    def save(self):
        """{file name: bytes}: plain arrays, nothing that runs."""
        file = io.BytesIO()
        np.savez(file, coef=self.coef, intercept=self.intercept)
        return {self.FILE: file.getvalue()}

    @classmethod
    def load(cls, folder):
        """What `save` gave, from its file in a folder. raises : OSError, ValueError"""
        try:
            with np.load(folder / cls.FILE, allow_pickle=False) as file:
                coef, intercept = file["coef"], file["intercept"]
        except (EOFError, KeyError, zipfile.BadZipFile) as problem:
            raise ValueError(f"{folder / cls.FILE} is damaged: train it again ({problem})") from problem
        if coef.ndim != 3 or intercept.shape != coef.shape[:2] or not np.isfinite(coef).all():
            raise ValueError(f"{folder / cls.FILE} holds no linear probe: train it again")
        probe = cls(coef.shape[1], C=None)
        probe.coef, probe.intercept = coef, intercept
        return probe
