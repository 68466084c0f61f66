"""A linear probe: ridge regression of the emotions on the functionals of a clip, or the statistics of an encoder.

What a feature tells about emotions without a network's help; on the statistics of a pretrained encoder it is the best
model. Regression on indicators of the classes finds the same directions as linear discriminant analysis with a ridge
(Hastie, Buja & Tibshirani, "Penalized discriminant analysis", 1995). It was better than multinomial logistic
regression on these statistics, and takes a tenth of the time (EXPERIMENTS.md). The regression is scikit-learn's.
The class keeps the contract of study/fitting.py.
"""
import importlib.metadata
import io

import numpy as np
from scipy.special import softmax
from sklearn.linear_model import Ridge

import features
from ser.switches import one_blas_thread
from study.fitting import flatten_variants, load_unaugmented, variant_rows
from study.saved_model import read_npz

SOFTMAX_TEMPERATURE = 1 / 6         # of the scores, which are 1 and 0 for a clear case


class LinearProbe:
    """An ensemble of ridge regressions, each on all training clips and their augmented copies.

    n_classes : number of emotions; penalty : on the squared weights of standardised columns, per training clip or copy;
    seed : not used, since nothing here is random
    """
    FILE, USES_AUGMENTED, INPUT = "linear.npz", True, "functionals"
    network = history = None    # of networks only

    def __init__(self, n_classes, seed=None, *, penalty):
        self.n_classes, self.penalty = n_classes, penalty
        self.coef = self.intercept = None           # (members, n_classes, 13 n), (members, n_classes)

    @staticmethod
    def hyperparameters(row, settings):
        return dict(penalty=settings.LINEAR_PENALTY)

    @staticmethod
    def versions():
        return {name: importlib.metadata.version(name) for name in ("numpy", "scipy", "scikit-learn")}

    @one_blas_thread
    def fit(self, x, lengths, labels, member_splits, scaler):
        """Train each member; see fitting.Estimator. -> the members' probabilities of their validation clips."""
        n_variants, (flat_x, _) = x.shape[1], flatten_variants(x, None, x.shape[1])
        targets, members, validation = np.eye(self.n_classes, dtype=np.float32)[labels], [], []
        for split in member_splits:
            rows = variant_rows(split["train"], n_variants)
            train = features.standardise(np.asarray(flat_x[rows]), *scaler)
            ridge = Ridge(self.penalty * len(rows), solver="cholesky").fit(train, targets[rows // n_variants])
            members.append((ridge.coef_, ridge.intercept_))
            scores = load_unaugmented(x, None, split["validation"], scaler) @ ridge.coef_.T + ridge.intercept_
            validation.append(softmax(scores / SOFTMAX_TEMPERATURE, axis=1))
        self.coef, self.intercept = (np.stack(part).astype(np.float32) for part in zip(*members))
        return validation

    @one_blas_thread
    def predict_proba(self, x, lengths=None):
        """Standardised clips (clips, 13 n) -> probabilities (clips, n_classes), the mean of the members."""
        scores = np.einsum("cn,mkn->mck", x, self.coef, optimize=True) + self.intercept[:, None]
        return softmax(scores / SOFTMAX_TEMPERATURE, axis=-1).mean(axis=0)          # of (members, clips, n_classes)

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
        arrays = read_npz(folder / cls.FILE)
        if set(arrays) != {"coef", "intercept"} or arrays["coef"].ndim != 3 or (
                arrays["intercept"].shape != arrays["coef"].shape[:2]):
            raise ValueError(f"{folder / cls.FILE} holds no linear probe: train it again")
        coef, intercept = arrays["coef"], arrays["intercept"]
        probe = cls(coef.shape[1], penalty=None)
        probe.coef, probe.intercept = coef, intercept
        return probe
